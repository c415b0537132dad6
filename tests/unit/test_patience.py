"""A clock that is slow where the process is."""

import pytest

from fbtasks.producer import patience
from fbtasks.producer.patience import PatientClock


class Machine:
    """Its monotonic clock, set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(patience, "monotonic", lambda: self.now)

    def run(self, clock: PatientClock, seconds: float, tick_s: float) -> float:
        """Let it run, with ticks; the clock's time after it."""
        for _ in range(round(seconds / tick_s)):
            self.now += tick_s
            clock.tick()
        return clock()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_it_runs_as_the_monotonic_clock_while_ticks_come_in_time(machine: Machine) -> None:
    clock = PatientClock(0.5)
    assert machine.run(clock, 10, 0.25) == pytest.approx(110)
    machine.now += 0.2
    assert clock() == pytest.approx(110.2), "between two ticks it goes on"


def test_a_halt_counts_for_little(machine: Machine) -> None:
    clock = PatientClock(0.5)
    machine.now += 60
    assert clock() == pytest.approx(100.5)
    assert clock.tick() == pytest.approx(100.5)
    assert machine.run(clock, 1, 0.25) == pytest.approx(101.5)


def test_where_every_tick_is_late_it_is_slow_and_never_runs_backwards(machine: Machine) -> None:
    clock = PatientClock(0.5)
    before = clock()
    for _ in range(10):
        for _ in range(20):
            machine.now += 0.1
            assert clock() >= before
            before = clock()
        assert clock.tick() == before
    assert before == pytest.approx(105)
