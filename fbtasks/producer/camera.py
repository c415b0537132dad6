"""One camera: connect, read, pick, encode, hand over; and again when the stream breaks."""

import logging
import random
import threading
import time
from collections.abc import Callable

from fbtasks.errors import CameraError
from fbtasks.health import CameraReport
from fbtasks.producer.back_pressure import BackPressure
from fbtasks.producer.backends import open_stream
from fbtasks.producer.backoff import pause_before
from fbtasks.producer.diagnosis import Answer, look_up_s, why_not
from fbtasks.producer.encoder import Encoder
from fbtasks.producer.liveness import STALL_SHARE, Liveness
from fbtasks.producer.motion_gate import STILL_FPS, MotionGate
from fbtasks.producer.pacing import CaptureClock, Pacer, Spacing
from fbtasks.producer.sight import Sight
from fbtasks.producer.status import Event, Fresh, Loss, Stall, Status, after
from fbtasks.producer.stream import VideoStream
from fbtasks.producer.turnstile import Turnstile
from fbtasks.settings import CameraSettings, ProducerSettings
from fbtasks.wire import Frame

log = logging.getLogger(__name__)

FROZEN = "repeats one picture"
MISS_PAUSE_S = 0.01
"""After a read that failed: an ended stream fails at once, and again and again."""
QUESTION_TIMEOUT_S = 1.0
PROBE_EVERY_S = 1.0
"""A camera that cannot be reached is asked so often, without logging in, whether it is back; on average."""
UNASKED_EVERY = 4
"""After so many failures it is opened though it did not answer: it might do so to FFmpeg's questions alone."""
ANSWERING_PAUSE_S = 2.0
"""Longest pause where the camera answers: that its stream works again shows in no other way than by opening it."""


class Camera:
    """Reads one camera. `run` has a thread of its own, in which alone the stream is touched.

    Args:
        spacing: keeps its frames apart from those of other cameras.
        law: says which share of its frames is sent.
        turnstile: passed before each connection.
        offer: takes each encoded frame; must not block.
        tell: takes each change of the status; must not block.
        clock: seconds by which it is judged whether a call hangs.
    """

    def __init__(
        self,
        camera: CameraSettings,
        producer: ProducerSettings,
        pacer: Pacer,
        encoder: Encoder,
        *,
        spacing: Spacing,
        law: BackPressure,
        turnstile: Turnstile,
        offer: Callable[[Frame], None],
        tell: Callable[[Status], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = camera.id
        self.frames_read = 0
        self.frames_damaged = 0
        self.reconnects = 0
        self._settings = camera
        self._url = camera.url.get_secret_value()
        self._look_up_s = look_up_s(self._url)
        self._limits = producer
        self._pacer = pacer
        self._spacing = spacing
        self._encoder = encoder
        self._fps = camera.fps or producer.fps
        self._least_fps = min(self._fps, camera.min_fps or producer.min_fps)
        self._law = law
        gated = producer.motion_gate if camera.motion_gate is None else camera.motion_gate
        self._gate = MotionGate(self._fps) if gated else None
        self._turnstile = turnstile
        self._offer = offer
        self._tell = tell
        self._patience = clock
        self._clock = CaptureClock()
        self._liveness: Liveness | None = None
        self._answer: Answer | None = None
        self._status = Status("connecting", time.time())
        self._decoder = ""
        self._last_frame_at: float | None = None
        # Numbers rise over restarts and changes of the process too: there are fewer frames than milliseconds.
        self._seq = int(time.time() * 1000)
        self._back_by: float | None = None
        self._sight = Sight(producer.sight)
        self._thawed_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Read until `stop` is set; it is noticed between two reads."""
        failures = 0
        stop.wait(self._turnstile.wait_s(time.monotonic()))
        while not stop.is_set():
            try:
                self._read(failures, stop)
            except CameraError as error:
                failures = 0 if self._liveness and self._liveness.healthy else failures + 1
                self._lost(str(error))
                self._rest(failures, stop)

    def report(self, frames_sent: int) -> CameraReport:
        """How the camera is; may be called from any thread."""
        status = self._status
        return CameraReport(
            state=status.state,
            since=status.since,
            last_frame_at=self._last_frame_at,
            reason=status.reason,
            decoder=self._decoder,
            frames=frames_sent,
            blind=self._sight.blind,
        )

    def overdue_s(self) -> float:
        """By how many seconds a call into FFmpeg or the system is over its limit; may be called from any thread."""
        back_by = self._back_by
        return 0.0 if back_by is None else max(0.0, self._patience() - back_by)

    def _read(self, failures: int, stop: threading.Event) -> None:
        self._liveness = None
        with self._open(failures) as stream:
            self._decoder = stream.decoder
            self._liveness = Liveness(self._limits.read_timeout_s, time.monotonic())
            while not stop.is_set():
                self._must_be_back(2 * self._limits.read_timeout_s)
                if not self._step(stream, self._liveness):
                    stop.wait(MISS_PAUSE_S)
        self._back_by = None

    def _open(self, failures: int) -> VideoStream:
        if self.reconnects:
            self._ask_before(failures)
        self._answer = None
        began = time.monotonic()
        self._must_be_back(2 * self._limits.open_timeout_s + self._look_up_s)
        try:
            return open_stream(self._settings, self._limits)
        except CameraError:
            self._answer = self._ask()
            raise CameraError(self._why_not_open(self._answer, time.monotonic() - began)) from None

    def _ask_before(self, failures: int) -> None:
        """Open no camera again that would refuse or not answer.

        A wrong password must not be tried twice. And who opens a mute camera waits for `open_timeout_s`, even if it
        comes back in the middle of that; a question can be repeated.

        Raises:
            CameraError: it is not to be opened now.
        """
        if self._answer is not None and self._answer.cause == "login":
            self._answer = self._ask()
            if self._answer.cause == "login":
                raise CameraError(self._answer.text)
        elif not failures or failures % UNASKED_EVERY:
            self._answer = self._ask(self._limits.open_timeout_s, log_in=False)
            if self._answer.cause in ("unreachable", "silent"):
                raise CameraError(self._answer.text)

    def _why_not_open(self, answer: Answer, waited_s: float) -> str:
        if waited_s < STALL_SHARE * self._limits.open_timeout_s:
            return answer.text
        late = {"silent": "no answer", "answers": "answers, but gives no picture"}.get(answer.cause)
        return f"{late} within {waited_s:.1f} s" if late else answer.text

    def _ask(self, timeout_s: float = QUESTION_TIMEOUT_S, *, log_in: bool = True) -> Answer:
        timeout_s = min(timeout_s, self._limits.open_timeout_s)
        self._must_be_back(4 * timeout_s + self._look_up_s)
        answer = why_not(self._url, timeout_s, log_in=log_in)
        self._back_by = None
        return answer

    def _must_be_back(self, within_s: float) -> None:
        self._back_by = self._patience() + within_s

    def _step(self, stream: VideoStream, liveness: Liveness) -> bool:
        """One read; every frame is grabbed, or the stream's buffers would fill and the pictures age."""
        began = time.monotonic()
        good = stream.grab()
        ended = time.monotonic()
        captured_at = self._clock.stamp(time.time(), ended)
        liveness.judge(good=good, began=began, ended=ended)
        if not good:
            self.frames_damaged += 1
            return False
        if not stream.has_picture:
            return True
        self._decoder = stream.decoder
        self._found(captured_at)
        moved = self._gate is not None and self._wakes(self._gate, stream, captured_at)
        if moved:
            self._pacer.hurry()
        if self._pacer.due(captured_at, self._rate(), crowded=not moved and self._spacing.is_crowded(captured_at)):
            self._spacing.note(captured_at)
            self._send(stream, liveness, captured_at)
        return True

    @staticmethod
    def _wakes(gate: MotionGate, stream: VideoStream, captured_at: float) -> bool:
        """Whether something moves in a picture that was still."""
        if not gate.looks(captured_at) or (glance := stream.glance()) is None:
            return False
        return gate.see(glance, captured_at)

    def _rate(self) -> float:
        """Frames per second that are wanted now."""
        rate = max(self._least_fps, self._fps * self._law.share)
        return min(rate, STILL_FPS) if self._gate is not None and self._gate.is_still else rate

    def _send(self, stream: VideoStream, liveness: Liveness, captured_at: float) -> None:
        picture = stream.picture(self._encoder.drawn_size)
        liveness.judge_picture(good=picture is not None, now=time.monotonic())
        if picture is None:
            self.frames_damaged += 1
            return
        blind = self._sight.look(picture, captured_at)
        self._judge_sight(blind, captured_at)
        letterbox, jpeg = self._encoder.encode(picture, stream.size)
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
            blind=blind,
        )
        self._seq += 1
        self._offer(frame)

    def _found(self, captured_at: float) -> None:
        self.frames_read += 1
        self._last_frame_at = captured_at
        self._answer = None

    def _judge_sight(self, blind: str, captured_at: float) -> None:
        """A frozen camera goes on being read; now and then it is opened anew, which may help.

        Raises:
            CameraError: it is to be opened anew.
        """
        if blind != "frozen":
            self._became(Fresh())
            return
        self._became(Stall(FROZEN))
        if captured_at - self._thawed_at >= self._limits.backoff_max_s:
            self._thawed_at = captured_at
            raise CameraError(FROZEN)

    def _lost(self, reason: str) -> None:
        self._back_by = None
        self.reconnects += 1
        if reason == FROZEN or (self._liveness is not None and self._liveness.stalled):
            self._became(Stall(reason))
        else:
            self._became(Loss(reason, refused=self._answer is not None and self._answer.refused))

    def _became(self, event: Event) -> None:
        """Said once: a camera that stays away for a night must not fill the log."""
        before, now = self._status, time.time()
        self._status = after(before, event, now)
        if self._status is before:
            return
        if self._status.state != "running":
            log.warning("camera %s: %s (%s)", self.id, self._status.reason, self._status.state)
        elif before.state == "connecting":
            log.info("camera %s: running, decoded in %s", self.id, self._decoder)
        else:
            log.info("camera %s: running again, after %.1f s (%s)", self.id, now - before.since, before.reason)
        self._tell(self._status)

    def _rest(self, failures: int, stop: threading.Event) -> None:
        """Wait before the next connection; no longer than until the camera answers again."""
        limits, cause = self._limits, self._answer.cause if self._answer else "answers"
        if cause == "login":
            pause = limits.login_pause_s
        else:
            away = cause in ("unknown", "unreachable", "silent")
            longest = limits.backoff_max_s if away else min(ANSWERING_PAUSE_S, limits.backoff_max_s)
            pause = pause_before(failures, min(limits.backoff_min_s, longest), longest, random.random())
        until = time.monotonic() + pause
        while (left := until - time.monotonic()) > 0 and not stop.wait(
            min(left, PROBE_EVERY_S * (0.5 + random.random()))
        ):
            before, cause = cause, self._ask(log_in=False).cause
            if cause != before and cause in ("answers", "login"):
                break
        stop.wait(self._turnstile.wait_s(time.monotonic()))
