"""Each process is stopped in turn, as if it hung: the right system alert comes, and the notice that it is over.

`CHAOS_HEALTH=shipped` for the settings that are shipped, under which each alert is due within 30 seconds.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic, time

import pytest

from tests.acceptance.stable import Listener, Stable, camera
from tests.backend import Backend
from tests.chaos.test_worker_kills import children
from tests.conftest import LoopedClip
from tests.integration.test_reader_processes import readers
from tests.processes import Process
from tests.rtsp_server import RtspServer
from tests.tiny_detector import saved
from tests.waiting import wait_until

SHIPPED = os.environ.get("CHAOS_HEALTH") == "shipped"
WITHIN_S = 30.0 if SHIPPED else 90.0
"""With the settings below it takes about ten seconds on an idle machine."""
SETTLED_S = 90.0
GRACE_S = 30
"""A process that hangs sooner after the start is told of when this is over."""
HEALTH = f"[health]\nstart_grace_s = {GRACE_S}\n" + ("" if SHIPPED else "interval_s = 1\nstale_after_s = 4\n")
Pids = Callable[[], list[int]]


@pytest.mark.timeout(900)
def test_a_process_that_hangs_is_told_of_and_so_is_its_return(
    stable: Stable,
    backend: Backend,
    rtsp_server: RtspServer,
    looped_clip: LoopedClip,
    tmp_path: Path,
) -> None:
    stable.settings(
        HEALTH,
        f'[gpu]\nmodel = "{saved(tmp_path)}"\nprovider = "cpu"\ncandidates = 5\n[logic]\nchunk = 5',
        f'[sinks.backend]\nkind = "webhook"\nurl = "{backend.url}"\nmin_severity = "critical"',
        camera("box-1", rtsp_server.serve("box-1", looped_clip("horse_paddock_360p30", 1200)), "fps = 2"),
    )
    processes = stable.start_all()
    watch = stable.start("watch")
    wait_until(lambda: stable.run("fbtasks", "check").exit_code == 0, SETTLED_S, "everything to be well")
    running_since = monotonic()
    wait_until(lambda: monotonic() - running_since > GRACE_S, 2 * GRACE_S, "the grace of the start to be over")
    wait_until(lambda: is_over(backend), SETTLED_S, "the end of what a slow start has brought about")
    worker = processes["worker"]
    stops: dict[str, tuple[str, Pids]] = {
        "producer": ("system.producer", lambda: [processes["produce"].pid]),
        "the process that reads the camera": ("system.producer", lambda: readers(processes["produce"])),
        "GPU worker": ("system.gpu_worker", lambda: [processes["infer"].pid]),
        "Celery's main process": ("system.logic", lambda: [worker.pid]),
        "all of Celery's pool": ("system.logic", lambda: children(worker)),
        "beat": ("system.beat", lambda: [processes["beat"].pid]),
        "Redis": ("system.redis", lambda: [stable.state.pid]),
        "the frames' Redis": ("system.frames_redis", lambda: [stable.frames.pid]),
        "watcher": ("system.watch", lambda: [watch.pid]),
    }
    for name, (rule, pids) in stops.items():
        backend.requests.clear()
        with stopped(pids()):
            told_s = waited_s(partial(has, backend, "raised", rule), WITHIN_S, f"{rule} to be told of")
        over_s = waited_s(partial(has, backend, "cleared", rule), WITHIN_S, f"the end of {rule} to be told of")
        print(f"{name}: {rule} after {told_s:.0f} s, over {over_s:.0f} s after its return")
        assert told(backend) == [("raised", rule), ("cleared", rule)]

    # Who is stopped with SQLite's lock in hand, as while the last delivery is noted, holds up the other one too.
    wait_until(lambda: stable.run("fbtasks", "check").exit_code == 0, SETTLED_S, "everything to be well again")
    backend.requests.clear()
    listener = Listener(stable.state.client())
    for name, pids in stand_ins(processes).items():
        with stopped(pids()):
            on_s = waited_s(partial(decides, listener, time()), WITHIN_S, f"decisions without {name}")
        print(f"{name}: decisions on new pictures after {on_s:.1f} s")
    listener.close()
    assert told(backend) == [], "nothing stood still for long, so nobody was woken"
    for process in [*processes.values(), watch]:
        assert process.exit_code is None, process.tail()
        assert "Traceback" not in process.output(), process.tail()


def stand_ins(processes: dict[str, Process]) -> dict[str, Pids]:
    """Processes that others do the work of while they hang."""
    return {
        "one of Celery's pool": lambda: children(processes["worker"])[:1],
        "the other one": lambda: children(processes["worker"])[1:2],
    }


def decides(listener: Listener, since: float) -> bool:
    """Whether there is a decision on a picture that was taken later."""
    return any(decision["captured_at"] > since for decision in listener.hear()["box-1"])


def waited_s(predicate: Callable[[], bool], within_s: float, message: str) -> float:
    """Seconds until it was true."""
    began = monotonic()
    wait_until(predicate, within_s, message)
    return monotonic() - began


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """SIGSTOP to all of them, and SIGCONT at the end."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):  # it was taken for dead, and replaced
                os.kill(pid, signal.SIGCONT)


def has(backend: Backend, event: str, rule: str) -> bool:
    """Whether the backend was told so."""
    return (event, rule) in told(backend)


def is_over(backend: Backend) -> bool:
    """Whether all that was raised is cleared."""
    events = [event for event, _ in told(backend)]
    return events.count("raised") == events.count("cleared")


def told(backend: Backend) -> list[tuple[str, str]]:
    """Event and rule of each system alert that the backend has, each once by its Idempotency-Key."""
    alerts = {received.headers["Idempotency-Key"]: received.json for received in backend.requests}
    return [(alert["event"], alert["rule"]) for alert in alerts.values() if alert["rule"].startswith("system.")]
