"""A site whose clock is simulated, and a backend that is unwell in one of many ways. HTTP and SQL are real."""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal, NamedTuple

from fbtasks.alert import Alert, Event, alert_id, episode_id
from fbtasks.logic.delivery import Outcome, deliver_due
from fbtasks.logic.pace import Pace
from fbtasks.logic.sinks.route import Route
from fbtasks.logic.sinks.webhook import Webhook
from fbtasks.logic.store import open_store
from fbtasks.settings import DeliverySettings
from tests.ports import LOOPBACK, free_port

Mood = Literal["well", "500", "429", "400", "hangs", "resets", "takes it, then resets", "answers twice"]
EVENTS: tuple[Event, ...] = ("raised", "escalated", "cleared")
T0 = 1_700_000_000.0
SWEEP_S = 2.0
TIMEOUT_S = 0.5
RETRY_AFTER_S = 40
TOLD: frozenset[Mood] = frozenset({"well", "takes it, then resets", "answers twice"})
"""In these moods the backend has taken the alert, whatever it answers."""


class Arrival(NamedTuple):
    """An alert that the backend has taken."""

    at: float
    """Simulated, unix seconds."""
    key: str
    """Its `Idempotency-Key`."""
    episode_id: str
    number: int


class MoodyBackend:
    """Takes alerts when it is well; away until `start`, and after `stop`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.mood: Mood = "well"
        self.clock = clock
        self.requests = 0
        self.arrivals: list[Arrival] = []
        self.port = free_port()
        self.let_go = threading.Event()
        """Ends the requests that hang."""
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where to post, whether or not it is there."""
        return f"http://{LOOPBACK}:{self.port}/alerts"

    def start(self) -> None:
        """Listen."""
        self._server = ThreadingHTTPServer((LOOPBACK, self.port), partial(_Handler, self))
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}).start()

    def stop(self) -> None:
        """Be away."""
        self.let_go.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, backend: MoodyBackend, *args: object) -> None:
        self._backend = backend
        super().__init__(*args)  # type: ignore[arg-type]  # what socketserver hands over

    def do_POST(self) -> None:  # the name that http.server calls
        backend, mood = self._backend, self._backend.mood
        alert = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        backend.requests += 1
        if mood in TOLD:
            key = str(self.headers["Idempotency-Key"])
            backend.arrivals.append(Arrival(backend.clock(), key, alert["episode_id"], alert["number"]))
        if mood == "hangs":
            backend.let_go.wait(60)
        elif mood in {"resets", "takes it, then resets"}:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            for _ in range(2 if mood == "answers twice" else 1):
                self._answer(int(mood) if mood.isdigit() else 200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if status == 429:
            self.send_header("Retry-After", str(RETRY_AFTER_S))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
        """Stay quiet: what was taken is kept."""


class Site:
    """The store and the delivery of one site, run by hand as the sweep does."""

    def __init__(self, folder: Path, delivery: DeliverySettings) -> None:
        self.now = T0
        self.backend = MoodyBackend(lambda: self.now)
        self.dead = 0
        self.tried_at: list[float] = []
        """When an episode was worked on, whatever came of it; simulated, unix seconds."""
        self.pace = Pace()
        self._delivery = delivery
        self._store = open_store(f"sqlite:///{folder / 'alerts.sqlite'}")
        self._store.migrate()
        self._sinks = {"backend": Webhook("backend", self.backend.url, timeout_s=TIMEOUT_S)}

    def close(self) -> None:
        """End it, and its backend."""
        self.backend.stop()
        self._store.close()

    def store(self, alerts: Sequence[Alert]) -> None:
        """Record alerts for the backend."""
        self._store.record(alerts, [Route("backend")], self.now)

    def pending(self) -> int:
        """Deliveries that are neither done nor given up."""
        return self._store.backlog(self.now).pending

    def sweep(self) -> None:
        """What the tasks do every `SWEEP_S` seconds; then the clock goes on by as much."""
        if self.pace.allows(self.now):
            deliver_due(
                self._store,
                self._sinks,
                "backend",
                self.pace,
                settings=self._delivery,
                clock=lambda: self.now,
                is_over=lambda: False,
                note=self._note,
            )
        self.now += SWEEP_S

    def run(self, alerts: Sequence[Alert], seconds: float) -> None:
        """Let time pass, the alerts coming evenly over it."""
        began, waiting = self.now, list(alerts)
        while (passed := self.now - began) < seconds:
            due = round(len(alerts) * min(1.0, (passed + SWEEP_S) / seconds)) - (len(alerts) - len(waiting))
            self.store(waiting[:due])
            del waiting[:due]
            self.sweep()
        assert not waiting

    def run_until_told(self, within_s: float) -> float:
        """Let time pass until nothing is pending; how many simulated seconds that took.

        Raises:
            AssertionError: something still was after `within_s`.
        """
        began = self.now
        while self.pending():
            assert self.now - began <= within_s, f"{self.pending()} alerts wait after {within_s:g} s"
            self.sweep()
        return self.now - began

    def _note(self, outcome: Outcome) -> None:
        self.dead += outcome.dead
        self.tried_at.append(self.now)


def courses(episodes: int) -> Iterator[Alert]:
    """Whole episodes, each in order; every event of all of them before the next event of any."""
    for number, event in enumerate(EVENTS):
        for camera in range(episodes):
            episode = episode_id(f"box-{camera}", "lying", 1, T0)
            yield Alert(
                id=alert_id(episode, number),
                episode_id=episode,
                number=number,
                event=event,
                camera_id=f"box-{camera}",
                rule="lying",
                severity="warning",
                track_id=1,
                started_at=T0,
                at=T0 + number,
                message="lies",
            )


def most_within(moments: Sequence[float], seconds: float) -> int:
    """The most of these moments (unix seconds, ascending) that lie within so many seconds."""
    most, first = 0, 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def in_order(arrivals: Sequence[Arrival]) -> bool:
    """Whether every episode arrived as it went, repetitions aside."""
    seen: dict[str, list[int]] = {}
    for one in arrivals:
        numbers = seen.setdefault(one.episode_id, [])
        if one.number not in numbers:
            numbers.append(one.number)
    return all(numbers == sorted(numbers) for numbers in seen.values())
