"""Stopping on request, in real processes."""

import signal
import sys
from pathlib import Path

import pytest

from fbtasks.lifecycle import on_stop
from tests.processes import Process, Processes
from tests.waiting import wait_until

WAITS = """
import sys, threading
from fbtasks.lifecycle import on_stop
stop, end = threading.Event(), threading.Event()
with on_stop(stop.set):
    print("ready", flush=True)
    while not stop.wait(0.02):
        pass
    print("stopping", flush=True)
    if len(sys.argv) > 1:
        while not end.wait(0.02):
            pass
print("stopped", flush=True)
"""

INTERRUPTED = """
import os, signal, threading
from fbtasks.lifecycle import on_stop
stop = threading.Event()
with on_stop(stop.set):
    with stop._cond:  # as it is held at the beginning and the end of every wait
        os.kill(os.getpid(), signal.SIGTERM)
    if stop.wait(10):
        print("stopped", flush=True)
"""


def waits(processes: Processes, *argv: str) -> Process:
    root = Path(__file__).resolve().parents[2]
    process = processes.start(
        Path(sys.executable).name, "-c", WAITS, *argv, env={"PYTHONPATH": str(root)}, name="waits"
    )
    wait_until(lambda: "ready" in process.output(), message="the process to be ready")
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_block_in_order(processes: Processes, number: signal.Signals) -> None:
    process = waits(processes)
    assert (process.terminate() if number is signal.SIGTERM else process.interrupt()) == 0
    assert process.output().split() == ["ready", "stopping", "stopped"]


@pytest.mark.parametrize(("second", "code"), [(signal.SIGTERM, -15), (signal.SIGINT, -2)])
def test_a_second_signal_ends_it_at_once_whichever_it_is(
    processes: Processes, second: signal.Signals, code: int
) -> None:
    process = waits(processes, "hangs")
    with pytest.raises(AssertionError, match="still ran"):
        process.terminate(0.3)
    wait_until(lambda: "stopping" in process.output())
    assert (process.terminate() if second is signal.SIGTERM else process.interrupt()) == code
    assert "stopped" not in process.output()


def test_a_signal_in_the_middle_of_a_wait_for_the_same_event_does_not_hang(processes: Processes) -> None:
    root = Path(__file__).resolve().parents[2]
    process = processes.start(Path(sys.executable).name, "-c", INTERRUPTED, env={"PYTHONPATH": str(root)}, name="waits")
    assert process.wait(10) == 0
    assert process.output().split() == ["stopped"]


def test_the_handlers_are_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with on_stop(lambda: None):
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
