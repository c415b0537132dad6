"""All that the logic remembers of one camera, as one value of plain numbers, lists and strings."""

import msgspec

from fbtasks.alert import Alert
from fbtasks.errors import BadMessage, UnknownVersion
from fbtasks.logic.episodes import Book, Episode
from fbtasks.logic.smoother import Window
from fbtasks.logic.tracker import Tracks

VERSION = 1
"""Rises with every change of any struct inside: a build must not continue what it would misread."""


class LateRun(msgspec.Struct):
    """Results in a row that were older than the last one taken, while rising among themselves.

    Attributes:
        count: how many.
        first_at, last_at: capture times of the first and the last.
    """

    count: int
    first_at: float
    last_at: float


class CameraState(msgspec.Struct, kw_only=True):
    """What the logic remembers of one camera.

    Attributes:
        camera_id: whose state this is.
        last_captured_at, last_seq: of the last result taken; None before the first.
        tracks: animals and persons in view.
        windows: by track id.
        book: episodes of the rules.
        late: results dropped because a newer one, or the same one, had been taken.
        clock_restarts: times that the camera's clock was found to have been set back.
        late_run: see there; None after a result that was taken.
    """

    v: int = VERSION
    camera_id: str
    last_captured_at: float | None = None
    last_seq: int | None = None
    tracks: Tracks = msgspec.field(default_factory=Tracks)
    windows: dict[int, Window] = {}
    book: Book = msgspec.field(default_factory=Book)
    late: int = 0
    clock_restarts: int = 0
    late_run: LateRun | None = None

    def encode(self) -> bytes:
        """The state as MessagePack."""
        return _encoder.encode(self)

    @staticmethod
    def decode(data: bytes) -> "CameraState":
        """The state in `data`.

        Raises:
            UnknownVersion: it was written by a build with another layout.
            BadMessage: it is no state.
        """
        try:
            version = _versioned.decode(data).v
            if version != VERSION:
                raise UnknownVersion(f"camera state of version {version}, this build reads {VERSION}")
            return _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadMessage(f"no camera state: {error}") from error


class _Versioned(msgspec.Struct):
    v: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(CameraState)
_versioned = msgspec.msgpack.Decoder(_Versioned)


def state_from_open_episodes(camera_id: str, last_alerts: list[Alert]) -> CameraState:
    """A state for a camera whose own was lost, from the last alert of each of its episodes that is still open.

    Each becomes an open episode without an animal, which the next animal in view takes over: it is neither raised again
    nor left open for ever. Timers that had raised nothing yet are lost with the state. Alerts about the whole stall
    (`track_id` None) are not the pipeline's and left to whoever raised them.
    """
    episodes = [_reopened(alert) for alert in last_alerts if alert.event != "cleared" and alert.track_id is not None]
    return CameraState(camera_id=camera_id, book=Book(episodes=episodes))


def _reopened(alert: Alert) -> Episode:
    held = alert.evidence.get("held_s")
    return Episode(
        rule=alert.rule,
        track_id=alert.track_id,
        started_at=alert.started_at,
        judged_at=alert.at,
        holder=None,
        held_s=held if isinstance(held, int | float) else alert.at - alert.started_at,
        seen_at=alert.at,
        severity=alert.severity,
        number=alert.number + 1,
    )
