"""A camera that says nothing: who finds out, and what comes of it."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from time import time

import pytest
from celery import Celery
from redis import Redis

from fbtasks.health import CameraReport, HealthBoard, Role, report_of
from fbtasks.keys import LATEST_TTL_S, Keys
from fbtasks.logic.pipeline import Pipeline
from fbtasks.logic.rules import load_rules
from fbtasks.logic.silence import silences
from fbtasks.logic.state import CameraState
from fbtasks.logic.store import open_store
from fbtasks.logic.turn import take_turn
from fbtasks.mailbox import Mailboxes
from fbtasks.settings import Settings
from fbtasks.wire import Result, Silence, encode
from tests.acceptance.stable import Stable, camera
from tests.processes import Processes
from tests.results import START, result, standing
from tests.servers import Valkey
from tests.waiting import wait_until

KEYS = Keys()
BOX = "box-3"
URL = "rtsp://127.0.0.1:1/none"
NOW = START + 5000.0

pytestmark = pytest.mark.usefixtures("no_immortal_keys")


class Site:
    """A stable's mailboxes and what beat would tell of its cameras."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.mailboxes = Mailboxes(redis, KEYS, length=100)
        self.board = HealthBoard(redis, KEYS)
        self.told_by_producer: dict[str, CameraReport] = {}
        self.roles: tuple[Role, ...] = ("producer", "gpu")
        self.settings = Settings.model_validate(
            {
                "cameras": [
                    {"id": BOX, "url": URL},
                    {"id": "slow", "url": URL, "fps": 0.1},
                    {"id": "off", "url": URL, "enabled": False},
                ]
            }
        )

    def decide(self, one: Result) -> None:
        """Take a result through a task, just now."""
        self.mailboxes.push({one.camera_id: [encode(one)]})
        take_turn(
            one.camera_id,
            self.mailboxes,
            lambda _: Pipeline(one.camera_id, self.settings.logic, load_rules({})),
            restore=lambda: CameraState(camera_id=one.camera_id),
            bury=lambda _: None,
            chunk=10,
            is_over=lambda: False,
        )

    def age(self, camera_id: str, seconds: float) -> None:
        """Let so many seconds pass since the camera's last decision."""
        self.redis.expire(KEYS.camera(camera_id).latest, int(LATEST_TTL_S - seconds))

    def told(self) -> dict[str, Silence]:
        """With every process of `roles` alive."""
        for role in self.roles:
            cameras = self.told_by_producer if role == "producer" else {}
            self.board.write(report_of(role, now=NOW, progress_at=NOW, cameras=cameras))
        return {silence.camera_id: silence for silence in silences(self.settings, self.mailboxes, self.board, NOW)}


@pytest.fixture
def site(valkey: Valkey) -> Iterator[Site]:
    with valkey.client() as redis:
        yield Site(redis)


def test_a_camera_that_never_gave_a_picture_is_silent_unless_it_is_off(site: Site) -> None:
    assert site.told().keys() == {BOX, "slow"}
    assert site.told()[BOX] == Silence(camera_id=BOX, at=NOW, last_captured_at=None, reason="no producer reads it")


def test_a_silence_goes_by_the_cameras_clock_whatever_that_of_this_machine_says(site: Site) -> None:
    site.decide(result(1.0, [standing()], camera_id=BOX))
    assert BOX not in site.told()
    site.age(BOX, 20)
    told = site.told()[BOX]
    assert told.last_captured_at == START + 1.0
    assert told.at - START == pytest.approx(21, abs=2)


def test_a_silence_of_hours_goes_by_this_machines_clock(site: Site) -> None:
    site.decide(result(1.0, [standing()], camera_id=BOX))
    site.redis.delete(KEYS.camera(BOX).latest)
    told = site.told()[BOX]
    assert (told.at, told.last_captured_at) == (NOW, START + 1.0)


def test_a_camera_of_few_pictures_is_given_the_time_of_three(site: Site) -> None:
    site.decide(result(1.0, [standing()], camera_id="slow"))
    site.age("slow", 27)
    assert "slow" not in site.told()
    site.age("slow", 33)
    assert "slow" in site.told()


def test_where_results_wait_it_is_not_the_camera_that_is_late(site: Site) -> None:
    site.mailboxes.push({BOX: [encode(result(1.0, [], camera_id=BOX))]})
    assert BOX not in site.told()


def test_a_state_of_another_build_counts_as_none(site: Site) -> None:
    site.redis.set(KEYS.camera(BOX).state, b"\x81\xa1v\x01", ex=60)
    assert site.told()[BOX].last_captured_at is None


def seen(state: str, reason: str = "") -> CameraReport:
    return CameraReport(state, NOW - 30, NOW - 30, reason, "software", 3)


def test_the_reason_is_the_producers(site: Site) -> None:
    site.decide(result(1.0, [standing()], camera_id="slow"))
    site.told_by_producer = {BOX: seen("reconnecting", "no stream at this path (404)")}
    assert site.told()[BOX].reason == "reconnecting: no stream at this path (404)"
    site.told_by_producer = {BOX: seen("running")}
    assert site.told()[BOX].reason == "its pictures do not come through"


def test_where_no_camera_gives_results_only_those_that_are_not_read_are_silent(site: Site) -> None:
    site.told_by_producer = {BOX: seen("running"), "slow": seen("reconnecting", "unplugged")}
    assert site.told().keys() == {"slow"}
    site.told_by_producer["slow"] = seen("running")
    assert site.told() == {}


@pytest.mark.parametrize("missing", ["gpu", "producer"])
def test_a_dead_process_makes_no_camera_silent(site: Site, missing: Role) -> None:
    site.roles = tuple(role for role in site.roles if role != missing)
    site.told_by_producer = {BOX: seen("running"), "slow": seen("running")}
    assert site.told() == {}


def test_while_another_camera_gives_results_somebody_reads_them(site: Site) -> None:
    """By whatever reports nothing here."""
    site.decide(result(1.0, [standing()], camera_id="slow"))
    site.roles = ("gpu",)
    assert site.told().keys() == {BOX}


def test_the_only_camera_is_silent_when_its_pictures_do_not_come_through(site: Site) -> None:
    site.settings = Settings.model_validate({"cameras": [{"id": BOX, "url": URL}]})
    site.told_by_producer = {BOX: seen("running")}
    assert site.told().keys() == {BOX}


RULES = """
[logic]
silent_after_s = 3

[rules.camera_blind]
warning_after_s = 3
critical_after_s = 8
clear_after_s = 1
"""


def test_a_camera_that_falls_silent_raises_one_alert_and_clears_it_when_it_is_back(
    tmp_path: Path, valkey: Valkey, processes: Processes
) -> None:
    stable = Stable(tmp_path, valkey, valkey, processes)
    stable.settings(RULES, camera(BOX, URL))
    store = open_store(f"sqlite:///{tmp_path / 'data' / 'fbtasks.sqlite'}")
    mailboxes = Mailboxes(valkey.client(), KEYS, length=100)
    board = HealthBoard(valkey.client(), KEYS)
    client = Celery(broker=valkey.url)
    numbers = count()

    def picture() -> None:
        one = result(time() - START, [standing()], seq=next(numbers))
        if mailboxes.push({BOX: [encode(one)]})[BOX].wake:
            client.send_task("fbtasks.process_camera", args=[BOX], queue="logic")

    def events() -> list[str]:
        lost = {BOX: CameraReport("reconnecting", time(), None, "unplugged", "", 0)}
        board.write(report_of("producer", now=time(), progress_at=None, cameras=lost))
        board.write(report_of("gpu", now=time(), progress_at=None))
        return [f"{alert.rule} {alert.event} {alert.severity}" for alert in reversed(store.recent_alerts(100))]

    def gives_pictures_until_it_is_cleared() -> bool:
        picture()
        return events()[-1] == "camera_blind cleared critical"

    stable.start("worker")
    picture()
    stable.start("beat")
    wait_until(lambda: events()[-1:] and events()[-1].endswith("critical"), 60, "the silence to be critical")
    wait_until(gives_pictures_until_it_is_cleared, 40, "the alert to be cleared")
    # Where beat takes long to start, the silence is critical when it is first told.
    assert [event.split()[1] for event in events()] in (["raised", "cleared"], ["raised", "escalated", "cleared"])
    raised = store.recent_alerts(100)[-1]
    assert raised.message.startswith("box-3: no pictures from the camera since ")
    assert raised.evidence["reason"] == "reconnecting: unplugged"
    assert len({alert.episode_id for alert in store.recent_alerts(100)}) == 1
    store.close()
