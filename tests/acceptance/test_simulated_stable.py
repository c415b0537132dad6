"""The whole path with what the package brings along: simulated cameras over real RTSP, the demo model, our commands."""

from pathlib import Path

from fbtasks.sim import DEMO_MODEL
from tests.acceptance.stable import Listener, Stable, camera
from tests.backend import Backend
from tests.ports import free_port
from tests.processes import Processes
from tests.servers import immortal_keys
from tests.waiting import wait_until

SCENARIO = """
name = "{name}"
seed = {seed}
length_s = 90
loops = true
light = "{light}"

[place]
kind = "box"
seed = {seed}

[[horses]]
id = "Luna"
coat = "{coat}"
acts = [
  {{ from = 0, to = 30, does = "stands", facing = "right" }},
  {{ from = 30, to = 65, does = "{does}" }},
  {{ from = 65, to = 90, does = "stands", facing = "right" }},
]
"""
RULES = """
[rules.lying]
info_after_s = 10
warning_after_s = false
critical_after_s = false
clear_after_s = 2
cooldown_s = 0

[rules.absent]
enabled = false
"""


def test_a_horse_that_lies_is_told_of_once_and_one_that_stands_is_not(
    stable: Stable, listener: Listener, backend: Backend, processes: Processes, tmp_path: Path
) -> None:
    port = free_port()
    scenarios = {
        "lies": SCENARIO.format(name="lies", seed=71, light="day", coat="bay", does="lies_sternal"),
        "stands": SCENARIO.format(name="stands", seed=72, light="infrared", coat="chestnut", does="stands"),
    }
    files = []
    for name, text in scenarios.items():
        files.append(tmp_path / f"{name}.toml")
        files[-1].write_text(text)
    cameras = processes.start("fbtasks", "sim", "serve", "--port", str(port), *map(str, files), name="cameras")
    wait_until(lambda: f"{port}/stands" in cameras.output() or cameras.exit_code is not None, 60, "the cameras")
    assert cameras.exit_code is None, cameras.tail()
    stable.settings(
        f'[gpu]\nmodel = "{DEMO_MODEL}"\nprovider = "cpu"',
        f'[sinks.backend]\nkind = "webhook"\nurl = "{backend.url}"',
        RULES,
        *(camera(name, f"rtsp://127.0.0.1:{port}/{name}") for name in scenarios),
    )
    running = stable.start_all()

    wait_until(lambda: bool(listener.hear()) and len(backend.requests) >= 2, 150, "the alert and its clear")

    raised, cleared = (request.json for request in backend.requests)
    assert [raised["event"], cleared["event"]] == ["raised", "cleared"]
    assert (raised["camera_id"], raised["rule"], raised["severity"]) == ("lies", "lying", "info")
    assert raised["episode_id"] == cleared["episode_id"]
    assert (stable.folder / "data" / "evidence" / raised["picture"]).is_file()
    postures = {
        name: [track["posture"] for decision in told for track in decision["tracks"]]
        for name, told in listener.hear().items()
    }
    assert "lying" in postures["lies"]
    assert "lying" not in postures["stands"]
    assert share_with_one_horse(listener.hear()["stands"]) >= 0.95
    assert share_with_one_horse(listener.hear()["lies"]) >= 0.95
    assert not immortal_keys(stable.state.client())
    assert not immortal_keys(stable.frames.client())
    for name, process in running.items():
        assert process.exit_code is None, f"{name}\n{process.tail()}"
        assert "Traceback" not in process.output(), process.tail()


def share_with_one_horse(decisions: list[dict[str, object]]) -> float:
    """Share of the decisions with one track and no other, past the half second that confirms one."""
    settled = [decision["tracks"] for decision in decisions[4:]]
    return sum(isinstance(tracks, list) and len(tracks) == 1 for tracks in settled) / len(settled)
