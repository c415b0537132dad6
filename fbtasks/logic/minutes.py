"""What each animal and person did, added up by minutes of capture time: figures for reports, not for alerts.

The ledger knows up to when it has accounted for time, and shares out every second after that once: to what was seen, to
a box that was watched and empty, or to blindness. Gaps between pictures that are longer than `MAX_GAP_S` are blind time
too. A minute without any message is left out, and whoever reads the minutes takes it for blind.

A minute is finished by the first message of a later one; whoever commits the state takes the finished ones from it and
commits both together. The same messages make the same minutes, so one that is committed again is known by its camera
and beginning.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from fbtasks.errors import BadMessage
from fbtasks.logic.activity import STILL_BL_S
from fbtasks.logic.scene import Judged
from fbtasks.logic.smoother import MAX_GAP_S, PostureName

MINUTE_S = 60
WHOLE = 0
"""Holder of a camera's own account; tracks count from 1."""
OTHER_CLOCK_S = 60.0
"""A picture so much older than the last message is of a clock that was set back. By less, a silence was told with the
time of this machine, or of a moment that the next picture overtook."""

MOST_ACCOUNTS = 32
"""Of one minute; what further tracks do is in the camera's own account alone."""

Whose = Literal["camera", "animal", "person"]


class Account(msgspec.Struct, array_like=True):
    """One minute of one track, or of the camera as a whole.

    The camera's own account is of its animals together: lying while any of them lies, else standing while any stands,
    so that it is that of the horse where a box holds one, whatever number the tracker gives it. Speeds, distance and
    agitation are those of the liveliest.

    Attributes:
        whose: a track's kind, or `camera`.
        standing_s, lying_s, unknown_s: seconds seen, by posture. A person's is unknown.
        unseen_s: seconds watched without seeing it, while its track was kept; of the camera, without any animal.
        blind_s: seconds in which the camera showed nothing of its box; the camera's account only.
        distance_bl: body lengths that it moved, the trembling of the box left out.
        speed_s, agitation_s: seconds in which speed and agitation were known.
        max_speed_bl_s: body lengths per second.
        agitation_bl: agitation times seconds; over `agitation_s` it is the mean, body lengths per second.
        lay_down, rose: how often it was seen to.
    """

    whose: Whose
    standing_s: float = 0.0
    lying_s: float = 0.0
    unknown_s: float = 0.0
    unseen_s: float = 0.0
    blind_s: float = 0.0
    distance_bl: float = 0.0
    speed_s: float = 0.0
    max_speed_bl_s: float = 0.0
    agitation_s: float = 0.0
    agitation_bl: float = 0.0
    lay_down: int = 0
    rose: int = 0

    @property
    def seen_s(self) -> float:
        """Seconds in which it was seen."""
        return self.standing_s + self.lying_s + self.unknown_s

    @property
    def seconds(self) -> float:
        """Seconds that are accounted for."""
        return self.seen_s + self.unseen_s + self.blind_s

    @property
    def mean_speed_bl_s(self) -> float | None:
        """Body lengths per second; None if not known."""
        return self.distance_bl / self.speed_s if self.speed_s > 0 else None

    @property
    def agitation_bl_s(self) -> float | None:
        """Mean agitation, body lengths per second; None if not known."""
        return self.agitation_bl / self.agitation_s if self.agitation_s > 0 else None

    def add_posture(self, posture: PostureName, seconds: float) -> None:
        """Add seconds in which it was seen."""
        if posture == "standing":
            self.standing_s += seconds
        elif posture == "lying":
            self.lying_s += seconds
        else:
            self.unknown_s += seconds

    def add_movement(self, speed: float | None, agitation: float | None, seconds: float) -> None:
        """Add what is known of speed and agitation, both in body lengths per second."""
        if speed is not None:
            self.speed_s += seconds
            self.distance_bl += speed * seconds if speed >= STILL_BL_S else 0.0
            self.max_speed_bl_s = max(self.max_speed_bl_s, speed)
        if agitation is not None:
            self.agitation_s += seconds
            self.agitation_bl += agitation * seconds


class Minute(msgspec.Struct, frozen=True, tag="minute", tag_field="kind"):
    """One finished minute of one camera.

    Attributes:
        began_at: unix seconds of capture time, a multiple of 60.
        accounts: by track id, the camera's own under `WHOLE`.
    """

    camera_id: str
    began_at: int
    accounts: dict[int, Account]


class Ledger(msgspec.Struct):
    """The minute that goes on, and those that nobody has taken yet.

    Attributes:
        at: up to when time is accounted for; None before the first message.
        accounts: of the minute of `at`.
        postures: the last known one of each holder.
        finished: minutes that are over, oldest first; see `take`.
    """

    at: float | None = None
    accounts: dict[int, Account] = {}
    postures: dict[int, PostureName] = {}
    finished: list[Minute] = []

    def see(self, camera_id: str, now: float, judged: Sequence[Judged], elapsed: float) -> None:
        """Go on to a picture of `now`, which shows those of `judged` that were last seen then.

        Args:
            elapsed: seconds for which it speaks, back to the picture before it; 0 when the camera was blind between.
        """
        if self.at is not None and self.at - now >= OTHER_CLOCK_S:
            self._finish(camera_id, self.at)
            self.at = None
        if not 0.0 < elapsed <= MAX_GAP_S:
            self.pass_over(camera_id, now)
        seen = [one for one in judged if one.track.last_seen_at == now]
        together = _together(seen)
        for seconds in self._pieces(camera_id, now):
            self._add_seen(seconds, seen, together)
            for one in judged:
                if one.track.last_seen_at != now:
                    self._account(one.track.id, one.track.kind).unseen_s += seconds
        for one in seen:
            self._follow(one.track.id, one.track.kind, one.reading.posture)
        self._follow(WHOLE, "camera", together or "unknown")

    def pass_over(self, camera_id: str, now: float) -> None:
        """Go on to `now`; since the last message there was nothing to be seen of the box."""
        for seconds in self._pieces(camera_id, now):
            self._account(WHOLE, "camera").blind_s += seconds

    def take(self) -> list[Minute]:
        """The minutes that were finished since the last call."""
        finished, self.finished = self.finished, []
        return finished

    def _pieces(self, camera_id: str, now: float) -> Iterator[float]:
        """The seconds up to `now`, in one piece for each minute that they lie in; the first minute ends between."""
        before, self.at = self.at, now if self.at is None else max(self.at, now)
        if before is None or now <= before:
            return
        if now // MINUTE_S > before // MINUTE_S:
            yield MINUTE_S * (before // MINUTE_S + 1) - before
            self._finish(camera_id, before)
            before = MINUTE_S * (now // MINUTE_S)
        if now > before:
            yield now - before

    def _finish(self, camera_id: str, at: float) -> None:
        """The minute of `at` is over."""
        if self.accounts:
            self.finished.append(Minute(camera_id, int(at // MINUTE_S) * MINUTE_S, self.accounts))
        self.postures = {holder: self.postures[holder] for holder in self.accounts if holder in self.postures}
        self.accounts = {}

    def _account(self, holder: int, whose: Whose) -> Account:
        account = self.accounts.get(holder)
        if account is None:
            account = Account(whose)
            if holder == WHOLE or len(self.accounts) < MOST_ACCOUNTS:
                self.accounts[holder] = account
        return account

    def _add_seen(self, seconds: float, seen: Sequence[Judged], together: PostureName | None) -> None:
        speed = agitation = None
        for one in seen:
            account = self._account(one.track.id, one.track.kind)
            account.add_posture(one.reading.posture, seconds)
            account.add_movement(one.reading.speed_bl_s, one.gait.agitation_bl_s, seconds)
            if one.track.kind == "animal":
                speed = _larger(speed, one.reading.speed_bl_s)
                agitation = _larger(agitation, one.gait.agitation_bl_s)
        whole = self._account(WHOLE, "camera")
        if together is None:
            whole.unseen_s += seconds
        else:
            whole.add_posture(together, seconds)
            whole.add_movement(speed, agitation, seconds)

    def _follow(self, holder: int, whose: Whose, posture: PostureName) -> None:
        """Count it when the holder has lain down or risen."""
        before = self.postures.get(holder)
        if posture in {"unknown", before}:
            return
        self.postures[holder] = posture
        if before is not None and posture == "lying":
            self._account(holder, whose).lay_down += 1
        elif before is not None:
            self._account(holder, whose).rose += 1


def _together(seen: Sequence[Judged]) -> PostureName | None:
    """The posture of the animals in `seen`, as the camera's account has it; None when there is none."""
    found = [one.reading.posture for one in seen if one.track.kind == "animal"]
    if not found:
        return None
    return "lying" if "lying" in found else "standing" if "standing" in found else "unknown"


def _larger(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else max(one, other)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Minute)
_MARK = b'{"kind":"minute",'
"""How each of them begins, for its tag is written first; an alert begins with its version."""


def encode_minute(minute: Minute) -> bytes:
    """The minute as JSON, for the outbox."""
    return _encoder.encode(minute)


def is_minute(entry: bytes) -> bool:
    """Whether an entry of the outbox is a minute; else it is an alert."""
    return entry.startswith(_MARK)


def decode_minute(entry: bytes) -> Minute:
    """The minute in an entry of the outbox.

    Raises:
        BadMessage: it is none.
    """
    try:
        return _decoder.decode(entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"no minute: {error}") from error
