"""The demonstration's five minutes, drawn, encoded and looked at by the model, faster than time."""

import json
from pathlib import Path

import pytest

from fbtasks.cli.demo import CAMERAS, RULES
from tests.processes import Processes

DUE = {
    "box-1": [("lying", "info"), ("lying", "warning")],
    "box-2": [("person", "warning")],
    "box-3": [("camera_blind", "warning")],
    "paddock": [("too_fast", "warning")],
}


@pytest.mark.timeout(600)
def test_every_event_of_the_story_is_told_once_and_nothing_else(tmp_path: Path, processes: Processes) -> None:
    settings, figures = tmp_path / "fbtasks.toml", tmp_path / "score.json"
    settings.write_text(f'data_dir = "{tmp_path / "data"}"\n[gpu]\nprovider = "cpu"\n{RULES}')
    scenarios = [option for name in CAMERAS for option in ("--scenario", name)]
    score = processes.start(
        *("fbtasks", "--config", str(settings), "sim", "score", "--pixels", "--fps", "5", "--json", str(figures)),
        *scenarios,
    )
    score.wait(540)

    assert score.exit_code == 0, score.tail()
    nights = json.loads(figures.read_text())["nights"]
    told = {night["name"]: [(one["rule"], one["severity"]) for one in night["told"]] for night in nights}
    assert told == DUE, score.tail()
    assert not [fault for night in nights for fault in night["faults"]], score.tail()
