"""When key frames alone are enough, and which backend reads a camera."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbtasks.errors import ConfigError
from fbtasks.producer.choice import KEYFRAMES_WORTH_FPS, choose
from fbtasks.producer.keyframes import ABSENT_S, INTERVALS, KeyFrames


def fed(key_frames: KeyFrames, intervals: list[float]) -> float:
    """Let key frames come so many seconds apart; returns when the last came."""
    now = 0.0
    key_frames.came(now)
    for interval in intervals:
        now += interval
        key_frames.came(now)
    return now


def test_auto_decodes_everything_until_it_knows() -> None:
    key_frames = KeyFrames("auto", 1.0, 0.0)
    fed(key_frames, [0.5] * (INTERVALS - 1))
    assert not key_frames.alone
    key_frames.came(10.0)
    assert not key_frames.alone, "the last one was late"


@given(st.floats(0.1, 10), st.lists(st.floats(0.1, 20), min_size=INTERVALS, max_size=30))
def test_auto_leaves_frames_out_only_where_the_last_intervals_are_short_enough(
    fps: float, intervals: list[float]
) -> None:
    key_frames = KeyFrames("auto", fps, 0.0)
    fed(key_frames, intervals)
    longest = max(intervals[-INTERVALS:])
    if abs(longest * fps - 1) > 1e-6:
        assert key_frames.alone == (longest * fps <= 1)


@pytest.mark.parametrize(("decode", "alone"), [("all", False), ("keyframes", True)])
def test_what_is_asked_for_is_done(decode: str, alone: bool) -> None:
    key_frames = KeyFrames("keyframes" if decode == "keyframes" else "all", 1.0, 0.0)
    assert key_frames.alone is alone
    fed(key_frames, [100.0] * 5)
    assert key_frames.alone is alone


def test_a_stream_without_key_frames_is_found_out() -> None:
    key_frames = KeyFrames("keyframes", 1.0, 5.0)
    assert not key_frames.absent(5.0 + ABSENT_S)
    assert key_frames.absent(5.1 + ABSENT_S)
    key_frames.came(6.0 + ABSENT_S)
    assert not key_frames.absent(6.0 + 2 * ABSENT_S)


def test_opencv_reads_unless_there_is_a_reason() -> None:
    assert choose("auto", "auto", 5.0, has_pyav=True, has_hardware=False) == "opencv"
    assert choose("auto", "all", 0.5, has_pyav=True, has_hardware=False) == "opencv"
    assert choose("auto", "auto", KEYFRAMES_WORTH_FPS, has_pyav=False, has_hardware=False) == "opencv"


def test_pyav_reads_where_it_saves() -> None:
    assert choose("auto", "auto", KEYFRAMES_WORTH_FPS, has_pyav=True, has_hardware=False) == "pyav"
    assert choose("auto", "keyframes", 5.0, has_pyav=True, has_hardware=False) == "pyav"
    assert choose("auto", "all", 5.0, has_pyav=True, has_hardware=True) == "pyav"
    assert choose("auto", "all", 5.0, has_pyav=True, has_hardware=False, skip_loop_filter=True) == "pyav"
    assert choose("opencv", "all", 5.0, has_pyav=True, has_hardware=True) == "opencv"


def test_what_cannot_be_had_is_refused_with_advice() -> None:
    with pytest.raises(ConfigError, match=r"decode = keyframes needs PyAV: install it with `pip install"):
        choose("auto", "keyframes", 5.0, has_pyav=False, has_hardware=False)
    with pytest.raises(ConfigError, match=r"producer.backend = pyav needs PyAV: install"):
        choose("pyav", "all", 5.0, has_pyav=False, has_hardware=False)
    with pytest.raises(ConfigError, match=r"producer.skip_loop_filter needs PyAV: set producer.backend"):
        choose("opencv", "all", 5.0, has_pyav=True, has_hardware=False, skip_loop_filter=True)
    with pytest.raises(ConfigError, match=r"set producer.backend to auto or pyav"):
        choose("opencv", "keyframes", 5.0, has_pyav=True, has_hardware=False)
