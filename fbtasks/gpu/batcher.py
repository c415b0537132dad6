"""Which frames go into the next batch, and which are given up.

While everything fits, every frame is analysed. When more waits than fits, freshness goes before completeness and
every camera gets its turn: first the newest frame of each camera, the longest-unserved camera first, then second-newest
frames where there is room. An older frame of a camera that was served with a newer one is given up; a frame older than
`max_age_s` is given up in any case.

One run takes pictures of one size. The frame whose turn it is decides which; those of other sizes wait for theirs, and
as they wait longest then, it comes next. So no size starves another.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fbtasks.frame import Letterbox
from fbtasks.wire import Frame

FORGET_CAMERA_S = 60.0
"""A camera that sent nothing for so long counts as new; keeps the memory of served cameras bounded."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A frame that this worker took from the list.

    Attributes:
        frame: the frame.
        message: the bytes it came as, kept for the dead letters.
        taken_at: unix seconds.
        size: width and height of the input it is to be run in.
        letterbox: where the source picture lies in that.
    """

    frame: Frame
    message: bytes
    taken_at: float
    size: tuple[int, int]
    letterbox: Letterbox


@dataclass(frozen=True, slots=True)
class Choice:
    """What `Batcher.choose` decided.

    Attributes:
        batch: frames to analyse now, all of one size; those of one camera in order of capture.
        stale: frames given up for their age.
        superseded: frames given up for a newer one of the same camera.
    """

    batch: list[Taken]
    stale: int
    superseded: int


class Batcher:
    """The frames that wait in one worker."""

    def __init__(self, *, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._waiting: list[Taken] = []
        self._served_at: dict[str, float] = {}  # longest-unserved first: a rotation, so that turns come out even

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, frames: Iterable[Taken]) -> None:
        """More frames, in any order."""
        self._waiting.extend(frames)

    def choose(self, room: int, now: float, size: tuple[int, int] | None = None) -> Choice:
        """Up to `room` frames to analyse now (unix seconds); what is neither chosen nor given up waits on.

        Args:
            size: only frames of this one, when they are to join others.
        """
        fresh = [taken for taken in self._waiting if now - taken.frame.captured_at <= self._max_age_s]
        stale = len(self._waiting) - len(fresh)
        by_turn = self._by_turn(fresh)
        if size is None and by_turn:
            size = by_turn[0].size
        by_turn = [taken for taken in by_turn if taken.size == size][:room]
        chosen = sorted(by_turn, key=_in_order)
        newest = {taken.frame.camera_id: _in_order(taken) for taken in chosen}
        # What is newer than the newest chosen is of another size, and its turn comes.
        self._waiting = [taken for taken in fresh if _in_order(taken) > newest.get(taken.frame.camera_id, _BEFORE_ALL)]
        self._remember(dict.fromkeys(taken.frame.camera_id for taken in by_turn), now)
        return Choice(chosen, stale, superseded=len(fresh) - len(chosen) - len(self._waiting))

    def _by_turn(self, frames: list[Taken]) -> list[Taken]:
        """The newest of each camera before the second-newest of any; among equals the longest-unserved camera first."""
        newest_first = sorted(frames, key=_in_order, reverse=True)
        places = {camera_id: place for place, camera_id in enumerate(self._served_at)}
        seen: dict[str, int] = {}
        turns: list[tuple[int, int, float, int]] = []
        for position, taken in enumerate(newest_first):
            camera_id = taken.frame.camera_id
            turn = seen.get(camera_id, 0)
            seen[camera_id] = turn + 1
            turns.append((turn, places.get(camera_id, -1), taken.frame.captured_at, position))
        return [newest_first[position] for *_, position in sorted(turns)]

    def _remember(self, cameras: Iterable[str], now: float) -> None:
        for camera_id in cameras:
            self._served_at.pop(camera_id, None)
            self._served_at[camera_id] = now
        if len(self._served_at) > 2 * len(self._waiting) + 64:
            self._served_at = {camera: at for camera, at in self._served_at.items() if now - at <= FORGET_CAMERA_S}


_BEFORE_ALL = (float("-inf"), 0)


def _in_order(taken: Taken) -> tuple[float, int]:
    """Sorts frames of one camera."""
    return taken.frame.captured_at, taken.frame.seq
