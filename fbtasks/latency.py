"""Percentiles of what passes by."""

from collections.abc import Sequence

import numpy as np


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 of durations (seconds), in milliseconds; nothing for no durations."""
    if not seconds:
        return {}
    values = np.percentile(np.asarray(seconds), (50, 95, 99)) * 1000
    return {name: round(float(value), 2) for name, value in zip(("p50", "p95", "p99"), values, strict=True)}
