"""One folder that cannot be cleared out keeps no other from it."""

import os
from pathlib import Path

import pytest

from fbtasks.logic import evidence_tasks
from fbtasks.settings import EvidenceSettings, RecordingSettings, Settings


def test_old_pictures_go_though_recordings_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded, pictured = tmp_path / "recorded", tmp_path / "pictured"
    picture = pictured / "2025-11-21" / "a.alert.jpg"
    picture.parent.mkdir(parents=True)
    picture.touch()
    in_the_way = recorded / "box-3" / "a.results"
    in_the_way.mkdir(parents=True)
    for old in (picture, in_the_way):
        os.utime(old, (0, 0))
    site = Settings(recording=RecordingSettings(folder=recorded), evidence=EvidenceSettings(folder=pictured))
    monkeypatch.setattr(evidence_tasks, "settings", site)
    with pytest.raises(OSError, match=r"a\.results"):
        evidence_tasks.clear_out()
    assert not picture.exists()
