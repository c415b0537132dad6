"""Results on disk: one file for each camera and hour, whoever writes, and no harm where nothing can be written."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from fbtasks.logic import recorder as recorder_module
from fbtasks.logic.recorder import LOG_EVERY_S, Recorder, find_recordings
from fbtasks.wire import encode
from tests.results import result, standing

HOUR_MS = 3_600_000
NOON_MS = 1_700_049_600_000  # 2023-11-15 12:00 UTC


def message(number: int, camera_id: str = "box-3") -> bytes:
    return encode(result(number * 0.2, [standing()], seq=number, camera_id=camera_id))


def keep(recorder: Recorder, milliseconds: int, messages: Sequence[bytes], camera_id: str = "box-3") -> None:
    recorder.record(camera_id, f"{milliseconds}-1", messages)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_each_camera_and_hour_has_a_file(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "deep" / "down")
    keep(recorder, NOON_MS, [message(0)])
    keep(recorder, NOON_MS + HOUR_MS - 1, [message(1)])
    keep(recorder, NOON_MS + HOUR_MS, [message(2)])
    keep(recorder, NOON_MS, [message(3, "box-4")], "box-4")
    keep(recorder, NOON_MS, [])
    assert names(tmp_path / "deep" / "down") == [
        "box-3/2023-11-15T12.000.results",
        "box-3/2023-11-15T13.000.results",
        "box-4/2023-11-15T12.000.results",
    ]
    three, four = find_recordings([tmp_path])
    assert (three.camera_id, list(three.messages())) == ("box-3", [message(0), message(1), message(2)])
    assert (four.camera_id, list(four.messages())) == ("box-4", [message(3, "box-4")])


def test_a_full_file_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "FILE_BYTES", 300)
    recorder = Recorder(tmp_path)
    kept = [message(number) for number in range(10)]
    for number, one in enumerate(kept):
        keep(recorder, NOON_MS + number, [one])
    assert len(names(tmp_path)) >= 3
    assert all(path.stat().st_size < 300 + 200 for path in tmp_path.rglob("*.results"))
    [recording] = find_recordings([tmp_path])
    assert list(recording.messages()) == kept


def test_what_two_processes_wrote_out_of_turn_is_read_in_the_order_of_the_mailbox(tmp_path: Path) -> None:
    one, other = Recorder(tmp_path), Recorder(tmp_path)
    for number in (1, 0, 3, 2, 5, 4):
        keep((one, other)[number % 2], NOON_MS + number * 200, [message(number)])
    [recording] = find_recordings([tmp_path])
    assert list(recording.messages()) == [message(number) for number in range(6)]


def test_since_and_until_choose_by_the_time_of_arrival(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for number in range(10):
        keep(recorder, NOON_MS + number * 1000, [message(number)])
    [recording] = find_recordings([tmp_path])
    assert list(recording.messages(NOON_MS / 1000 + 3, NOON_MS / 1000 + 5)) == [message(3), message(4)]


def test_hours_outside_of_it_are_not_read(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for hour in range(-3, 4):
        keep(recorder, NOON_MS + hour * HOUR_MS, [message(hour + 3)])
    for name in ("2023-11-15T10", "2023-11-15T14"):
        with (tmp_path / "box-3" / f"{name}.000.results").open("ab") as file:
            file.write(b"torn")
    [recording] = find_recordings([tmp_path])
    noon = NOON_MS / 1000
    assert list(recording.messages(noon - 3600, noon + 3600)) == [message(2), message(3)]
    assert recording.bytes_lost == 0
    assert len(list(recording.messages())) == 7
    assert recording.bytes_lost == 8


def test_a_torn_block_costs_only_itself_and_is_told(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    keep(recorder, NOON_MS, [message(0)])
    file = tmp_path / "box-3" / "2023-11-15T12.000.results"
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:50])
    keep(recorder, NOON_MS + 1, [message(1)])
    [recording] = find_recordings([file])
    assert list(recording.messages()) == [message(0), message(1)]
    assert recording.bytes_lost == 50


def test_a_full_disk_is_counted_and_told_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux refuses every byte that is written to /dev/full, as a full disk does."""
    now = 100.0
    monkeypatch.setattr(recorder_module, "monotonic", lambda: now)
    (tmp_path / "box-3").mkdir()
    (tmp_path / "box-3" / "2023-11-15T12.000.results").symlink_to("/dev/full")
    recorder = Recorder(tmp_path)
    with caplog.at_level(logging.ERROR):
        for number in range(5):
            keep(recorder, NOON_MS + number, [message(number)])
        now += LOG_EVERY_S
        keep(recorder, NOON_MS + 5, [message(5)])
    assert recorder.failures == 6
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"{count} blocks of results were not recorded in {tmp_path}: No space left on device" for count in (1, 5)
    ]
    keep(recorder, NOON_MS + HOUR_MS, [message(9)])
    assert recorder.failures == 6


def test_a_folder_that_cannot_be_made_disturbs_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    recorder = Recorder(tmp_path / "file")
    keep(recorder, NOON_MS, [message(0)])
    assert recorder.failures == 1


def test_a_folder_without_recordings_has_none(tmp_path: Path) -> None:
    (tmp_path / "box-3").mkdir()
    (tmp_path / "box-3" / "2023-11-15T12.000.results").write_bytes(b"\xf5fb1 torn")
    (tmp_path / "notes.txt").write_text("not ours")
    assert find_recordings([tmp_path]) == []
