"""What is too old or too much goes, the oldest first, and nothing that is not ours."""

import os
from pathlib import Path

import pytest

from fbtasks.logic.retention import Kept, clear_out, surplus

NOW = 1_700_000_000.0
DAY_S = 86_400.0


def kept(age_s: float, size: int) -> Kept:
    return Kept(NOW - age_s, size, Path(f"{age_s:g}"))


@pytest.mark.parametrize(
    ("keep_s", "max_bytes", "gone"),
    [
        (1000, 1000, []),
        (25, 1000, [30]),
        (1000, 60, [30]),
        (1000, 59, [30, 20]),
        (15, 31, [30, 20]),
        (5, 0, [30, 20, 10]),
    ],
)
def test_the_oldest_go_first(keep_s: float, max_bytes: int, gone: list[int]) -> None:
    files = [kept(20, 30), kept(10, 30), kept(30, 40)]
    assert [file.path for file in surplus(files, NOW, keep_s, max_bytes)] == [Path(f"{age}") for age in gone]


def test_a_file_as_old_as_may_be_stays() -> None:
    assert surplus([kept(100, 1)], NOW, 100, 10) == []
    assert len(surplus([kept(100.5, 1)], NOW, 100, 10)) == 1


def put(path: Path, age_s: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 1000)
    os.utime(path, (NOW - age_s, NOW - age_s))
    return path


def test_old_files_and_their_empty_folders_go_and_what_others_keep_there_stays(tmp_path: Path) -> None:
    old = put(tmp_path / "box-1" / "a.results", 3 * DAY_S)
    beside = put(tmp_path / "box-2" / "b.results", 3 * DAY_S)
    new = put(tmp_path / "box-2" / "c.results", DAY_S)
    foreign = [
        put(tmp_path / "box-1" / "holidays" / "d.results", 9 * DAY_S),
        put(tmp_path / "box-3" / "e.jpg", 9 * DAY_S),
    ]
    other = put(tmp_path / "box-4" / "f.results", 3 * DAY_S)
    assert clear_out(tmp_path, ".results", NOW, keep_s=2 * DAY_S, max_bytes=10_000) == 3
    assert not old.exists()
    assert not beside.exists()
    assert not other.parent.exists()
    assert new.exists()
    assert all(path.exists() for path in foreign)
    assert clear_out(tmp_path, ".results", NOW, keep_s=2 * DAY_S, max_bytes=999) == 1


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert clear_out(tmp_path / "none", ".results", NOW, keep_s=1, max_bytes=1) == 0
