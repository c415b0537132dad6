"""What a camera is doing: a state, since when, and why; and which event leads from one to the next.

    connecting     its first connection is being made
    running        pictures come, and they change
    stalled        the stream is open, but brings nothing new: it is silent, or repeats one picture
    reconnecting   it cannot be reached at present; tried again and again, at once when it answers
    failed         it answers and refuses: user, password, path or video; tried again, but a person has to look
    disabled       not to be read

    from any of them:  Fresh ──► running     Stall ──► stalled     Loss ──► reconnecting, or failed where it refused

Pure: events and times in, states out.
"""

from dataclasses import dataclass
from typing import Literal

StateName = Literal["connecting", "running", "stalled", "reconnecting", "failed", "disabled"]


@dataclass(frozen=True, slots=True)
class Status:
    """What a camera is doing, since when (unix seconds), and why it is not running; never holds the URL."""

    state: StateName
    since: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Fresh:
    """A picture came that is not the same as those before."""


@dataclass(frozen=True, slots=True)
class Stall:
    """The open stream has brought nothing new for too long."""

    reason: str


@dataclass(frozen=True, slots=True)
class Loss:
    """There is no stream: it ended, or could not be opened.

    Attributes:
        refused: the camera answered, and a person has to look before it can be opened.
    """

    reason: str
    refused: bool = False


Event = Fresh | Stall | Loss


def after(status: Status, event: Event, now: float) -> Status:
    """The status that follows at `now` (unix seconds); the very same one when nothing has changed."""
    match event:
        case Fresh():
            return _changed(status, "running", "", now)
        case Stall(reason=reason):
            return _changed(status, "stalled", reason, now)
        case Loss(reason=reason, refused=refused):
            return _changed(status, "failed" if refused else "reconnecting", reason, now)


def _changed(status: Status, state: StateName, reason: str, now: float) -> Status:
    if status.state != state:
        return Status(state, now, reason)
    return status if status.reason == reason else Status(state, status.since, reason)
