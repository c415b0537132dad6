"""One camera: connect, read, pick, encode, hand over; and again when the stream breaks."""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from fbtasks.errors import CameraError
from fbtasks.health import CameraReport
from fbtasks.producer.backoff import pause_before
from fbtasks.producer.capture import Stream
from fbtasks.producer.diagnosis import why_not
from fbtasks.producer.encoder import Encoder
from fbtasks.producer.liveness import Liveness
from fbtasks.producer.pacing import CaptureClock, Pacer
from fbtasks.settings import CameraSettings, ProducerSettings
from fbtasks.wire import Frame

log = logging.getLogger(__name__)

MISS_PAUSE_S = 0.01
"""After a read that failed: an ended stream fails at once, and again and again."""
QUESTION_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class State:
    """What a camera is doing, since when (unix seconds), and why it is not running."""

    name: str
    since: float
    reason: str = ""


class Camera:
    """Reads one camera. `run` has a thread of its own, in which alone the stream is touched.

    Args:
        offer: takes each encoded frame; must not block.
    """

    def __init__(
        self,
        camera: CameraSettings,
        producer: ProducerSettings,
        pacer: Pacer,
        encoder: Encoder,
        offer: Callable[[Frame], None],
    ) -> None:
        self.id = camera.id
        self.frames_read = 0
        self.frames_damaged = 0
        self.reconnects = 0
        self._url = camera.url.get_secret_value()
        self._limits = producer
        self._pacer = pacer
        self._encoder = encoder
        self._offer = offer
        self._clock = CaptureClock()
        self._liveness: Liveness | None = None
        self._state = State("connecting", time.time())
        self._decoder = ""
        self._last_frame_at: float | None = None
        self._seq = 0

    def run(self, stop: threading.Event) -> None:
        """Read until `stop` is set; it is noticed between two reads."""
        failures = 0
        while not stop.is_set():
            try:
                self._read(stop)
            except CameraError as error:
                failures = 0 if self._liveness and self._liveness.healthy else failures + 1
                self._lost(str(error))
                stop.wait(self._pause(failures))

    def report(self, frames_sent: int) -> CameraReport:
        """How the camera is; may be called from any thread."""
        state = self._state
        return CameraReport(
            state=state.name,
            since=state.since,
            last_frame_at=self._last_frame_at,
            reason=state.reason,
            decoder=self._decoder,
            frames=frames_sent,
        )

    def _read(self, stop: threading.Event) -> None:
        self._liveness = None
        with self._open() as stream:
            self._decoder = stream.decoder
            self._liveness = Liveness(self._limits.read_timeout_s, time.monotonic())
            while not stop.is_set():
                if not self._step(stream, self._liveness):
                    stop.wait(MISS_PAUSE_S)

    def _open(self) -> Stream:
        began = time.monotonic()
        try:
            return Stream.open(self._url, self._limits.open_timeout_s, self._limits.read_timeout_s)
        except CameraError:
            raise CameraError(self._why_not_open(time.monotonic() - began)) from None

    def _why_not_open(self, waited_s: float) -> str:
        if waited_s >= self._limits.open_timeout_s:
            return f"no answer within {waited_s:.1f} s"
        return why_not(self._url, min(QUESTION_TIMEOUT_S, self._limits.open_timeout_s))

    def _step(self, stream: Stream, liveness: Liveness) -> bool:
        """One read; every frame is grabbed, or the stream's buffers would fill and the pictures age."""
        began = time.monotonic()
        good = stream.grab()
        ended = time.monotonic()
        captured_at = self._clock.stamp(time.time(), ended)
        liveness.judge(good=good, began=began, ended=ended)
        if not good:
            self.frames_damaged += 1
            return False
        self._found(captured_at)
        if self._pacer.due(captured_at):
            self._send(stream, captured_at)
        return True

    def _send(self, stream: Stream, captured_at: float) -> None:
        picture = stream.picture()
        if picture is None:
            self.frames_damaged += 1
            return
        letterbox, jpeg = self._encoder.encode(picture)
        frame = Frame(
            camera_id=self.id,
            seq=self._seq,
            captured_at=captured_at,
            sent_at=captured_at,
            width=letterbox.width,
            height=letterbox.height,
            scale=letterbox.scale,
            pad_x=letterbox.pad_x,
            pad_y=letterbox.pad_y,
            jpeg=jpeg,
        )
        self._seq += 1
        self._offer(frame)

    def _found(self, captured_at: float) -> None:
        self.frames_read += 1
        self._last_frame_at = captured_at
        if self._state.name != "running":
            self._state = State("running", time.time())
            log.info("camera %s: running, decoded in %s", self.id, self._decoder)

    def _lost(self, reason: str) -> None:
        """Said once: a camera that stays away for a night must not fill the log."""
        before = self._state
        level = logging.DEBUG if before.reason == reason else logging.WARNING
        log.log(level, "camera %s: %s; connecting again", self.id, reason)
        since = before.since if before.name == "reconnecting" else time.time()
        self._state = State("reconnecting", since, reason)
        self.reconnects += 1

    def _pause(self, failures: int) -> float:
        limits = self._limits
        return pause_before(failures, limits.backoff_min_s, limits.backoff_max_s, random.random())
