"""Celery's processes are killed under load, again and again. Every alert is in the store once, none is missing."""

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from celery import Celery
from redis import Redis

from fbtasks.alert import SITE, Alert
from fbtasks.keys import Keys
from fbtasks.logic.minutes import Minute
from fbtasks.logic.pipeline import Pipeline
from fbtasks.logic.rules import load_rules
from fbtasks.logic.state import CameraState
from fbtasks.logic.store import Store, open_store
from fbtasks.mailbox import Mailboxes, Outbox
from fbtasks.settings import load_settings
from fbtasks.wire import Result, encode
from tests.acceptance.stable import Stable
from tests.alerts import as_decided
from tests.processes import Process
from tests.results import lying, result, standing
from tests.waiting import wait_until

PROCESS_CAMERA, QUEUE = "fbtasks.process_camera", "logic"
"""As the GPU worker sends it; importing them would read this machine's own settings."""
KILLS = int(os.environ.get("FBTASKS_TEST_KILLS", "17"))
"""Of which one in eight ends the whole worker; 500, with 50 cameras, take 12 minutes on two cores."""
CAMERAS = [f"box-{number}" for number in range(int(os.environ.get("FBTASKS_TEST_CAMERAS", "8")))]
MAIN_KILLS = KILLS // 8
FPS = 5
AT_ONCE = 5
"""Results that are pushed for each camera between two looks at what to kill."""
PHASE_S = 20
PHASES = max(6, 2 * KILLS * AT_ONCE // (PHASE_S * FPS))
"""A horse stands, lies, stands, lies, … for `PHASE_S` seconds each."""
RULES = """
[logic]
mailbox_length = 10000
chunk = 3

[rules.lying]
info_after_s = 5
warning_after_s = 10
critical_after_s = false
clear_after_s = 3
cooldown_s = 0
"""


def course(camera_id: str) -> list[Result]:
    """All results of one camera, in order of capture."""
    frames = range(PHASE_S * PHASES * FPS)
    poses = (standing, lying)
    return [
        result(number / FPS, [poses[number // (PHASE_S * FPS) % 2]()], seq=number, camera_id=camera_id)
        for number in frames
    ]


def truth(courses: dict[str, list[Result]], settings_file: Path) -> tuple[dict[str, Alert], dict[str, list[Minute]]]:
    """What one undisturbed run of the pure pipeline yields: the alerts by identifier, the minutes by camera."""
    settings = load_settings(settings_file)
    alerts: dict[str, Alert] = {}
    minutes = {}
    for camera_id, results in courses.items():
        pipeline = Pipeline(camera_id, settings.logic, load_rules(settings.rule_tables(camera_id)))
        state = CameraState(camera_id=camera_id)
        for each in results:
            state, _, raised = pipeline.step(state, each)
            alerts |= {alert.id: alert for alert in raised}
        minutes[camera_id] = state.ledger.take()
    return alerts, minutes


def seconds(over: list[Minute]) -> list[tuple[int, dict[int, tuple[float, ...]]]]:
    """When each minute began, and the postures and turns in each of its accounts."""
    return [
        (
            minute.began_at,
            {
                holder: (one.standing_s, one.lying_s, one.unknown_s, one.unseen_s, one.lay_down, one.rose)
                for holder, one in minute.accounts.items()
            },
        )
        for minute in over
    ]


def children(process: Process) -> list[int]:
    """Process ids of the worker's pool."""
    try:
        return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


class Supervised:
    """Celery's worker, started again when it has ended: a child that dies as the worker starts takes it along."""

    def __init__(self, stable: Stable) -> None:
        self._stable = stable
        self._process = stable.start("worker")

    @property
    def process(self) -> Process:
        if self._process.exit_code is not None:
            self._process = self._stable.start("worker")
        return self._process

    def is_alive(self) -> bool:
        """Whether it runs; it is started again when it did not."""
        return self.process.exit_code is None


def at_work(redis: Redis, worker: Process) -> bool:
    """Whether a task holds a camera, and there is a process of the pool to kill."""
    owners = cast(list[bytes | None], redis.mget([Keys().camera(camera_id).owner for camera_id in CAMERAS]))
    return any(owner not in {None, b"queued"} for owner in owners) and bool(children(worker))


def kill_one(pid: int) -> bool:
    """SIGKILL; false when the process was gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'data' / 'fbtasks.sqlite'}")
    yield opened
    opened.close()


@pytest.mark.timeout(240 + 10 * KILLS + 10 * len(CAMERAS))
def test_every_alert_is_stored_once_whatever_is_killed(stable: Stable, store: Store) -> None:
    stable.settings(RULES)
    courses = {camera_id: course(camera_id) for camera_id in CAMERAS}
    expected, minutes = truth(courses, stable.folder / "fbtasks.toml")
    assert len(expected) >= 3 * len(CAMERAS)

    redis = stable.state.client()
    client = Celery(broker=stable.state.url)
    mailboxes = Mailboxes(redis, Keys(), length=10_000)
    worker = Supervised(stable)
    stable.start("beat")
    dice = random.Random(7)
    rounds = len(courses[CAMERAS[0]]) // AT_ONCE
    kills = sorted(dice.sample(range(rounds), KILLS))
    mains = set(dice.sample(kills, MAIN_KILLS))
    killed = 0
    for number in range(rounds):
        piece = slice(number * AT_ONCE, (number + 1) * AT_ONCE)
        pushed = mailboxes.push({name: [encode(each) for each in results[piece]] for name, results in courses.items()})
        for camera_id, told in pushed.items():
            if told.wake:
                client.send_task(PROCESS_CAMERA, args=[camera_id], queue=QUEUE)
        if number in kills:
            wait_until(lambda: at_work(redis, worker.process), 30, "a task at work")
        if number in mains:
            worker.process.end()
            killed += 1
        elif number in kills and (pool := children(worker.process)):
            killed += kill_one(dice.choice(pool))

    outbox = Outbox(redis, Keys())
    while left := mailboxes.waiting():
        wait_until(lambda left=left: worker.is_alive() and mailboxes.waiting() < left, 60, f"any of {left} results")  # type: ignore[misc]
    wait_until(lambda: worker.is_alive() and len(outbox) == 0, 120, "everything to be stored")
    # Without those about the site: so many alerts at once are a storm.
    stored = [alert for alert in store.recent_alerts(1_000_000) if alert.camera_id != SITE]
    print(f"{killed} kills, {len(stored)} alerts")
    assert killed >= KILLS // 2
    assert sorted(alert.id for alert in stored) == sorted(expected)
    for alert in stored:
        assert as_decided(alert) == expected[alert.id]
    for camera_id, over in minutes.items():
        assert len(over) >= 2
        assert seconds(store.minutes_between(camera_id, 0, 2e9)) == seconds(over)
