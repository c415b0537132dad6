"""What the health reports count becomes metrics, and no input makes more of them than there may be."""

import dataclasses

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from fbtasks import metrics
from fbtasks.gpu.worker import FINISHED
from fbtasks.health import CameraReport, Report
from fbtasks.metrics import GpuMetrics, LogicMetrics, ReportCollector, gpu_families, producer_families
from fbtasks.producer.fleet import COUNTERS

RUNNING = CameraReport("running", 0.0, 1000.5, "", "software", 40)
FACTS: dict[str, str | float] = {"provider": "cpu", "model": "tiny"}


def values(registry: CollectorRegistry) -> dict[str, float]:
    """All samples as they are written."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        sample.name + "".join(f",{label}={value}" for label, value in sorted(sample.labels.items())): float(
            sample.value
        )
        for family in families
        for sample in family.samples
    }


def producer(**changes: object) -> Report:
    counters = dict(zip(COUNTERS, range(1, 100), strict=False))
    report = Report("producer", "vm", 1, 5.0, 4.0, counters=counters, cameras={"box-1": RUNNING})
    return dataclasses.replace(report, **changes)  # type: ignore[arg-type]


def told(report: Report) -> dict[str, float]:
    registry = CollectorRegistry()
    families = producer_families if report.role == "producer" else gpu_families
    registry.register(ReportCollector(lambda: report, families))
    return values(registry)


@pytest.mark.parametrize("counter", set(COUNTERS) - {"frames_sent"})
def test_every_counter_of_a_producer_is_told(counter: str) -> None:
    """What it has sent is told by camera."""
    before = producer()
    after = producer(counters=before.counters | {counter: 1000})
    assert sum(told(after).values()) - sum(told(before).values()) == 1000 - before.counters[counter]


@pytest.mark.parametrize("counter", {*FINISHED, "frames_taken", "frames_lost", "results_cut", "memory_faults"})
def test_every_counter_of_a_gpu_worker_is_told(counter: str) -> None:
    report = Report("gpu", "vm", 1, 5.0, 4.0, facts=FACTS, counters={counter: 1000})
    assert 1000 in told(report).values()


def test_a_camera_is_told_by_name_and_one_that_is_disabled_not_at_all() -> None:
    cameras = {"box-1": RUNNING, "box-2": dataclasses.replace(RUNNING, state="reconnecting", last_frame_at=None)}
    cameras["box-3"] = dataclasses.replace(RUNNING, state="disabled")
    seen = told(producer(cameras=cameras))
    assert seen["fbtasks_camera_running,camera=box-1"] == 1
    assert seen["fbtasks_camera_running,camera=box-2"] == 0
    assert seen["fbtasks_camera_last_frame_timestamp_seconds,camera=box-1"] == 1000.5
    assert "fbtasks_camera_last_frame_timestamp_seconds,camera=box-2" not in seen
    assert not [name for name in seen if "box-3" in name]


def test_names_of_cameras_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_CAMERAS", 3)
    registry = CollectorRegistry()
    logic = LogicMetrics(registry)
    for number in [*range(10), 0]:
        logic.decided(f"box-{number}", [(1.0, 2.0)], taken_at=3.0, decided_at=4.0)
    decided = {name: count for name, count in values(registry).items() if name.startswith("fbtasks_decisions_total")}
    assert decided == {
        "fbtasks_decisions_total,camera=box-0": 2,
        "fbtasks_decisions_total,camera=box-1": 1,
        "fbtasks_decisions_total,camera=box-2": 1,
        "fbtasks_decisions_total,camera=other": 7,
    }


def test_a_step_without_decisions_is_none() -> None:
    registry = CollectorRegistry()
    LogicMetrics(registry).decided("box-1", [], taken_at=3.0, decided_at=4.0)
    assert not [name for name in values(registry) if "box-1" in name]


def test_clocks_that_differ_make_no_negative_time() -> None:
    registry = CollectorRegistry()
    GpuMetrics(registry).stages.observe("queue_wait", -5.0)
    seen = values(registry)
    assert seen["fbtasks_stage_seconds_sum,stage=queue_wait"] == 0
    assert seen["fbtasks_stage_seconds_count,stage=queue_wait"] == 1
