"""All that the logic remembers of one camera, as one value of plain numbers, lists and strings."""

import msgspec

from fbtasks.alert import Alert
from fbtasks.errors import BadMessage, UnknownVersion
from fbtasks.logic.activity import Activity, History
from fbtasks.logic.baseline import Baseline
from fbtasks.logic.book import Book, Episode
from fbtasks.logic.minutes import Ledger
from fbtasks.logic.moment import place_in
from fbtasks.logic.scene import Blindness
from fbtasks.logic.smoother import Window
from fbtasks.logic.tracker import Tracks

VERSION = 7
"""Rises with every change of any struct inside: a build must not continue what it would misread."""


LAST = 0
"""Key of a lost animal's baseline; tracks count from 1."""


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
        last_seen_at: capture time of the last picture that showed the box; None before the first.
        animal_seen_at: capture time at which a confirmed animal was last seen; None before the first.
        blind: why the box is not to be seen now; None while it is.
        tracks: animals and persons in view.
        windows, activities: by track id.
        baselines: how high animals are that stand, by track id; `LAST` is that of the last one that was lost.
        history: how often the camera's animals lay down and rose.
        book: episodes of the rules.
        ledger: what each track did, by minutes.
        late: results dropped because a newer one, or the same one, had been taken.
        clock_restarts: times that the camera's clock was found to have been set back.
        late_run: see there; None after a result that was taken.
    """

    v: int = VERSION
    camera_id: str
    last_captured_at: float | None = None
    last_seq: int | None = None
    last_seen_at: float | None = None
    animal_seen_at: float | None = None
    blind: Blindness | None = None
    tracks: Tracks = msgspec.field(default_factory=Tracks)
    windows: dict[int, Window] = {}
    activities: dict[int, Activity] = {}
    baselines: dict[int, Baseline] = {}
    history: History = msgspec.field(default_factory=History)
    book: Book = msgspec.field(default_factory=Book)
    ledger: Ledger = msgspec.field(default_factory=Ledger)
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


class _Last(msgspec.Struct):
    last_captured_at: float | None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(CameraState)
_versioned = msgspec.msgpack.Decoder(_Versioned)
_last = msgspec.msgpack.Decoder(_Last)


def last_captured_at(data: bytes) -> float | None:
    """Capture time of the last result that an encoded state took; None when it took none or cannot be read."""
    try:
        version = _versioned.decode(data).v
        return _last.decode(data).last_captured_at if version == VERSION else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def state_from_open_episodes(camera_id: str, last_alerts: list[Alert]) -> CameraState:
    """A state for a camera whose own was lost, from the last alert of each of its episodes that is still open.

    Each becomes an open episode, of an animal that the next one in view takes over or of the camera as a whole: it is
    neither raised again nor left open for ever. Timers that had raised nothing yet are lost with the state.
    """
    episodes = [_reopened(alert) for alert in last_alerts if alert.event != "cleared"]
    return CameraState(camera_id=camera_id, book=Book(episodes=episodes))


def _reopened(alert: Alert) -> Episode:
    held = alert.evidence.get("held_s")
    held_s = held if isinstance(held, int | float) else alert.at - alert.started_at
    return Episode(
        rule=alert.rule,
        track_id=alert.track_id,
        started_at=alert.started_at,
        holder=None,
        held_s=held_s,
        seen_at=alert.at,
        place=place_in(alert),
        severity=alert.severity,
        number=alert.number + 1,
        told_s=held_s,
    )
