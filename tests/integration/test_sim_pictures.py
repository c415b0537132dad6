"""The drawn stable: what the truth says is what the pictures show."""

from dataclasses import replace
from functools import cache
from math import pi

import numpy as np
import pytest

from fbtasks.sim import scene as scene_module
from fbtasks.sim.body import GROUND_CONTACT
from fbtasks.sim.horse import horse
from fbtasks.sim.painter import Picture
from fbtasks.sim.person import person
from fbtasks.sim.places import place
from fbtasks.sim.projection import Array, Ellipses, Pinhole
from fbtasks.sim.scene import Scene
from fbtasks.sim.stage import (
    BODY_LENGTHS_PER_HEIGHT,
    Conditions,
    HorsePose,
    Look,
    Mount,
    PersonPose,
    Place,
    Placed,
    PlaceKind,
)

WIDTH, HEIGHT = 640, 360
BAY = Look(1.62, (122, 61, 30), (30, 22, 18), markings=3)
PIEBALD = Look(1.45, (200, 196, 190), (60, 50, 44), markings=5)
GROOM = Look(1.75, (40, 60, 150), (40, 40, 60))
QUIET = Conditions(noise=0.0)
HORSE_POSES = {
    "standing": HorsePose(),
    "grazing": HorsePose(head=0.0),
    "galloping": HorsePose(pace=0.9, strides=0.3),
    "lying down": HorsePose(down=0.5),
    "on its chest": HorsePose(down=1.0),
    "on its side": HorsePose(down=1.0, roll=-pi / 2, thrash=1.0, breath=0.2),
    "on its back": HorsePose(down=1.0, roll=pi),
}
PERSON_POSES = {"upright": PersonPose(), "walking": PersonPose(0.2, 0.5), "stooping": PersonPose(stoop=1.0)}
BOX, PADDOCK = place("box", 4), place("paddock", 2)


def a_horse(pose: HorsePose, heading: float = 0.0, *, within: Place = BOX, x: float = 0.5, y: float = 0.5) -> Placed:
    return Placed("horse", BAY, x * within.width, y * within.depth, heading, pose)


def a_person(within: Place = BOX, x: float = 0.5, y: float = 0.5, pose: PersonPose | None = None) -> Placed:
    return Placed("groom", GROOM, x * within.width, y * within.depth, 0.4, pose or PersonPose())


@pytest.fixture
def shadowless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shadow is no part of who throws it."""
    for light in scene_module._SHADOW:
        monkeypatch.setitem(scene_module._SHADOW, light, 0.0)


@cache
def scene_of(somewhere: Place) -> Scene:
    """Its pictures do not depend on what another test asked of it: see below."""
    return Scene(somewhere, WIDTH, HEIGHT)


def drawn_box(scene: Scene, who: Placed, conditions: Conditions, moment: int) -> tuple[float, float, float, float]:
    """Where the picture with `who` is another than without."""
    gap = np.abs(
        scene.picture([who], conditions, moment).astype(int) - scene.picture([], conditions, moment).astype(int)
    )
    rows, columns = np.nonzero(gap.max(axis=2) > 12)
    return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)


@pytest.mark.usefixtures("shadowless")
@pytest.mark.parametrize("heading", [0.0, 0.8, pi / 2, 2.6, -pi / 2])
@pytest.mark.parametrize("name", HORSE_POSES)
@pytest.mark.parametrize("kind", ["box", "aisle", "paddock"])
def test_a_horses_box_is_what_is_drawn(kind: PlaceKind, name: str, heading: float) -> None:
    somewhere = place(kind, 4)
    scene = scene_of(somewhere)
    who = a_horse(HORSE_POSES[name], heading, within=somewhere)
    (truth,) = scene.truth([who], QUIET, 1)
    assert truth.xyxy == pytest.approx(drawn_box(scene, who, QUIET, 1), abs=3.5)


@pytest.mark.usefixtures("shadowless")
@pytest.mark.parametrize("name", PERSON_POSES)
def test_a_persons_box_is_what_is_drawn(name: str) -> None:
    scene = scene_of(BOX)
    who = a_person(pose=PERSON_POSES[name])
    (truth,) = scene.truth([who], QUIET, 1)
    assert truth.xyxy == pytest.approx(drawn_box(scene, who, QUIET, 1), abs=3.5)


@pytest.mark.usefixtures("shadowless")
@pytest.mark.parametrize("x", [-0.15, 0.02, 0.97, 1.12])
def test_a_box_ends_at_the_pictures_border(x: float) -> None:
    scene = scene_of(BOX)
    who = a_horse(HorsePose(head=1.0), 0.5, x=x, y=0.9)
    (truth,) = scene.truth([who], QUIET, 1)
    assert truth.xyxy == pytest.approx(drawn_box(scene, who, QUIET, 1), abs=3.5)
    assert 0 < truth.visible < 1


@pytest.mark.usefixtures("shadowless")
def test_a_shaking_camera_shakes_picture_and_truth_alike() -> None:
    scene, who = scene_of(PADDOCK), a_horse(HorsePose(), within=PADDOCK)
    shaking = replace(QUIET, shake=0.012)
    lefts = set()
    for moment in range(4):
        (truth,) = scene.truth([who], shaking, moment)
        assert truth.xyxy == pytest.approx(drawn_box(scene, who, shaking, moment), abs=3.5)
        lefts.add(truth.xyxy[0])
    assert len(lefts) > 1


def test_a_picture_does_not_depend_on_what_was_asked_before() -> None:
    who = a_horse(HorsePose(head=0.2), 1.0)
    conditions = Conditions(light="infrared", shake=0.01, dirt=0.3, door=0.2)
    fresh = Scene(BOX, WIDTH, HEIGHT)
    used = Scene(BOX, WIDTH, HEIGHT)
    for moment in range(5):
        used.picture([who, a_person()], Conditions(light="dusk", noise=moment, dirt=0.1 * moment), moment)
        used.truth([who], QUIET, moment)
    assert np.array_equal(fresh.picture([who], conditions, 9), used.picture([who], conditions, 9))
    assert fresh.truth([who], conditions, 9) == used.truth([who], conditions, 9)
    assert not np.array_equal(fresh.picture([who], conditions, 9), fresh.picture([who], conditions, 10))


def test_the_nearer_hides_the_farther() -> None:
    scene = scene_of(PADDOCK)
    far = a_horse(HorsePose(), within=PADDOCK, y=0.3)
    near = Placed("near", PIEBALD, far.x, far.y + 1.2, 0.0, HorsePose())
    behind, before = scene.truth([near, far], QUIET, 0)
    assert (behind.id, before.id) == ("horse", "near")
    assert 0 < behind.visible < 0.7
    assert before.visible == 1.0
    aside = replace(near, x=far.x - 3.0)
    assert [truth.visible for truth in scene.truth([far, aside], QUIET, 0)] == [1.0, 1.0]


def test_a_door_hides_what_is_behind_it_and_keeps_its_box() -> None:
    scene, who = scene_of(PADDOCK), a_horse(HorsePose(), within=PADDOCK)
    (free,) = scene.truth([who], QUIET, 0)
    left, _, right, _ = free.xyxy
    half = replace(QUIET, door=1 - (left + right) / 2 / WIDTH)
    (hidden,) = scene.truth([who], half, 0)
    assert hidden.xyxy == free.xyxy
    assert 0.3 < hidden.visible < 0.7
    with_horse, without = scene.picture([who], half, 0), scene.picture([], half, 0)
    edge = round((left + right) / 2)
    assert np.array_equal(with_horse[:, edge:], without[:, edge:])
    assert not np.array_equal(with_horse[:, :edge], without[:, :edge])


def test_who_is_outside_the_picture_or_behind_the_camera_is_left_out() -> None:
    scene = scene_of(PADDOCK)
    beside = Placed("beside", BAY, -60.0, 3.0, 0.0, HorsePose())
    behind = Placed("behind", GROOM, PADDOCK.mount.x, PADDOCK.mount.y + 5.0, 0.0, PersonPose())
    assert scene.truth([beside, behind], QUIET, 0) == []
    assert np.array_equal(scene.picture([beside, behind], QUIET, 0), scene.picture([], QUIET, 0))


def test_speed_is_in_body_lengths() -> None:
    scene = scene_of(PADDOCK)
    who = replace(a_horse(HorsePose(pace=0.9), within=PADDOCK), speed=6.0)
    groom = replace(a_person(PADDOCK, x=0.8), speed=1.0)
    speeds = {truth.id: truth.speed_bl_s for truth in scene.truth([who, groom], QUIET, 0)}
    assert speeds == {"horse": pytest.approx(6.0 / (BODY_LENGTHS_PER_HEIGHT * BAY.height)), "groom": 0.0}


def points_of(camera: Pinhole, points: Array) -> Ellipses:
    """Ellipsoids without extent, as the picture shows them."""
    return camera.ellipses(points, np.zeros((len(points), 3, 3)))


def test_a_camera_sees_the_way_its_mount_says() -> None:
    level = Pinhole(Mount(x=2.0, y=4.0, z=1.0, pitch=0.0, field=pi / 2), 200, 100)
    points = np.array([(2.0, 0.0, 1.0), (4.0, 2.0, 1.0), (2.0, 2.0, 1.5)])
    seen = points_of(level, points)
    assert seen.centres == pytest.approx(np.array([(100.0, 50.0), (200.0, 50.0), (100.0, 25.0)]))
    assert seen.depth == pytest.approx([4.0, 2.0, 2.0])
    turned = Pinhole(Mount(x=2.0, y=4.0, z=1.0, yaw=pi / 4, pitch=0.0, field=pi / 2), 200, 100)
    assert points_of(turned, points[1:2]).centres == pytest.approx(np.array([(100.0, 50.0)]))
    down = Pinhole(Mount(x=2.0, y=4.0, z=1.0, pitch=pi / 4), 200, 100)
    assert points_of(down, np.array([(2.0, 3.0, 0.0)])).centres == pytest.approx(np.array([(100.0, 50.0)]))
    rolled = Pinhole(Mount(x=2.0, y=4.0, z=1.0, pitch=0.0, roll=pi / 2, field=pi / 2), 200, 100)
    assert points_of(rolled, points[1:2]).centres == pytest.approx(np.array([(100.0, 150.0)])), (
        "what was at the right is below, clockwise"
    )


def test_a_horse_looks_where_it_heads() -> None:
    right = horse(a_horse(HorsePose(), 0.0), HorsePose())
    towards = horse(a_horse(HorsePose(), pi / 2), HorsePose())
    centre = (BOX.width / 2, BOX.depth / 2)
    # Legs and tail reach less far back than the nose forward.
    assert right.points[:, 0].max() - centre[0] > centre[0] - right.points[:, 0].min()
    assert towards.points[:, 1].max() - centre[1] > centre[1] - towards.points[:, 1].min()


@pytest.mark.parametrize("name", HORSE_POSES)
def test_a_horse_touches_the_ground_and_nothing_of_it_is_below(name: str) -> None:
    body = horse(a_horse(HORSE_POSES[name]), HORSE_POSES[name])
    reach = np.sqrt((body.shapes[:, 2] ** 2).sum(axis=1))
    lowest = body.points[:, 2] - GROUND_CONTACT * reach
    assert lowest.min() == pytest.approx(0.0, abs=0.02)


def test_postures_have_their_heights() -> None:
    def height(pose: HorsePose) -> float:
        body = horse(a_horse(pose), pose)
        reach = np.sqrt((body.shapes[:, 2] ** 2).sum(axis=1))
        withers, barrel = 5, 3
        return float((body.points[:, 2] + reach)[[withers, barrel]].max())

    assert height(HorsePose()) == pytest.approx(BAY.height, rel=0.03)
    assert height(HorsePose(down=1.0)) < 0.55 * BAY.height
    assert height(HorsePose(down=1.0, roll=pi / 2)) < 0.45 * BAY.height
    upright = person(a_person(), PersonPose())
    assert (upright.points[:, 2] + upright.shapes[:, 2, 2]).max() == pytest.approx(GROOM.height, rel=0.03)


def mean(picture: Picture) -> float:
    return float(picture.mean())


def test_light() -> None:
    scene, who = scene_of(BOX), [a_horse(HorsePose())]
    day, dusk = scene.picture(who, QUIET, 0), scene.picture(who, replace(QUIET, light="dusk"), 0)
    assert mean(dusk) < 0.7 * mean(day)
    assert mean(scene.picture(who, replace(QUIET, brightness=0.5), 0)) == pytest.approx(0.5 * mean(day), rel=0.1)
    infrared = scene.picture(who, replace(QUIET, light="infrared"), 0)
    assert np.ptp(infrared.astype(int), axis=2).max() <= 1
    assert infrared[150:210, 280:360].mean() > 1.5 * infrared[:40, :40].mean()
    assert scene.picture(who, replace(QUIET, covered=True), 0).max() < 16


def test_noise_has_the_deviation_asked_for() -> None:
    scene = scene_of(BOX)
    clean = scene.picture([], QUIET, 0)
    noisy = scene.picture([], replace(QUIET, noise=6.0), 0)
    inside = (clean > 40) & (clean < 215)
    assert (noisy.astype(int) - clean)[inside].std() == pytest.approx(6.0, rel=0.1)


def test_dirt_takes_contrast() -> None:
    scene = scene_of(BOX)
    spread = [float(scene.picture([], replace(QUIET, dirt=dirt), 0).std()) for dirt in (0.0, 0.4, 0.9)]
    assert spread[0] > 1.2 * spread[1] > 1.2 * spread[2]


@pytest.mark.parametrize("kind", ["box", "aisle", "paddock"])
def test_places_differ_by_their_seed_alone(kind: PlaceKind) -> None:
    assert place(kind, 3) == place(kind, 3)
    assert place(kind, 3) != place(kind, 4)
    one, other = (Scene(place(kind, seed), 320, 180).picture([], QUIET, 0) for seed in (3, 4))
    assert np.abs(one.astype(int) - other.astype(int)).mean() > 10


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["box", "aisle", "paddock"])
def test_a_horse_in_the_middle_is_wholly_seen_by_every_default_camera(kind: PlaceKind, seed: int) -> None:
    somewhere = place(kind, seed)
    (truth,) = scene_of(somewhere).truth([a_horse(HorsePose(), within=somewhere, y=0.45)], QUIET, 0)
    assert truth.visible > 0.97
    assert truth.xyxy[2] - truth.xyxy[0] > 0.08 * WIDTH
