"""Which runs count as hung."""

import queue
import threading

import pytest

from fbtasks.gpu import watchdog
from fbtasks.gpu.watchdog import BEFORE_ANY_S, TIMES_USUAL, UsualTime, Watchdog

TIMEOUT_S = 5.0


def test_the_limit_is_ten_times_the_usual_time_and_never_below_the_floor() -> None:
    usual = UsualTime(floor_s=1.0)
    assert (usual.usual_s(8), usual.limit_s(8)) == (None, BEFORE_ANY_S)
    usual.took(4, 0.02)
    assert usual.limit_s(8) == 1.0
    for _ in range(100):
        usual.took(8, 4.0)
    assert usual.usual_s(4) == pytest.approx(2.0)
    assert usual.limit_s(4) == pytest.approx(2.0 * TIMES_USUAL)


def test_a_few_slow_runs_do_not_change_what_is_usual() -> None:
    usual = UsualTime(floor_s=0.1)
    for number in range(40):
        usual.took(1, 5.0 if number % 4 == 0 else 0.05)
    assert usual.limit_s(1) == pytest.approx(0.5)


def test_a_hanging_run_is_told_once_while_it_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "BEFORE_ANY_S", 0.05)
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    with Watchdog(0.05, told.put) as dog, dog.watching(8):
        assert told.get(timeout=TIMEOUT_S).startswith("a run of 8 pictures has not ended after 0.")
    assert told.empty()


def test_a_run_that_slows_down_is_told_with_what_is_usual() -> None:
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    with Watchdog(0.05, told.put) as dog:
        for _ in range(3):
            with dog.watching(2):
                pass
        with dog.watching(2):
            assert "(usually 0.000 s)" in told.get(timeout=TIMEOUT_S)


def test_runs_in_time_and_idle_times_are_no_hang() -> None:
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    idle = threading.Event()
    with Watchdog(0.2, told.put) as dog:
        for _ in range(20):
            with dog.watching(1):
                idle.wait(0.01)
        idle.wait(0.4)
    assert told.empty()


def test_a_run_that_fails_is_no_hang_and_no_usual_time() -> None:
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    with Watchdog(0.05, told.put) as dog:
        with pytest.raises(LookupError), dog.watching(1):
            raise LookupError
        assert dog._usual.usual_s(1) is None
    assert told.empty()
