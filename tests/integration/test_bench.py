"""`fbtasks bench`: what it measures adds up, what it cannot measure it refuses, and it leaves nothing behind."""

import json
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from fbtasks.cli.bench import load
from fbtasks.cli.bench.comparison import added_s, latency
from fbtasks.cli.bench.engines import Run, TimedEngine, rate
from fbtasks.cli.bench.limit import sizes
from fbtasks.cli.bench.load import Load, Pace, Sample, Site, timetable
from fbtasks.cli.bench.pipeline import arrival_rate
from fbtasks.errors import ConfigError
from fbtasks.frame import Letterbox
from fbtasks.gpu.engine import cores
from fbtasks.gpu.fixed_engine import fixed_engine
from tests import tiny_detector
from tests.processes import Process, Processes
from tests.servers import Valkey

SMALL = {"FBTASKS_GPU__INPUT_WIDTH": "64", "FBTASKS_GPU__INPUT_HEIGHT": "64"}
TIMEOUT_S = 60.0


def measured(processes: Processes, tmp_path: Path, *argv: str, **env: str) -> tuple[str, dict[str, Any]]:
    file = tmp_path / "figures.json"
    process = ended(processes, *argv, "--json", str(file), **env)
    assert process.exit_code == 0, process.output()
    figures: dict[str, Any] = json.loads(file.read_text())
    return process.output(), figures


def ended(processes: Processes, *argv: str, **env: str) -> Process:
    process = processes.start("fbtasks", "bench", *argv, env=SMALL | env)
    process.wait(TIMEOUT_S)
    assert "Traceback" not in process.output()
    return process


def test_the_pipeline_is_measured_against_its_engine(processes: Processes, tmp_path: Path) -> None:
    text, figures = measured(
        processes, tmp_path, "pipeline", "--engine", "fixed:20ms", "--max-batch", "4", "--rounds", "3",
        "--seconds", "0.4",
    )  # fmt: skip
    assert figures["provider"] == "fixed"
    assert 100 < figures["engine_fps"] <= 200
    assert 0.2 < figures["ratio"] < 1.3
    assert figures["pipeline_fps"] <= 210
    assert len(figures["rounds"]) == 3
    added = figures["added_latency_ms"]
    assert 0 < added["p50"] <= added["p99"]
    assert added["p50"] <= figures["latency_without_own_run_ms"]["p50"]
    assert set(figures["stage_ms"]) == {"push to take", "take to run", "run to result"}
    cpu = figures["cpu_ms_per_frame"]
    assert cpu["worker"] == pytest.approx(sum(cpu[part] for part in ("fetch", "decode", "run", "publish")), abs=0.01)
    assert all(spent >= 0 for spent in cpu.values())
    assert {"python", "fbtasks", "simplejpeg", "server"} <= figures["versions"].keys()
    assert figures["machine"]["cores"] >= 1
    assert figures["model"] == {"id": "fixed-20ms", "sha256": None, "input": "64x64"}
    assert "ratio" in text
    to_alerts = figures["to_alerts"]
    assert 0 < to_alerts["pipeline_fps"] <= 210
    assert len(to_alerts["rounds"]) == 3
    assert to_alerts["added_latency_ms"]["p50"] > 0


def test_servers_of_the_site_are_left_as_they_were(processes: Processes, tmp_path: Path, valkey: Valkey) -> None:
    with valkey.client() as client:
        client.set("site", "untouched", ex=600)
        measured(
            processes, tmp_path, "pipeline", "--engine", "fixed:2ms", "--rounds", "1", "--seconds", "0.2",
            "--redis", "settings", FBTASKS_REDIS_URL=valkey.url,
        )  # fmt: skip
        assert client.keys() == [b"site"]


def test_engines_are_measured_at_every_size(processes: Processes, tmp_path: Path) -> None:
    model = tiny_detector.saved(tmp_path)
    text, figures = measured(
        processes, tmp_path, "engine", "--model", str(model), "--engine", "cpu", "--engine", "fixed:5ms",
        "--max-batch", "6", "--rounds", "2", "--seconds", "1",
    )  # fmt: skip
    rows = {(limit["provider"], limit["batch"]): limit for limit in figures["limits"] if limit["at_once"] == 1}
    assert set(rows) == {("cpu", 1), *(("fixed", size) for size in (1, 2, 4, 6))}
    assert max(limit["at_once"] for limit in figures["limits"] if limit["provider"] == "cpu") == min(6, cores())
    for size in (1, 2, 4, 6):
        assert rows["fixed", size]["run_ms"]["p50"] >= 5
        assert rows["fixed", size]["fps"] <= size / 0.005
    assert figures["models"][0]["id"].startswith("tiny-")
    assert len(figures["models"][0]["sha256"]) == 64
    assert text.count("fixed ") >= 4


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["pipeline"], "gpu.model is not set: name an ONNX export with --model, or take --engine fixed:20ms"),
        (["pipeline", "--engine", "fixed:0ms"], "write fixed:20ms"),
        (["engine", "--engine", "fixed:20"], "write fixed:20ms"),
        (["engine", "--engine", "npu"], "there is no engine 'npu': take one of auto, tensorrt"),
    ],
)
def test_what_cannot_be_measured_is_refused(processes: Processes, argv: list[str], said: str) -> None:
    refused = ended(processes, *argv)
    assert refused.exit_code == 2
    assert said in refused.output()


def test_a_redis_that_is_away_is_said_in_one_line(processes: Processes, valkey: Valkey) -> None:
    valkey.kill()
    away = ended(
        processes, "pipeline", "--engine", "fixed:2ms", "--rounds", "1", "--seconds", "0.2", "--redis", "settings",
        FBTASKS_REDIS_URL=valkey.url,
    )  # fmt: skip
    assert away.exit_code == 1
    assert "Error" in away.output()


def test_frames_that_nobody_answers_are_missed_not_waited_for(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "LOST_S", 0.2)
    site = Site(valkey.url, valkey.url, "", 4, Letterbox.fit(64, 64, 64, 64), b"", timeout_s=1.0)
    assert Load(site).pace(Pace(fps=100.0, seconds=0.2)) == []


def test_a_worker_that_is_silent_under_full_load_fails_the_measurement(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "ANSWER_S", 0.2)
    site = Site(valkey.url, valkey.url, "", 4, Letterbox.fit(64, 64, 64, 64), b"", timeout_s=1.0)
    with pytest.raises(load.BenchFailed, match="no results"):
        Load(site).saturate(load.Saturate(0.2))


def test_a_fixed_engine_takes_its_time_whatever_the_batch() -> None:
    engine = TimedEngine(fixed_engine("fixed:30ms", 4, input_size=(64, 32), candidates=20))
    frames = np.zeros((4, 32, 64, 3), np.uint8)
    began = monotonic()
    found = engine.run(frames)
    engine.run(frames[:1])
    assert monotonic() - began >= 0.06
    assert [run.size for run in engine.runs] == [4, 1]
    assert (found.xyxy.shape, found.confidence.shape, found.class_id.shape) == ((4, 20, 4), (4, 20), (4, 20))
    assert found.of(3, 0.5).xyxy.tolist() == [[16.0, 8.0, 48.0, 24.0]] * 12
    with pytest.raises(ValueError, match="a batch of 5"):
        engine.run(np.zeros((5, 32, 64, 3), np.uint8))


@pytest.mark.parametrize("spec", ["fixed:", "fixed:20", "fixed:-1ms", "fixed:0ms", "fixed:20000ms", "cpu"])
def test_other_words_are_no_fixed_engine(spec: str) -> None:
    with pytest.raises(ConfigError, match="write fixed:20ms"):
        fixed_engine(spec, 8)


def test_rates_count_from_batch_to_batch() -> None:
    assert rate([Run(0.0, 0.5, 8), Run(0.0, 0.25, 8)]) == pytest.approx(16 / 0.75)
    assert rate([Run(0.0, 0.5, 1), Run(0.1, 0.25, 1)], threads=2) == pytest.approx(4 / 0.75)
    arrivals = [(1.0, 1.1), (1.0, 1.2), (2.0, 2.1), (2.0, 2.2), (3.0, 3.2)]
    assert arrival_rate([Sample(0.0, 0.5, at, arrived) for at, arrived in arrivals]) == pytest.approx(3 / 2.0)


def test_the_way_without_its_own_run_holds_the_wait_for_those_before() -> None:
    runs = [Run(10.0, 0.020, 1), Run(10.5, 0.030, 2)]
    samples = [Sample(9.970, 9.975, 10.0, 10.002), Sample(10.460, 10.465, 10.5001, 10.504)]
    waited, stages = latency(samples, runs)
    # 32 - 20 and 44 - 30 ms
    assert waited["p50"] == pytest.approx(13.0)
    assert stages["take to run"]["p50"] == pytest.approx(5.0)
    assert stages["run to result"]["p50"] == pytest.approx(3.0)


def test_added_is_neither_the_own_run_nor_those_that_were_waited_for() -> None:
    runs = [Run(10.0, 0.020, 1), Run(10.021, 0.020, 1), Run(10.060, 0.020, 1), Run(10.085, 0.020, 1)]
    # Came in the middle of the first run, 10 ms before its end; then 1 ms, its own run of 20 ms, and 4 ms.
    waited = Sample(9.990, 9.995, 10.0215, 10.025)
    # Found the engine free for 9 ms; the run that began before its result was read is not the pipeline's excuse.
    found_free = Sample(10.031, 10.032, 10.0601, 10.068)
    assert added_s([waited, found_free], runs, at_once=1) == pytest.approx([0.005, 0.017])


def test_waiting_for_an_engine_that_has_room_is_added() -> None:
    runs = [Run(10.010, 0.030, 1), Run(10.020, 0.030, 1), Run(10.040, 0.029, 1)]
    # Came with both runs under way, 5 ms before the first ended; 1 ms later its own began, and 4 ms came after that.
    assert added_s([Sample(10.005, 10.006, 10.0401, 10.044)], runs, at_once=2) == pytest.approx([0.005])
    # With room for a third, all but its own run is the pipeline's.
    assert added_s([Sample(10.005, 10.006, 10.0401, 10.044)], runs, at_once=3) == pytest.approx([0.010])


def test_every_camera_sends_at_its_own_moment_of_the_same_period() -> None:
    due = timetable(Pace(fps=20.0, seconds=1.0), ["a", "b"])
    assert due == sorted(due)
    assert len(due) == 20
    for camera in ("a", "b"):
        times = [at for at, name in due if name == camera]
        np.testing.assert_allclose(np.diff(times), 0.1)


def test_sizes_end_with_the_largest_batch() -> None:
    assert [sizes(most) for most in (1, 8, 12)] == [[1], [1, 2, 4, 8], [1, 2, 4, 8, 12]]
