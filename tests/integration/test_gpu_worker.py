"""The GPU worker over a real Redis: what comes out, what bad frames cost, and how it ends."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from time import monotonic, time
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from redis import Redis

from fbtasks.detections import BatchCandidates
from fbtasks.errors import OutOfDeviceMemory
from fbtasks.frame import PAD_VALUE, Letterbox
from fbtasks.gpu import worker
from fbtasks.gpu.engine import Engine, open_engine
from fbtasks.gpu.engines import Engines
from fbtasks.gpu.fixed_engine import fixed_engine
from fbtasks.gpu.model import PreparedModel, prepare
from fbtasks.gpu.preprocess import decode_into
from fbtasks.gpu.worker import GpuWorker
from fbtasks.keys import Keys
from fbtasks.mailbox import Mailboxes
from fbtasks.transport import REDIS_AWAY, DeadLetters, FrameQueue, connect
from fbtasks.wire import Frame, Result, decode_result, encode
from tests import tiny_detector
from tests.servers import Valkey
from tests.waiting import wait_until

SIDE = 64
KEYS = Keys()
TIMEOUT_S = 10.0

pytestmark = pytest.mark.usefixtures("no_immortal_keys")


class Brightness:
    """An engine that sees one box in every picture: the left top quarter, as sure as the picture is bright.

    `gate` holds its runs back, `fault` is raised by the next one, more than `fits` pictures at once are too many.
    """

    provider = "none"

    def __init__(self, width: int = SIDE, height: int = SIDE) -> None:
        self.model = PreparedModel(Path("none"), {0: "horse"}, width, height, 2, "brightness-0", None)
        self.max_batch = 8
        self.at_once = 1
        self.fits = 32
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        self.fault: Exception | None = None
        self.batches: list[int] = []

    def warm_up(self) -> None:
        """Nothing is slow."""

    def run(self, frames: NDArray[np.uint8]) -> BatchCandidates:
        self.asked.set()
        assert self.gate.wait(TIMEOUT_S)
        if self.fault is not None:
            raise self.fault
        if len(frames) > self.fits:
            raise OutOfDeviceMemory("Failed to allocate memory for requested buffer of size 838860800")
        self.batches.append(len(frames))
        sure = (frames.mean(axis=(1, 2, 3)) / 255).astype(np.float32)
        confidence = np.stack([sure, np.zeros_like(sure)], axis=1)
        height, width = frames.shape[1:3]
        xyxy = np.tile(np.array([0, 0, width / 2, height / 2], np.float32), (len(frames), 2, 1))
        return BatchCandidates(xyxy, confidence, np.zeros(confidence.shape, np.int32))


class Bench:
    """A worker with its Redis, running in a thread of its own."""

    def __init__(self, valkey: Valkey, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self.redis: Redis = connect(valkey.url, timeout_s=1.0)
        self.frames = FrameQueue(self.redis, KEYS, max_length=256)
        self.mailboxes = Mailboxes(self.redis, KEYS, length=256)
        self.dead = DeadLetters(self.redis, KEYS)
        self.engine = Brightness()
        self.woken: list[str] = []
        self.worker: GpuWorker | None = None

    def start(
        self,
        *,
        engine: Engine | None = None,
        engines: Engines | None = None,
        max_batch: int = 8,
        at_once: int = 1,
        **options: Any,
    ) -> "Future[None]":
        self.engine.max_batch = max_batch
        self.engine.at_once = at_once
        self.worker = GpuWorker(
            engines or Engines(engine or self.engine),
            self.frames,
            self.mailboxes,
            self.dead,
            **{
                "max_wait_ms": 0.0,
                "max_age_s": 60.0,
                "min_confidence": 0.1,
                "wake": self.woken.extend,
                "hang_s": TIMEOUT_S,
                "on_hang": lambda: None,
                **options,
            },
        )
        return self._threads.submit(self.worker.run)

    def start_and_wait(self, counter: str, value: int, **options: Any) -> "Future[None]":
        running = self.start(**options)
        self.wait_for(counter, value)
        return running

    @property
    def counters(self) -> dict[str, int]:
        assert self.worker is not None
        return dict(self.worker.progress.counters)

    def stop(self, running: "Future[None]") -> None:
        assert self.worker is not None
        self.worker.stop()
        running.result(TIMEOUT_S)

    def results(self, camera_id: str) -> list[Result]:
        turn = self.mailboxes.begin(camera_id, 1000)
        return [decode_result(message) for message in turn.waiting.messages] if turn else []

    def wait_for(self, counter: str, value: int) -> None:
        wait_until(lambda: self.counters.get(counter, 0) >= value, TIMEOUT_S, f"{value} {counter}")


@pytest.fixture
def bench(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(worker, "POLL_S", 0.1)  # which every stop waits for
    with ThreadPoolExecutor(2) as threads:
        made = Bench(valkey, threads)
        yield made
        made.engine.gate.set()
        if made.worker is not None:
            made.worker.stop()
    made.redis.close()
    assert not [
        thread.name for thread in threading.enumerate() if thread.name.startswith(("gather", "publish", "run-"))
    ]


def picture(brightness: int) -> bytes:
    return cv2.imencode(".jpg", np.full((SIDE, SIDE, 3), brightness, np.uint8))[1].tobytes()


def frame(
    camera_id: str, seq: int = 0, *, brightness: int = 128, age_s: float = 0.0, jpeg: bytes | None = None
) -> Frame:
    box = Letterbox.fit(1280, 640, SIDE, SIDE)
    now = time()
    return Frame(
        camera_id=camera_id,
        seq=seq,
        captured_at=now - age_s,
        sent_at=now - age_s,
        width=box.width,
        height=box.height,
        scale=box.scale,
        pad_x=box.pad_x,
        pad_y=box.pad_y,
        jpeg=memoryview(jpeg if jpeg is not None else picture(brightness)),
    )


def message(*args: Any, **options: Any) -> bytes:
    return encode(frame(*args, **options))


def huge(jpeg: bytes) -> bytes:
    """The picture with 20,000 x 20,000 in its header."""
    place = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:place] + (20_000).to_bytes(2, "big") * 2 + jpeg[place + 4 :]


def test_boxes_come_out_in_source_pixels_with_the_frames_identity(bench: Bench) -> None:
    sent = frame("box-3", 7, brightness=204)
    bench.frames.push([encode(sent)])
    bench.stop(bench.start_and_wait("results", 1))
    (result,) = bench.results("box-3")
    boxes = result.boxes()
    # The picture lies 16 pixels down in the input: its first 16 rows are 320 source pixels.
    assert boxes.xyxy.tolist() == [[0, 0, 640, 320]]
    assert boxes.confidence[0] == pytest.approx(0.8, abs=0.01)
    assert (result.seq, result.captured_at, result.sent_at) == (7, sent.captured_at, sent.sent_at)
    assert result.captured_at <= result.taken_at <= result.inferred_at
    assert (result.names, result.model_id) == ({0: "horse"}, "brightness-0")


def test_weak_boxes_stay_behind(bench: Bench) -> None:
    bench.frames.push([message("dark", brightness=10)])
    bench.stop(bench.start_and_wait("results", 1))
    (result,) = bench.results("dark")
    assert len(result.boxes()) == 0
    assert result.names == {}


def test_a_real_model_sees_the_same_through_the_worker_as_by_itself(bench: Bench, tmp_path: Path) -> None:
    model = prepare(tiny_detector.saved(tmp_path), tmp_path, input_size=(SIDE, SIDE), top_k=4)
    engine = open_engine(model, provider="cpu", max_batch=2, threads=1, cache_dir=tmp_path)
    noise = np.random.default_rng(3).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", noise)[1].tobytes()
    bench.frames.push([message("box-3", jpeg=jpeg)])
    bench.stop(bench.start_and_wait("results", 1, engine=engine))
    (result,) = bench.results("box-3")
    pixels = np.empty((1, SIDE, SIDE, 3), np.uint8)
    decode_into(jpeg, pixels[0])
    expected = engine.run(pixels).of(0, 0.1)
    assert len(expected) > 0
    np.testing.assert_array_equal(result.boxes().confidence, expected.confidence)
    np.testing.assert_array_equal(
        result.boxes().xyxy, Letterbox.fit(1280, 640, SIDE, SIDE).to_source(expected.xyxy).astype(np.float32)
    )


def test_bad_frames_are_kept_with_their_reason_and_the_good_ones_of_the_batch_come_out(bench: Bench) -> None:
    good = picture(128)
    later = msgspec.msgpack.encode(msgspec.structs.asdict(frame("later")) | {"v": 99})
    bench.frames.push(
        [
            message("good-1"),
            b"garbage",
            message("cut", jpeg=good[: len(good) // 2]),
            message("huge", jpeg=huge(good)),
            later,
            message("text", jpeg=b"hello"),
            message("good-2"),
        ]
    )
    bench.stop(bench.start_and_wait("results", 2, max_wait_ms=200.0))
    assert bench.engine.batches == [2]
    assert [len(bench.results(camera)) for camera in ("good-1", "good-2", "cut", "huge", "later")] == [1, 1, 0, 0, 0]
    assert bench.counters["frames_refused"] == bench.dead.counts()["frames"] == 5
    reasons = [letter["reason"] for letter in bench.dead.list("frames")]
    for said in (
        "camera cut, frame 0: truncated JPEG",
        "camera huge, frame 0: the picture is 20000x20000",
        "version 99, this build reads 1",
        "camera text, frame 0: not a JPEG",
    ):
        assert [reason for reason in reasons if said in reason], (said, reasons)


def test_a_list_of_nothing_but_garbage_is_worked_off(bench: Bench) -> None:
    for number in range(10):
        bench.frames.push([b"\xc1garbage %d" % number] * 20)
    running = bench.start_and_wait("frames_refused", 200)
    bench.frames.push([message("good")])
    bench.wait_for("results", 1)
    bench.stop(running)
    assert bench.dead.counts() == {"frames": 200}


def test_under_backlog_the_newest_frame_of_every_camera_goes_first(bench: Bench) -> None:
    for seq in range(10):
        bench.frames.push([message(camera, seq, age_s=5.0 - seq * 0.1) for camera in "abc"])
    bench.stop(bench.start_and_wait("results", 3, max_batch=3))
    assert [[result.seq for result in bench.results(camera)] for camera in "abc"] == [[9], [9], [9]]
    assert bench.counters["frames_superseded"] == 27


def test_frames_that_are_too_old_are_counted_and_dropped(bench: Bench) -> None:
    bench.frames.push([message("old", age_s=3.0), message("new")])
    bench.stop(bench.start_and_wait("results", 1, max_age_s=1.0))
    assert bench.counters["frames_stale"] == 1
    assert bench.results("old") == []


def test_only_sleeping_cameras_are_woken(bench: Bench) -> None:
    bench.frames.push([message("a", 1), message("b", 1)])
    running = bench.start_and_wait("results", 2)
    bench.frames.push([message("a", 2), message("b", 2)])
    bench.wait_for("results", 4)
    bench.stop(running)
    assert sorted(bench.woken) == ["a", "b"]
    assert [result.seq for result in bench.results("a")] == [1, 2]


def test_a_camera_whose_push_was_carried_out_unanswered_is_woken_with_the_next(bench: Bench, valkey: Valkey) -> None:
    bench.frames.push([message("b")])
    running = bench.start_and_wait("results", 1)  # over a connection that is there when Redis no longer answers
    bench.engine.gate.clear()
    bench.engine.asked.clear()
    bench.frames.push([message("a", 1)])
    assert bench.engine.asked.wait(TIMEOUT_S)
    valkey.pause()
    bench.engine.gate.set()
    bench.wait_for("results_dropped", 1)
    valkey.resume()
    wait_until(lambda: bench.mailboxes.waiting() == 2, TIMEOUT_S)
    assert bench.woken == ["b"], "nobody has heard that the camera slept"
    for seq in (2, 3):
        bench.frames.push([message("a", seq)])
        bench.wait_for("results", seq)
    bench.stop(running)
    assert bench.woken == ["b", "a"]


def test_frames_gather_while_the_engine_is_busy(bench: Bench) -> None:
    bench.engine.gate.clear()
    running = bench.start()
    bench.frames.push([message("first")])
    assert bench.engine.asked.wait(TIMEOUT_S)
    for number in range(6):
        bench.frames.push([message(f"camera-{number}")])
    bench.wait_for("frames_taken", 7)
    wait_until(lambda: bench.worker is not None and bench.worker._assembly.room(0) == 2, TIMEOUT_S)
    bench.engine.gate.set()
    bench.wait_for("results", 7)
    bench.stop(running)
    assert bench.engine.batches == [1, 6]


def test_stopping_an_idle_worker_takes_no_time(bench: Bench) -> None:
    running = bench.start()
    began = monotonic()
    bench.stop(running)
    assert monotonic() - began < 2.0


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("batches", range(4))
def test_stopping_finishes_what_is_held(bench: Bench, batches: int, at_once: int) -> None:
    """Every frame that left the list is published or counted as given up, whenever the stop comes."""
    bench.engine.gate.clear()
    running = bench.start(max_batch=4 // at_once, at_once=at_once)
    for seq in range(3):
        bench.frames.push([message(f"camera-{number}", seq) for number in range(12)])
    assert bench.engine.asked.wait(TIMEOUT_S)
    if batches:
        bench.engine.gate.set()
        wait_until(lambda: len(bench.engine.batches) >= batches, TIMEOUT_S)
    assert bench.worker is not None
    bench.worker.stop()
    bench.engine.gate.set()
    running.result(TIMEOUT_S)
    told = bench.counters
    assert told["frames_taken"] == told["results"] + told["frames_superseded"] + told["frames_stale"]
    assert told["results"] >= (4 if at_once == 1 else 3)
    assert sum(len(bench.results(f"camera-{number}")) for number in range(12)) == told["results"]


def test_an_engine_that_computes_several_at_once_gets_one_frame_in_each_run(bench: Bench) -> None:
    meeting = threading.Barrier(3)

    class Meeting(Brightness):
        def run(self, frames: NDArray[np.uint8]) -> BatchCandidates:
            meeting.wait(TIMEOUT_S)
            return super().run(frames)

    bench.engine = Meeting()
    bench.frames.push([message(f"camera-{number}") for number in range(9)])
    bench.stop(bench.start_and_wait("results", 9, max_batch=1, at_once=3))
    assert bench.engine.batches == [1] * 9


def test_results_come_in_the_order_of_the_frames_whichever_run_ends_first(bench: Bench) -> None:
    later_is_done = threading.Event()

    class Overtaken(Brightness):
        """A dark picture takes until a bright one is done."""

        def run(self, frames: NDArray[np.uint8]) -> BatchCandidates:
            found = super().run(frames)
            if found.confidence[0, 0] > 0.5:
                later_is_done.set()
            else:
                assert later_is_done.wait(TIMEOUT_S)
            return found

    bench.engine = Overtaken()
    running = bench.start(max_batch=1, at_once=2)
    bench.frames.push([message("box-3", 1, brightness=100)])
    assert bench.engine.asked.wait(TIMEOUT_S)
    bench.frames.push([message("box-3", 2, brightness=200)])
    bench.wait_for("results", 2)
    bench.stop(running)
    assert [(result.seq, bool(result.boxes().confidence[0] > 0.5)) for result in bench.results("box-3")] == [
        (1, False),
        (2, True),
    ]


@pytest.mark.parametrize("at_once", [1, 3])
def test_an_engine_that_fails_ends_the_worker(bench: Bench, at_once: int) -> None:
    bench.engine.fault = RuntimeError("device lost")
    running = bench.start(max_batch=1, at_once=at_once)
    bench.frames.push([message(f"camera-{number}") for number in range(20)])
    with pytest.raises(RuntimeError, match="device lost"):
        running.result(TIMEOUT_S)


def test_what_was_analysed_before_the_engine_failed_is_published(bench: Bench) -> None:
    running = bench.start(max_batch=1)
    bench.frames.push([message("box-3")])
    bench.wait_for("results", 1)
    bench.engine.fault = RuntimeError("device lost")
    bench.frames.push([message("box-4")])
    with pytest.raises(RuntimeError, match="device lost"):
        running.result(TIMEOUT_S)
    assert len(bench.results("box-3")) == 1


def test_a_publishing_thread_that_dies_ends_the_worker(bench: Bench) -> None:
    def wake(cameras: list[str]) -> None:
        raise LookupError(f"nobody wakes {cameras}")

    running = bench.start(max_batch=2, wake=wake)
    bench.frames.push([message(f"camera-{number}") for number in range(40)])
    with pytest.raises(LookupError, match="nobody wakes"):
        running.result(TIMEOUT_S)


def test_a_gathering_thread_that_dies_ends_the_worker(bench: Bench) -> None:
    bench.redis.set(KEYS.batch_frames, "not a list", ex=60)
    with pytest.raises(Exception, match="WRONGTYPE"):
        bench.start().result(TIMEOUT_S)


def test_redis_killed_and_restarted_under_load(bench: Bench, valkey: Valkey) -> None:
    done = threading.Event()

    def produce() -> None:
        with connect(valkey.url, timeout_s=1.0) as redis:
            frames = FrameQueue(redis, KEYS, max_length=256)
            for seq in count():
                with suppress(*REDIS_AWAY):
                    frames.push([message(f"camera-{number}", seq) for number in range(4)])
                if done.wait(0.02):
                    return

    running = bench.start()
    with ThreadPoolExecutor(1) as threads:
        producing: Future[None] = threads.submit(produce)
        try:
            for _ in range(3):
                bench.wait_for("results", bench.counters.get("results", 0) + 20)
                valkey.restart()
                began = monotonic()
                bench.wait_for("results", bench.counters["results"] + 1)
                assert monotonic() - began < 5.0
        finally:
            done.set()
        producing.result(TIMEOUT_S)
    bench.stop(running)


def test_redis_away_from_start_to_stop(bench: Bench, valkey: Valkey) -> None:
    valkey.kill()
    running = bench.start()
    began = monotonic()
    bench.stop(running)
    assert monotonic() - began < 2.0
    valkey.start()


def wide(camera_id: str, seq: int = 0, *, brightness: int = 128, age_s: float = 0.0) -> bytes:
    """A frame whose producer left the border out: 64x32 where the full input is 64x64."""
    box = Letterbox.fit(1280, 640, SIDE, SIDE // 2)
    jpeg = cv2.imencode(".jpg", np.full((SIDE // 2, SIDE, 3), brightness, np.uint8))[1].tobytes()
    return encode(
        msgspec.structs.replace(
            frame(camera_id, seq, age_s=age_s, jpeg=jpeg), scale=box.scale, pad_x=box.pad_x, pad_y=box.pad_y
        )
    )


def test_a_smaller_picture_is_seen_where_it_is_by_the_full_engine_and_by_its_own(bench: Bench) -> None:
    own = Brightness(SIDE, SIDE // 2)
    go_on = threading.Event()

    def open_one(width: int, height: int) -> Engine:
        assert (width, height) == (SIDE, SIDE // 2)
        assert go_on.wait(TIMEOUT_S)
        return own

    engines = Engines(bench.engine, open_one)
    running = bench.start(engines=engines)
    bench.frames.push([wide("a", 1, brightness=200)])
    bench.wait_for("results", 1)
    assert (bench.engine.batches, own.batches) == ([1], [])
    go_on.set()
    wait_until(lambda: len(engines.sizes) == 2, TIMEOUT_S)
    bench.frames.push([wide("a", 2, brightness=200)])
    bench.wait_for("results", 2)
    bench.stop(running)
    assert (bench.engine.batches, own.batches) == ([1], [1])
    by_full, by_own = (result.boxes() for result in bench.results("a"))
    # The engine's box is the left top quarter of its input: half of the full one's is border above the picture.
    assert by_full.xyxy.tolist() == [[0, 0, 640, 320]]
    assert by_own.xyxy.tolist() == [[0, 0, 640, 320]]
    assert by_own.confidence[0] == pytest.approx(200 / 255, abs=0.01)
    assert by_full.confidence[0] == pytest.approx((200 + PAD_VALUE) / 2 / 255, abs=0.01)


def test_pictures_of_two_sizes_in_one_list_are_run_apart_and_none_is_lost(bench: Bench) -> None:
    own = Brightness(SIDE, SIDE // 2)
    engines = Engines(bench.engine, lambda _width, _height: own)
    engines.size_for(SIDE, SIDE // 2)
    wait_until(lambda: len(engines.sizes) == 2, TIMEOUT_S)
    running = bench.start(engines=engines, max_batch=4)
    total = 60
    for seq in range(total):
        bench.frames.push([wide(f"wide-{number}", seq) for number in range(3)] + [message("square", seq)])
        bench.wait_for("results", 4 * (seq + 1))  # or the next round would supersede it
    bench.stop(running)
    for camera in ("wide-0", "wide-1", "wide-2", "square"):
        assert [result.seq for result in bench.results(camera)] == list(range(total))
    assert (sum(own.batches), sum(bench.engine.batches)) == (3 * total, total)


def test_pictures_of_one_size_gather_to_one_batch_while_the_other_engine_is_busy(bench: Bench) -> None:
    own = Brightness(SIDE, SIDE // 2)
    engines = Engines(bench.engine, lambda _width, _height: own)
    engines.size_for(SIDE, SIDE // 2)
    wait_until(lambda: len(engines.sizes) == 2, TIMEOUT_S)
    bench.engine.gate.clear()
    running = bench.start(engines=engines, max_batch=4)
    bench.frames.push([message("square")])
    assert bench.engine.asked.wait(TIMEOUT_S)
    for number in range(3):
        bench.frames.push([wide(f"wide-{number}")])
    wait_until(lambda: bench.worker is not None and bench.worker._assembly.room(0) == 1, TIMEOUT_S)
    bench.engine.gate.set()
    bench.wait_for("results", 4)
    bench.stop(running)
    assert (bench.engine.batches, own.batches) == ([1], [3])


def test_under_backlog_no_size_starves_another(bench: Bench) -> None:
    own = Brightness(SIDE, SIDE // 2)
    engines = Engines(bench.engine, lambda _width, _height: own)
    engines.size_for(SIDE, SIDE // 2)
    wait_until(lambda: len(engines.sizes) == 2, TIMEOUT_S)
    for seq in range(10):
        age_s = 5.0 - seq * 0.1
        bench.frames.push([wide(f"wide-{number}", seq, age_s=age_s) for number in range(6)])
        bench.frames.push([message("square", seq, age_s=age_s)])
    bench.stop(bench.start_and_wait("results", 7, engines=engines, max_batch=2))
    for camera in ("square", *(f"wide-{number}" for number in range(6))):
        assert bench.results(camera)[-1].seq == 9, camera


def test_two_workers_share_what_waits_in_one_list(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of frames that came at once each takes a batch at a time: neither holds what the other could run."""
    monkeypatch.setattr(worker, "POLL_S", 0.1)
    with ThreadPoolExecutor(2) as threads:
        benches = [Bench(valkey, threads) for _ in range(2)]
        engine = fixed_engine("fixed:50ms", 4, input_size=(SIDE, SIDE), candidates=20)
        ends = [bench.start(engine=engine) for bench in benches]
        numbers = count()
        for bench in benches:  # until each knows how long a run takes, it takes all there is
            while not bench.counters.get("results"):
                benches[0].frames.push([message(f"first-{next(numbers)}")])
                wait_until(lambda: len(benches[0].frames) == 0, TIMEOUT_S)
        before = [bench.counters["results"] for bench in benches]
        benches[0].frames.push([message(f"camera-{number}") for number in range(32)])
        wait_until(
            lambda: sum(bench.counters["results"] for bench in benches) >= sum(before) + 32, TIMEOUT_S, "32 results"
        )
        for bench, end in zip(benches, ends, strict=True):
            bench.stop(end)
    shares = [bench.counters["results"] - had for bench, had in zip(benches, before, strict=True)]
    assert sum(bench.counters["frames_superseded"] for bench in benches) == 0
    assert min(shares) >= 12, shares


def test_a_batch_that_does_not_fit_is_run_in_parts(bench: Bench) -> None:
    bench.engine.fits = 3
    bench.frames.push([message(f"camera-{number}") for number in range(8)])
    bench.stop(bench.start_and_wait("results", 8, max_wait_ms=200.0))
    assert bench.engine.batches == [2, 2, 2, 2]
    assert [len(bench.results(f"camera-{number}")) for number in range(8)] == [1] * 8
    assert bench.worker is not None
    assert (bench.worker.progress.batch_limit, bench.counters["memory_faults"]) == (2, 2)


def test_an_engine_for_which_no_picture_fits_ends_the_worker(bench: Bench) -> None:
    bench.engine.fits = 0
    bench.frames.push([message("box-3")])
    with pytest.raises(OutOfDeviceMemory, match="Failed to allocate memory"):
        bench.start().result(TIMEOUT_S)


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_hanging_engine_is_told_after_all_is_saved_that_can_be(
    bench: Bench, caplog: pytest.LogCaptureFixture, at_once: int
) -> None:
    told = threading.Event()
    running = bench.start(max_batch=4 // at_once, at_once=at_once, hang_s=0.1, on_hang=told.set)
    bench.frames.push([message("good")])
    bench.wait_for("results", 1)
    bench.engine.gate.clear()
    bench.engine.asked.clear()
    bench.frames.push([message(f"camera-{number}") for number in range(6)])
    assert bench.engine.asked.wait(TIMEOUT_S)
    assert told.wait(TIMEOUT_S)
    assert bench.worker is not None
    done = bench.worker.progress
    assert done.hung is not None
    assert "pictures has not ended after" in done.hung
    assert "usually 0." in done.hung
    counted = bench.counters
    assert counted["frames_lost"] == counted["frames_taken"] - 1 > 0
    assert [record.levelname for record in caplog.records if "frames are lost" in record.getMessage()] == ["CRITICAL"]
    bench.engine.gate.set()
    running.result(TIMEOUT_S)
