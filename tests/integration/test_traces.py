"""The way of one picture, told by two processes, arrives as one trace."""

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import time

import cv2
import numpy as np
import pytest

from fbtasks.frame import Letterbox
from fbtasks.keys import Keys
from fbtasks.settings import TraceSettings
from fbtasks.tracing import identity_of, traces_of
from fbtasks.transport import FrameQueue, connect
from fbtasks.wire import Frame, encode
from tests import tiny_detector
from tests.processes import Processes
from tests.servers import Valkey
from tests.trace_receiver import TraceReceiver
from tests.waiting import wait_until

WORKER = ("worker", "-Q", "logic", "--without-gossip", "--without-mingle", "--concurrency=1")
STAGES = ["capture", "queue_wait", "decode", "inference", "publish", "logic_wait", "logic"]


@pytest.fixture
def receiver() -> Iterator[TraceReceiver]:
    started = TraceReceiver()
    started.start()
    yield started
    started.stop()


def frame(seq: int) -> Frame:
    now = time()
    box = Letterbox.fit(192, 192, 96, 96)
    jpeg = cv2.imencode(".jpg", np.full((96, 96, 3), 128, np.uint8))[1].tobytes()
    return Frame(
        camera_id="box-1", seq=seq, captured_at=now - 0.05, sent_at=now, width=192, height=192,
        scale=box.scale, pad_x=box.pad_x, pad_y=box.pad_y, jpeg=memoryview(jpeg),
    )  # fmt: skip


@pytest.mark.timeout(180)  # two processes start, on a machine that may be busy
def test_all_stages_of_a_picture_are_one_trace(
    valkey: Valkey, processes: Processes, receiver: TraceReceiver, tmp_path: Path
) -> None:
    env = {
        "FBTASKS_REDIS_URL": valkey.url,
        "FBTASKS_DATA_DIR": str(tmp_path / "data"),
        "FBTASKS_GPU__MODEL": str(tiny_detector.saved(tmp_path)),
        "FBTASKS_GPU__INPUT_WIDTH": "96",
        "FBTASKS_GPU__INPUT_HEIGHT": "96",
        "FBTASKS_TRACE__SAMPLE": "1",
        "FBTASKS_TRACE__ENDPOINT": receiver.url,
    }
    infer = processes.start("fbtasks", "infer", env=env)
    worker = processes.start("celery", "-A", "fbtasks", *WORKER, env=env, name="worker")
    wait_until(lambda: "ready:" in infer.output() and "ready." in worker.output(), 90, "both to be ready")
    sent = frame(1)
    with connect(valkey.url, 5.0) as redis:
        FrameQueue(redis, Keys(), 64).push([encode(sent)])
    own = identity_of(sent).trace_id.to_bytes(16, "big")
    wait_until(lambda: len(receiver.traces[own]) >= 8, 60, "all spans of the picture")

    told = {span.name: (service, span) for service, span in receiver.traces[own]}
    assert sorted(told) == sorted([*STAGES, "frame"])
    root = told["frame"][1]
    assert root.span_id == identity_of(sent).span_id.to_bytes(8, "big")
    assert root.parent_span_id == b""
    assert {one.key for one in root.attributes} == {"fbtasks.camera", "fbtasks.seq"}
    for name in STAGES:
        service, span = told[name]
        assert span.parent_span_id == root.span_id
        assert service == ("fbtasks-logic" if name.startswith("logic") else "fbtasks-infer")
        assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
    begins = [told[name][1].start_time_unix_nano for name in ("capture", "queue_wait", "decode", "inference", "logic")]
    assert begins == sorted(begins)
    assert infer.terminate(20) == 0
    assert worker.terminate(20) == 0


@dataclass
class Picture:
    camera_id: str
    seq: int
    captured_at: float


def test_a_share_is_traced_and_every_stage_picks_the_same() -> None:
    pictures = [Picture("box-1", seq, 1e9 + seq / 5) for seq in range(4000)]
    draws = [identity_of(picture).draw for picture in pictures]
    assert sum(draw < 0.1 for draw in draws) == pytest.approx(400, abs=100)
    assert draws == [identity_of(picture).draw for picture in pictures]
    assert len({identity_of(picture).trace_id for picture in pictures}) == len(pictures)


def test_by_default_nothing_is_traced() -> None:
    assert traces_of(TraceSettings(), "infer") is None


def test_without_the_extra_the_log_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with caplog.at_level(logging.ERROR):
        assert traces_of(TraceSettings(sample=1.0), "infer") is None
    assert "install fbtasks[otel]" in caplog.text
