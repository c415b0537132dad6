"""`fbtasks demo`: the story it promises, told in full, and nothing left behind."""

import re
from pathlib import Path

import pytest

from tests.processes import Process, Processes
from tests.waiting import wait_until

STORY = (
    r"box-1 +seen +A horse is in view",
    r"box-2 +seen +A horse is in view",
    r"box-3 +seen +A horse is in view",
    r"paddock +seen +A horse is in view",
    r"box-1 +ALERT \(info\) +Horse in box-1 has been lying for \d+ seconds",
    r"box-1 +WORSE \(warning\) +Horse in box-1 has been lying for \d+ seconds",
    r"box-1 +over +Horse in box-1 is standing again",
    r"paddock +ALERT \(warning\) +Horse in paddock is moving at",
    r"paddock +over +Horse in paddock has calmed down",
    r"box-2 +ALERT \(warning\) +box-2: somebody has been in the box",
    r"box-2 +over +box-2: nobody is in the box any more",
    r"box-3 +ALERT \(warning\) +box-3: no pictures from the camera since",
    r"box-3 +over +box-3: the camera shows the box again",
)
LINE = re.compile(r"^\d\d:\d\d:\d\d +(box-\d|paddock) ")
SLOW_MACHINE_S = 600
"""The story takes five minutes and is told to its end; starting took 12 s on two idle cores."""


@pytest.mark.timeout(2 * SLOW_MACHINE_S)
def test_demo_tells_its_story_and_ctrl_c_leaves_nothing(tmp_path: Path, processes: Processes) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    demo = processes.start("fbtasks", "demo", env={"TMPDIR": str(scratch)})

    wait_until(lambda: demo.exit_code is not None or not _missing(demo), SLOW_MACHINE_S, "the whole story")
    assert not _missing(demo), demo.tail()
    where = re.search(r"export (FBTASKS_CONFIG)=(\S+)", demo.output())
    assert where, "another command cannot find the demonstration"
    listing = processes.start("fbtasks", "alerts", "list", env={where[1]: where[2]})
    assert listing.wait(60) == 0, listing.tail()
    assert re.search(r"box-1 +lying ", listing.output()), listing.tail()
    told = [line for line in demo.output().splitlines() if LINE.match(line)]

    assert demo.interrupt(30) == 0, demo.tail()
    assert len(told) == len(STORY), f"something else was told\n{demo.tail()}"
    assert not demo.survivors()
    assert not list(scratch.iterdir()), "temporary files were left"
    assert "Traceback" not in demo.output(), demo.tail()


def _missing(demo: Process) -> list[str]:
    """What of the story has not been told yet."""
    told = demo.output()
    return [line for line in STORY if not re.search(line, told)]
