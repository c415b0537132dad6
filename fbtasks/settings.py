"""What can be set, with its bounds: a TOML file, then the environment over it.

The file is named by `--config` or `FBTASKS_CONFIG`, else `fbtasks.toml` in the current folder when there is one. Every
setting has an environment variable: `FBTASKS_` and its path with `__` between, `FBTASKS_GPU__MAX_BATCH=16`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from fbtasks.errors import ConfigError
from fbtasks.hours import Hours
from fbtasks.naming import nearest
from fbtasks.redaction import HIDDEN, redact_url
from fbtasks.wire import CAMERA_ID

ENV_PREFIX = "FBTASKS_"
CONFIG_VARIABLE = "FBTASKS_CONFIG"
DEFAULT_FILE = "fbtasks.toml"
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


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"is not known{nearest(value, available_timezones())}; write it like Europe/Berlin") from None
    return value


Timezone = Annotated[str, AfterValidator(_timezone)]
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


class ProducerSettings(Section):
    """Reading the cameras."""

    fps: float = Field(5.0, gt=0, le=60, description="analysed frames per second of each camera")
    jpeg_quality: int = Field(85, ge=30, le=100, description="JPEG quality of the frames in Redis")
    open_timeout_s: float = Field(4.0, ge=0.5, le=60, description="a camera that answers later has failed")
    read_timeout_s: float = Field(3.0, ge=0.5, le=60, description="a stream silent for so long is opened anew")
    backoff_min_s: float = Field(0.5, ge=0.05, le=60, description="pause before the first reconnection")
    backoff_max_s: float = Field(30.0, ge=0.1, le=3600, description="longest pause between reconnections")
    transport: Literal["tcp", "udp"] = Field("tcp", description="RTSP transport")

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
    max_batch: int = Field(8, ge=1, le=32, description="frames in one run at most")
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


class WebhookSettings(Section):
    """The backend that alerts are posted to."""

    url: SecretStr | None = Field(None, description="where to post; no URL, no posts")
    timeout_s: float = Field(10.0, gt=0, le=120, description="an answer that takes longer has failed")
    token: SecretStr | None = Field(None, description="sent as `Authorization: Bearer`")


class DeliverySettings(Section):
    """How hard a delivery is tried."""

    backoff_min_s: float = Field(1.0, gt=0, le=3600, description="pause before the second try; doubles with each")
    backoff_max_s: float = Field(300.0, gt=0, le=86_400, description="longest pause between tries")
    give_up_after_s: float = Field(86_400.0, gt=0, description="then the delivery ends as a dead letter")


class HealthSettings(Section):
    """When something counts as down."""

    interval_s: float = Field(10.0, ge=1, le=300, description="seconds between the checks that beat starts")
    stale_after_s: float = Field(30.0, ge=1, le=3600, description="no progress for so long is down")

    @model_validator(mode="after")
    def _ordered(self) -> "HealthSettings":
        if self.stale_after_s <= self.interval_s:
            raise ValueError("stale_after_s must be longer than interval_s: between two checks beat shows no progress")
        return self


class RecordingSettings(Section):
    """What the model saw, kept for `fbtasks replay`; no pictures."""

    folder: Path | None = Field(None, description="where results are recorded, on a local disk; none: they are not")
    keep_days: float = Field(14.0, gt=0, le=3650, description="older recordings are removed")
    max_mb: int = Field(5000, ge=100, le=10_000_000, description="beyond, the oldest recordings are removed")


class EvidenceSettings(Section):
    """The picture of each alert."""

    enabled: bool = Field(True, description="false: alerts come without pictures, and none is written anywhere")
    folder: Path | None = Field(None, description="where the pictures are kept; default evidence in data_dir")
    keep_days: float = Field(30.0, gt=0, le=3650, description="older pictures are removed")
    max_mb: int = Field(500, ge=10, le=1_000_000, description="beyond, the oldest pictures are removed")


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
    flower_port: int = Field(5555, ge=0, le=65_535, description="Flower, on loopback; 0: any free port")
    concurrency: int = Field(2, ge=1, le=256, description="processes of the Celery worker")


class LogSettings(Section):
    """Logs, to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least severity shown")


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
    webhook: WebhookSettings = WebhookSettings()
    delivery: DeliverySettings = DeliverySettings()
    health: HealthSettings = HealthSettings()
    recording: RecordingSettings = RecordingSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    metrics: MetricsSettings = MetricsSettings()
    report: ReportSettings = ReportSettings()
    up: UpSettings = UpSettings()
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
        secret = value.get_secret_value()
        return redact_url(secret) if "://" in secret else HIDDEN
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    return value


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
    path = ".".join(str(part) for part in fault["loc"])
    where = f"{file or 'environment'}: {path}" if path else f"{file or 'environment'}"
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown setting{nearest(str(fault['loc'][-1]), _names_at(fault['loc'][:-1]))}"
    return f"{where}: {fault['msg'].removeprefix('Value error, ')}"


def _names_at(path: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Settings
    is_key = False
    for part in path:
        if is_key or isinstance(part, int):
            is_key = False
            continue
        annotation = model.model_fields[part].annotation
        model, is_key = _section(annotation), get_origin(annotation) is dict
    return list(model.model_fields)


def _section(annotation: Any) -> type[BaseModel]:
    """The table behind an annotation such as `GpuSettings`, `list[CameraSettings]` or `dict[str, ModelSource]`."""
    inner: type[BaseModel] = [annotation, *get_args(annotation)][-1]
    return inner


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
        if name.startswith(ENV_PREFIX) and name not in known and not name.startswith(f"{ENV_PREFIX}RULES__")
    ]
    if faults:
        raise ConfigError("\n".join(faults))
