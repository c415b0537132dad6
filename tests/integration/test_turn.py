"""A task's turn with a camera, over a real Redis and with the real pipeline."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
import pytest
from redis import Redis

from fbtasks.alert import Alert
from fbtasks.errors import OwnershipLost, StoreUnavailable
from fbtasks.keys import Keys
from fbtasks.logic.minutes import is_minute
from fbtasks.logic.pipeline import Decision, Pipeline
from fbtasks.logic.rules import load_rules
from fbtasks.logic.state import CameraState
from fbtasks.logic.turn import LONGEST_STEP_S, Done, take_turn
from fbtasks.mailbox import Mailboxes, Outbox
from fbtasks.settings import LogicSettings
from fbtasks.transport import connect
from fbtasks.wire import Result, encode
from tests.results import lying, result, standing
from tests.servers import Valkey

BOX = "box-3"
KEYS = Keys()
RULES = load_rules({"lying": {"info_after_s": 5, "warning_after_s": 20, "critical_after_s": False, "clear_after_s": 2}})

pytestmark = pytest.mark.usefixtures("no_immortal_keys")


class Crash(BaseException):
    """The process dies."""


class Site:
    """One camera's mailbox, and tasks on it."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.mailboxes = Mailboxes(redis, KEYS, length=1000)
        self.buried: list[tuple[str, bytes]] = []
        self._pipeline = Pipeline(BOX, LogicSettings(), RULES)

    def push(self, *results: Result | bytes) -> bool:
        messages = [one if isinstance(one, bytes) else encode(one) for one in results]
        return self.mailboxes.push({BOX: messages})[BOX].wake

    def task(self, *, chunk: int = 16, **changes: Any) -> Done:
        options: dict[str, Any] = {
            "restore": lambda: CameraState(camera_id=BOX),
            "bury": self.buried.extend,
            "is_over": lambda: False,
        }
        return take_turn(BOX, self.mailboxes, lambda _: self._pipeline, chunk=chunk, **{**options, **changes})

    def forget_the_owner(self) -> None:
        """What its expiry does."""
        self.redis.delete(KEYS.camera(BOX).owner)

    def alerts(self) -> list[Alert]:
        entries = [entry for _, entry in Outbox(self.redis, KEYS).peek(1000)]
        return [Alert.model_validate_json(entry) for entry in entries if not is_minute(entry)]

    def state(self) -> CameraState:
        stored = self.redis.get(KEYS.camera(BOX).state)
        assert isinstance(stored, bytes)
        return CameraState.decode(stored)


@pytest.fixture
def site(valkey: Valkey) -> Iterator[Site]:
    with connect(valkey.url, timeout_s=2.0) as redis:
        yield Site(redis)


@pytest.fixture
def decisions(valkey: Valkey) -> Iterator[Callable[[], list[Decision]]]:
    """What was told on the decisions' channel so far."""
    with connect(valkey.url, timeout_s=2.0) as redis, redis.pubsub() as channel:
        channel.subscribe(KEYS.decisions_channel)
        assert channel.get_message(timeout=2.0) is not None
        yield lambda: [
            msgspec.json.decode(message["data"], type=Decision)
            for message in iter(lambda: channel.get_message(timeout=0.2), None)
        ]


def story() -> list[Result]:
    """Half a minute at 5 frames a second: it stands, lies down long enough for two alerts, and gets up again."""
    poses = [standing()] * 25 + [lying()] * 125 + [standing()] * 50
    return [result(number * 0.2, [pose], seq=number) for number, pose in enumerate(poses)]


def test_all_that_waits_is_decided_in_order_and_the_camera_sleeps(
    site: Site, decisions: Callable[[], list[Decision]]
) -> None:
    assert site.push(*story())
    done = site.task()
    assert (done.decisions, done.wake) == (200, False)
    assert [decision.seq for decision in decisions()] == list(range(200))
    assert [(alert.event, alert.severity) for alert in site.alerts()] == [
        ("raised", "info"),
        ("escalated", "warning"),
        ("cleared", "warning"),
    ]
    assert done.alerts == 3
    assert site.mailboxes.waiting() == 0
    assert site.push(result(50.0, []))


def test_nothing_to_do_changes_nothing(site: Site) -> None:
    assert site.task() == Done()
    assert site.redis.dbsize() == 0


def test_results_that_cannot_be_used_are_kept_and_the_others_go_on(
    site: Site, decisions: Callable[[], list[Decision]]
) -> None:
    nan = msgspec.structs.replace(result(0.4, [standing()], seq=2), xyxy=np.array([[0, 0, np.nan, 1]], "<f4").tobytes())
    stranger = msgspec.structs.replace(result(0.6, [standing()], seq=3), camera_id="box-4")
    later = msgspec.msgpack.encode(msgspec.structs.asdict(result(0.8, [])) | {"v": 2})
    good = [result(at, [standing()], seq=seq) for at, seq in ((0.2, 1), (1.0, 5))]
    site.push(good[0], nan, stranger, later, b"\xc1", good[1])
    assert site.task().decisions == 2
    assert [decision.seq for decision in decisions()] == [1, 5]
    assert [message for _, message in site.buried] == [encode(nan), encode(stranger), later, b"\xc1"]
    for (reason, _), said in zip(
        site.buried, ("not finite", "a message of camera box-4", "version 2", ""), strict=True
    ):
        assert said in reason


def test_a_result_that_comes_late_or_twice_is_counted_and_decided_once(
    site: Site, decisions: Callable[[], list[Decision]]
) -> None:
    first, second = result(1.0, [], seq=1), result(2.0, [], seq=2)
    site.push(first, second, first, second)
    site.task()
    assert [decision.seq for decision in decisions()] == [1, 2]
    assert site.state().late == 2


@pytest.mark.parametrize("commits", range(5))
def test_a_crash_between_begin_and_commit_loses_and_doubles_nothing(
    site: Site, decisions: Callable[[], list[Decision]], commits: int
) -> None:
    """The task dies with its work done and the commit not yet sent, after some commits that went through."""
    asked = iter(range(100))

    def dies() -> bool:
        if next(asked) == commits:
            raise Crash
        return False

    site.push(*story())
    with pytest.raises(Crash):
        site.task(chunk=40, is_over=dies)
    assert site.task() == Done(), "the camera is the dead task's until its mark expires"
    site.forget_the_owner()
    assert site.mailboxes.wake_forgotten() == [BOX]
    site.task()
    assert [decision.seq for decision in decisions()] == list(range(200))
    assert [alert.number for alert in site.alerts()] == [0, 1, 2]
    assert len({alert.episode_id for alert in site.alerts()}) == 1


def test_a_task_whose_camera_was_taken_over_drops_its_work(site: Site, decisions: Callable[[], list[Decision]]) -> None:
    site.push(*story())

    def stalls() -> bool:
        """So long that its mark expires and another task does all the work meanwhile."""
        site.forget_the_owner()
        assert site.task().decisions == 200
        return False

    with pytest.raises(OwnershipLost):
        site.task(is_over=stalls)
    assert [decision.seq for decision in decisions()] == list(range(200))
    assert len(site.alerts()) == 3


def test_a_task_whose_time_is_over_hands_the_rest_on(site: Site) -> None:
    site.push(*story())
    assert site.task(chunk=50, is_over=lambda: True) == Done(decisions=50, alerts=0, wake=True)
    assert not site.push(result(40.0, [])), "the task that is to be sent will find it"
    assert site.task().decisions == 151


def test_results_that_take_long_are_committed_before_the_camera_is_lost(
    site: Site, decisions: Callable[[], list[Decision]]
) -> None:
    site.push(*(result(0.2 * number, [standing()], seq=number) for number in range(6)))
    counted = itertools.count()
    commits: list[int] = []
    # Every look at the clock is two thirds of the time that one step may take.
    done = site.task(
        clock=lambda: next(counted) * LONGEST_STEP_S * 2 / 3,
        decided=lambda made, _alerts: commits.append(len(made)),
    )
    assert commits == [2, 2, 2]
    assert done.decisions == 6
    assert [decision.seq for decision in decisions()] == list(range(6))


def test_two_tasks_at_once_decide_each_result_once_and_in_order(
    site: Site, decisions: Callable[[], list[Decision]]
) -> None:
    """A task is sent as often as a push asks for it and once more each time, as when the broker delivers twice."""
    results = story()
    with ThreadPoolExecutor(4) as workers:
        running = []
        for start in range(0, len(results), 4):
            site.push(*results[start : start + 4])
            running += [workers.submit(site.task, chunk=3) for _ in range(2)]
        done = [one.result(20) for one in running]
    assert sum(one.decisions for one in done) == len(results)
    assert [decision.seq for decision in decisions()] == list(range(len(results)))
    assert len(site.alerts()) == 3
    assert site.mailboxes.waiting() == 0


def test_without_a_state_it_goes_on_from_what_the_store_remembers(site: Site) -> None:
    site.push(result(0.0, []))
    site.task(restore=lambda: CameraState(camera_id=BOX, late=41))
    assert site.state().late == 41


def test_a_state_of_another_build_is_replaced(site: Site) -> None:
    site.redis.set(KEYS.camera(BOX).state, msgspec.msgpack.encode({"v": 99}), ex=60)
    site.push(result(0.0, []))
    site.task(restore=lambda: CameraState(camera_id=BOX, late=41))
    assert site.state().late == 41


def test_while_the_store_is_away_a_camera_without_state_waits(site: Site) -> None:
    def away() -> CameraState:
        raise StoreUnavailable("the database is away")

    site.push(result(0.0, [], seq=1))
    with pytest.raises(StoreUnavailable):
        site.task(restore=away)
    assert site.mailboxes.waiting() == 1
    site.forget_the_owner()
    assert site.task().decisions == 1
