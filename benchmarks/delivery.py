"""Deliveries to a backend that is away, unwell or hangs; writes docs/delivery.md.

    python -m benchmarks.delivery                 # all of it, a quarter of an hour
    python -m benchmarks.delivery --hang-s 0      # without the part in real time

The first two tables run on a simulated clock, with a real HTTP server and a real database; the third runs a real Celery
worker and a backend that never answers.
"""

import argparse
import os
import platform
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from statistics import quantiles
from time import monotonic, time

from celery import Celery

from fbtasks.keys import Keys
from fbtasks.mailbox import Mailboxes
from fbtasks.settings import DeliverySettings
from fbtasks.wire import encode
from tests.acceptance.stable import READY, WORKER, Listener, Stable
from tests.alerts import first_alert
from tests.outages import Mood, Site, courses, in_order, most_within
from tests.ports import LOOPBACK
from tests.processes import Processes
from tests.results import result
from tests.servers import Valkey
from tests.waiting import wait_until

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "delivery.md"
AWAY_S = 7200.0
UNWELL_S = 600.0
UNWELL_EPISODES = 20
MOODS: tuple[Mood, ...] = ("500", "429", "400", "hangs", "resets", "takes it, then resets", "answers twice")
CAMERA = "box-1"
EVERY_S = 0.5
HEAD = """\
# What deliveries do when a backend does not

Written by `python -m benchmarks.delivery`; {machine}. How it works is in [sinks.md](sinks.md).
"""


def main() -> None:
    """Measure, and write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=334, help="of three alerts each, over the two hours")
    parser.add_argument("--hang-s", type=float, default=180.0, help="seconds for each row of the last table; 0: none")
    parser.add_argument("--output", type=Path, default=DOCUMENT)
    options = parser.parse_args()
    parts = [away(options.episodes), unwell()]
    if options.hang_s:
        parts.append(hanging(options.hang_s))
    # At the end, when the last minutes were this program's own.
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at its end"
    parts.insert(0, HEAD.format(machine=machine))
    options.output.write_text("\n".join(parts), encoding="utf-8")
    print(options.output.read_text(encoding="utf-8"))


@contextmanager
def site() -> Iterator[Site]:
    """A site with the default settings, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder, closing(Site(Path(folder), DeliverySettings())) as opened:
        yield opened


def away(episodes: int) -> str:
    """A backend that is away for two hours in which alerts come."""
    with site() as one:
        alerts = list(courses(episodes))
        one.run(alerts, AWAY_S)
        tried = len(one.tried_at)
        back_at = one.now
        one.backend.start()
        took_s = one.run_until_told(within_s=AWAY_S)
        arrivals = one.backend.arrivals
        moments = [arrival.at for arrival in arrivals]
        rows = [
            ("alerts that came meanwhile", f"{len(alerts):,} in {episodes} episodes"),
            ("tries while it was away", str(tried)),
            ("first alert after its return", f"{moments[0] - back_at:.0f} s"),
            ("all told after", f"{took_s:.0f} s"),
            ("told", f"{len({arrival.key for arrival in arrivals}):,}"),
            ("told twice", str(len(arrivals) - len({arrival.key for arrival in arrivals}))),
            ("given up", str(one.dead)),
            ("in order within each episode", "yes" if in_order(arrivals) else "NO"),
            ("most in any 10 s", f"{most_within(moments, 10.0)}, with `delivery.max_per_s` = 10"),
        ]
    lines = [f"| {name} | {value} |" for name, value in rows]
    return "\n".join(["## Away for two hours", "", "| | |", "|---|---|", *lines, ""])


def unwell() -> str:
    """A backend that answers, but not as it should, for ten minutes in which alerts come."""
    head = [
        f"## Unwell for ten minutes, {3 * UNWELL_EPISODES} alerts",
        "",
        "Requests while it was unwell; time from its recovery to the first alert and the last; what became of them.",
        "",
        "| it | requests | first | last | told | of them twice | given up | in order |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *(_unwell(mood) for mood in MOODS), ""])


def _unwell(mood: Mood) -> str:
    with site() as one:
        alerts = list(courses(UNWELL_EPISODES))
        one.backend.mood = mood
        one.backend.start()
        one.run(alerts, UNWELL_S)
        requests, seen, well_at = one.backend.requests, len(one.backend.arrivals), one.now
        one.backend.mood = "well"
        one.backend.let_go.set()
        took_s = one.run_until_told(within_s=AWAY_S)
        arrivals = one.backend.arrivals
        keys = {arrival.key for arrival in arrivals}
        later = arrivals[seen:]
        first = f"{later[0].at - well_at:.0f} s" if later else "-"
        last = f"{took_s:.0f} s" if later else "-"
    name = f"answers {mood}" if mood.isdigit() else mood
    order = "yes" if in_order(arrivals) else "NO"
    told = [len(keys), len(arrivals) - len(keys), one.dead]
    return f"| {name} | {requests} | {first} | {last} | {' | '.join(map(str, told))} | {order} |"


def hanging(seconds: float) -> str:
    """What a backend that never answers costs the horses' logic, in real time."""
    lines = [_hanging(processes, hangs, seconds) for processes in (1, 2) for hangs in (False, True)]
    return "\n".join(
        [
            "## A backend that never answers, and the decisions",
            "",
            "From the push of a result to its decision, in real time: one camera, two results a second, defaults.",
            "",
            "| processes of the worker | backend | p50 | p95 | p99 | longest | calls to the backend |",
            "|---|---|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


def _hanging(processes: int, hangs: bool, seconds: float) -> str:
    with tempfile.TemporaryDirectory() as name, deaf() as (url, calls):
        folder = Path(name)
        state = Valkey(folder, {})
        started = Processes(folder)
        try:
            state.start()
            stable = Stable(folder, state, state, started)
            stable.settings(f'[sinks.backend]\nkind = "webhook"\nurl = "{url}"' if hangs else "")
            worker = started.start(*WORKER, f"--concurrency={processes}", "--loglevel=INFO", env=stable.env)
            wait_until(lambda: READY["worker"] in worker.output(), 60, "the worker")
            stable.start("beat")
            delays = sorted(_delays(state, seconds, alerts=hangs))
        finally:
            started.end_all()
            state.kill()
        called = len(calls)
    steps = quantiles(delays, n=100)
    figures = " | ".join(f"{1000 * value:.0f} ms" for value in (steps[49], steps[94], steps[98], delays[-1]))
    return f"| {processes} | {'hangs' if hangs else 'none'} | {figures} | {called} |"


def _delays(state: Valkey, seconds: float, *, alerts: bool) -> list[float]:
    """Seconds from the push of each result to its decision."""
    redis = state.client()
    client = Celery(broker=state.url)
    listener, mailboxes = Listener(redis), Mailboxes(redis, Keys(), length=10_000)
    pushed_at: list[float] = []
    heard_at: list[float] = []
    began, pause = monotonic(), threading.Event()
    while len(heard_at) < len(pushed_at) or monotonic() - began < seconds:
        if monotonic() - began < seconds and monotonic() - began >= EVERY_S * len(pushed_at):
            number = len(pushed_at)
            if alerts and number % 20 == 0:
                redis.xadd(Keys().outbox, {"d": first_alert(f"camera-{number}").model_dump_json()})
            told = mailboxes.push({CAMERA: [encode(result(EVERY_S * number, [], seq=number, camera_id=CAMERA))]})
            pushed_at.append(time())
            if told[CAMERA].wake:
                client.send_task("fbtasks.process_camera", args=[CAMERA], queue="logic", expires=30)
        heard = len(listener.hear()[CAMERA])
        heard_at += [time()] * (heard - len(heard_at))
        pause.wait(0.005)
    listener.close()
    client.close()
    return [heard - pushed for pushed, heard in zip(pushed_at, heard_at, strict=True)]


@contextmanager
def deaf() -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that takes connections and never answers: its URL, and the connections so far."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        taken: list[socket.socket] = []
        threading.Thread(target=_take, args=(listener.accept, taken), daemon=True).start()
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}/alerts", taken
    for connection in taken:
        connection.close()


def _take(accept: Callable[[], tuple[socket.socket, object]], taken: list[socket.socket]) -> None:
    with suppress(OSError):
        while True:
            taken.append(accept()[0])


if __name__ == "__main__":
    main()
