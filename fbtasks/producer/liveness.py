"""Whether a stream is still alive, told from how its reads end."""

from fbtasks.errors import CameraError

STALL_SHARE = 0.9
"""A read this much of the time-out long has hit it: OpenCV then returns an old picture as if it were a good one."""
MISSES_OF_ENDED = 25
"""A damaged packet makes one read fail, 20 % of them at most three in a row (measured); an ended stream fails all."""
HEALTHY_S = 5.0
"""A stream that has given frames for so long is healthy: its end is no failure of the connection."""


class Liveness:
    """Judges the reads of one connection. All times are monotonic seconds.

    Attributes:
        stalled: whether what it raised is that the stream was open and silent.
    """

    def __init__(self, read_timeout_s: float, now: float) -> None:
        self.stalled = False
        self._timeout_s = read_timeout_s
        self._opened_at = now
        self._good_at = now
        self._seen_at = now
        self._misses = 0

    @property
    def healthy(self) -> bool:
        """Whether the connection has been of use."""
        return self._good_at - self._opened_at >= HEALTHY_S

    def judge(self, *, good: bool, began: float, ended: float) -> None:
        """Take note of one read.

        Raises:
            CameraError: the stream stalled, ended, or gives no usable frames; it has to be opened anew.
        """
        if ended - began >= STALL_SHARE * self._timeout_s:
            self.stalled = True
            raise CameraError(f"the stream stalled, a read took {ended - began:.1f} s")
        if good:
            self._good_at = ended
            self._misses = 0
            return
        self._misses += 1
        if self._misses >= MISSES_OF_ENDED:
            raise CameraError("the stream ended")
        if ended - self._good_at >= self._timeout_s:
            self.stalled = True
            raise CameraError(f"no usable frame for {ended - self._good_at:.1f} s")

    def judge_picture(self, *, good: bool, now: float) -> None:
        """Take note of whether a frame that was read holds a picture.

        Raises:
            CameraError: none has for too long, though frames come; the stream has to be opened anew.
        """
        if good:
            self._seen_at = now
        elif now - self._seen_at >= self._timeout_s:
            raise CameraError(f"no usable picture for {now - self._seen_at:.1f} s")
