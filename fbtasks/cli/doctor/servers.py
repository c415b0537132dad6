"""The servers that everything meets at: both Redis, the database, and where alerts go."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from statistics import median
from time import monotonic, time
from typing import cast
from urllib.parse import urlsplit

from redis import Redis
from sqlalchemy import text as sql

from fbtasks.cli.doctor.diagnosis import Diagnosis
from fbtasks.errors import ConfigError, CopyFailed, DeliveryFailed
from fbtasks.health import Finding
from fbtasks.logic.bucket import Bucket
from fbtasks.logic.film import need_encoder
from fbtasks.logic.redis_servers import FRAMES, STATE, Server, ask, judge_frames, judge_state
from fbtasks.logic.sinks.making import make_sink, tables
from fbtasks.logic.sinks.mqtt import Mqtt
from fbtasks.logic.store.engine import make_engine, target_of
from fbtasks.logic.store.transaction import read
from fbtasks.redaction import redact_url
from fbtasks.settings import Settings, WebhookSettings
from fbtasks.transport import REDIS_AWAY, connect

OLDEST = 7
"""BLMPOP, by which the GPU worker takes frames, came with Redis 7.0."""
PINGS = 20
SLOW_MS = 5.0
APART_S = 1.0
"""Of two clocks: ages of frames and reports are told across machines."""


def redis(settings: Settings) -> Iterator[Diagnosis]:
    """Version, policy, persistence and speed of both servers."""
    state = connect(settings.state_url, settings.redis.timeout_s)
    frames = connect(settings.frames_url, settings.redis.timeout_s)
    try:
        server = ask(state)
    except REDIS_AWAY as error:
        yield _away(STATE, settings, settings.state_url, error)
        return
    yield from _server(STATE, state, server, judge_state(server))
    try:
        other = ask(frames)
    except REDIS_AWAY as error:
        yield _away(FRAMES, settings, settings.frames_url, error)
        return
    if other.run_id != server.run_id:
        yield from _server(FRAMES, frames, other, judge_frames(other))


def _away(subject: str, settings: Settings, url: str, error: Exception) -> Diagnosis:
    text = f"{redact_url(url)} does not answer: {str(error).rstrip('.')}"
    if settings.redis_url is None:
        return Diagnosis("warning", subject, text, "`fbtasks up` starts it; or set redis_url to one that runs")
    return Diagnosis("critical", subject, text, "see whether it runs, and whether redis_url is right")


def _server(subject: str, client: Redis, server: Server, judged: Finding) -> Iterator[Diagnosis]:
    yield Diagnosis(judged.level, subject, judged.text)
    version = str(server.info.get("redis_version", "0"))
    kind = "Valkey" if server.info.get("server_name") == "valkey" else "Redis"
    shown = f"{kind} {server.info.get('valkey_version', version)}"
    if int(version.split(".", maxsplit=1)[0]) < OLDEST:
        yield Diagnosis("critical", subject, shown, f"update to Redis {OLDEST} or Valkey: older ones lack BLMPOP")
    times, apart_s = _timed(client)
    spent = f"{shown}, answers in {median(times):.2f} ms, {max(times):.2f} ms at most"
    slow = median(times) > SLOW_MS
    yield Diagnosis(
        "warning" if slow else "ok", subject, spent, "run it nearer by, or with less beside it" if slow else ""
    )
    if abs(apart_s) > APART_S:
        text = f"its clock is {abs(apart_s):.1f} s {'ahead of' if apart_s > 0 else 'behind'} this machine's"
        yield Diagnosis("warning", subject, text, "let NTP set the clocks of all machines")


def _timed(client: Redis) -> tuple[list[float], float]:
    """How long it takes to answer, milliseconds, and how far its clock is ahead, seconds."""
    times = []
    for _ in range(PINGS):
        began = monotonic()
        client.ping()
        times.append((monotonic() - began) * 1000)
    before = time()
    seconds, microseconds = cast(tuple[int, int], client.time())
    return times, seconds + microseconds / 1e6 - (before + time()) / 2


def database(settings: Settings) -> Iterator[Diagnosis]:
    """Whether the database can be reached; nothing is made or changed in it."""
    target = target_of(settings.store_url)
    if target.get_backend_name() == "sqlite" and not settings.data_dir.exists():
        yield Diagnosis("ok", "database", "SQLite in data_dir, made at the first start")
        return
    engine = make_engine(settings.store_url)
    try:
        began = monotonic()
        read(engine, lambda connection: connection.execute(sql("SELECT 1")).scalar_one())
        kind = f"{engine.dialect.name} {'.'.join(map(str, engine.dialect.server_version_info or ()))}"
        yield Diagnosis("ok", "database", f"{kind}, answers in {(monotonic() - began) * 1000:.1f} ms")
    finally:
        engine.dispose()


def sink(settings: Settings, name: str) -> Iterator[Diagnosis]:
    """Whether alerts could be sent there; nothing is sent."""
    subject, advice = f"sink {name}", f"see sinks.{name} in the settings; `fbtasks sinks test {name}` sends a test"
    table = tables(settings)[name]
    try:
        made = make_sink(settings, name, connect(settings.state_url, settings.redis.timeout_s))
        if isinstance(table, WebhookSettings):
            seen = _web(table.url.get_secret_value(), table.timeout_s)
        elif isinstance(made, Mqtt):
            made.reach()
            seen = "the MQTT broker takes us"
        else:
            seen = "can be used as it is set; only a test shows whether it arrives"
    except ConfigError as error:
        yield Diagnosis("critical", subject, str(error))
    except (OSError, DeliveryFailed) as error:
        reason = getattr(error, "verify_message", "") or getattr(error, "strerror", None) or str(error)
        yield Diagnosis("critical", subject, f"cannot be reached: {reason}", advice)
    else:
        yield Diagnosis("ok", subject, seen)


def evidence(settings: Settings) -> Iterator[Diagnosis]:
    """Whether films can be made and copies be kept, where that is asked for; nothing is written."""
    if settings.evidence.enabled and settings.evidence.clip.seconds:
        try:
            need_encoder()
            yield Diagnosis("ok", "clips", f"{settings.evidence.clip.seconds:g} s before an alert")
        except ConfigError as error:
            yield Diagnosis("critical", "clips", str(error))
    if settings.evidence.s3.bucket:
        try:
            Bucket(settings.evidence.s3).reach()
            yield Diagnosis("ok", "bucket", f"{settings.evidence.s3.bucket} lets us in")
        except ConfigError as error:
            yield Diagnosis("critical", "bucket", str(error))
        except CopyFailed as error:
            yield Diagnosis("critical", "bucket", str(error), "see evidence.s3 in the settings")


def _web(url: str, timeout_s: float) -> str:
    """Connect to the server of a URL, with TLS where that is asked for.

    Raises:
        OSError: it is not to be reached, or its certificate is none that this machine trusts.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    with socket.create_connection((parts.hostname or "", port), timeout_s) as plain:
        if parts.scheme != "https":
            return "its server is there"
        with closing(ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname)) as secure:
            return f"its server is there, {secure.version()}"
