"""Who reads which camera: the same answer everywhere, shared evenly, and as little moved as can be."""

import subprocess
import sys
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fbtasks.producer.rendezvous import owner

names = st.text("abcdefgh0123456789-.:", min_size=1, max_size=12)
producers = st.sets(names, min_size=1, max_size=8)
CAMERAS = [f"box-{number}" for number in range(60)]


def shares(living: set[str], cameras: list[str] = CAMERAS) -> dict[str, str | None]:
    """The owner of each camera, where every producer can read all of them."""
    return {camera: owner(camera, dict.fromkeys(living, cameras)) for camera in cameras}


@given(producers, names)
def test_who_comes_takes_cameras_only_for_itself(living: set[str], newcomer: str) -> None:
    before, after = shares(living), shares(living | {newcomer})
    assert all(after[camera] in {before[camera], newcomer} for camera in CAMERAS)


@given(producers)
def test_who_goes_leaves_only_its_own(living: set[str]) -> None:
    gone = min(living)
    before, after = shares(living), shares(living - {gone})
    assert all(before[camera] == gone or after[camera] == before[camera] for camera in CAMERAS)


@given(st.sets(names, min_size=2, max_size=6))
def test_the_shares_are_even(living: set[str]) -> None:
    cameras = [f"camera-{number}" for number in range(600)]
    counts = Counter(shares(living, cameras).values())
    expected = len(cameras) / len(living)
    assert set(counts) == living
    assert all(0.5 * expected < count < 1.5 * expected for count in counts.values())


@given(st.dictionaries(names, st.sets(st.sampled_from(CAMERAS)), max_size=6))
def test_only_who_can_read_a_camera_gets_it(able: dict[str, set[str]]) -> None:
    for camera in CAMERAS:
        chosen = owner(camera, able)
        assert camera in able[chosen] if chosen is not None else not any(camera in each for each in able.values())


def test_who_restarts_under_its_name_gets_its_own_cameras_again() -> None:
    before, after = shares({"barn#1", "yard#1"}), shares({"barn#2", "yard#1"})
    assert all((before[camera] == "barn#1") == (after[camera] == "barn#2") for camera in CAMERAS)


def test_of_two_that_have_one_name_each_camera_has_one_owner() -> None:
    assert len(set(shares({"barn#1", "barn#2"}).values())) == 1


def test_every_process_comes_to_the_same_answer() -> None:
    code = (
        "from fbtasks.producer.rendezvous import owner;"
        f"print([owner(camera, dict.fromkeys('abc', {CAMERAS})) for camera in {CAMERAS}])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert told == {str(list(shares(set("abc")).values()))}
