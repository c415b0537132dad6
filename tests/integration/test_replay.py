"""What was decided live is recorded as it was decided, and replays to the same alerts."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from fbtasks.alert import Alert
from fbtasks.errors import OwnershipLost
from fbtasks.health import HealthBoard
from fbtasks.keys import Keys
from fbtasks.logic.minutes import is_minute
from fbtasks.logic.pipeline import Pipeline
from fbtasks.logic.recorder import Recorder, find_recordings
from fbtasks.logic.replay import run
from fbtasks.logic.rules import load_rules
from fbtasks.logic.state import CameraState
from fbtasks.logic.store import open_store
from fbtasks.logic.turn import take_turn
from fbtasks.mailbox import Mailboxes, Outbox
from fbtasks.settings import LogicSettings
from fbtasks.transport import connect
from fbtasks.wire import encode
from tests.acceptance.stable import Stable
from tests.alerts import as_decided
from tests.conftest import ValkeyFactory
from tests.processes import Processes
from tests.results import lying, result, silence, standing
from tests.servers import Valkey
from tests.waiting import wait_until

BOX = "box-3"
CAMERAS = [f"box-{number}" for number in range(4)]
KEYS = Keys()
LEVELS = {"info_after_s": 5, "warning_after_s": 20, "critical_after_s": False, "clear_after_s": 2}
RULES = load_rules({"lying": LEVELS, "camera_blind": {"warning_after_s": 8, "critical_after_s": 12}})
SETTINGS = """
[recording]
folder = "{folder}"

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


class Crash(BaseException):
    """The process dies."""


class Site:
    """One camera, its tasks and its recording."""

    def __init__(self, redis: Redis, folder: Path) -> None:
        self.redis = redis
        self.folder = folder
        self.mailboxes = Mailboxes(redis, KEYS, length=1000)
        self.pipeline = Pipeline(BOX, LogicSettings(), RULES)

    def push(self, *messages: bytes) -> None:
        self.mailboxes.push({BOX: list(messages)})

    def task(self, **changes: Any) -> None:
        """In a process of its own, as far as the recording can tell."""
        options: dict[str, Any] = {
            "restore": lambda: CameraState(camera_id=BOX),
            "bury": lambda _: None,
            "is_over": lambda: False,
            "record": lambda until, messages: Recorder(self.folder).record(BOX, until, messages),
        }
        take_turn(BOX, self.mailboxes, lambda _: self.pipeline, chunk=7, **{**options, **changes})

    def told(self) -> list[Alert]:
        entries = [entry for _, entry in Outbox(self.redis, KEYS).peek(1000)]
        return [Alert.model_validate_json(entry) for entry in entries if not is_minute(entry)]

    def replayed(self) -> list[Alert]:
        [recording] = find_recordings([self.folder])
        return run(BOX, recording.messages(), self.pipeline).alerts


@pytest.fixture
def site(valkey: Valkey, tmp_path: Path) -> Iterator[Site]:
    with connect(valkey.url, timeout_s=2.0) as redis:
        yield Site(redis, tmp_path / "recorded")


def story() -> list[bytes]:
    """It stands, lies, is silent for 20 seconds, lies on and gets up; one result comes late and one is no result."""
    poses = [standing()] * 25 + [lying()] * 125 + [standing()] * 50
    seen = [encode(result(number * 0.2, [pose], seq=number)) for number, pose in enumerate(poses)]
    before, after = (
        seen[:100],
        [encode(result(45 + number * 0.2, [pose], seq=100 + number)) for number, pose in enumerate(poses[100:])],
    )
    quiet = [encode(silence(at, 19.8, reason="no answer")) for at in (30.0, 35.0, 39.0)]
    return [*before, seen[50], b"\xc1", *quiet, *after]


def test_a_recording_replays_to_the_alerts_that_were_raised(site: Site) -> None:
    messages = story()
    for start in range(0, len(messages), 11):
        site.push(*messages[start : start + 11])
        site.task()
    told = site.told()
    assert {alert.rule for alert in told} == {"lying", "camera_blind"}
    assert site.replayed() == told
    [recording] = find_recordings([site.folder])
    assert list(recording.messages()) == [message for message in messages if message != b"\xc1"]


def test_work_that_was_not_committed_is_not_recorded(site: Site) -> None:
    """One task dies before its third commit, another stalls until a third one has done its work."""
    messages = story()
    asked = iter(range(100))

    def dies() -> bool:
        if next(asked) == 2:
            raise Crash
        return False

    site.push(*messages[:60])
    with pytest.raises(Crash):
        site.task(is_over=dies)
    site.redis.delete(KEYS.camera(BOX).owner)
    site.push(*messages[60:])

    def stalls() -> bool:
        site.redis.delete(KEYS.camera(BOX).owner)
        site.task()
        return False

    with pytest.raises(OwnershipLost):
        site.task(is_over=stalls)
    [recording] = find_recordings([site.folder])
    assert list(recording.messages()) == [message for message in messages if message != b"\xc1"]
    assert site.replayed() == site.told()


def course(camera_id: str) -> list[bytes]:
    """40 seconds: it stands, lies, and stands again."""
    poses = [standing()] * 50 + [lying()] * 100 + [standing()] * 50
    return [encode(result(n * 0.2, [pose], seq=n, camera_id=camera_id)) for n, pose in enumerate(poses)]


def push_all(server: Valkey, redis: Redis) -> Mailboxes:
    """All courses in small pieces, a task sent for each camera that asks for one."""
    mailboxes, client = Mailboxes(redis, KEYS, length=10_000), Celery(broker=server.url)
    courses = {camera_id: course(camera_id) for camera_id in CAMERAS}
    for start in range(0, 200, 5):
        pushed = mailboxes.push({camera_id: each[start : start + 5] for camera_id, each in courses.items()})
        for camera_id, told in pushed.items():
            if told.wake:
                client.send_task("fbtasks.process_camera", args=[camera_id], queue="logic")
    return mailboxes


def all_stored(stable: Stable, mailboxes: Mailboxes, redis: Redis) -> list[Alert]:
    store = open_store(f"sqlite:///{stable.folder / 'data' / 'fbtasks.sqlite'}")
    try:
        wait_until(lambda: mailboxes.waiting() == 0 and len(Outbox(redis, KEYS)) == 0, 60, "all to be stored")
        return [as_decided(alert) for alert in store.recent_alerts(1000) if alert.camera_id in CAMERAS]
    finally:
        store.close()


def by_id(alerts: list[Alert]) -> list[Alert]:
    return sorted(alerts, key=lambda alert: alert.id)


def test_two_processes_record_and_the_command_replays(
    tmp_path: Path, valkey_factory: ValkeyFactory, processes: Processes
) -> None:
    server = valkey_factory()
    stable = Stable(tmp_path, server, server, processes)
    stable.settings(SETTINGS.format(folder=tmp_path / "recorded"))
    stable.start("worker")
    with server.client() as redis:
        mailboxes = push_all(server, redis)
        stable.start("beat")
        stored = all_stored(stable, mailboxes, redis)
    lies = [alert for alert in stored if alert.rule == "lying"]
    assert len(lies) == 3 * len(CAMERAS)

    told = stable.run("fbtasks", "replay", "--json", str(tmp_path / "out.json"), "--picture", str(tmp_path / "out.svg"))
    assert told.exit_code == 0, told.output()
    assert "lying" in told.output()
    again = [Alert.model_validate(alert) for alert in json.loads((tmp_path / "out.json").read_text())["alerts"]]
    assert by_id([alert for alert in again if alert.rule == "lying"]) == by_id(lies)
    assert all(f">{camera_id}</text>" in (tmp_path / "out.svg").read_text() for camera_id in CAMERAS)

    (tmp_path / "later.toml").write_text(SETTINGS.format(folder="").replace("info_after_s = 5", "info_after_s = 8"))
    told = stable.run("fbtasks", "replay", str(tmp_path / "recorded"), "--against", str(tmp_path / "later.toml"))
    assert told.output().count("raised 3.0 s later") == len(CAMERAS), told.output()
    told = stable.run("fbtasks", "replay", "--camera", "box-9")
    assert told.exit_code == 1
    assert "there is no recording of box-9" in told.output()


def test_a_folder_that_cannot_be_written_disturbs_no_alert(
    tmp_path: Path, valkey_factory: ValkeyFactory, processes: Processes
) -> None:
    server = valkey_factory()
    stable = Stable(tmp_path, server, server, processes)
    (tmp_path / "recorded").write_text("in the way")
    stable.settings(SETTINGS.format(folder=tmp_path / "recorded"))
    worker = stable.start("worker")
    with server.client() as redis:
        mailboxes = push_all(server, redis)
        stable.start("beat")
        stored = all_stored(stable, mailboxes, redis)
        counts: dict[str, int] = defaultdict(int)

        def failures() -> int:
            for report in HealthBoard(redis, KEYS).read():
                counts["most"] = max(counts["most"], report.counters.get("recordings_failed", 0))
            return counts["most"]

        wait_until(failures, 20, "the failures to be counted")
    assert len([alert for alert in stored if alert.rule == "lying"]) == 3 * len(CAMERAS)
    assert 1 <= worker.output().count("were not recorded in") <= 2, "once for each process"
