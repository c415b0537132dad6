"""Each way in which cameras fail, against real servers and the real `fbtasks produce`; the same code makes the table.

What is asserted is that a loss is noticed and named, that the camera comes back soon, and that no other camera misses
pictures; in how many seconds exactly is measured by `benchmarks/camera_faults.py`, on a machine that does nothing else.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.camera_faults import CASES, UDP_CASES, Case, Limits, Site, missed_pictures, site

LIMITS = Limits(
    open_timeout_s=2.0, read_timeout_s=2.0, frozen_after_s=2.0, backoff_max_s=2.0, login_pause_s=1.0, lasts_s=2.5
)
BACK_WITHIN_S = 15.0
"""Five on a quiet machine."""
OTHERS_LOSE = 5
"""Pictures, a second's. A busy machine loses some by itself; a camera that held up the others would lose them all."""


@pytest.fixture(scope="module")
def tcp_site(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    clip = shared_data / "clips" / "horse_paddock_360p30.mp4"
    with site(tmp_path_factory.mktemp("tcp"), clip, "tcp", LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def udp_site(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    clip = shared_data / "clips" / "horse_paddock_360p30.mp4"
    with site(tmp_path_factory.mktemp("udp"), clip, "udp", LIMITS) as running:
        yield running


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_camera_fails_and_comes_back(tcp_site: Site, case: Case) -> None:
    check(tcp_site, case)


@pytest.mark.parametrize("case", UDP_CASES, ids=lambda case: case.name)
def test_a_camera_fails_and_comes_back_over_udp(udp_site: Site, case: Case) -> None:
    check(udp_site, case)


@pytest.mark.parametrize(
    ("times", "missed"),
    [
        ([], 0),
        ([0.0, 0.2, 0.4, 0.6], 0),
        ([0.0, 0.3, 0.4, 0.7, 0.8], 0),
        ([0.0, 0.2, 0.6, 0.8], 1),
        ([0.0, 0.3, 0.7, 0.8], 1),
        ([0.0, 0.2, 0.9, 1.1], 2),
    ],
)
def test_a_picture_that_is_half_a_period_late_is_not_missing(times: list[float], missed: int) -> None:
    assert missed_pictures(times) == missed


def check(running: Site, case: Case) -> None:
    outcome = running.run(case, LIMITS)
    assert case.stays or outcome.detected_s is not None, "nobody noticed"
    assert outcome.detected_s is None or outcome.said, "nobody said why"
    assert outcome.recovered_s is not None, "it did not come back"
    assert outcome.recovered_s < BACK_WITHIN_S
    assert outcome.others_lost <= OTHERS_LOSE
