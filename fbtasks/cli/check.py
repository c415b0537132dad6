"""`fbtasks check`: the health report, once or for ever."""

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from threading import Event
from time import monotonic, time
from typing import Any

import click
from redis import Redis

from fbtasks.cli import with_settings
from fbtasks.errors import FbtasksError
from fbtasks.health import CAMERA, Finding, HealthBoard, Level, News, report_of, summary, worst
from fbtasks.keys import Keys
from fbtasks.lifecycle import on_stop
from fbtasks.logic.ping import Pinger
from fbtasks.logic.redis_servers import FRAMES, STATE
from fbtasks.redaction import redact, redact_url
from fbtasks.settings import Settings
from fbtasks.systemd import READY, STOPPING, WATCHDOG, notify, status
from fbtasks.transport import REDIS_AWAY, connect

log = logging.getLogger(__name__)

SHOWN: dict[Level, str] = {"ok": "ok", "warning": "WARN", "unknown": "?", "critical": "DOWN"}
NAGIOS: dict[Level, tuple[int, str]] = {
    "ok": (0, "OK"),
    "warning": (1, "WARNING"),
    "critical": (2, "CRITICAL"),
    "unknown": (3, "UNKNOWN"),
}
"""Exit code and word of each level, by the Monitoring Plugins' guidelines."""
SQLITE_WAIT_S = 2
WATCH_AT_LEAST_EVERY_S = 10.0
"""systemd waits for a sign of life, whatever `health.interval_s` says."""


def refusing_as_unknown(command: Callable[..., None]) -> Callable[..., None]:
    """What keeps us from looking is "unknown" to a monitoring system, where 1 and 2 mean warning and critical."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except FbtasksError as error:
            code, word = NAGIOS["unknown"]
            click.echo(f"FBTASKS {word} - {redact(str(error)).splitlines()[0]}")
            sys.exit(code)

    return run


@click.command(name="check")
@click.option("--nagios", is_flag=True, help="One line with performance data, for Nagios, Icinga and the like.")
@click.option("--watch", is_flag=True, help="Go on until stopped, and tell the sinks when nobody else could.")
@refusing_as_unknown
@with_settings("check")
def command(settings: Settings, *, nagios: bool, watch: bool) -> None:
    """Print the health report; exit 0 when all is well, 1 with warnings, 2 when something is down, 3 if unknown."""
    if watch:
        watch_on(settings)
        return
    from fbtasks.logic.checkup import findings
    from fbtasks.logic.store import open_store

    state, frames = _servers(settings)
    found = findings(settings, state, frames, open_store(settings.store_url), now=time())
    if nagios:
        click.echo(nagios_line(found))
    else:
        for finding in found:
            click.echo(
                f"{SHOWN[finding.level]:<4}  {finding.subject:<20} {redact(finding.text)}{_hint(settings, finding)}"
            )
    sys.exit(NAGIOS[worst(found)][0])


def nagios_line(found: Sequence[Finding]) -> str:
    """State, what is wrong, and the figures, in one line."""
    figures = [f"'{name}'={value:g};;;0" for finding in found for name, value in finding.figures.items()]
    text = summary(found).replace("|", "/").replace("\n", " ")
    return f"FBTASKS {NAGIOS[worst(found)][1]} - {text} | {' '.join(figures)}".rstrip(" |")


def watch_on(settings: Settings) -> None:
    """Look again and again until SIGTERM or SIGINT."""
    from fbtasks.logic.sinks.making import routes_of, sinks_of
    from fbtasks.logic.store import open_store
    from fbtasks.logic.watcher import Watcher

    state, frames = _servers(settings)
    board = HealthBoard(state, Keys(settings.redis.prefix))
    logging.getLogger("alembic").setLevel(logging.WARNING)
    ping_url, health = settings.health.ping_url, settings.health
    pinger = Pinger(ping_url.get_secret_value(), health.ping_every_s) if ping_url else None
    stop = Event()
    store = open_store(_impatient(settings.store_url))
    sinks, routes = sinks_of(settings, state), routes_of(settings)
    watcher = Watcher(settings, state, frames, store, sinks=sinks, routes=routes, clock=time)
    with on_stop(stop.set), watcher:
        log.info("watching")
        notify(READY)
        news = News()
        while not stop.is_set():
            found = watcher.look()
            now = time()
            with suppress(*REDIS_AWAY):
                board.write(report_of("watch", now=now, progress_at=now))
            if pinger is not None:
                pinger.tell(
                    not any(one.level == "critical" and not one.subject.startswith(CAMERA) for one in found),
                    monotonic(),
                )
            notify(WATCHDOG, status(summary(found)))
            if news.among(found):
                wrong = any(not one.ok for one in found)
                log.log(logging.WARNING if wrong else logging.INFO, "%s", summary(found))
            stop.wait(min(health.interval_s, WATCH_AT_LEAST_EVERY_S))
        notify(STOPPING)
    with suppress(*REDIS_AWAY):
        board.remove(report_of("watch", now=time(), progress_at=None))


def _impatient(url: str) -> str:
    """A worker that hangs may hold SQLite's lock; the one who is to tell of it does not wait for it."""
    if not url.startswith("sqlite") or "timeout=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}timeout={SQLITE_WAIT_S}"


def _servers(settings: Settings) -> tuple[Redis, Redis]:
    timeout_s = settings.redis.timeout_s
    return connect(settings.state_url, timeout_s), connect(settings.frames_url, timeout_s)


def _hint(settings: Settings, finding: Finding) -> str:
    """Where a server was looked for that is down."""
    url = {STATE: settings.state_url, FRAMES: settings.frames_url}.get(finding.subject)
    return f" ({redact_url(url)}; is `fbtasks up` running?)" if url is not None and finding.level == "critical" else ""
