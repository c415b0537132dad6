"""The dashboards and alert rules in `ops` ask for metrics that there are, in the language that Prometheus speaks."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fbtasks.metrics import DECLARED, Metric

OPS = Path(__file__).resolve().parents[2] / "ops"
DASHBOARDS = sorted((OPS / "grafana").glob("*.json"))
RULES = OPS / "prometheus" / "alerts.yml"
PROMTOOL = shutil.which("promtool")
FROM_PROMETHEUS = {"le", "instance", "job"}
COUNTED = ("_bucket", "_sum", "_count")

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed; ops/install-test-packages does it"
)


def declared() -> dict[str, Metric]:
    """Every metric by each name under which it can be asked for."""
    found: dict[str, Metric] = {}
    for metric in {metric for metrics in DECLARED.values() for metric in metrics}:
        names = [metric.name + part for part in COUNTED] if metric.kind == "histogram" else [metric.name]
        found |= dict.fromkeys(names, metric)
    return found


def asked(value: Any) -> list[str]:
    """All queries in a dashboard."""
    if isinstance(value, dict):
        own = [value["expr"]] if "expr" in value else []
        return own + [query for part in value.values() for query in asked(part)]
    return [query for part in value for query in asked(part)] if isinstance(value, list) else []


def queries(file: Path) -> list[str]:
    if file.suffix == ".json":
        return asked(json.loads(file.read_text()))
    return re.findall(r"expr: (?:>-\n)?((?:.|\n +)+)", file.read_text())


def faults(query: str) -> list[str]:
    """What a query asks for that nobody tells."""
    known = declared()
    found = []
    for name, selector in re.findall(r"\b(fbtasks_\w+)(?:\{([^}]*)\})?", query):
        if name not in known:
            found.append(f"there is no {name}")
            continue
        labels = set(re.findall(r"(\w+)\s*[=!]", selector))
        found += [f"{name} has no {label}" for label in labels - {*known[name].labels} - FROM_PROMETHEUS]
    everything = FROM_PROMETHEUS.union(*(metric.labels for metric in known.values()))
    grouped = {label for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", query) for label in labels.split(", ")}
    return found + [f"no metric has {label}" for label in grouped - everything]


@pytest.mark.parametrize("file", [*DASHBOARDS, RULES], ids=lambda file: file.name)
def test_what_is_asked_for_is_told(file: Path) -> None:
    assert len(queries(file)) >= 7
    assert [fault for query in queries(file) for fault in faults(query)] == []


def test_a_wrong_query_would_be_seen() -> None:
    query = 'sum by (box) (fbtasks_nothing_total) + fbtasks_queue_length{camera="a"} + fbtasks_task_seconds'
    assert sorted(faults(query)) == [
        "fbtasks_queue_length has no camera",
        "no metric has box",
        "there is no fbtasks_nothing_total",
        "there is no fbtasks_task_seconds",
    ]


def test_there_are_the_four_dashboards_and_every_panel_has_its_place() -> None:
    assert [file.stem for file in DASHBOARDS] == ["cameras", "gpu", "logic", "overview"]
    for file in DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(file.read_text())["panels"]:
            place = panel["gridPos"]
            cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            assert not cells & taken, f"{file.name}: {panel['title']} lies over another panel"
            assert max(x for x, _ in cells) < 24
            taken |= cells


def test_metrics_are_named_as_prometheus_wants_it() -> None:
    for metric in {metric for metrics in DECLARED.values() for metric in metrics}:
        assert re.fullmatch(r"fbtasks_[a-z_]+", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert metric.help.endswith(".")
        assert not re.search(r"_(ms|millis|minutes|percent|count|sum)$", metric.name)


@needs_promtool
def test_prometheus_reads_the_rules_and_they_fire() -> None:
    folder = OPS / "prometheus"
    for arguments in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts.test.yml"]):
        done = subprocess.run([str(PROMTOOL), *arguments], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.name)
def test_prometheus_reads_the_queries_of_the_dashboards(file: Path, tmp_path: Path) -> None:
    written = [query.replace("$__rate_interval", "5m").replace("$camera", ".*") for query in queries(file)]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(written)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        [str(PROMTOOL), "check", "rules", "rules.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
