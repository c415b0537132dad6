"""`fbtasks demo`: the story it promises, told in full, and nothing left behind."""

import re
from pathlib import Path

import pytest

from tests.processes import Process, Processes
from tests.waiting import wait_until

STORY = (
    r"box-1 +seen +A horse is in view",
    r"box-2 +seen +A horse is in view",
    r"box-1 +ALERT \(info\) +Horse in box-1 has been lying for \d+ seconds",
    r"box-1 +WORSE \(warning\) +Horse in box-1 has been lying for \d+ seconds",
    r"box-1 +over +Horse in box-1 is standing again",
    r"box-2 +ALERT \(warning\) +Horse in box-2 is moving at",
    r"box-2 +over +Horse in box-2 has calmed down",
)
LINE = re.compile(r"^\d\d:\d\d:\d\d +box-")
SLOW_MACHINE_S = 240
"""Drawing and starting took 25 s on two busy cores; the story takes a minute."""


@pytest.mark.timeout(2 * SLOW_MACHINE_S)
def test_demo_tells_its_story_and_ctrl_c_leaves_nothing(tmp_path: Path, processes: Processes) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    demo = processes.start("fbtasks", "demo", env={"TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"})

    wait_until(lambda: demo.exit_code is not None or not _missing(demo), SLOW_MACHINE_S, "the whole story")
    assert not _missing(demo), demo.tail()
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
