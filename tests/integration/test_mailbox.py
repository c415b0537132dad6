"""The promise of the mailboxes, on a real server: one task at a time, each result exactly once, no wake-up lost."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from fbtasks import mailbox
from fbtasks.errors import OutboxFull, OwnershipLost
from fbtasks.keys import LATEST_TTL_S, Keys
from fbtasks.mailbox import Committed, Delivered, Mailboxes, Outbox, Standing, Turn, Waiting
from tests.servers import Valkey

KEYS = Keys()
BOX = "box-3"
LENGTH = 5

Held = tuple[Turn | Committed, Waiting]


@pytest.fixture
def redis(valkey: Valkey) -> Iterator[Redis]:
    with valkey.client() as client:
        yield client


@pytest.fixture
def mailboxes(redis: Redis) -> Mailboxes:
    return Mailboxes(redis, KEYS, length=LENGTH)


def begun(mailboxes: Mailboxes, count: int = 10) -> Turn:
    turn = mailboxes.begin(BOX, count)
    assert turn is not None
    return turn


def commit(
    mailboxes: Mailboxes,
    token: str,
    done: Waiting,
    *,
    state: bytes = b"state",
    decisions: tuple[bytes, ...] = (),
    alerts: tuple[bytes, ...] = (),
    count: int = 10,
) -> Committed:
    return mailboxes.commit(BOX, token, done, state=state, decisions=decisions, alerts=alerts, count=count)


def expire(redis: Redis, key: str) -> None:
    """Let the time pass that the key has left."""
    assert redis.ttl(key) > 0  # type: ignore[operator]  # redis-py's types fit its async client too
    redis.pexpire(key, 0)


@pytest.mark.usefixtures("no_immortal_keys")
class TestPush:
    def test_a_sleeping_camera_is_woken_once(self, mailboxes: Mailboxes) -> None:
        assert mailboxes.push({BOX: [b"1", b"2"], "box-4": [b"3"]}) == {
            BOX: Delivered(wake=True, dropped=0),
            "box-4": Delivered(wake=True, dropped=0),
        }
        assert mailboxes.push({BOX: [b"4"]}) == {BOX: Delivered(wake=False, dropped=0)}

    def test_the_oldest_results_are_cut_and_told(self, mailboxes: Mailboxes) -> None:
        mailboxes.push({BOX: [b"1", b"2", b"3"]})
        assert mailboxes.push({BOX: [b"4", b"5", b"6", b"7"]})[BOX].dropped == 2
        assert begun(mailboxes).waiting.messages == [b"3", b"4", b"5", b"6", b"7"]

    def test_a_running_camera_is_not_woken(self, mailboxes: Mailboxes) -> None:
        mailboxes.push({BOX: [b"1"]})
        begun(mailboxes)
        assert not mailboxes.push({BOX: [b"2"]})[BOX].wake

    def test_when_the_task_was_lost_a_later_push_wakes_again(self, mailboxes: Mailboxes, redis: Redis) -> None:
        mailboxes.push({BOX: [b"1"]})
        expire(redis, KEYS.camera(BOX).owner)
        assert mailboxes.push({BOX: [b"2"]})[BOX].wake


@pytest.mark.usefixtures("no_immortal_keys")
class TestPushIfEmpty:
    def test_it_wakes_a_camera_in_whose_mailbox_nothing_waits(self, mailboxes: Mailboxes) -> None:
        assert mailboxes.push_if_empty({BOX: b"quiet", "box-4": b"quiet too"}) == [BOX, "box-4"]
        assert begun(mailboxes).waiting.messages == [b"quiet"]

    def test_it_never_piles_up(self, mailboxes: Mailboxes) -> None:
        for _ in range(100):
            mailboxes.push_if_empty({BOX: b"quiet"})
        assert mailboxes.waiting() == 1

    def test_a_camera_with_results_is_left_alone(self, mailboxes: Mailboxes) -> None:
        mailboxes.push({BOX: [b"1"]})
        assert mailboxes.push_if_empty({BOX: b"quiet"}) == []
        turn = begun(mailboxes)
        assert mailboxes.push_if_empty({BOX: b"quiet"}) == []
        assert turn.waiting.messages == [b"1"]
        assert commit(mailboxes, turn.token, turn.waiting).waiting is None

    def test_a_camera_that_a_task_was_sent_for_is_not_woken_again(self, mailboxes: Mailboxes, redis: Redis) -> None:
        redis.set(KEYS.camera(BOX).owner, "queued", ex=5)
        assert mailboxes.push_if_empty({BOX: b"quiet"}) == []
        assert begun(mailboxes).waiting.messages == [b"quiet"]


@pytest.mark.usefixtures("no_immortal_keys")
class TestStandings:
    def test_they_tell_what_waits_how_old_the_last_decision_is_and_the_state(
        self, mailboxes: Mailboxes, redis: Redis
    ) -> None:
        assert mailboxes.standings([BOX]) == {BOX: Standing(0, None, None)}
        mailboxes.push({BOX: [b"1"]})
        turn = begun(mailboxes)
        commit(mailboxes, turn.token, turn.waiting, state=b"s", decisions=(b"d",))
        redis.expire(KEYS.camera(BOX).latest, LATEST_TTL_S - 40)
        mailboxes.push({BOX: [b"2", b"3"]})
        standing = mailboxes.standings([BOX])[BOX]
        assert (standing.waiting, standing.state) == (2, b"s")
        assert standing.decided_s == pytest.approx(40, abs=5)


@pytest.mark.usefixtures("no_immortal_keys")
class TestBegin:
    def test_it_gives_the_first_results_in_order_and_no_state_at_first(self, mailboxes: Mailboxes) -> None:
        mailboxes.push({BOX: [b"1", b"2", b"3"]})
        turn = begun(mailboxes, 2)
        assert (turn.state, turn.waiting.messages) == (None, [b"1", b"2"])

    def test_a_camera_that_is_running_is_refused(self, mailboxes: Mailboxes) -> None:
        mailboxes.push({BOX: [b"1"]})
        begun(mailboxes)
        assert mailboxes.begin(BOX, 10) is None

    def test_a_camera_without_results_is_refused_and_sleeps(self, mailboxes: Mailboxes, redis: Redis) -> None:
        redis.set(KEYS.camera(BOX).owner, "queued", ex=5)
        assert mailboxes.begin(BOX, 10) is None
        assert mailboxes.push({BOX: [b"1"]})[BOX].wake

    def test_a_camera_whose_task_died_is_taken_over_once_its_token_expired(
        self, mailboxes: Mailboxes, redis: Redis
    ) -> None:
        mailboxes.push({BOX: [b"1"]})
        dead = begun(mailboxes)
        expire(redis, KEYS.camera(BOX).owner)
        heir = begun(mailboxes)
        assert heir.waiting == dead.waiting
        with pytest.raises(OwnershipLost):
            commit(mailboxes, dead.token, dead.waiting)
        assert commit(mailboxes, heir.token, heir.waiting).waiting is None

    def test_a_call_that_a_broken_connection_repeats_is_answered_again(
        self, mailboxes: Mailboxes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mailboxes.push({BOX: [b"1"]})
        token = uuid4()
        monkeypatch.setattr(mailbox, "uuid4", lambda: token)
        first = begun(mailboxes)
        assert begun(mailboxes) == first


@pytest.mark.usefixtures("no_immortal_keys")
class TestCommit:
    def test_all_is_written_and_the_camera_sleeps(self, mailboxes: Mailboxes, redis: Redis) -> None:
        mailboxes.push({BOX: [b"1", b"2"]})
        turn = begun(mailboxes)
        with redis.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe(KEYS.decisions_channel)
            channel.get_message(timeout=1.0)
            done = commit(
                mailboxes, turn.token, turn.waiting, state=b"s1", decisions=(b"d1", b"d2"), alerts=(b"a1", b"a2")
            )
            told = [message["data"] for message in iter(lambda: channel.get_message(timeout=1.0), None)][:2]
        assert (done.waiting, done.wake, told) == (None, False, [b"d1", b"d2"])
        assert redis.get(KEYS.camera(BOX).latest) == b"d2"
        assert [alert for _, alert in Outbox(redis, KEYS).peek(10)] == [b"a1", b"a2"]
        assert mailboxes.waiting() == 0
        assert mailboxes.push({BOX: [b"3"]})[BOX].wake
        assert begun(mailboxes).state == b"s1"

    def test_what_came_meanwhile_follows_under_a_new_token(self, mailboxes: Mailboxes) -> None:
        mailboxes.push({BOX: [b"1"]})
        turn = begun(mailboxes)
        mailboxes.push({BOX: [b"2", b"3"]})
        more = commit(mailboxes, turn.token, turn.waiting, count=1)
        assert more.waiting is not None
        assert more.waiting.messages == [b"2"]
        with pytest.raises(OwnershipLost):
            commit(mailboxes, turn.token, more.waiting)
        last = commit(mailboxes, more.token, more.waiting)
        assert last.waiting is not None
        assert last.waiting.messages == [b"3"]

    def test_a_task_that_stops_early_hands_over(self, mailboxes: Mailboxes) -> None:
        mailboxes.push({BOX: [b"1"]})
        turn = begun(mailboxes)
        mailboxes.push({BOX: [b"2"]})
        done = commit(mailboxes, turn.token, turn.waiting, count=0)
        assert (done.waiting, done.wake) == (None, True)
        assert not mailboxes.push({BOX: [b"3"]})[BOX].wake, "one task is on its way already"
        assert begun(mailboxes).waiting.messages == [b"2", b"3"]

    def test_a_lost_token_writes_nothing(self, mailboxes: Mailboxes, redis: Redis) -> None:
        mailboxes.push({BOX: [b"1"]})
        turn = begun(mailboxes)
        redis.set(KEYS.camera(BOX).owner, "another", ex=10)
        before = snapshot(redis)
        with pytest.raises(OwnershipLost, match=BOX):
            commit(mailboxes, turn.token, turn.waiting, decisions=(b"d",), alerts=(b"a",))
        assert snapshot(redis) == before

    def test_only_what_was_seen_is_removed_when_the_cap_cut_meanwhile(self, mailboxes: Mailboxes) -> None:
        mailboxes.push({BOX: [b"1", b"2", b"3"]})
        turn = begun(mailboxes, 2)
        assert mailboxes.push({BOX: [b"4", b"5", b"6"]})[BOX].dropped == 1
        more = commit(mailboxes, turn.token, turn.waiting)
        assert more.waiting is not None
        assert more.waiting.messages == [b"3", b"4", b"5", b"6"]

    def test_when_the_cap_cut_more_than_was_seen_the_rest_stays(self, mailboxes: Mailboxes) -> None:
        mailboxes.push({BOX: [b"1", b"2"]})
        turn = begun(mailboxes, 1)
        mailboxes.push({BOX: [b"3", b"4", b"5", b"6", b"7"]})
        more = commit(mailboxes, turn.token, turn.waiting)
        assert more.waiting is not None
        assert more.waiting.messages == [b"3", b"4", b"5", b"6", b"7"]

    def test_a_full_outbox_writes_nothing_and_lets_the_camera_go(
        self, mailboxes: Mailboxes, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mailbox, "OUTBOX_CAP", 2)
        mailboxes.push({BOX: [b"1"]})
        turn = begun(mailboxes)
        more = commit(mailboxes, turn.token, turn.waiting, alerts=(b"a1",))
        assert more.waiting is None
        mailboxes.push({BOX: [b"2"]})
        turn = begun(mailboxes)
        before = snapshot(redis)
        with pytest.raises(OutboxFull):
            commit(mailboxes, turn.token, turn.waiting, state=b"s2", decisions=(b"d",), alerts=(b"a2", b"a3"))
        before.pop(KEYS.camera(BOX).owner.encode())
        assert snapshot(redis) == before
        assert mailboxes.wake_forgotten() == [BOX]
        again = begun(mailboxes)
        assert again.waiting.messages == [b"2"]
        assert commit(mailboxes, again.token, again.waiting, alerts=(b"a2",)).waiting is None
        assert [alert for _, alert in Outbox(redis, KEYS).peek(10)] == [b"a1", b"a2"]


@pytest.mark.usefixtures("no_immortal_keys")
class TestSweep:
    def test_only_forgotten_cameras_are_woken_and_only_once(self, mailboxes: Mailboxes, redis: Redis) -> None:
        mailboxes.push({"forgotten": [b"1"], "queued": [b"2"], "running": [b"3"]})
        expire(redis, KEYS.camera("forgotten").owner)
        assert mailboxes.begin("running", 10) is not None
        assert mailboxes.wake_forgotten() == ["forgotten"]
        assert mailboxes.wake_forgotten() == []

    def test_cameras_without_results_sleep_on(self, mailboxes: Mailboxes, redis: Redis) -> None:
        mailboxes.push({BOX: [b"1"]})
        turn = begun(mailboxes)
        commit(mailboxes, turn.token, turn.waiting)
        assert mailboxes.wake_forgotten() == []
        assert redis.get(KEYS.camera(BOX).owner) is None

    def test_another_sites_cameras_are_left_alone(self, mailboxes: Mailboxes, redis: Redis) -> None:
        other = Mailboxes(redis, Keys("other:"), length=LENGTH)
        other.push({BOX: [b"1"]})
        expire(redis, Keys("other:").camera(BOX).owner)
        assert mailboxes.wake_forgotten() == []
        assert (mailboxes.waiting(), other.waiting()) == (0, 1)


def snapshot(redis: Redis) -> dict[bytes, object]:
    """Every key with its content."""
    return {key: redis.dump(key) for key in redis.scan_iter()}


class MailboxMachine(RuleBasedStateMachine):
    """Pushes, tasks, crashes, lost messages and expiries in any order, beside a model of one camera.

    The model holds what was pushed and what was committed; each result is a rising number.
    """

    redis: Redis
    turns: Bundle[Held] = Bundle("turns")

    @initialize()
    def empty(self) -> None:
        self.redis.flushall()
        self.mailboxes = Mailboxes(self.redis, KEYS, length=LENGTH)
        self.owner = KEYS.camera(BOX).owner
        self.pushed = 0
        self.dropped = 0
        self.committed: list[int] = []
        self.tasks = 0

    @rule(count=st.integers(1, LENGTH + 2))
    def push(self, count: int) -> None:
        numbers = range(self.pushed, self.pushed + count)
        told = self.mailboxes.push({BOX: [b"%d" % number for number in numbers]})[BOX]
        self.pushed += count
        self.dropped += told.dropped
        self.tasks += told.wake

    @rule()
    def beat_tells_of_a_silence(self) -> None:
        waiting = self.mailboxes.waiting()
        self.tasks += len(self.mailboxes.push_if_empty({BOX: b"%d" % self.pushed}))
        self.pushed += not waiting
        assert self.mailboxes.waiting() == (waiting or 1)

    @precondition(lambda self: self.tasks)
    @rule()
    def a_task_is_lost(self) -> None:
        self.tasks -= 1

    @precondition(lambda self: self.tasks)
    @rule(target=turns, count=st.integers(1, 4))
    def a_task_begins(self, count: int) -> Held | MultipleResults[Held]:
        self.tasks -= 1
        turn = self.mailboxes.begin(BOX, count)
        return (turn, turn.waiting) if turn else multiple()

    @rule(target=turns, count=st.integers(1, 4))
    def a_task_is_delivered_twice(self, count: int) -> Held | MultipleResults[Held]:
        turn = self.mailboxes.begin(BOX, count)
        return (turn, turn.waiting) if turn else multiple()

    @rule(target=turns, turn=turns, count=st.integers(0, 4))
    def a_task_commits(self, turn: Held, count: int) -> Held | MultipleResults[Held]:
        """Also one that crashed, was overtaken or has committed before: then it must be refused."""
        held, waiting = turn
        before = snapshot(self.redis)
        may = self.redis.get(self.owner) == held.token.encode()
        try:
            done = self.mailboxes.commit(
                BOX, held.token, waiting, state=waiting.messages[-1], decisions=(), alerts=waiting.messages, count=count
            )
        except OwnershipLost:
            assert not may
            assert snapshot(self.redis) == before
            return multiple()
        assert may
        self.committed += [int(message) for message in waiting.messages]
        self.tasks += done.wake
        return (done, done.waiting) if done.waiting else multiple()

    @rule()
    def the_owner_mark_expires(self) -> None:
        self.redis.delete(self.owner)

    @rule()
    def beat_sweeps(self) -> None:
        self.tasks += len(self.mailboxes.wake_forgotten())

    @invariant()
    def nothing_is_committed_twice_or_out_of_order(self) -> None:
        if hasattr(self, "committed"):
            assert self.committed == sorted(set(self.committed))

    @invariant()
    def a_camera_with_results_is_owned_or_found_by_the_sweep(self) -> None:
        if hasattr(self, "owner") and self.mailboxes.waiting() and not self.redis.exists(self.owner):
            assert self.mailboxes.wake_forgotten() == [BOX]
            self.tasks += 1

    def teardown(self) -> None:
        """All clients crash, all marks expire, beat sweeps: then everything that was not cut comes out."""
        if not hasattr(self, "owner"):
            return
        self.redis.delete(self.owner)
        for camera_id in self.mailboxes.wake_forgotten():
            self._work_off(camera_id)
        assert self.committed == sorted(set(self.committed))
        assert self.pushed - self.dropped <= len(self.committed) <= self.pushed
        assert [int(alert) for _, alert in Outbox(self.redis, KEYS).peek(10_000)] == self.committed
        assert self.mailboxes.waiting() == 0

    def _work_off(self, camera_id: str) -> None:
        turn = self.mailboxes.begin(camera_id, 3)
        assert turn is not None
        token, waiting = turn.token, turn.waiting
        while True:
            alerts = waiting.messages
            done = self.mailboxes.commit(BOX, token, waiting, state=b"s", decisions=(), alerts=alerts, count=3)
            self.committed += [int(message) for message in alerts]
            if done.waiting is None:
                return
            token, waiting = done.token, done.waiting


def test_whatever_happens_in_whatever_order_each_result_is_committed_once(redis: Redis) -> None:
    class Machine(MailboxMachine):
        pass

    Machine.redis = redis
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
