"""Several real commands as one."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from fbtasks.supervisor import MOST_REFUSALS, Child, ChildFailed, ChildRefused, Supervisor
from tests.processes import Processes
from tests.waiting import wait_until

BODY = """
import os, signal, subprocess, sys, time
from pathlib import Path
log, name, mode = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

def tell(what):
    with log.open("a") as file:
        file.write(f"{name} {what} {os.getpid()} {time.monotonic()}\\n")

def end(number, frame):
    tell("stopped")
    sys.exit(0)

signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "deaf" else end)
if mode == "parent":
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    name, pid = name + "-child", child.pid
    with log.open("a") as file:
        file.write(f"{name} started {pid} {time.monotonic()}\\n")
    name = sys.argv[2]
tell("started")
if mode == "fails":
    sys.exit(3)
while True:
    signal.pause()
"""


class Diary:
    """What the children wrote."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "diary.txt"
        self.path.touch()

    def entries(self) -> list[tuple[str, str, int, float]]:
        lines = [line.split() for line in self.path.read_text().splitlines()]
        return [(name, what, int(pid), float(at)) for name, what, pid, at in lines]

    def said(self, what: str) -> list[str]:
        return [name for name, told, *_ in self.entries() if told == what]

    def pid(self, name: str) -> int:
        return [pid for other, what, pid, _ in self.entries() if (other, what) == (name, "started")][-1]

    def child(self, name: str, mode: str = "good", **options: Any) -> Child:
        argv = [sys.executable, "-c", BODY, str(self.path), name, mode]
        return Child(name, argv, ready=lambda: name in self.said("started"), **options)


@pytest.fixture
def diary(tmp_path: Path) -> Iterator[Diary]:
    diary = Diary(tmp_path)
    yield diary
    started = [pid for _, what, pid, _ in diary.entries() if what == "started"]
    try:
        wait_until(lambda: not any(map(is_alive, started)), 2.0, "all children to be gone")
    finally:
        for pid in filter(is_alive, started):
            os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def supervisor(*children: Child, stop_order: tuple[str, ...] = ()) -> Supervisor:
    return Supervisor(children, stop_order=stop_order, env=os.environ)


@contextmanager
def watched(supervisor: Supervisor) -> Iterator[None]:
    """Started, and kept running in a thread until the block ends; then stopped."""
    stop = threading.Event()
    try:
        supervisor.start(stop)
        with ThreadPoolExecutor(1) as threads:
            watching = threads.submit(supervisor.watch, stop)
            try:
                yield
            finally:
                stop.set()
            watching.result(5.0)
    finally:
        supervisor.stop()


def test_children_start_in_order_and_stop_in_theirs(diary: Diary) -> None:
    running = supervisor(*(diary.child(name) for name in "abc"), stop_order=("b", "c", "a"))
    running.start(threading.Event())
    assert diary.said("started") == ["a", "b", "c"]
    running.stop()
    assert diary.said("stopped") == ["b", "c", "a"]
    running.stop()


def test_each_waits_for_the_one_before_to_be_ready(diary: Diary) -> None:
    ready = threading.Event()
    never_before = Child("a", diary.child("a").argv, ready=ready.is_set)
    running = supervisor(never_before, diary.child("b"))
    with ThreadPoolExecutor(1) as threads:
        starting = threads.submit(running.start, threading.Event())
        wait_until(lambda: "a" in diary.said("started"))
        assert not starting.done()
        ready.set()
        starting.result(10.0)
    running.stop()
    assert diary.said("started") == ["a", "b"]


def test_a_child_that_ends_before_it_is_ready_fails_the_start(diary: Diary) -> None:
    broken = Child("b", diary.child("b", "fails").argv, ready=lambda: False)
    running = supervisor(diary.child("a"), broken, stop_order=("a", "b"))
    with pytest.raises(ChildFailed, match="b ended with exit code 3"):
        running.start(threading.Event())
    running.stop()
    assert diary.said("stopped") == ["a"]


def test_a_child_that_does_not_become_ready_in_time_fails_the_start(diary: Diary) -> None:
    slow = Child("a", diary.child("a").argv, ready=lambda: False, ready_s=0.2)
    running = supervisor(slow)
    with pytest.raises(ChildFailed, match="a was not ready within"):
        running.start(threading.Event())
    running.stop()


def test_a_stop_during_the_start_starts_no_more(diary: Diary) -> None:
    stop = threading.Event()

    def ask() -> bool:
        stop.set()
        return False

    running = supervisor(Child("a", diary.child("a").argv, ready=ask), diary.child("b"))
    running.start(stop)
    running.stop()
    assert "b" not in diary.said("started")


def test_a_command_that_does_not_exist_fails_the_start(diary: Diary) -> None:
    running = supervisor(diary.child("a"), Child("b", ["/nonexistent/command"]))
    with pytest.raises(FileNotFoundError):
        running.start(threading.Event())
    running.stop()
    assert diary.said("stopped") == ["a"]


def test_a_child_that_dies_is_started_again_and_the_others_never_notice(diary: Diary) -> None:
    with watched(supervisor(diary.child("a"), diary.child("b"))):
        first = diary.pid("b")
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: diary.said("started").count("b") == 2, message="b to be back")
        assert diary.pid("b") != first
        assert diary.said("started").count("a") == 1


def test_a_child_that_keeps_dying_is_started_ever_less_often(diary: Diary) -> None:
    with watched(supervisor(diary.child("a", "fails"), diary.child("b"))):
        wait_until(lambda: diary.said("started").count("a") == 3, message="a to be started three times")
    times = [at for name, what, _, at in diary.entries() if (name, what) == ("a", "started")]
    pauses = [after - before for before, after in pairwise(times)]
    assert 0.5 <= pauses[0] < pauses[1]
    assert pauses[1] >= 1.0


def test_a_child_that_refuses_over_and_over_ends_it_all(diary: Diary) -> None:
    running = supervisor(diary.child("a"), diary.child("b", "fails", refusals=frozenset({3})))
    running.start(threading.Event())
    with pytest.raises(ChildRefused, match="b refused to start 3 times"):
        running.watch(threading.Event())
    running.stop()
    assert diary.said("started").count("b") == MOST_REFUSALS
    assert diary.said("stopped") == ["a"]


def test_a_child_that_has_worked_once_is_never_given_up(diary: Diary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fbtasks.supervisor.HEALTHY_S", 0.0)
    monkeypatch.setattr("fbtasks.supervisor.RESTART_MIN_S", 0.05)
    with watched(supervisor(diary.child("a", "fails", refusals=frozenset({3})))):
        wait_until(lambda: diary.said("started").count("a") > MOST_REFUSALS + 1, message="a to be started again")


def test_what_a_dead_child_left_behind_ends_before_it_is_started_again(diary: Diary) -> None:
    with watched(supervisor(diary.child("a", "parent"))):
        orphan = diary.pid("a-child")
        os.kill(diary.pid("a"), signal.SIGKILL)
        wait_until(lambda: diary.said("started").count("a") == 2, message="a to be back")
        assert not is_alive(orphan)


def test_a_child_that_ignores_sigterm_is_killed_with_its_children(diary: Diary) -> None:
    running = supervisor(diary.child("a", "deaf", stop_s=0.3), diary.child("b", "parent"), stop_order=("a", "b"))
    running.start(threading.Event())
    began = monotonic()
    running.stop()
    assert 0.3 <= monotonic() - began < 5.0
    wait_until(lambda: not any(is_alive(diary.pid(name)) for name in ("a", "b", "b-child")))


def test_a_child_that_the_order_forgot_is_stopped_too(diary: Diary) -> None:
    running = supervisor(diary.child("a"), diary.child("b"), stop_order=("b",))
    running.start(threading.Event())
    running.stop()
    assert diary.said("stopped") == ["b", "a"]


WHOLE = """
import os, sys, threading
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from fbtasks.lifecycle import on_stop
from tests.integration.test_supervisor import Diary, Supervisor
diary, stop = Diary(Path(sys.argv[2])), threading.Event()
children = [diary.child("a", "deaf", stop_s=30.0), diary.child("b", stop_s=30.0)]
with on_stop(stop.set):
    running = Supervisor(children, stop_order=("a", "b"), env=os.environ)
    try:
        running.start(stop)
        running.watch(stop)
    finally:
        running.stop()
"""


def test_a_second_ctrl_c_ends_all_that_is_left_at_once(diary: Diary, processes: Processes) -> None:
    root = str(Path(__file__).resolve().parents[2])
    whole = processes.start(Path(sys.executable).name, "-c", WHOLE, root, str(diary.path.parent), name="whole")
    wait_until(lambda: diary.said("started") == ["a", "b"], message="both to start")
    with pytest.raises(AssertionError, match="still ran"):
        whole.interrupt(0.5)
    began = monotonic()
    whole.interrupt()
    assert monotonic() - began < 5.0
    wait_until(lambda: whole.survivors() == {}, message="all to be gone")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_children_of_a_supervisor_that_is_killed_are_told(diary: Diary, processes: Processes) -> None:
    root = str(Path(__file__).resolve().parents[2])
    source = WHOLE.replace('"deaf"', '"good"')
    whole = processes.start(Path(sys.executable).name, "-c", source, root, str(diary.path.parent), name="whole")
    wait_until(lambda: diary.said("started") == ["a", "b"], message="both to start")
    whole.kill()
    wait_until(lambda: sorted(diary.said("stopped")) == ["a", "b"], message="the children to stop")
    wait_until(lambda: whole.survivors() == {})
