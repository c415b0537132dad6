"""What one process has begun another one ends: all that the logic remembers is in the record."""

import os
import subprocess
import sys
from pathlib import Path

from fbtasks.logic.pipeline import Pipeline
from fbtasks.logic.rules import load_rules
from fbtasks.logic.state import CameraState
from fbtasks.settings import LogicSettings
from fbtasks.wire import Result, decode_mailed, encode
from tests.results import lying, result, standing

RULES = {"lying": {"info_after_s": 20.0, "warning_after_s": 40.0, "clear_after_s": 5.0}}
ROOT = Path(__file__).resolve().parents[2]


def story() -> list[Result]:
    """A horse that stands, lies for a minute, and stands; beside another one that always stands."""
    pictures = []
    for step in range(200):
        at = step / 2
        mine = lying(100.0) if 10 <= at < 75 else standing(100.0)
        pictures.append(result(at, [mine, standing(800.0)], seq=step))
    return pictures


def told(state: CameraState, results: list[Result]) -> list[str]:
    """Each alert in a line; `state` is moved on."""
    pipeline = Pipeline("box-3", LogicSettings(), load_rules(RULES))
    return [
        f"{alert.id} {alert.event} {alert.severity} {alert.at:.2f}"
        for one in results
        for alert in pipeline.step(state, one)[2]
    ]


def in_a_new_process(state: CameraState, results: list[Result], folder: Path) -> list[str]:
    (folder / "state").write_bytes(state.encode())
    (folder / "messages").write_text("\n".join(encode(one).hex() for one in results))
    command = [sys.executable, "-m", "tests.integration.test_new_process", str(folder)]
    ran = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()


def test_restarts_in_the_middle_change_nothing(tmp_path: Path) -> None:
    results = story()
    whole = told(CameraState(camera_id="box-3"), results)
    assert [line.split()[1] for line in whole] == ["raised", "escalated", "cleared"]
    for cut in (50, 110):
        state = CameraState(camera_id="box-3")
        assert told(state, results[:cut]) + in_a_new_process(state, results[cut:], tmp_path) == whole


if __name__ == "__main__":
    there = Path(sys.argv[1])
    mailed = [decode_mailed(bytes.fromhex(line)) for line in (there / "messages").read_text().splitlines()]
    went_on = CameraState.decode((there / "state").read_bytes())
    sys.stdout.write("\n".join(told(went_on, [one for one in mailed if isinstance(one, Result)])))
