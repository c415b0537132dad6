"""Cameras that are set at run time with `fbtasks cameras`, beside those of the settings file.

They live in one Redis hash, by id, with a version that every change replaces. Whoever needs the cameras asks for the
version, or is told it by the way, and reads the hash only when it is a new one. The version is drawn, not counted: a
Redis that lost its data would count from the start again, and old and new would look alike.

Cameras of the file stay the file's. What is set for one of them at run time lies over it, key by key; it is void when
the camera leaves the file, and an own camera is void while the file has one of its id.

When Redis comes back without its data, the first process that remembers puts it back: an empty registry still has a
version, so one without has been lost. Only where every process has ended since, it is gone; `fbtasks cameras export`
prints what it holds as tables for the file.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

from pydantic import SecretStr, ValidationError
from redis import Redis

from fbtasks.errors import RegistryError
from fbtasks.keys import CAMERAS_CAP, CAMERAS_VERSION, Keys
from fbtasks.settings import CameraSettings, Settings

log = logging.getLogger(__name__)

_CHANGE = """
local cameras, version, fresh, cap, camera, entry = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
if (redis.call('HGET', cameras, 'VERSION') or '') ~= version then
    return 'changed'
end
if entry == '' then
    redis.call('HDEL', cameras, camera)
else
    if redis.call('HEXISTS', cameras, camera) == 0 and redis.call('HLEN', cameras) > cap then
        return 'full'
    end
    redis.call('HSET', cameras, camera, entry)
end
redis.call('HSET', cameras, 'VERSION', fresh)
return 'done'
""".replace("VERSION", CAMERAS_VERSION)

_RESTORE = """
if redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('HSET', KEYS[1], unpack(ARGV))
end
"""


@dataclass(frozen=True)
class Entry:
    """What was set at run time for one camera.

    Attributes:
        own: it is a camera of its own; else these are changes to one of the file.
        values: keys of `CameraSettings`, all but the id, as plain values with every secret in the clear.
    """

    own: bool
    values: Mapping[str, Any] = field(default_factory=dict)


Raw = dict[bytes, bytes]


class Registry:
    """The cameras of a site as they are now. For one thread.

    Args:
        settings: of the file and the environment.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._key = Keys(settings.redis.prefix).cameras
        self._file = settings
        self._raw: Raw = {}
        self._effective = settings

    def settings(self) -> Settings:
        """The settings with the cameras of this moment; one round trip, another after a change.

        Raises:
            redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: Redis is away.
        """
        return self.at(cast(bytes | None, self._redis.hget(self._key, CAMERAS_VERSION)))

    def at(self, version: bytes | None) -> Settings:
        """As `settings`, where the version is known already: without a round trip unless it is a new one."""
        if version != self._raw.get(CAMERAS_VERSION.encode()):
            self._load(restore=version is None)
        return self._effective

    def entries(self) -> dict[str, Entry]:
        """What was set at run time, by camera; those that this build cannot read are left out."""
        self._load(restore=False)
        return _entries(self._raw)

    def change(self, camera_id: str, entry: Entry | None) -> None:
        """Set what is to hold for the camera, None for nothing. Call `entries` or `settings` before.

        Raises:
            RegistryError: somebody else changed a camera since then, or there are too many.
        """
        version = self._raw.get(CAMERAS_VERSION.encode(), b"")
        plain = json.dumps({"own": entry.own, "values": dict(entry.values)}) if entry is not None else ""
        told = self._eval(_CHANGE, version, uuid4().hex, CAMERAS_CAP, camera_id, plain)
        if told == b"changed":
            raise RegistryError("somebody else changed the cameras at this moment; look at them and try again")
        if told == b"full":
            raise RegistryError(f"there are {CAMERAS_CAP} cameras already; remove some first")
        self._load(restore=False)

    def _load(self, *, restore: bool) -> None:
        if restore and self._raw:
            log.warning("the cameras set at run time were lost in Redis; they are put back from memory")
            self._eval(_RESTORE, *(part for pair in self._raw.items() for part in pair))
        self._raw = cast(Raw, self._redis.hgetall(self._key))
        self._effective = with_entries(self._file, _entries(self._raw))

    def _eval(self, script: str, *arguments: Any) -> Any:
        return self._redis.eval(script, 1, self._key, *arguments)


def with_entries(settings: Settings, entries: Mapping[str, Entry]) -> Settings:
    """The settings with these entries over the cameras of the file.

    An entry that yields no camera, of another build perhaps, is logged and left out: the others must not suffer.
    """
    filed = [_checked(camera.id, entries, camera) or camera for camera in settings.cameras]
    known = {camera.id for camera in filed}
    added = [
        _checked(camera_id, entries) for camera_id, entry in entries.items() if entry.own and camera_id not in known
    ]
    return settings.model_copy(update={"cameras": [*filed, *(camera for camera in added if camera is not None)]})


def camera_of(camera_id: str, entry: Entry | None, filed: CameraSettings | None = None) -> CameraSettings:
    """The camera that the entry makes, of the file's when that has it.

    Raises:
        pydantic.ValidationError: it makes none.
    """
    base = plain_values(filed) if filed is not None else {}
    values = entry.values if entry is not None and entry.own == (filed is None) else {}
    return CameraSettings.model_validate({**_over(base, values), "id": camera_id})


def plain_values(camera: CameraSettings) -> dict[str, Any]:
    """What was set for the camera, its id left out, as plain values with every secret in the clear."""
    values = camera.model_dump(exclude_unset=True, exclude={"id"})
    return {name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in values.items()}


def _checked(
    camera_id: str, entries: Mapping[str, Entry], filed: CameraSettings | None = None
) -> CameraSettings | None:
    try:
        return camera_of(camera_id, entries.get(camera_id), filed)
    except ValidationError as error:
        faults = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
        log.warning("camera %s: what was set at run time is of no use (%s)", camera_id, faults)
        return None


def _entries(raw: Raw) -> dict[str, Entry]:
    return {
        camera_id.decode(): entry
        for camera_id, value in sorted(raw.items())
        if camera_id.decode() != CAMERAS_VERSION and (entry := _entry(value)) is not None
    }


def _entry(value: bytes) -> Entry | None:
    try:
        plain = json.loads(value)
        return Entry(own=bool(plain["own"]), values=dict(plain["values"]))
    except (ValueError, KeyError, TypeError):
        return None


def _over(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` over `base`; tables are joined key by key."""
    joined = dict(base)
    for name, value in values.items():
        below = joined.get(name)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        joined[name] = _over(cast(Mapping[str, Any], below), value) if both else value
    return joined
