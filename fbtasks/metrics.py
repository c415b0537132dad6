"""Every metric that Prometheus can ask us for, declared once, and the small server that answers it.

Names follow Prometheus' rules: base units, `_total` for what only grows, `_info` for what is worth its labels alone. A
camera, a rule or a sink is a label only because a site has few of them; a stage carries no camera, for that would
multiply every bucket. What the health reports count is taken from there at the moment of asking and costs nothing
before; only durations are noted as they happen.

Durations across two processes are differences of two clocks, as the age of a frame is: the machines' clocks must agree.
A negative one counts as 0.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from fbtasks import __version__
from fbtasks.health import Report, Role
from fbtasks.settings import PrometheusSettings

log = logging.getLogger(__name__)

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
FRAMES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
MOST_CAMERAS = 2000
"""Names of cameras come from outside: further ones share the label `other`."""
OTHER = "other"
DISABLED = "disabled"
"""State of a camera that is not to be read, which is no fault of it."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of ours, in the terms of Prometheus.

    Attributes:
        mode: of a gauge that several processes of one Celery worker set, whose value counts.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = SECONDS
    mode: Literal["mostrecent", "max"] = "mostrecent"

    def counter(self, registry: CollectorRegistry | None) -> Counter:
        return Counter(self.name, self.help, self.labels, registry=registry)

    def gauge(self, registry: CollectorRegistry | None) -> Gauge:
        return Gauge(self.name, self.help, self.labels, registry=registry, multiprocess_mode=self.mode)

    def histogram(self, registry: CollectorRegistry | None) -> Histogram:
        return Histogram(self.name, self.help, self.labels, registry=registry, buckets=self.buckets)

    def family(self, values: Mapping[tuple[str, ...], float]) -> Family:
        """The metric with the values known now, by their labels."""
        kind = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        family = kind(self.name, self.help, labels=self.labels)
        for labels, value in values.items():
            family.add_metric(labels, value)
        return family


BUILD = Metric("fbtasks_build_info", "gauge", "1; which version runs in which role.", ("version", "role"))
STAGE = Metric(
    "fbtasks_stage_seconds",
    "histogram",
    "Time of one stage: capture (stream to sent), queue_wait, decode, inference (a batch), publish (a batch), "
    "logic_wait, logic (a turn), delivery (a try).",
    ("stage",),
)
FRAMES_DROPPED = Metric("fbtasks_frames_dropped_total", "counter", "Frames that were not analysed.", ("reason",))
RESULTS_DROPPED = Metric(
    "fbtasks_results_dropped_total", "counter", "Results of the model that were not decided on.", ("reason",)
)

FRAMES_READ = Metric("fbtasks_frames_read_total", "counter", "Frames grabbed from streams, due or not.")
CAMERA_RUNNING = Metric("fbtasks_camera_running", "gauge", "1 while the camera's stream is read.", ("camera",))
CAMERA_FRAMES = Metric("fbtasks_camera_frames_sent_total", "counter", "Frames sent to be analysed.", ("camera",))
CAMERA_LAST_FRAME = Metric(
    "fbtasks_camera_last_frame_timestamp_seconds", "gauge", "Capture time of the last good frame.", ("camera",)
)
RECONNECTS = Metric("fbtasks_camera_reconnects_total", "counter", "Streams that were lost or could not be opened.")
PUSHED_AT = Metric("fbtasks_frames_pushed_timestamp_seconds", "gauge", "When Redis last took frames.")

FRAMES_TAKEN = Metric("fbtasks_frames_taken_total", "counter", "Frames that the GPU worker took.")
BATCH = Metric("fbtasks_batch_frames", "histogram", "Frames in a batch.", buckets=FRAMES)
BATCH_LIMIT = Metric("fbtasks_batch_limit_frames", "gauge", "Largest batch that the device's memory allows now.")
RESULTS = Metric("fbtasks_results_total", "counter", "Results handed to the logic.")
MEMORY_FAULTS = Metric("fbtasks_engine_memory_faults_total", "counter", "Runs that found too little device memory.")
ENGINE = Metric("fbtasks_engine_info", "gauge", "1; what runs which model.", ("provider", "model"))

DECISIONS = Metric("fbtasks_decisions_total", "counter", "Decisions of the logic.", ("camera",))
LAG = Metric("fbtasks_decision_lag_seconds", "histogram", "Capture of a picture to the decision on it.")
CAMERA_LAG = Metric("fbtasks_camera_lag_seconds", "gauge", "The same, of the camera's last decision.", ("camera",))
CAMERA_DECIDED = Metric(
    "fbtasks_camera_decided_timestamp_seconds",
    "gauge",
    "Capture time of the last picture that was decided on.",
    ("camera",),
    mode="max",
)
ALERTS = Metric("fbtasks_alerts_total", "counter", "Alerts, as they enter the outbox.", ("rule", "severity", "event"))
DELIVERIES = Metric(
    "fbtasks_deliveries_total", "counter", "Tries to deliver an alert: delivered, failed or dead.", ("sink", "outcome")
)
TASK = Metric("fbtasks_task_seconds", "histogram", "Time of one Celery task.", ("task",))
TASKS_FAILED = Metric("fbtasks_tasks_failed_total", "counter", "Celery tasks that ended in an error.", ("task",))
QUEUE = Metric("fbtasks_queue_length", "gauge", "What waits in Redis or, of deliveries, in the store.", ("queue",))
QUEUE_OLDEST = Metric("fbtasks_queue_oldest_seconds", "gauge", "Age of what waits longest there.", ("queue",))
DEAD_LETTERS = Metric("fbtasks_dead_letters", "gauge", "Messages of the last week that could not be used.", ("kind",))

TASKS_SENT = Metric("fbtasks_beat_tasks_sent_total", "counter", "Tasks that beat has sent.", ("task",))
BEAT_SENT = Metric("fbtasks_beat_sent_timestamp_seconds", "gauge", "When beat last sent one.")

DECLARED: dict[Role, tuple[Metric, ...]] = {
    "producer": (
        BUILD, FRAMES_READ, FRAMES_DROPPED, CAMERA_RUNNING, CAMERA_FRAMES, CAMERA_LAST_FRAME, RECONNECTS, PUSHED_AT,
    ),
    "gpu": (
        BUILD, FRAMES_TAKEN, FRAMES_DROPPED, BATCH, BATCH_LIMIT, STAGE, RESULTS, RESULTS_DROPPED, MEMORY_FAULTS, ENGINE,
    ),
    "logic": (
        BUILD, STAGE, DECISIONS, LAG, CAMERA_LAG, CAMERA_DECIDED, RESULTS_DROPPED, ALERTS, DELIVERIES, TASK,
        TASKS_FAILED, QUEUE, QUEUE_OLDEST, DEAD_LETTERS,
    ),
    "beat": (BUILD, TASKS_SENT, BEAT_SENT),
}  # fmt: skip
"""What each role's process tells; the order of the roles is that of their ports."""

PRODUCER_DROPPED = {"frames_damaged": "damaged", "frames_dropped": "not_sent", "frames_displaced": "displaced"}
GPU_DROPPED = {
    "frames_refused": "refused",
    "frames_stale": "stale",
    "frames_superseded": "superseded",
    "frames_lost": "lost",
}
GPU_RESULTS_DROPPED = {"results_dropped": "redis_away", "results_cut": "mailbox_full"}
"""Counters of the health reports, and the reason that they stand for."""


class ReportCollector(Collector):
    """What a process's health report counts, as metrics, at the moment of asking.

    Args:
        make: the report.
        families: what is in it.
    """

    def __init__(self, make: Callable[[], Report], families: Callable[[Report], Iterable[Family]]) -> None:
        self._make = make
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families(self._make())

    def describe(self) -> Iterable[Family]:
        """Nothing: else the registry would ask for a report before the process has begun."""
        return []


def producer_families(report: Report) -> list[Family]:
    """A producer's report as metrics."""
    wanted = {camera: told for camera, told in report.cameras.items() if told.state != DISABLED}
    seen = {camera: told.last_frame_at for camera, told in wanted.items() if told.last_frame_at is not None}
    return [
        FRAMES_READ.family(_one(report.counters.get("frames_read", 0))),
        FRAMES_DROPPED.family(_reasons(report, PRODUCER_DROPPED)),
        CAMERA_RUNNING.family({(name,): told.state == "running" for name, told in wanted.items()}),
        CAMERA_FRAMES.family({(name,): told.frames for name, told in wanted.items()}),
        CAMERA_LAST_FRAME.family({(name,): at for name, at in seen.items()}),
        RECONNECTS.family(_one(report.counters.get("reconnects", 0))),
        PUSHED_AT.family(_one(report.progress_at)),
    ]


def gpu_families(report: Report) -> list[Family]:
    """A GPU worker's report as metrics."""
    counters, facts = report.counters, report.facts
    return [
        FRAMES_TAKEN.family(_one(counters.get("frames_taken", 0))),
        FRAMES_DROPPED.family(_reasons(report, GPU_DROPPED)),
        RESULTS.family(_one(counters.get("results", 0))),
        RESULTS_DROPPED.family(_reasons(report, GPU_RESULTS_DROPPED)),
        MEMORY_FAULTS.family(_one(counters.get("memory_faults", 0))),
        ENGINE.family({(str(facts["provider"]), str(facts["model"])): 1}),
    ]


def _one(value: float | None) -> dict[tuple[str, ...], float]:
    """A metric without labels; none while there is no value."""
    return {} if value is None else {(): value}


def _reasons(report: Report, reasons: Mapping[str, str]) -> dict[tuple[str, ...], float]:
    return {(reason,): report.counters.get(counter, 0) for counter, reason in reasons.items()}


class Stages:
    """Durations of some of the stages; `observe` may be called from any thread."""

    def __init__(self, registry: CollectorRegistry | None, *stages: str) -> None:
        histogram = STAGE.histogram(registry)
        self._stages = {stage: histogram.labels(stage) for stage in stages}

    def observe(self, stage: str, seconds: float) -> None:
        self._stages[stage].observe(max(0.0, seconds))


class GpuMetrics:
    """What the GPU worker notes as it happens.

    Args:
        registry: whom to tell; None: nobody.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.stages = Stages(registry, "capture", "queue_wait", "decode", "inference", "publish")
        self.batch = BATCH.histogram(registry)
        self.limit = BATCH_LIMIT.gauge(registry)


class LogicMetrics:
    """What a process of the Celery worker notes as it happens.

    Args:
        registry: whom to tell; None in a worker of several processes, which meet in files.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._stages = Stages(registry, "logic_wait", "logic", "delivery")
        self._decisions = DECISIONS.counter(registry)
        self._lag = LAG.histogram(registry)
        self._camera_lag = CAMERA_LAG.gauge(registry)
        self._camera_decided = CAMERA_DECIDED.gauge(registry)
        self._dropped = RESULTS_DROPPED.counter(registry)
        self._alerts = ALERTS.counter(registry)
        self._deliveries = DELIVERIES.counter(registry)
        self._task = TASK.histogram(registry)
        self._failed = TASKS_FAILED.counter(registry)
        self._queue = QUEUE.gauge(registry)
        self._oldest = QUEUE_OLDEST.gauge(registry)
        self._dead_letters = DEAD_LETTERS.gauge(registry)
        self._cameras: set[str] = set()
        for reason in ("late", "refused"):
            self._dropped.labels(reason)

    def decided(
        self, camera_id: str, pictures: Iterable[tuple[float, float]], *, taken_at: float, decided_at: float
    ) -> None:
        """One step of a turn: its pictures as capture time and end of the model's run; all unix seconds."""
        camera, count, captured_at = self._label(camera_id), 0, 0.0
        for captured_at, inferred_at in pictures:
            count += 1
            self._stages.observe("logic_wait", taken_at - inferred_at)
            self._lag.observe(max(0.0, decided_at - captured_at))
        if count:
            self._stages.observe("logic", decided_at - taken_at)
            self._decisions.labels(camera).inc(count)
            self._camera_lag.labels(camera).set(max(0.0, decided_at - captured_at))
            self._camera_decided.labels(camera).set(captured_at)

    def dropped(self, reason: Literal["late", "refused"], count: int) -> None:
        """Results that were not decided on."""
        self._dropped.labels(reason).inc(count)

    def alert(self, rule: str, severity: str, event: str) -> None:
        """One alert has entered the outbox."""
        self._alerts.labels(rule, severity, event).inc()

    def delivery(self, sink: str, seconds: float, **outcomes: int) -> None:
        """One run of deliveries to a sink: how many were delivered, failed, dead."""
        for outcome, count in outcomes.items():
            self._deliveries.labels(sink, outcome).inc(count)
        tries = sum(outcomes.values())
        if tries:
            self._stages.observe("delivery", seconds / tries)

    def task(self, name: str, seconds: float, *, failed: bool) -> None:
        """One Celery task has ended."""
        self._task.labels(name).observe(seconds)
        self._failed.labels(name).inc(failed)

    def waits(self, queue: str, length: int, oldest_s: float | None) -> None:
        """What waits in a queue, and for how long."""
        self._queue.labels(queue).set(length)
        self._oldest.labels(queue).set(oldest_s or 0.0)

    def dead_letters(self, kind: str, count: int) -> None:
        """How many messages of a kind could not be used."""
        self._dead_letters.labels(kind).set(count)

    def _label(self, camera_id: str) -> str:
        if camera_id in self._cameras or len(self._cameras) < MOST_CAMERAS:
            self._cameras.add(camera_id)
            return camera_id
        return OTHER


class BeatMetrics:
    """What beat notes as it happens."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sent = TASKS_SENT.counter(registry)
        self._sent_at = BEAT_SENT.gauge(registry)

    def sent(self, task: str, now: float) -> None:
        """One task was sent, at `now` (unix seconds)."""
        self._sent.labels(task).inc()
        self._sent_at.set(now)


def registry_of(role: Role) -> CollectorRegistry:
    """A registry with what every process tells: its build, memory, time on the processor and open files."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Build(role))
    return registry


class _Build(Collector):
    def __init__(self, role: Role) -> None:
        self._role = role

    def collect(self) -> Iterable[Family]:
        yield BUILD.family({(__version__, self._role): 1})


class MetricsServer:
    """Answers Prometheus on the role's port while the `with` block runs; does nothing when no port is set.

    A port that is taken is an error in the log and no more: a stable without metrics is still watched.
    """

    def __init__(self, settings: PrometheusSettings, role: Role, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._port = port_of(settings, role)
        self._registry = registry
        self._server: WSGIServer | None = None

    @property
    def is_serving(self) -> bool:
        return self._server is not None

    def start(self) -> None:
        """Begin to answer."""
        if self._port is None:
            return
        address = self._settings.address
        try:
            self._server, _ = start_http_server(self._port, address, self._registry)
        except OSError as error:
            log.error("no metrics: %s port %d cannot be used (%s)", address, self._port, error.strerror)  # noqa: TRY400
        else:
            log.info("metrics: http://%s:%d/metrics", address, self._port)

    def stop(self) -> None:
        """Answer no more; may be called more than once."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def forget(self) -> None:
        """In a process forked off: the port is the parent's alone, and must not outlive it."""
        server, self._server = self._server, None
        if server is not None:
            with suppress(OSError):
                server.socket.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def port_of(settings: PrometheusSettings, role: Role) -> int | None:
    """The role's port; None when metrics are off."""
    return settings.port + list(DECLARED).index(role) if settings.port else None
