"""What is called blind, and above all what is not."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fbtasks.producer.sight import LOOK_EVERY_S, Picture, Sight
from fbtasks.settings import SightSettings

LIMITS = SightSettings()
SIZE = (180, 320, 3)
CLIPS = ("horse_paddock_360p30", "two_horses_540p25")


@pytest.fixture(scope="module", params=CLIPS)
def film(request: pytest.FixtureRequest, shared_data: Path) -> list[Picture]:
    """Five pictures a second of real horses, some eleven seconds."""
    with av.open(str(shared_data / "clips" / f"{request.param}.mp4")) as container:
        rate = round(float(container.streams.video[0].average_rate or 25) / 5)
        frames = (frame for number, frame in enumerate(container.decode(video=0)) if number % rate == 0)
        return [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in frames]


def noisy(level: float, sigma: float = 3.0, count: int = 100) -> Iterator[Picture]:
    """Pictures of one grey level and a sensor's noise, each with noise of its own."""
    chance = np.random.default_rng(1)
    for _ in range(count):
        yield np.clip(chance.normal(level, sigma, SIZE), 0, 255).astype(np.uint8)


def said(sight: Sight, pictures: Sequence[Picture], start: float = 0.0, every_s: float = 0.2) -> list[str]:
    """What is said of each."""
    return [sight.look(picture, start + number * every_s) for number, picture in enumerate(pictures)]


def first(answers: Sequence[str], what: str, every_s: float = 0.2) -> float:
    """After how many seconds it was said first."""
    return answers.index(what) * every_s


def test_a_film_is_not_blind_even_when_it_is_shown_round_and_round(film: list[Picture]) -> None:
    assert set(said(Sight(LIMITS), film * 4)) == {""}


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda picture: cv2.GaussianBlur(picture, (121, 121), 0),
        lambda picture: (picture * 0.12).astype(np.uint8),
        lambda picture: np.clip(picture.astype(int) + 60, 0, 255).astype(np.uint8),
    ],
    ids=["out of focus", "dark", "bright"],
)
def test_a_bad_picture_is_not_blind(film: list[Picture], spoilt: object) -> None:
    assert callable(spoilt)
    assert set(said(Sight(LIMITS), [spoilt(picture) for picture in film])) == {""}


@pytest.mark.parametrize(("level", "what"), [(3, "black"), (60, "covered"), (130, "covered"), (255, "overexposed")])
def test_pictures_that_show_nothing_are_blind_once_that_has_lasted(level: float, what: str) -> None:
    answers = said(Sight(LIMITS), list(noisy(level)))
    assert set(answers) == {"", what}
    assert first(answers, what) == pytest.approx(LIMITS.blind_after_s, abs=2 * LOOK_EVERY_S)
    assert set(answers[answers.index(what) :]) == {what}


def test_a_blind_moment_is_nothing_and_a_clear_moment_ends_nothing(film: list[Picture]) -> None:
    sight = Sight(LIMITS)
    black = list(noisy(3, count=200))
    moment = [*film[:10], *black[:15], *film[10:20]]
    assert set(said(sight, moment)) == {""}
    said(sight, black, start=100)
    answers = said(sight, [*film[:4], *black[:10], *film[10:40]], start=150)
    assert set(answers[:14]) == {"black"}
    assert answers[-1] == ""


def test_one_picture_again_and_again_is_frozen_until_a_new_one_comes(film: list[Picture]) -> None:
    sight = Sight(LIMITS)
    answers = said(sight, [*film[:5], *[film[5]] * 100])
    assert first(answers, "frozen") == pytest.approx(1 + LIMITS.frozen_after_s, abs=2 * LOOK_EVERY_S)
    assert answers[-1] == "frozen"
    assert said(sight, film[6:12], start=50)[-1] == ""


def test_a_frozen_camera_whose_encoder_goes_round_is_frozen(film: list[Picture]) -> None:
    """A key frame, and what follows it, differ a little; the next key frame is the same again."""
    cycle = [np.clip(film[0].astype(int) + number % 2, 0, 255).astype(np.uint8) for number in range(200)]
    assert said(Sight(LIMITS), cycle)[-1] == "frozen"


def test_a_still_scene_with_a_sensor_s_noise_is_not_frozen(film: list[Picture]) -> None:
    chance = np.random.default_rng(2)
    still = [
        np.clip(film[0] + chance.normal(0, 0.5, film[0].shape).round(), 0, 255).astype(np.uint8) for _ in range(100)
    ]
    assert set(said(Sight(LIMITS), still)) == {""}


def test_a_camera_that_is_analysed_slowly_is_not_frozen_by_two_pictures(film: list[Picture]) -> None:
    answers = said(Sight(LIMITS), [film[0]] * 6, every_s=20)
    assert answers == ["", "", "", "", "frozen", "frozen"]


def test_a_clock_that_stands_still_moves_nothing(film: list[Picture]) -> None:
    sight = Sight(LIMITS)
    assert {sight.look(film[0], 5.0) for _ in range(100)} == {""}


def test_thresholds_are_settings(film: list[Picture]) -> None:
    strict = SightSettings(covered_below=200, blind_after_s=0)
    assert said(Sight(strict), film[:10])[-1] == "covered"
