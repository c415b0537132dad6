"""Asking a process for its metrics, as Prometheus does."""

import urllib.request

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.ports import LOOPBACK


def scrape(port: int) -> dict[str, Metric]:
    """The metrics that are told on this port, by name as in a query; none while nobody answers.

    Raises:
        ValueError: what was told is not in Prometheus' format.
    """
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names)), f"told twice: {sorted(name for name in names if names.count(name) > 1)}"
    # The parser takes `_total` from the names of counters.
    return {f"{family.name}_total" if family.type == "counter" else family.name: family for family in families}


def value(told: dict[str, Metric], name: str, **labels: str) -> float:
    """The sample of that name with exactly these labels; 0 while there is none."""
    samples = [sample for family in told.values() for sample in family.samples if sample.name == name]
    return next((float(sample.value) for sample in samples if sample.labels == labels), 0.0)
