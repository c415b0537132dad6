"""What rules judge: the animals and persons of one camera at one time, and whether the camera shows anything at all."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import msgspec

from fbtasks.logic.activity import Gait, History
from fbtasks.logic.localtime import Zone
from fbtasks.logic.smoother import Reading
from fbtasks.logic.tracker import Sighting, Track


class Blindness(msgspec.Struct, frozen=True):
    """The camera shows nothing of its box.

    Attributes:
        since: capture time of the last picture that showed it; of the first silence when there has been no picture.
        at: when it was last found blind.
        reason: why, in a few words; empty when nobody knows.
        pictures: pictures come, but there is nothing to be seen in them.
        never: there has been no picture that this state remembers.
    """

    since: float
    at: float
    reason: str
    pictures: bool = False
    never: bool = False


class Judged(msgspec.Struct, frozen=True):
    """A confirmed track and what is believed of it.

    Attributes:
        picture: width and height of the source picture, in pixels.
        history: how often the camera's animals lay down and rose.
    """

    track: Track
    reading: Reading
    gait: Gait = Gait()
    picture: tuple[int, int] = (1, 1)
    history: History = msgspec.field(default_factory=History)

    @property
    def foot(self) -> tuple[float, float]:
        """Where it stands: the middle of the box's lower edge, from 0 to 1 of the picture's width and height."""
        left, _, right, bottom = self.track.sighting.xyxy
        width, height = self.picture
        return (left + right) / 2 / width, bottom / height


@dataclass(frozen=True, slots=True)
class Scene:
    """One camera at one time.

    Attributes:
        at: capture time.
        elapsed_s: seconds for which this speaks, back to the picture or silence before it; 0 where a blind camera has
            come to see again, for nobody knows what was between.
        judged: every confirmed track that is not lost; empty while the camera is blind.
        boxes: every box of an animal or a person in this picture, however weak.
        animal_seen_at: capture time at which an animal was last seen, as a confirmed track; None before the first.
        blind: None while the camera shows its box.
        zone: where the stable is.
    """

    at: float
    elapsed_s: float
    judged: list[Judged]
    _: KW_ONLY
    boxes: Sequence[Sighting] = ()
    animal_seen_at: float | None = None
    blind: Blindness | None = None
    zone: Zone = None
