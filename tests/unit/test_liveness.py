"""What the reads of a stream tell about it."""

import pytest

from fbtasks.errors import CameraError
from fbtasks.producer.liveness import HEALTHY_S, MISSES_OF_ENDED, Liveness


def test_good_reads_and_a_few_damaged_ones_are_no_reason_to_reconnect() -> None:
    liveness = Liveness(3.0, 0.0)
    for index in range(1000):
        liveness.judge(good=index % 5 > 2, began=index * 0.04, ended=index * 0.04 + 0.039)


def test_a_good_read_that_took_the_whole_time_out_is_a_stall() -> None:
    liveness = Liveness(3.0, 0.0)
    with pytest.raises(CameraError, match=r"stalled, a read took 3\.0 s"):
        liveness.judge(good=True, began=1.0, ended=4.0)


def test_reads_that_fail_at_once_one_after_the_other_are_the_end() -> None:
    liveness = Liveness(3.0, 0.0)
    for index in range(MISSES_OF_ENDED - 1):
        liveness.judge(good=False, began=index / 100, ended=index / 100)
    with pytest.raises(CameraError, match="ended"):
        liveness.judge(good=False, began=0.25, ended=0.25)


def test_slow_failures_count_from_the_last_good_frame() -> None:
    liveness = Liveness(3.0, 0.0)
    liveness.judge(good=True, began=9.9, ended=10.0)
    for index in range(1, 6):
        liveness.judge(good=False, began=9.5 + index / 2, ended=10.0 + index / 2 - 0.01)
    with pytest.raises(CameraError, match=r"no usable frame for 3\.0 s"):
        liveness.judge(good=False, began=12.5, ended=13.0)


def test_frames_without_pictures_are_no_use() -> None:
    liveness = Liveness(3.0, 0.0)
    liveness.judge_picture(good=False, now=2.9)
    liveness.judge_picture(good=True, now=3.0)
    liveness.judge_picture(good=False, now=5.9)
    with pytest.raises(CameraError, match=r"no usable picture for 3\.0 s"):
        liveness.judge_picture(good=False, now=6.0)


def test_a_connection_is_healthy_once_it_has_given_frames_for_a_while() -> None:
    liveness = Liveness(3.0, 100.0)
    assert not liveness.healthy
    liveness.judge(good=True, began=100.0, ended=100.1)
    liveness.judge(good=False, began=100.1, ended=100.0 + HEALTHY_S - 2.5)
    assert not liveness.healthy
    liveness.judge(good=True, began=100.0 + HEALTHY_S, ended=100.1 + HEALTHY_S)
    assert liveness.healthy
