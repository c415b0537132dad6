"""The benchmark for GPU hosts runs alone, here on the CPU, and what cannot be measured is refused."""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.gpu import COLUMNS, HEADING, Bench, append, device
from tests import tiny_detector

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(300)  # every kind of measurement, on a machine that may be busy
def test_it_measures_every_cause_and_appends_a_row(tmp_path: Path) -> None:
    results = tmp_path / "RESULTS.md"
    results.write_text("# What was measured\n\nEarlier figures.\n")
    model, file = tiny_detector.saved(tmp_path), tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.gpu", "--model", str(model), "--provider", "cpu", "--quick"]
    command += ["--json", str(file), "--results", str(results)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=280)
    facts = json.loads(file.read_text())
    assert facts["provider"] == "cpu"
    cells = {(row["input"], row["precision"], row["at_once"]) for row in facts["engine"]}
    sizes = ("640x640", "640x384")
    assert cells == {
        (size, precision, at_once) for size in sizes for precision in ("auto", "float32") for at_once in (1, 2)
    }
    assert all(row["fps"] > 0 and row["run_ms"]["p50"] > 0 for row in facts["engine"])
    assert facts["agreement"]["largest_score_difference"] < 1e-5
    assert all(facts["decode"][size]["one_thread_fps"] > 0 for size in sizes)
    assert {row["batch"] for row in facts["engine"]} == {1}, "as on every CPU"
    assert set(facts["redis"]) == {"batches of 1", "batches of 2"}
    whole = facts["whole"]
    assert min(whole["one_by_one_fps"], whole["in_batches_fps"], whole["worker"]["pipeline_fps"]) > 0
    assert {"machine", "versions", "device", "at", "model"} <= facts.keys()
    text = results.read_text()
    assert text.startswith("# What was measured\n\nEarlier figures.\n")
    heading, separator, line = text.split(HEADING)[1].strip().splitlines()[-3:]
    assert len(heading.split("|")) == len(separator.split("|")) == len(line.split("|")) == len(COLUMNS) + 2
    assert f"| {facts['model']} |" in line


def test_a_second_row_goes_below_the_first_whatever_follows(tmp_path: Path) -> None:
    results = tmp_path / "RESULTS.md"
    lines = [dict.fromkeys(COLUMNS, str(number)) for number in (1, 2)]
    append(results, lines[0])
    results.write_text(results.read_text() + "\n## Something else\n\nA figure.\n")
    append(results, lines[1])
    text = results.read_text()
    assert text.count(HEADING) == 1
    first, second = ("| " + " | ".join([number] * len(COLUMNS)) + " |" for number in "12")
    assert f"{first}\n{second}\n\n## Something else\n\nA figure.\n" in text


def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="runs on cuda, but nvidia-smi tells of no GPU"):
        device("cuda")


def test_another_answer_than_the_cpu_s_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.gpu.AGREES_WITHIN", -1.0)
    model = tiny_detector.saved(tmp_path)
    bench = Bench(Namespace(model=model, provider="cpu", quick=True, image=None, cache=None), tmp_path)
    with pytest.raises(SystemExit, match="cpu gives other scores than the CPU"):
        bench.measure()
