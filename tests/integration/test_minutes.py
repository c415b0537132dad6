"""Minutes and reports of nights in every store, and their way there from a turn."""

from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import date
from itertools import count
from zoneinfo import ZoneInfo

import pytest
from redis import Redis
from sqlalchemy import text

from fbtasks.errors import ConfigError
from fbtasks.keys import Keys
from fbtasks.logic.localtime import span_of
from fbtasks.logic.minutes import WHOLE, Account, Minute, decode_minute, is_minute
from fbtasks.logic.pipeline import Pipeline
from fbtasks.logic.reports import reports, write_last
from fbtasks.logic.state import CameraState
from fbtasks.logic.store import Store, open_store
from fbtasks.logic.store.engine import make_engine
from fbtasks.logic.turn import take_turn
from fbtasks.mailbox import Mailboxes, Outbox
from fbtasks.settings import CameraSettings, LogicSettings, Settings
from fbtasks.transport import connect
from fbtasks.wire import encode
from tests.alerts import first_alert
from tests.integration.databases import database_server, database_url, mariadb, postgres
from tests.results import result, standing
from tests.servers import Valkey

__all__ = ["database_server", "database_url", "mariadb", "postgres"]

BOX = "box-3"
KEYS = Keys()
M0 = 1_700_000_040
NIGHT = date(2026, 11, 21)
SITE = Settings(timezone="Europe/Berlin", cameras=[CameraSettings(id=BOX, url="rtsp://box-3/", horse="Luna")])


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with closing(open_store(database_url)) as opened:
        opened.migrate()
        yield opened


def minute(began_at: int, camera_id: str = BOX, **figures: float) -> Minute:
    own = Account("camera", speed_s=30, distance_bl=3, agitation_s=20, agitation_bl=2, **figures)  # type: ignore[arg-type]
    return Minute(camera_id, began_at, {WHOLE: own, 7: Account("animal", unknown_s=1 / 3, lay_down=2, rose=1)})


def test_minutes_come_back_and_a_repeated_one_changes_nothing(store: Store, database_url: str) -> None:
    first, second = minute(M0, lying_s=60.0), minute(M0 + 60, standing_s=59.5)
    store.record_minutes([second, first, first])
    store.record_minutes([first, minute(M0 + 60, lying_s=1.0), minute(M0, "BOX-3")])
    store.record_minutes([])
    assert store.minutes_between(BOX, M0, M0 + 120) == [first, second]
    assert store.minutes_between(BOX, M0 + 1, M0 + 60.5, WHOLE) == [
        Minute(BOX, M0 + 60, {WHOLE: second.accounts[WHOLE]})
    ]
    assert store.watched_cameras(M0, M0 + 60) == sorted(["BOX-3", BOX])
    engine = make_engine(database_url)
    with engine.begin() as connection:
        query = (
            "SELECT mean_speed_bl_s, agitation_bl_s FROM minutes WHERE camera_id = 'box-3' ORDER BY minute, track_id"
        )
        assert list(connection.execute(text(query)))[:2] == [(0.1, 0.1), (None, None)]
    engine.dispose()


def test_minutes_that_are_too_old_go_piece_by_piece(store: Store) -> None:
    store.record_minutes([minute(M0 + 60 * number) for number in range(20)])
    removed = [store.forget_minutes(M0 + 600.0, 5) for _ in range(6)]
    assert sum(removed) == 20
    assert removed[-1] == 0
    assert max(removed) <= 6, "what began together goes together, nothing more"
    assert [each.began_at for each in store.minutes_between(BOX, 0, 2e9)] == [
        M0 + 60 * number for number in range(10, 20)
    ]


def test_one_minute_of_many_cameras_goes_at_once(store: Store) -> None:
    store.record_minutes([minute(M0, f"box-{number}") for number in range(10)])
    assert store.forget_minutes(M0 + 1.0, 3) == 20
    assert store.forget_minutes(M0 + 1.0, 3) == 0


def fill_nights(store: Store, nights: int) -> None:
    """Nights of ten hours in which Luna lies three, in two bouts; in the last of them twenty minutes in one."""
    for number in range(nights):
        day = date.fromordinal(NIGHT.toordinal() - number)
        begin, end = span_of(day, "20:00-06:00", ZoneInfo("Europe/Berlin"))
        lies = [range(60, 80)] if number == 0 else [range(60, 150), range(300, 390 + 3 * (number % 3))]
        over = []
        for index, at in enumerate(range(int(begin), int(end), 60)):
            down = any(index in bout for bout in lies)
            turned = {
                "lay_down": any(index == bout.start for bout in lies),
                "rose": any(index == bout.stop for bout in lies),
            }
            account = Account("camera", **({"lying_s": 60.0} if down else {"standing_s": 60.0}))  # type: ignore[arg-type]
            account.lay_down, account.rose = int(turned["lay_down"]), int(turned["rose"])
            account.agitation_s, account.agitation_bl = 60.0, 60.0 * (0.6 if number == 0 and index < 25 else 0.1)
            over.append(Minute(BOX, at, {WHOLE: account}))
        store.record_minutes(over)


def test_a_nights_report_is_written_once_and_read_again(store: Store) -> None:
    fill_nights(store, 9)
    begin, end = span_of(NIGHT, "20:00-06:00", ZoneInfo("Europe/Berlin"))
    alert = first_alert(BOX).model_copy(update={"at": begin + 60, "started_at": begin})
    store.record([alert], [], end)
    made = reports(SITE, store, NIGHT)
    assert write_last(SITE, store, end + 1) == [BOX]
    assert write_last(SITE, store, end + 300) == [], "once a night"
    store.forget_minutes(end, 1_000_000)
    assert reports(SITE, store, NIGHT) == made
    [report] = made
    assert report.horse == "Luna"
    assert report.nights_before == 8
    verdicts = {each.field: each.verdict for each in report.comparisons}
    assert verdicts["lying_s"] == "less than usual"
    assert verdicts["restless_min"] == "more than usual"
    assert verdicts["bouts"] == "as usual"
    assert [course.episode_id for course in report.alerts] == [alert.episode_id]
    assert reports(SITE, store, date(2020, 1, 1)) == []
    assert reports(SITE, store, NIGHT, [BOX]) == made
    with pytest.raises(ConfigError, match=rf"camera 'bx-3' is neither .* \(did you mean '{BOX}'\?\)"):
        reports(SITE, store, NIGHT, [BOX, "bx-3"])


class Crash(BaseException):
    """The process dies."""


@pytest.fixture
def redis(valkey: Valkey) -> Iterator[Redis]:
    with connect(valkey.url, timeout_s=2.0) as client:
        yield client


def turn(redis: Redis, dies_at: int | None = None) -> None:
    """One task; it dies with its work done and its commit of that number not yet sent."""
    commits = count()

    def is_over() -> bool:
        if next(commits) == dies_at:
            raise Crash
        return False

    with suppress(Crash):
        take_turn(
            BOX,
            Mailboxes(redis, KEYS, length=10_000),
            lambda _: Pipeline(BOX, LogicSettings(), ()),
            restore=lambda: CameraState(camera_id=BOX),
            bury=lambda _: None,
            chunk=50,
            is_over=is_over,
        )
    redis.delete(KEYS.camera(BOX).owner)


def stored(redis: Redis, store: Store, *, dies: bool = False) -> None:
    """What the task does that moves the outbox; it dies when all is in the store and nothing is removed."""
    outbox = Outbox(redis, KEYS)
    entries = outbox.peek(100)
    store.record_minutes([decode_minute(entry) for _, entry in entries if is_minute(entry)])
    if not dies:
        outbox.remove([identifier for identifier, _ in entries])


def test_each_minute_is_stored_exactly_once_whoever_dies(redis: Redis, store: Store) -> None:
    messages = [result(number * 0.5, [standing()], seq=number) for number in range(600)]
    state, pipeline = CameraState(camera_id=BOX), Pipeline(BOX, LogicSettings(), ())
    for message in messages:
        state, _, _ = pipeline.step(state, message)
    expected = state.ledger.take()
    assert len(expected) == 5

    Mailboxes(redis, KEYS, length=10_000).push({BOX: [encode(message) for message in messages]})
    for dies_at in (0, 3, 2, 1, None):
        turn(redis, dies_at)
        stored(redis, store, dies=True)
    assert len(Outbox(redis, KEYS)) == len(expected)
    stored(redis, store)
    assert len(Outbox(redis, KEYS)) == 0
    found = store.minutes_between(BOX, 0, 2e9)
    assert [(each.began_at, list(each.accounts)) for each in found] == [
        (each.began_at, sorted(each.accounts)) for each in expected
    ]
    for one, other in zip(found, expected, strict=True):
        for holder, account in other.accounts.items():
            assert one.accounts[holder].seconds == account.seconds
            assert one.accounts[holder].distance_bl == account.distance_bl


def test_minutes_leave_the_room_of_alerts(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fbtasks.mailbox.OUTBOX_CAP", 4)
    mailboxes = Mailboxes(redis, KEYS, length=100)
    mailboxes.push({BOX: [b"r"]})
    taken = mailboxes.begin(BOX, 1)
    assert taken is not None
    mailboxes.commit(
        BOX, taken.token, taken.waiting, state=b"s", decisions=[b"d"], alerts=[b"a1"], minutes=[b"m1", b"m2"], count=1
    )
    assert [entry for _, entry in Outbox(redis, KEYS).peek(10)] == [b"a1", b"m1"]
    assert redis.get(KEYS.camera(BOX).latest) == b"d"
