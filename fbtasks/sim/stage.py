"""What the simulated stable is made of: a place, who is in it and how, what the camera suffers, and what is true.

Lengths are metres and angles radians, unless a name says otherwise. In a place x runs to the right along the back wall
from its left end, y from the back wall towards the viewer, z up from the ground. A heading of 0 looks along +x, a
quarter turn (pi / 2) along +y, towards the viewer.
"""

from dataclasses import dataclass
from typing import Literal

Colour = tuple[int, int, int]
"""Red, green, blue."""
Kind = Literal["horse", "person"]
Light = Literal["day", "dusk", "infrared"]
PlaceKind = Literal["box", "aisle", "paddock"]
TruePosture = Literal["standing", "lying", "between"]
"""`between` while a horse lies down or rises: neither answer would be wrong."""


@dataclass(frozen=True, slots=True)
class Look:
    """What tells one horse or person from another.

    Attributes:
        height: of a horse's withers, of a person's head.
        main: coat or clothes.
        dark: mane, tail and lower legs, or trousers and hair.
        markings: seed of blaze, socks and patches.
    """

    height: float
    main: Colour
    dark: Colour
    markings: int = 0


@dataclass(frozen=True, slots=True)
class HorsePose:
    """How a horse holds itself.

    Attributes:
        down: 0 on its legs, 1 on the ground.
        roll: turn about the body's long axis, 0 upright or sternal, +-pi/2 flat on a side, pi on its back.
        head: 0 nose on the ground, 1 carried high; about 0.7 at rest.
        strides: strides made so far; the fraction is the phase of the gait.
        pace: reach of the legs, 0 at rest, 0.4 walking, 0.65 trotting, 0.9 galloping.
        breath: phase of breathing, nodding and the tail's swing, in cycles.
        thrash: 0 still, 1 legs struggling with all strength, of a horse that is down.
    """

    down: float = 0.0
    roll: float = 0.0
    head: float = 0.7
    strides: float = 0.0
    pace: float = 0.0
    breath: float = 0.0
    thrash: float = 0.0


@dataclass(frozen=True, slots=True)
class PersonPose:
    """How a person holds herself.

    Attributes:
        strides: strides made so far.
        pace: reach of the legs, 0 at rest, 0.5 walking.
        stoop: 0 upright, 1 bent down to the ground.
    """

    strides: float = 0.0
    pace: float = 0.0
    stoop: float = 0.0


@dataclass(frozen=True, slots=True)
class Placed:
    """One horse or person at one moment.

    Attributes:
        id: who it is, the same over the whole scenario.
        x, y: where the middle of the body is, over the ground.
        heading: where it looks.
        posture, speed: what is true of it; metres per second. Nothing is drawn from them.
    """

    id: str
    look: Look
    x: float
    y: float
    heading: float
    pose: HorsePose | PersonPose
    posture: TruePosture = "standing"
    speed: float = 0.0

    @property
    def kind(self) -> Kind:
        return "horse" if isinstance(self.pose, HorsePose) else "person"


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a camera hangs and where it looks.

    Attributes:
        x, y, z: its place.
        yaw: 0 looks along -y, straight at the back wall; positive to the right.
        pitch: downwards from the horizon.
        roll: of the picture, clockwise.
        field: horizontal field of view.
    """

    x: float
    y: float
    z: float
    yaw: float = 0.0
    pitch: float = 0.45
    roll: float = 0.0
    field: float = 1.4


@dataclass(frozen=True, slots=True)
class Place:
    """A box, an aisle or a paddock, and the camera over it.

    Attributes:
        width, depth: of its ground, along x and y.
        seed: of boards, straw, windows and everything else that stands still in it.
        clutter: how many times as much as usual stands and hangs about.
    """

    kind: PlaceKind
    width: float
    depth: float
    mount: Mount
    seed: int = 0
    clutter: int = 1


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the camera has to see through.

    Attributes:
        light: `infrared` is a night under the camera's own lamp: grey, bright in the middle, noisy.
        brightness: factor on all light.
        shake: standard deviation of the camera's shaking, as a share of the picture's width.
        dirt: 0 a clean lens, 1 so dirty that hardly anything is seen.
        door: share of the picture's width that an open door hides, from the right.
        noise: standard deviation of the sensor's noise, of 255.
        covered: something hangs before the lens: nothing is seen at all.
    """

    light: Light = "day"
    brightness: float = 1.0
    shake: float = 0.0
    dirt: float = 0.0
    door: float = 0.0
    noise: float = 4.0
    covered: bool = False


@dataclass(frozen=True, slots=True)
class Truth:
    """One horse or person that is truly in a picture.

    Attributes:
        id: who it is.
        xyxy: left, top, right, bottom of what is drawn of it inside the picture, in pixels, as if nothing hid it.
        visible: share of its drawn area that nothing nearer, no door and no border hides, 0 to 1.
        speed_bl_s: body lengths per second; 0 for a person.
    """

    id: str
    kind: Kind
    xyxy: tuple[float, float, float, float]
    visible: float
    posture: TruePosture
    speed_bl_s: float

    @property
    def class_name(self) -> str:
        """`person`, `horse_lying`, or `horse_standing` for every horse that does not lie."""
        if self.kind == "person":
            return "person"
        return "horse_lying" if self.posture == "lying" else "horse_standing"


BODY_LENGTHS_PER_HEIGHT = 1.5
"""A horse is about one and a half times as long, nose to tail, as its withers are high: its body length in speeds."""
