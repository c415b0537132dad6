"""The one thread that pushes the frames of all cameras onto `batch_frames`."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from fbtasks.keys import FILM_FPS
from fbtasks.producer.back_pressure import BackPressure
from fbtasks.producer.outage import Outage
from fbtasks.producer.pacing import Pacer
from fbtasks.transport import REDIS_AWAY, FrameQueue
from fbtasks.wire import Frame, encode

PICTURE_EVERY_S = 1.0
"""A camera's newest frame is kept beside the list so often, for the alerts that it may bring about."""


@dataclass
class Totals:
    """What became of the frames since the start.

    Attributes:
        sent: frames in Redis, by camera.
        replaced: frames that a newer one of their camera overtook before they could be sent.
        lost: frames that were dropped because Redis was away.
        displaced: frames cut from the other end of the full list, ours or another producer's.
        backlog: frames in the list after the last push.
        last_push_at: when Redis last took frames, unix seconds.
    """

    sent: Counter[str] = field(default_factory=Counter)
    replaced: int = 0
    lost: int = 0
    displaced: int = 0
    backlog: int = 0
    last_push_at: float | None = None


class Publisher:
    """Takes the newest frame of each camera and pushes all there are at once.

    Cameras never wait for Redis: each has one slot, and a newer frame replaces one that is still there. When Redis is
    away, what was to be pushed is dropped: by the time it is back there are newer frames.

    Args:
        pictures: keep the newest frame of each camera for the alerts too.
        films: of which cameras the frames of the last seconds are kept.
        law: is told how many frames wait.
    """

    def __init__(
        self,
        queue: FrameQueue,
        *,
        pictures: bool = False,
        films: Callable[[str], bool] = lambda _: False,
        law: BackPressure | None = None,
    ) -> None:
        self.totals = Totals()
        self._queue = queue
        self._pictures = pictures
        self._films = films
        self._law = law
        self._pictured_at: dict[str, float] = {}
        self._film_pacers: dict[str, Pacer] = {}
        self._outage = Outage()
        self._slots: dict[str, Frame] = {}
        self._changed = threading.Condition()
        self._stopping = False

    def offer(self, frame: Frame) -> None:
        """Hand over a frame; never waits for Redis."""
        with self._changed:
            if frame.camera_id in self._slots:
                self.totals.replaced += 1
            self._slots[frame.camera_id] = frame
            self._changed.notify()

    def stop(self) -> None:
        """Let `run` push what is there and return."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def run(self) -> None:
        """Push until stopped."""
        while frames := self._take():
            self._push(frames)

    def _take(self) -> list[Frame]:
        """The frames that are there, oldest first; waits for one, and gives none only when stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._slots or self._stopping)
            frames = sorted(self._slots.values(), key=lambda frame: frame.captured_at)
            self._slots.clear()
        return frames

    def _push(self, frames: list[Frame]) -> None:
        now = time.time()
        messages = [encode(msgspec.structs.replace(frame, sent_at=now)) for frame in frames]
        pictures = self._due_pictures(frames, messages, now) if self._pictures else {}
        films = self._due_for_films(frames, messages)
        try:
            pushed = self._queue.push(messages, pictures, films)
        except REDIS_AWAY as error:
            self.totals.lost += len(frames)
            self._outage.failed(error)
            return
        self._outage.worked()
        if self._law is not None:
            self._law.pushed(pushed.backlog - len(frames), time.monotonic())
        self.totals.sent.update(frame.camera_id for frame in frames)
        self.totals.displaced += pushed.dropped
        self.totals.backlog = pushed.backlog - pushed.dropped
        self.totals.last_push_at = time.time()

    def _due_pictures(self, frames: list[Frame], messages: list[bytes], now: float) -> dict[str, bytes]:
        """The frames that are to be kept beside the list; the clock may have been set back."""
        due = {
            frame.camera_id: message
            for frame, message in zip(frames, messages, strict=True)
            if not 0 <= now - self._pictured_at.get(frame.camera_id, 0.0) < PICTURE_EVERY_S
        }
        self._pictured_at.update(dict.fromkeys(due, now))
        return due

    def _due_for_films(self, frames: list[Frame], messages: list[bytes]) -> dict[str, bytes]:
        """The frames that are to be kept for films, `FILM_FPS` of each camera in a second."""
        return {
            frame.camera_id: message
            for frame, message in zip(frames, messages, strict=True)
            if self._films(frame.camera_id)
            and self._film_pacers.setdefault(frame.camera_id, Pacer(FILM_FPS)).due(frame.captured_at)
        }
