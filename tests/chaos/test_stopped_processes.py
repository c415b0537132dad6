"""Each process is stopped in turn, as if it hung: the right system alert comes, and the notice that it is over."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.stable import Stable, camera
from tests.backend import Backend
from tests.chaos.test_worker_kills import children
from tests.conftest import LoopedClip
from tests.rtsp_server import RtspServer
from tests.tiny_detector import saved
from tests.waiting import wait_until

WITHIN_S = 90.0
"""With the settings below it takes about ten seconds on an idle machine."""
HEALTH = """
[health]
interval_s = 1
stale_after_s = 4
start_grace_s = 30
"""


@pytest.mark.timeout(500)
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
        camera("box-1", rtsp_server.serve("box-1", looped_clip("horse_paddock_360p30", 600)), "fps = 2"),
    )
    processes = stable.start_all()
    watch = stable.start("watch")
    wait_until(lambda: stable.run("fbtasks", "check").exit_code == 0, WITHIN_S, "everything to be well")
    wait_until(lambda: is_over(backend), WITHIN_S, "the end of what a slow start has brought about")
    backend.requests.clear()
    worker = processes["worker"]
    stops: dict[str, Callable[[], list[int]]] = {
        "system.producer": lambda: [processes["produce"].pid],
        "system.gpu_worker": lambda: [processes["infer"].pid],
        "system.logic": lambda: [worker.pid, *children(worker)],
        "system.beat": lambda: [processes["beat"].pid],
        "system.redis": lambda: [stable.state.pid],
        "system.frames_redis": lambda: [stable.frames.pid],
        "system.watch": lambda: [watch.pid],
    }
    for rule, pids in stops.items():
        with stopped(pids()):
            wait_until(partial(has, backend, "raised", rule), WITHIN_S, f"{rule} to be told of")
        wait_until(partial(has, backend, "cleared", rule), WITHIN_S, f"the end of {rule} to be told of")

    assert sorted(told(backend)) == sorted((event, rule) for rule in stops for event in ("raised", "cleared"))
    for process in [*processes.values(), watch]:
        assert process.exit_code is None, process.tail()
        assert "Traceback" not in process.output(), process.tail()


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """SIGSTOP to all of them, and SIGCONT at the end."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
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
