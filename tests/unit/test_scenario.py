"""Scenario files: what can be written, and what is said of what cannot."""

import re
from math import pi, radians
from pathlib import Path

import pytest

from fbtasks.errors import ConfigError
from fbtasks.sim.scenario import PlaceTable, Scenario, find_scenario, load_scenario, read_scenario, shipped
from fbtasks.sim.timeline import Timeline

ROOT = Path(__file__).resolve().parents[2]
STORY = """
name = "story"
length_s = 100
place = { kind = "box", seed = 1 }

[[horses]]
id = "Luna"
acts = [
  { from = 0, to = 20, does = "stands" },
  { from = 20, to = 60, does = "lies_sternal" },
]
"""


def fault(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_scenario(text, "story.toml")
    return str(caught.value)


def test_the_example_of_the_documentation_is_a_scenario() -> None:
    example = re.search(r"```toml\n(.*?)```", (ROOT / "docs" / "scenarios.md").read_text(), re.DOTALL)
    assert example is not None
    scenario = read_scenario(example[1], "docs")
    assert scenario.length_s == 600
    assert scenario.horses[0].acts[2].start == 240
    assert scenario.horses[0].acts[0].facing == 0.0
    kinds = {event.kind for event in Timeline(scenario).events()}
    assert kinds == {"lying", "lateral", "person", "door", "silent"}


def test_every_horse_act_of_the_documentation_exists() -> None:
    table = (ROOT / "docs" / "scenarios.md").read_text().split("## What horses do")[1].split("##")[0]
    told = set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line)))
    for does in told - {"does"}:
        read_scenario(STORY.replace('"stands"', f'"{does}"'), "story.toml")


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "scenarios").glob("*.toml")), ids=lambda path: path.stem)
def test_the_scenarios_for_measuring_detectors_can_be_played(path: Path) -> None:
    timeline = Timeline(load_scenario(path))
    assert timeline.scenario.name == path.stem


def test_shipped_scenarios_are_found_by_name_and_loop_in_300_s() -> None:
    assert shipped() == ["box-1", "box-2", "box-3", "paddock"]
    for name in shipped():
        scenario = find_scenario(name)
        assert (scenario.name, scenario.length_s, scenario.loops) == (name, 300.0, True)


@pytest.mark.parametrize("written", ['"00:01:40"', "00:01:40", "100", "100.0"])
def test_times_may_be_seconds_or_a_clock(written: str) -> None:
    assert read_scenario(STORY.replace("length_s = 100", f"length_s = {written}"), "story.toml").length_s == 100


@pytest.mark.parametrize(("written", "heading"), [('"viewer"', pi / 2), ("45", radians(45)), ("-90", 1.5 * pi)])
def test_directions_may_be_words_or_degrees(written: str, heading: float) -> None:
    scenario = read_scenario(STORY.replace('"stands"', f'"stands", facing = {written}'), "story.toml")
    assert scenario.horses[0].acts[0].facing == pytest.approx(heading)


def test_a_mount_changes_only_what_it_says() -> None:
    usual = read_scenario(STORY, "story.toml").built_place()
    changed = read_scenario(STORY + "[camera.mount]\nz = 5.0\npitch = 40\n", "story.toml").built_place()
    assert changed.mount.z == 5.0
    assert changed.mount.pitch == pytest.approx(radians(40))
    assert (changed.mount.x, changed.mount.field) == (usual.mount.x, usual.mount.field)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"lies_sternal"', '"lies_sternl"', "horses[0].acts[1].does: .*did you mean 'lies_sternal'"),
        ('id = "Luna"', 'id = "Luna"\ncoot = "bay"', "horses[0].coot: unknown key (did you mean 'coat'?)"),
        ('id = "Luna"', 'id = "Luna"\ncoat = "chesnut"', "horses[0].coat: .*did you mean 'chestnut'"),
        ('"box"', '"bax"', "place.kind: .*did you mean 'box'"),
        ("to = 60", "to = 10", "horses[0].acts[1]: `to` must be later than `from`"),
        ("from = 20", "from = 15", "horses[0].acts[1].from: begins before the one above it ends"),
        ("to = 60", "to = 101", "horses[0].acts[1].to: is after the end of the story"),
        ("to = 60", 'to = "6:99"', "horses[0].acts[1].to: write seconds, or a time as 07:30:00"),
        (
            '"stands"',
            '"stands", at = [9, 1]',
            "horses[0].acts[0].at: is outside of the place, which is .* m wide and .* m deep",
        ),
        ('"stands"', '"stands", facing = "rihgt"', "horses[0].acts[0].facing: .*did you mean 'right'"),
        ('"stands"', '"stands", facing = nan', "horses[0].acts[0].facing: Input should be a finite number"),
        ("[[horses]]", "[camera]\nfps = 0.01\n[[horses]]", "camera.fps: Input should be greater than or equal to 0.1"),
        ("[[horses]]", "[camera.mount]\nx = nan\n[[horses]]", "camera.mount.x: Input should be a finite number"),
        (
            "[[horses]]",
            "[camera.mount]\ny = 31\n[[horses]]",
            "camera.mount.y: Input should be less than or equal to 30",
        ),
        ("length_s = 100", "length_s = 100\nlengths = 3", "lengths: unknown key (did you mean 'length_s'?)"),
        ("length_s = 100", "length_s = ", "story.toml: is no TOML"),
    ],
)
def test_faults_are_named_with_their_place(old: str, new: str, said: str) -> None:
    pattern = ".*".join(re.escape(part) for part in said.split(".*"))
    assert re.search(pattern, fault(STORY.replace(old, new, 1)), re.DOTALL)


def test_faults_of_persons_and_disturbances() -> None:
    person = '[[persons]]\nid = "Luna"\nacts = [{ from = 0, to = 9, does = "stands", beside = "Lnua" }]\n'
    text = fault(STORY + person)
    assert "id 'Luna' is used twice" in text
    assert "persons[0].acts[0].beside: there is no horse 'Lnua' (did you mean 'Luna'?)" in text
    silent = '[[disturbances]]\nwhat = "silent"\nfrom = 0\nto = 200\n'
    assert "disturbances[0].to: is after the end of the story" in fault(STORY + silent)
    assert "'silent' has no strength" in fault(STORY + silent.replace("to = 200", "to = 9\nstrength = 0.5"))


def test_all_faults_are_told_at_once() -> None:
    text = fault(STORY.replace('"lies_sternal"', '"lies"').replace('"box"', '"bax"'))
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize(
    ("acts", "said"),
    [
        ('{ from = 0, to = 20, does = "stands" }, { from = 20, to = 22, does = "lies_sternal" }', "too short"),
        ('{ from = 0, to = 20, does = "stands" }, { from = 20, to = 21, does = "away" }', "too short"),
    ],
)
def test_an_act_too_short_for_what_must_come_before_it_is_a_fault(acts: str, said: str) -> None:
    text = re.sub(r"acts = \[.*\]", f"acts = [{acts}]", STORY, flags=re.DOTALL)
    with pytest.raises(ConfigError, match=said):
        Timeline(read_scenario(text, "story.toml"))


def test_a_loop_must_close() -> None:
    text = STORY.replace("length_s = 100", "length_s = 60\nloops = true")
    with pytest.raises(ConfigError, match="Luna does not end as it began"):
        Timeline(read_scenario(text, "story.toml"))


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(ConfigError, match="did you mean 'paddock'"):
        find_scenario("padock")


def test_a_scenario_can_be_made_in_code_too() -> None:
    scenario = Scenario(name="made", length_s=10, place=PlaceTable(kind="box"))
    assert Timeline(scenario).placed(5) == []
