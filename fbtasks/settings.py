"""What can be set, with its bounds: a TOML file, then the environment over it.

The file is named by `--config` or `FBTASKS_CONFIG`, else `fbtasks.toml` in the current folder when there is one. Every
setting has an environment variable: `FBTASKS_` and its path with `__` between, `FBTASKS_GPU__MAX_BATCH=16`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from fbtasks.alert import Severity
from fbtasks.errors import ConfigError
from fbtasks.hours import Hours
from fbtasks.naming import nearest
from fbtasks.redaction import HIDDEN, redact_url
from fbtasks.wire import CAMERA_ID

ENV_PREFIX = "FBTASKS_"
CONFIG_VARIABLE = "FBTASKS_CONFIG"
DEFAULT_FILE = "fbtasks.toml"
_OPEN = (f"{ENV_PREFIX}RULES__", f"{ENV_PREFIX}SINKS__")
"""Beginnings of variables whose next word the site makes up."""
SHA256 = r"^[0-9A-Fa-f]{64}$"


def _camera_id(value: str) -> str:
    if not CAMERA_ID.fullmatch(value):
        raise ValueError("use letters, digits, '_', '.', '-', at most 64 of them, a letter or digit first")
    return value


def _redis_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    return value


def _camera_url(value: SecretStr) -> SecretStr:
    if "://" not in value.get_secret_value():
        raise ValueError("must be a URL, such as rtsp://user:password@10.0.0.11/stream1")
    return value


def _web_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"is not known{nearest(value, available_timezones())}; write it like Europe/Berlin") from None
    return value


Timezone = Annotated[str, AfterValidator(_timezone)]
Decode = Literal["all", "keyframes", "auto"]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
RuleTables = dict[str, dict[str, Any]]


class Section(BaseModel):
    """Base of all tables: an unknown key is an error, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CameraSettings(Section):
    """One camera. `[[cameras]]` in the file."""

    id: Annotated[str, AfterValidator(_camera_id)] = Field(description="name of the camera in keys, logs and alerts")
    url: Annotated[SecretStr, AfterValidator(_camera_url)] = Field(
        description="RTSP URL, with user and password when the camera wants them"
    )
    fps: float | None = Field(None, gt=0, le=60, description="analysed frames per second; default producer.fps")
    min_fps: float | None = Field(None, gt=0, le=60, description="kept under overload; default producer.min_fps")
    decode: Decode | None = Field(None, description="default producer.decode")
    motion_gate: bool | None = Field(None, description="default producer.motion_gate")
    enabled: bool = Field(True, description="false: the camera stays in the file but is not read")
    horse: str = Field("", max_length=64, description="name of the horse, for reports")
    rules: RuleTables = Field(default_factory=dict, description="rule settings that differ for this camera")


class RedisSettings(Section):
    """How Redis is talked to."""

    prefix: str = Field(
        "",
        pattern=r"^[A-Za-z0-9:_.{}-]{0,64}$",
        description="put before every key; a hash tag here keeps a site on one slot",
    )
    timeout_s: float = Field(2.0, ge=1, le=60, description="an answer that takes longer counts as Redis being away")


class FramesSettings(Section):
    """The list `batch_frames`."""

    max_length: int = Field(256, ge=1, le=100_000, description="frames kept at most; the newest stay")
    max_age_s: float = Field(1.0, gt=0, le=60, description="older frames are dropped by the GPU worker")


class SightSettings(Section):
    """When a camera counts as blind though its pictures come; see `fbtasks.producer.sight` for the evidence."""

    frozen_after_s: float = Field(
        10.0, ge=1, le=600, description="a stream that repeats one picture for so long is stalled"
    )
    blind_after_s: float = Field(5.0, ge=0, le=600, description="black, covered or overexposed for so long is blind")
    sighted_after_s: float = Field(2.0, ge=0, le=600, description="good pictures for so long end it")
    black_below: float = Field(16.0, ge=0, le=255, description="black: the brightest hundredth is darker")
    covered_below: float = Field(1.0, ge=0, le=255, description="covered: neighbouring parts differ by less")
    overexposed_share: float = Field(0.6, gt=0, le=1, description="overexposed: so much of the picture is white")


class ProducerSettings(Section):
    """Reading the cameras."""

    fps: float = Field(5.0, gt=0, le=60, description="analysed frames per second of each camera")
    min_fps: float = Field(1.0, gt=0, le=60, description="frames per second that a camera keeps under overload")
    back_pressure: bool = Field(True, description="send fewer frames when the GPU workers do not keep up")
    motion_gate: bool = Field(False, description="send one frame per second of a picture in which nothing moves")
    backend: Literal["auto", "opencv", "pyav"] = Field(
        "auto", description="what reads the cameras; auto: OpenCV, or PyAV where only that decodes in hardware or less"
    )
    decode: Decode = Field(
        "auto", description="all frames, keyframes alone (needs PyAV), or auto: those where they come often enough"
    )
    skip_loop_filter: bool = Field(
        False, description="decode at less cost, with visible blocks; in software, needs PyAV"
    )
    jpeg_quality: int = Field(85, ge=30, le=100, description="JPEG quality of the frames in Redis")
    open_timeout_s: float = Field(4.0, ge=0.5, le=60, description="a camera that answers later has failed")
    read_timeout_s: float = Field(3.0, ge=0.5, le=60, description="a stream silent for so long is opened anew")
    backoff_min_s: float = Field(0.5, ge=0.05, le=60, description="pause before the first reconnection")
    backoff_max_s: float = Field(30.0, ge=0.1, le=3600, description="longest pause between reconnections")
    login_pause_s: float = Field(
        600.0, ge=1, le=86_400, description="pause after a refused password; cameras lock accounts that fail often"
    )
    opens_per_s: float = Field(20.0, gt=0, le=1000, description="cameras opened per second at most, in each process")
    processes: int = Field(0, ge=0, le=256, description="processes that read; 0: as many as cores and cameras ask for")
    hang_s: float = Field(5.0, ge=0.5, le=600, description="a call so much over its limit hangs; its process is ended")
    sight: SightSettings = SightSettings()
    transport: Literal["tcp", "udp"] = Field("tcp", description="RTSP transport")
    id: str = Field("", max_length=128, description="name of this producer among others; default: machine and process")
    lease_s: float = Field(
        5.0, ge=1, le=60, description="the cameras of a producer that died go to the others after so long"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "ProducerSettings":
        if self.backoff_max_s < self.backoff_min_s:
            raise ValueError("backoff_max_s must not be smaller than backoff_min_s")
        return self


class ModelSource(Section):
    """Where `fbtasks model fetch` gets a model. `[models.NAME]` in the file."""

    url: SecretStr = Field(description="http or https, with user and password when the server wants them")
    sha256: str = Field(pattern=SHA256, description="of the file, 64 hex digits; anything else is refused")


class GpuSettings(Section):
    """The GPU worker."""

    model: Path | None = Field(
        None, description="detector, YOLO11 for one: a name that `fbtasks model list` tells, or an ONNX file"
    )
    provider: Literal["auto", "tensorrt", "cuda", "openvino", "cpu"] = Field(
        "auto", description="what runs the model; auto takes the first that works, anything else is taken or refused"
    )
    precision: Literal["auto", "float32"] = Field(
        "auto", description="auto: half precision where the provider is faster with it; float32: exact"
    )
    input: Literal["auto", "fixed"] = Field(
        "auto", description="auto: without needless border, 640x384 for 16:9; fixed: always input_width x input_height"
    )
    input_width: int = Field(640, ge=32, le=4096, multiple_of=32, description="width of the model's input, pixels")
    input_height: int = Field(640, ge=32, le=4096, multiple_of=32, description="height of the model's input, pixels")
    max_batch: int = Field(8, ge=1, le=32, description="frames in one run at most; on a CPU, runs of one frame at once")
    max_wait_ms: float = Field(0.0, ge=0, le=1000, description="an idle engine waits so long for more frames")
    candidates: int = Field(300, ge=1, le=1000, description="boxes per frame that leave the device")
    min_confidence: float = Field(0.1, ge=0, lt=1, description="weaker boxes never leave the worker")
    hang_s: float = Field(
        10.0, ge=0.1, le=600, description="a run that takes longer, and ten times its usual time, ends the worker"
    )
    threads: int = Field(0, ge=0, le=256, description="threads of a CPU provider; 0: all cores it may use")


class TrackerSettings(Section):
    """How boxes become tracks."""

    lost_after_s: float = Field(5.0, gt=0, le=600, description="a track unseen for so long is ended")
    confirm_s: float = Field(0.5, ge=0, le=60, description="a track must have been seen for so long to count")


class PostureSettings(Section):
    """Standing or lying, from the class when the model tells, else from the shape of the box."""

    lying_aspect: float = Field(1.7, gt=0, le=10, description="width over height at which lying and standing are even")
    softness: float = Field(0.15, gt=0, le=5, description="how far from lying_aspect the estimate becomes sure")
    baseline: bool = Field(
        False, description="judge a box by the horse's own standing height once it has walked; for single boxes"
    )


class LogicSettings(Section):
    """From boxes to decisions."""

    confidence: float = Field(0.25, ge=0, lt=1, description="weaker boxes start no track")
    nms_iou: float = Field(0.45, gt=0, le=1, description="boxes of one class that overlap more are one")
    animal_classes: list[str] = Field(["horse"], min_length=1, description="class names that are the animal")
    person_classes: list[str] = Field(["person"], description="class names that are a person")
    window_s: float = Field(5.0, gt=0, le=600, description="length of the sliding window, seconds")
    mailbox_length: int = Field(256, ge=1, le=10_000, description="results kept for a camera whose logic is late")
    chunk: int = Field(64, ge=1, le=1000, description="results that one task takes at once")
    task_limit_s: float = Field(2.0, gt=0, le=5, description="a task hands over to a fresh one after so long")
    silent_after_s: float = Field(
        10.0, ge=3, le=30, description="a camera without a result for so long is silent; three frames at least"
    )
    tracker: TrackerSettings = TrackerSettings()
    posture: PostureSettings = PostureSettings()


class StoreSettings(Section):
    """The SQL store of alerts."""

    url: SecretStr | None = Field(None, description="SQLAlchemy URL; default SQLite in the data folder")
    keep_days: float = Field(
        730.0, ge=1, le=36_500, description="alerts that are over for longer are removed; those not delivered stay"
    )


class Opaque(SecretStr):
    """A secret of which nothing is shown: Apprise's URLs hold keys where others hold the host."""


class SinkSettings(Section):
    """What all sinks have: which alerts go there. `[sinks.NAME]` in the file."""

    min_severity: Severity = Field("note", description="milder alerts do not go there")
    rules: list[str] = Field(default_factory=list, description="only alerts of these rules; none: of all")
    cameras: list[str] = Field(default_factory=list, description="only alerts of these cameras; none: of all")
    active: list[Hours] = Field(default_factory=list, description="hours in which an episode begins there; none: any")
    escalate_after_min: float = Field(
        0.0, ge=0, le=1440, description="only what is still open and not acknowledged after so many minutes; 0: all"
    )
    timeout_s: float = Field(5.0, gt=0, le=120, description="an answer that takes longer has failed")


class WebhookSettings(SinkSettings):
    """A backend that alerts are posted to."""

    kind: Literal["webhook"]
    url: SecretStr = Field(description="where to post, http or https")
    token: SecretStr | None = Field(None, description="sent as `Authorization: Bearer`")
    secret: SecretStr | None = Field(None, min_length=16, description="signs what is posted, see docs/sinks.md")


class PubSubSettings(SinkSettings):
    """A channel of Redis."""

    kind: Literal["pubsub"]
    channel: str | None = Field(None, min_length=1, description="default `alerts` behind redis.prefix")


class MqttSettings(SinkSettings):
    """An MQTT broker, and Home Assistant behind it."""

    kind: Literal["mqtt"]
    host: str = Field(min_length=1, description="of the broker")
    port: int | None = Field(None, ge=1, le=65_535, description="default 1883, with tls 8883")
    username: str | None = Field(None, description="when the broker wants one")
    password: SecretStr | None = Field(None, description="when the broker wants one")
    tls: bool = Field(False, description="encrypt, and check the certificate against the system's authorities")
    topic: str = Field("fbtasks", pattern=r"^[^+#/]+(/[^+#/]+)*$", description="put before every topic")
    discovery: str | None = Field(
        "homeassistant", pattern=r"^[^+#]*$", description="Home Assistant's discovery prefix; empty: tell it nothing"
    )


class AppriseSettings(SinkSettings):
    """Whatever Apprise knows: mail, SMS, ntfy, Telegram, Pushover."""

    kind: Literal["apprise"]
    url: Opaque = Field(description="as Apprise writes it: ntfy://topic, mailto://user:password@example.org")


class PackageSettings(SinkSettings):
    """A sink of another package."""

    kind: Literal["package"]
    sink: str = Field(min_length=1, description="its name in the entry points `fbtasks.sinks`")
    options: dict[str, SecretStr] = Field(default_factory=dict, description="what it wants to know, as text")


AnySink = Annotated[
    WebhookSettings | PubSubSettings | MqttSettings | AppriseSettings | PackageSettings, Field(discriminator="kind")
]
SinkName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


class DeliverySettings(Section):
    """How hard a delivery is tried."""

    backoff_min_s: float = Field(1.0, gt=0, le=3600, description="pause before the second try; doubles with each")
    backoff_max_s: float = Field(300.0, gt=0, le=86_400, description="longest pause between tries")
    give_up_after_s: float = Field(86_400.0, gt=0, description="then the delivery ends as a dead letter")
    max_per_s: float = Field(10.0, ge=0.1, le=1000, description="alerts to one sink in a second, when many are due")


class StormSettings(Section):
    """Too many alerts at once, as when the power fails."""

    per_minute: int = Field(
        20,
        ge=0,
        le=10_000,
        description="new alerts told one by one in a minute, as many as one can read; the others wait and are summed"
        " up, but for critical ones and for what grows graver; 0: no limit",
    )


class HealthSettings(Section):
    """When something counts as down, and who is told besides the sinks."""

    interval_s: float = Field(5.0, ge=1, le=300, description="seconds between two looks, beat's and the watcher's")
    stale_after_s: float = Field(12.0, ge=1, le=3600, description="no progress for so long is down")
    start_grace_s: float = Field(
        60.0, ge=0, le=3600, description="a site that started less long ago may lack processes"
    )
    ping_url: Annotated[Opaque, AfterValidator(_web_url)] | None = Field(
        None, description="asked by `fbtasks check --watch` while all is well, and `/fail` below it when not"
    )
    ping_every_s: float = Field(60.0, ge=1, le=3600, description="seconds between two pings while nothing changes")

    @model_validator(mode="after")
    def _ordered(self) -> "HealthSettings":
        if self.stale_after_s <= self.interval_s:
            raise ValueError("stale_after_s must be longer than interval_s: between two checks logic may be idle")
        return self


class RecordingSettings(Section):
    """What the model saw, kept for `fbtasks replay`; no pictures."""

    folder: Path | None = Field(None, description="where results are recorded, on a local disk; none: they are not")
    keep_days: float = Field(14.0, gt=0, le=3650, description="older recordings are removed")
    max_mb: int = Field(5000, ge=100, le=10_000_000, description="beyond, the oldest recordings are removed")


class ClipSettings(Section):
    """The seconds before an alert as a short film; needs `fbtasks[pyav]` where the Celery worker runs."""

    seconds: float = Field(0.0, ge=0, le=30, description="how long the film is; 0: there is none")
    cameras: list[str] = Field(default_factory=list, description="only of these cameras; none: of all")
    min_severity: Severity = Field("warning", description="milder alerts get no film")
    keep_days: float = Field(14.0, gt=0, le=3650, description="older films are removed")
    max_mb: int = Field(2000, ge=10, le=1_000_000, description="beyond, the oldest films are removed")


class S3Settings(Section):
    """A bucket to which pictures and films are copied; needs `fbtasks[s3]` where the Celery worker runs."""

    bucket: str = Field("", description="must be there already; empty: no copies")
    endpoint: str | None = Field(None, pattern=r"^https?://", description="URL of the server; none: Amazon's")
    region: str = Field("us-east-1", min_length=1, description="most servers but Amazon's do not care")
    prefix: str = Field("", pattern=r"^([A-Za-z0-9!_.*'()-]+/)*$", description="before each name; ends with `/`")
    access_key: str | None = Field(None, description="none: where Amazon's tools look for one")
    secret_key: SecretStr | None = Field(None, description="of that access key")
    keep_days: float = Field(30.0, gt=0, le=3650, description="older pictures and films are removed from the bucket")

    @model_validator(mode="after")
    def _whole(self) -> "S3Settings":
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key must be set together")
        return self


class EvidenceSettings(Section):
    """The picture of each alert, and the film before it."""

    enabled: bool = Field(True, description="false: alerts come without pictures, and none is written anywhere")
    folder: Path | None = Field(None, description="where pictures and films are kept; default evidence in data_dir")
    keep_days: float = Field(30.0, gt=0, le=3650, description="older pictures are removed")
    max_mb: int = Field(500, ge=10, le=1_000_000, description="beyond, the oldest pictures are removed")
    clip: ClipSettings = ClipSettings()
    s3: S3Settings = S3Settings()

    def films(self, camera_id: str) -> bool:
        """Whether the last seconds of this camera are to be at hand."""
        return self.enabled and self.clip.seconds > 0 and camera_id in (self.clip.cameras or [camera_id])


class MetricsSettings(Section):
    """What each horse did, minute by minute, in the store."""

    keep_days: float = Field(90.0, ge=1, le=3650, description="older minutes are removed; a night's report stays")


class ReportSettings(Section):
    """The nightly report."""

    night: Hours = Field("20:00-06:00", description="hours of the night, in the stable's time zone")


class UpSettings(Section):
    """`fbtasks up`, everything on one machine."""

    state_port: int = Field(6390, ge=0, le=65_535, description="embedded Redis for broker and state; 0: any free port")
    frames_port: int = Field(6391, ge=0, le=65_535, description="embedded Redis for frames; 0: any free port")
    flower_port: int = Field(5555, ge=0, le=65_535, description="Flower; 0: any free port")
    concurrency: int = Field(2, ge=1, le=256, description="processes of the Celery worker")


class FlowerSettings(Section):
    """Flower, the page on Celery's workers."""

    address: str = Field("127.0.0.1", min_length=1, description="where it listens; elsewhere only with a login")
    user: str = Field("", max_length=64, pattern=r"^[!-+\--9;-~]*$", description="who may look; empty: everybody")
    password: SecretStr | None = Field(None, description="of that user; ASCII without commas, 8 characters at least")

    @model_validator(mode="after")
    def _whole(self) -> "FlowerSettings":
        password = self.password.get_secret_value() if self.password else ""
        if bool(self.user) != bool(password):
            raise ValueError("user and password must be set together")
        if password and (len(password) < 8 or "," in password or not password.isascii()):
            raise ValueError("the password must have 8 characters at least, all of them ASCII, none a comma")
        return self

    @property
    def login(self) -> str:
        """User and password as Flower takes them; empty where none is set."""
        return f"{self.user}:{self.password.get_secret_value()}" if self.password else ""


class PrometheusSettings(Section):
    """Metrics for Prometheus: an address for each process, as /metrics."""

    port: int = Field(
        0,
        ge=0,
        le=65_532,
        description="producer; GPU worker, Celery worker and beat have the three after it; 0: no metrics",
    )
    address: str = Field("127.0.0.1", min_length=1, description="where to listen; 0.0.0.0: for other machines too")


class TraceSettings(Section):
    """OpenTelemetry traces of single pictures; needs `fbtasks[otel]`."""

    sample: float = Field(0.0, ge=0, le=1, description="share of the pictures that are traced; 0: none")
    endpoint: str = Field("http://127.0.0.1:4318", pattern=r"^https?://", description="where OTLP is taken, over HTTP")


class LogSettings(Section):
    """Logs, to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least severity shown")
    format: Literal["pretty", "json"] = Field("pretty", description="json: an object a line, for what gathers logs")


def _on_loopback(port: int) -> str:
    """The URL of a server that `fbtasks up` starts, so that commands beside it find it without being told."""
    return f"redis://127.0.0.1:{port}/0"


def _data_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "fbtasks"


class Settings(BaseSettings):
    """All settings of all processes."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    redis_url: RedisUrl | None = Field(None, description="broker, state and outbox; default: what `fbtasks up` starts")
    frames_redis_url: RedisUrl | None = Field(None, description="frames; default redis_url, when that is set")
    timezone: Timezone | None = Field(
        None, description="where the stable is, as `Europe/Berlin`, for hours of the day; default: as this machine"
    )
    data_dir: Path = Field(default_factory=_data_dir, description="database, prepared models, embedded Redis")
    redis: RedisSettings = RedisSettings()
    frames: FramesSettings = FramesSettings()
    producer: ProducerSettings = ProducerSettings()
    models: dict[str, ModelSource] = Field(default_factory=dict, description="what `fbtasks model fetch` can fetch")
    gpu: GpuSettings = GpuSettings()
    logic: LogicSettings = LogicSettings()
    rules: RuleTables = Field(default_factory=dict, description="rule settings of all cameras, a table per rule")
    store: StoreSettings = StoreSettings()
    sinks: dict[SinkName, AnySink] = Field(default_factory=dict, description="where alerts go, a table per sink")
    delivery: DeliverySettings = DeliverySettings()
    storm: StormSettings = StormSettings()
    health: HealthSettings = HealthSettings()
    recording: RecordingSettings = RecordingSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    metrics: MetricsSettings = MetricsSettings()
    report: ReportSettings = ReportSettings()
    up: UpSettings = UpSettings()
    flower: FlowerSettings = FlowerSettings()
    prometheus: PrometheusSettings = PrometheusSettings()
    trace: TraceSettings = TraceSettings()
    log: LogSettings = LogSettings()
    cameras: list[CameraSettings] = Field(default_factory=list)

    @model_validator(mode="after")
    def _cameras_differ(self) -> "Settings":
        ids = [camera.id for camera in self.cameras]
        twice = {camera_id for camera_id in ids if ids.count(camera_id) > 1}
        if twice:
            raise ValueError(f"camera id {min(twice)!r} is used twice")
        return self

    @property
    def state_url(self) -> str:
        """URL of the Redis with broker, state and outbox."""
        return self.redis_url.get_secret_value() if self.redis_url else _on_loopback(self.up.state_port)

    @property
    def frames_url(self) -> str:
        """URL of the Redis with the frames."""
        named = self.frames_redis_url or self.redis_url
        return named.get_secret_value() if named else _on_loopback(self.up.frames_port)

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the store."""
        if self.store.url is not None:
            return self.store.url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'fbtasks.sqlite'}"

    @property
    def zone(self) -> ZoneInfo | None:
        """The stable's time zone; None for that of this machine."""
        return ZoneInfo(self.timezone) if self.timezone is not None else None

    @property
    def evidence_folder(self) -> Path:
        """Where the pictures of alerts are kept."""
        return self.evidence.folder or self.data_dir / "evidence"

    def camera(self, camera_id: str) -> CameraSettings | None:
        """The camera's table in the file, if it has one."""
        return next((camera for camera in self.cameras if camera.id == camera_id), None)

    def rule_tables(self, camera_id: str) -> RuleTables:
        """The rule tables for one camera: the site's, with the camera's own keys over them."""
        camera = self.camera(camera_id)
        own = camera.rules if camera else {}
        return {name: self.rules.get(name, {}) | own.get(name, {}) for name in self.rules.keys() | own.keys()}

    def shown(self) -> dict[str, Any]:
        """The settings as plain values, with every secret hidden; what `fbtasks config` prints."""
        plain: dict[str, Any] = _shown(self)
        return plain


def _shown(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: _shown(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, SecretStr):
        return _shown_secret(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    return value


def _shown_secret(value: SecretStr) -> str:
    scheme, found, _ = value.get_secret_value().partition("://")
    if not found:
        return HIDDEN
    return f"{scheme}://{HIDDEN}" if isinstance(value, Opaque) else redact_url(value.get_secret_value())


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings from `path` (or where the module's docstring says) and the environment.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown or out of bounds; every fault is named.
    """
    file = _file(path)
    _refuse_unknown_variables(os.environ)

    class FromFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)

    try:
        loaded = FromFile()
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(fault, file) for fault in error.errors())) from None
    except SettingsError as error:
        raise ConfigError(f"environment: {error}; a table or a list is written as JSON there") from None
    except ValueError as error:
        raise ConfigError(f"{file or 'environment'}: {error}") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None
    return loaded


def _file(path: Path | None) -> Path | None:
    named = path or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    if named is not None and not named.is_file():
        raise ConfigError(f"there is no settings file {named}")
    default = Path(DEFAULT_FILE)
    return named or (default if default.is_file() else None)


def _explain(fault: ErrorDetails, file: Path | None) -> str:
    """One line for one fault. The value is never shown: it may be a secret."""
    loc = fault["loc"]
    # Of a sink, pydantic names the kind too: sinks.NAME.KIND.setting.
    path = ".".join(str(part) for part in (loc[:2] + loc[3:] if loc[:1] == ("sinks",) else loc))
    where = f"{file or 'environment'}: {path}" if path else f"{file or 'environment'}"
    if loc == ("webhook",):
        return f'{where}: is [sinks.webhook] now, with kind = "webhook" in it'
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown setting{nearest(str(loc[-1]), _names_at(loc[:-1]))}"
    if fault["type"] == "union_tag_not_found":
        return f"{where}: kind is missing; write webhook, pubsub, mqtt, apprise or package"
    return f"{where}: {fault['msg'].removeprefix('Value error, ')}"


def _names_at(path: tuple[int | str, ...]) -> list[str]:
    place: Any = Settings
    for part in path:
        place = _inside(place, part)
    return list(place.model_fields)


def _inside(place: Any, part: int | str) -> Any:
    """What is at `part` of a table, of a list or dictionary of tables, or of tables told apart by their kind."""
    origin = get_origin(place)
    if origin in {list, dict}:
        return get_args(place)[-1]
    if origin is Annotated:
        kinds = get_args(get_args(place)[0])
        return next(kind for kind in kinds if part in get_args(kind.model_fields["kind"].annotation))
    return place.model_fields[part].annotation


def variables() -> list[str]:
    """Names of all environment variables that are read."""
    return [CONFIG_VARIABLE, *_variables(Settings, ENV_PREFIX)]


def _variables(model: type[BaseModel], prefix: str) -> list[str]:
    names: list[str] = []
    for name, field in model.model_fields.items():
        names.append(f"{prefix}{name.upper()}")
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            names += _variables(field.annotation, f"{prefix}{name.upper()}__")
    return names


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    known = variables()
    faults = [
        f"environment: {name}: unknown setting{nearest(name, known)}"
        for name in sorted(environment)
        if name.startswith(ENV_PREFIX) and name not in known and not name.startswith(_OPEN)
    ]
    if faults:
        raise ConfigError("\n".join(faults))
