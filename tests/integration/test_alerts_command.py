"""`fbtasks alerts` beside a real Celery worker and a real backend."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from time import time

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from fbtasks.alert import Alert, alert_id, episode_id
from fbtasks.cli import cli
from fbtasks.errors import RequestRefused
from fbtasks.logic.attention import Mute
from fbtasks.logic.desk import Desk
from fbtasks.logic.nightly import text
from fbtasks.logic.reports import report_of
from fbtasks.logic.sinks.route import Route
from fbtasks.logic.store import Store, open_store
from fbtasks.settings import load_settings
from tests.acceptance.stable import Stable, camera
from tests.backend import Backend
from tests.conftest import ValkeyFactory
from tests.processes import Processes
from tests.waiting import wait_until

CAMERAS = [camera(f"box-{number}", "rtsp://127.0.0.1:1/none") for number in range(1, 5)]


def raised(camera_id: str, at: float | None = None) -> Alert:
    at = time() if at is None else at
    episode = episode_id(camera_id, "lying", 1, at)
    return Alert(
        id=alert_id(episode, 0),
        episode_id=episode,
        number=0,
        event="raised",
        camera_id=camera_id,
        rule="lying",
        severity="warning",
        track_id=1,
        started_at=at,
        at=at,
        message=f"Horse in {camera_id} has been lying for 2 hours",
        evidence={"held_s": 7200.0, "lying_probability": 0.97, "set_warning_after_s": 7200.0},
        picture="2026-11-22/box.jpg",
    )


def alerts(*argv: str) -> Result:
    done = CliRunner().invoke(cli, ["alerts", *argv])
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return done


class Site:
    """A stable of four boxes with a worker, beat, and the backend that alerts go to."""

    def __init__(self, stable: Stable, redis: Redis, backend: Backend) -> None:
        self.stable = stable
        self.redis = redis
        self.backend = backend

    def happens(self, alert: Alert) -> Alert:
        self.redis.xadd("alerts:outbox", {"d": alert.model_dump_json()})
        return alert

    def told(self) -> list[str]:
        return [f"{one.json['camera_id']} {one.json['event']}" for one in list(self.backend.requests)]

    def await_told(self, *told: str) -> None:
        wait_until(lambda: set(told) <= set(self.told()), 60, f"the backend to be told {told}; so far {self.told()}")


@pytest.fixture
def site(
    tmp_path: Path,
    valkey_factory: ValkeyFactory,
    processes: Processes,
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    server = valkey_factory()
    stable = Stable(tmp_path, server, server, processes)
    sink = f'[sinks.backend]\nkind = "webhook"\nurl = "{backend.url}"'
    stable.settings('timezone = "Europe/Berlin"', sink, "[storm]\nper_minute = 4", *CAMERAS)
    for name, value in stable.env.items():
        monkeypatch.setenv(name, value)
    with server.client() as redis:
        yield Site(stable, redis, backend)


def test_a_night_at_the_desk(site: Site, processes: Processes) -> None:
    alerts("mute", "box-2", "30", "--by", "Anna")
    site.stable.start("worker")
    site.stable.start("beat")
    one, two = site.happens(raised("box-1")), site.happens(raised("box-2"))
    site.await_told("box-1 raised")

    listed = alerts("list").output.splitlines()
    assert [line.split()[0] for line in listed] == [str(each.episode_id)[:8] for each in (two, one)]
    assert "muted" in listed[0]
    assert "open" in listed[1]
    assert "lying alerts" not in alerts("mutes").output
    assert "alerts of box-2 until" in alerts("mutes").output

    short = str(one.episode_id)[:6]
    assert "Acknowledged: Horse in box-1" in alerts("ack", short, "--by", "Ben", "--note", "on my way").output
    assert "before, by Ben" in alerts("ack", short, "--by", "Anna").output
    site.await_told("box-1 acknowledged")

    shown = alerts("show", short).output
    for words in ("by Ben: on my way", "lying_probability: 0.97", "set_warning_after_s: 7200", "backend: delivered"):
        assert words in shown
    told = json.loads(alerts("show", short, "--json").output)
    assert [view["alert"]["event"] for view in told["alerts"]] == ["raised", "acknowledged"]

    alerts("unmute", "box-2")
    site.await_told("box-2 raised")
    assert alerts("mutes").output == "Nothing is muted.\n"

    follower = processes.start("fbtasks", "alerts", "tail", "--last", "1", env=site.stable.env)
    wait_until(lambda: "Horse in box" in follower.output(), 60, "the last alert to be told")
    site.backend.answer_with([400])
    site.happens(raised("box-3"))
    wait_until(lambda: "ALERT (warning)  Horse in box-3" in follower.output(), 60, "the new alert to be told")

    wait_until(lambda: "the backend answered 400" in alerts("retry").output, 60, "the delivery to be given up")
    assert alerts("retry", "--all").output == "1 delivery is tried again within seconds.\n"
    wait_until(lambda: site.told().count("box-3 raised") == 2, 60, "the alert to be sent again")
    assert sorted(set(site.told())) == sorted([*site.told()[:3], "box-3 raised"]), "nothing else was sent"
    assert site.told().count("box-1 acknowledged") == site.told().count("box-2 raised") == 1

    for number in range(8):
        site.happens(raised("box-4", time() + number))
    site.await_told("_system raised")
    (storm,) = [one.json for one in site.backend.requests if one.json["rule"] == "storm"]
    assert re.match(r"[4-8] more alerts in the last minute: lying \(box-4\)\. They", storm["message"])
    assert "waits for room" in alerts("list", "--camera", "box-4").output


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    (tmp_path / "fbtasks.toml").write_text("\n".join(['timezone = "Europe/Berlin"', *CAMERAS]))
    monkeypatch.setenv("FBTASKS_CONFIG", str(tmp_path / "fbtasks.toml"))
    monkeypatch.setenv("FBTASKS_DATA_DIR", str(tmp_path))
    with closing(open_store(f"sqlite:///{tmp_path / 'fbtasks.sqlite'}")) as opened:
        opened.migrate()
        yield opened


def test_what_cannot_be_done_says_what_can(store: Store) -> None:
    desk = Desk(load_settings(), store, clock=lambda: 1000.0)
    episodes = [raised("box-1", float(number)) for number in range(40)]
    store.record(episodes, [Route("pubsub")], 1000.0)
    over = episodes[0].model_copy(update={"id": "end", "number": 1, "event": "cleared"})
    store.record([over], [Route("pubsub")], 1000.0)
    with pytest.raises(RequestRefused, match="did you mean 'box-1'"):
        desk.mute("bocs-1", None, 30, "Anna")
    with pytest.raises(RequestRefused, match="did you mean 'lying'"):
        desk.mute("box-1", "lyng", 30, "Anna")
    for minutes in (0, -1, 100_000, float("nan")):
        with pytest.raises(RequestRefused, match="1 to 10080 minutes"):
            desk.mute("box-1", None, minutes, "Anna")
    with pytest.raises(RequestRefused, match="the name is empty"):
        desk.acknowledge(str(episodes[1].episode_id), " ")
    with pytest.raises(RequestRefused, match="600 characters, 500 at most"):
        desk.acknowledge(str(episodes[1].episode_id), "Anna", "x" * 600)
    with pytest.raises(RequestRefused, match="is over by itself"):
        desk.acknowledge(str(over.episode_id), "Anna")
    with pytest.raises(RequestRefused, match="no alert begins with 'zzz'"):
        desk.show("zzz")
    # Of 40 identifiers several begin with the same of 16 digits.
    ((shared, _),) = Counter(str(one.episode_id)[0] for one in episodes).most_common(1)
    with pytest.raises(RequestRefused, match=f"several alerts begin with '{shared}'"):
        desk.show(shared)
    assert desk.find(f"{over.episode_id}:1") == str(over.episode_id)


def test_times_are_the_stables_and_lists_can_be_narrowed(store: Store) -> None:
    assert alerts("list").output == "No alert is open, and there was none in that time.\n"
    at = 1_700_000_000.0  # 2023-11-14 23:13:20 in Berlin
    ended = raised("box-2", at)
    end = ended.model_copy(update={"id": "end", "number": 1, "event": "cleared", "at": at + 60})
    store.record([raised("box-1", at), ended, end], [Route("pubsub")], at)
    assert "14 Nov 23:13:20  open  warning  box-1  lying  Horse in box-1" in alerts("list").output
    assert "box-2" not in alerts("list").output
    assert "box-2" in alerts("list", "--all").output
    assert "box-2" in alerts("list", "--since", "2023-11-14 23:14").output
    assert "box-2" not in alerts("list", "--since", "2023-11-14 23:15").output
    assert alerts("list", "--severity", "critical").output.startswith("No alert is open")
    found = json.loads(alerts("list", "--camera", "box-1", "--rule", "lying", "--json").output)
    assert [(one["camera_id"], one["state"]) for one in found] == [("box-1", "open")]


def test_a_nights_report_says_what_was_muted(store: Store) -> None:
    at = 1_700_000_000.0  # 2023-11-14 23:13:20 in Berlin
    store.mute(Mute(0, "box-1", None, at - 1, at + 60, even_critical=False, by="Anna"))
    store.record([raised("box-1", at)], [Route("pubsub")], at)
    lines = text(report_of(load_settings(), store, "box-1", date(2023, 11, 14)), None).splitlines()
    assert [line.endswith("Horse in box-1 has been lying for 2 hours  (muted)") for line in lines].count(True) == 1
    store.acknowledge(str(raised("box-1", at).episode_id), [Route("pubsub")], at + 40, by="Anna", note=None)
    (course,) = report_of(load_settings(), store, "box-1", date(2023, 11, 14)).alerts
    assert course.told


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["mute", "box-1"], "write a camera and minutes"),
        (["mute", "box-1", "soon"], "'soon' is no number of minutes"),
        (["unmute"], "write a camera, or --all"),
        (["unmute", "box-1", "--all"], "write a camera, or --all"),
        (["retry", "abc", "--all"], "write an ID, or --all"),
        (["list", "--since", "yesterday"], "is no time: write 90m"),
    ],
)
@pytest.mark.usefixtures("store")
def test_wrong_words_are_refused(argv: list[str], said: str) -> None:
    done = CliRunner().invoke(cli, ["alerts", *argv])
    assert done.exit_code == 2
    assert said in done.output
