"""One task's turn with one camera: take its results, decide, commit, until nothing waits or the time is up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

import msgspec

from fbtasks.alert import Alert
from fbtasks.errors import BadMessage
from fbtasks.keys import OWNER_TTL_S
from fbtasks.logic.minutes import Minute, encode_minute
from fbtasks.logic.pipeline import Decision, Pipeline
from fbtasks.logic.state import CameraState
from fbtasks.mailbox import Mailboxes, Turn, Waiting
from fbtasks.wire import decode_mailed

_decisions = msgspec.json.Encoder()
LONGEST_STEP_S = OWNER_TTL_S / 3
"""Results are decided on for so long before they are committed: a task that took longer than it owns the camera would
lose its work, and so would the next, for ever."""


@dataclass(slots=True)
class Done:
    """What a turn came to.

    Attributes:
        decisions: results that were decided on.
        late: results that were dropped because a newer one, or the same one, had been decided on.
        refused: messages that could not be used.
        alerts: alerts that were committed to the outbox.
        wake: results still wait; a fresh task must be sent.
    """

    decisions: int = 0
    late: int = 0
    refused: int = 0
    alerts: int = 0
    wake: bool = False


@dataclass(slots=True)
class _Step:
    """What became of one batch of waiting results, before it is committed.

    Attributes:
        seen: how many of them were decided on or refused, the oldest ones.
    """

    state: CameraState
    seen: int = 0
    taken: list[bytes] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    minutes: list[Minute] = field(default_factory=list)
    refused: list[tuple[str, bytes]] = field(default_factory=list)


def take_turn(
    camera_id: str,
    mailboxes: Mailboxes,
    pipeline_at: Callable[[bytes | None], Pipeline],
    *,
    restore: Callable[[], CameraState],
    bury: Callable[[list[tuple[str, bytes]]], None],
    chunk: int,
    is_over: Callable[[], bool],
    record: Callable[[str, Sequence[bytes]], None] = lambda _first_unseen, _messages: None,
    decided: Callable[[Sequence[Decision], Sequence[Alert]], None] = lambda _decisions, _alerts: None,
    clock: Callable[[], float] = monotonic,
) -> Done:
    """Work on the camera until its mailbox is empty or `is_over()`. Does nothing when another task has the camera.

    Args:
        pipeline_at: the camera's pipeline under that version of the cameras that are set at run time.
        restore: the state to begin with when Redis has none, from what the store remembers.
        bury: keeps results that cannot be used, as `(reason, message)`.
        chunk: results that are taken at once; fewer are decided on between two commits when they take long.
        record: is told the results that were decided on, once they are committed, and up to where in the mailbox they
            reach. May not raise.
        decided: is told the decisions and alerts once they are committed. May not raise.

    Raises:
        OwnershipLost, OutboxFull: from the commit; what was not committed waits in the mailbox still.
        StoreUnavailable: from `restore`.
    """
    done = Done()
    turn = mailboxes.begin(camera_id, chunk)
    if turn is None:
        return done
    pipeline = pipeline_at(turn.cameras)
    state = _state(turn, restore)
    token, waiting = turn.token, turn.waiting
    while True:
        late_before = state.late
        step = _decide(state, pipeline, waiting, clock)
        bury(step.refused)
        seen = waiting.first(step.seen)
        committed = mailboxes.commit(
            camera_id,
            token,
            seen,
            state=step.state.encode(),
            decisions=[_decisions.encode(decision) for decision in step.decisions],
            alerts=[alert.model_dump_json().encode() for alert in step.alerts],
            minutes=[encode_minute(minute) for minute in step.minutes],
            count=0 if is_over() else chunk,
        )
        record(seen.first_unseen, step.taken)
        decided(step.decisions, step.alerts)
        done.decisions += len(step.decisions)
        done.late += step.state.late - late_before
        done.refused += len(step.refused)
        done.alerts += len(step.alerts)
        if committed.waiting is None:
            done.wake = committed.wake
            return done
        state, token, waiting = step.state, committed.token, committed.waiting


def _state(turn: Turn, restore: Callable[[], CameraState]) -> CameraState:
    """The camera's state; one that this build cannot read is as good as none."""
    if turn.state is None:
        return restore()
    try:
        return CameraState.decode(turn.state)
    except BadMessage:
        return restore()


def _decide(state: CameraState, pipeline: Pipeline, waiting: Waiting, clock: Callable[[], float]) -> _Step:
    """As many as can be decided on while the camera is surely still this task's; one at least."""
    step = _Step(state)
    deadline = clock() + LONGEST_STEP_S
    for message in waiting.messages:
        if step.seen and clock() >= deadline:
            break
        step.seen += 1
        try:
            step.state, decision, alerts = pipeline.step(step.state, decode_mailed(message))
        except BadMessage as error:
            step.refused.append((str(error), message))
            continue
        step.taken.append(message)
        step.alerts += alerts
        if decision is not None:
            step.decisions.append(decision)
    step.minutes = step.state.ledger.take()
    return step
