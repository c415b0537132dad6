"""What was measured, as plain values for a file and as text for the eye."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from fbtasks.cli.bench.comparison import Comparison
from fbtasks.cli.bench.limit import Limit
from fbtasks.cli.bench.machine import machine, versions
from fbtasks.cli.infer import model_file
from fbtasks.gpu.engine import Engine
from fbtasks.settings import Settings

Facts = dict[str, Any]

IN_WORKER = ("fetch", "decode", "run", "publish")
"""Parts of the worker's processor time; what the Redis servers spend is listed beside them."""


def surroundings() -> Facts:
    """Machine and versions."""
    return {"machine": machine(), "versions": versions()}


def model(engine: Engine, settings: Settings) -> Facts:
    """What the engine ran, with the hash of the file it was made from."""
    of = engine.model
    fixed = engine.provider == "fixed"
    return {
        "id": of.model_id,
        "sha256": None if fixed else hashlib.sha256(model_file(settings).read_bytes()).hexdigest(),
        "input": f"{of.input_width}x{of.input_height}",
    }


def limits(found: Sequence[Limit], models: Sequence[Facts]) -> Facts:
    """For a file."""
    return surroundings() | {
        "models": [model for place, model in enumerate(models) if model not in models[:place]],
        "limits": [asdict(limit) for limit in found],
    }


def limits_text(told: Facts) -> str:
    """What `limits` made as a table, a line for each provider and size of batch."""
    lines = [
        _heading(told, told["models"]),
        f"{'engine':<10} {'batch':>5} {'at once':>7} {'fps':>9} {'ms/run p50':>11} {'p95':>8} {'p99':>8}",
    ]
    for limit in told["limits"]:
        times = limit["run_ms"]
        lines.append(
            f"{limit['provider']:<10} {limit['batch']:>5} {limit['at_once']:>7} {limit['fps']:>9.1f}"
            f" {times['p50']:>11.2f} {times['p95']:>8.2f} {times['p99']:>8.2f}"
        )
    return "\n".join(lines)


def comparison(found: Comparison, engine: Engine, settings: Settings) -> Facts:
    """For a file; times in milliseconds."""
    ran: Facts = {"model": model(engine, settings), "provider": engine.provider}
    ran |= {"max_batch": engine.max_batch, "at_once": engine.at_once}
    return surroundings() | ran | figures(found)


def figures(found: Comparison) -> Facts:
    """What was measured and nothing else; times in milliseconds."""
    return {
        "engine_fps": round(found.engine_fps, 2),
        "pipeline_fps": round(found.pipeline_fps, 2),
        "ratio": round(found.ratio, 4),
        "mean_batch": round(found.batch, 2),
        "added_latency_ms": found.added_ms,
        "latency_without_own_run_ms": found.waited_ms,
        "stage_ms": found.stage_ms,
        "frames_lost": found.lost,
        "cpu_ms_per_frame": _cpu(found),
        "rounds": [
            {"engine_fps": round(alone, 2), "pipeline_fps": round(turn.fps, 2)}
            for alone, turn in zip(found.alone, found.turns, strict=True)
        ],
        "to_alerts": _to_alerts(found),
    }


def _to_alerts(found: Comparison) -> Facts | None:
    if not found.to_alerts:
        return None
    return {
        "pipeline_fps": round(median(turn.fps for turn in found.to_alerts), 2),
        "ratio": round(found.alerts_ratio, 4),
        "added_latency_ms": found.alerts_added_ms,
        "rounds": [round(turn.fps, 2) for turn in found.to_alerts],
    }


def comparison_text(told: Facts) -> str:
    """What `comparison` made, in a few lines."""
    added, waited, cpu = told["added_latency_ms"], told["latency_without_own_run_ms"], told["cpu_ms_per_frame"]
    stages = ", ".join(f"{stage} {times['p50']:.1f}" for stage, times in told["stage_ms"].items())
    runs = f"{told['at_once']} at once"
    parts = ", ".join(f"{part} {cpu[part]:.2f}" for part in IN_WORKER)
    return "\n".join(
        [
            _heading(told, [told["model"]]),
            f"{told['provider']}, batches of up to {told['max_batch']} (mean {told['mean_batch']:.1f}), {runs}",
            f"  engine alone     {told['engine_fps']:9.1f} frames/s",
            f"  pipeline         {told['pipeline_fps']:9.1f} frames/s",
            f"  ratio            {told['ratio']:9.3f}",
            f"  added latency    {added['p50']:9.1f} ms p50, {added['p99']:.1f} ms p99, at 60 % load",
            f"    and the wait   {waited['p50']:9.1f} ms p50, {waited['p99']:.1f} ms p99, for the runs before",
            f"                             p50 of each stage: {stages}; {told['frames_lost']} frames lost",
            f"  CPU per frame    {cpu['worker']:9.2f} ms outside the engine: {parts}; Redis servers {cpu['redis']:.2f}",
            *_to_alerts_text(told["to_alerts"]),
        ]
    )


def _to_alerts_text(told: Facts | None) -> list[str]:
    if told is None:
        return []
    added = told["added_latency_ms"]
    return [
        f"  to alerts        {told['pipeline_fps']:9.1f} frames/s with the logic, ratio {told['ratio']:.3f}",
        f"  added latency    {added['p50']:9.1f} ms p50, {added['p99']:.1f} ms p99, at 60 % of that",
    ]


def _cpu(found: Comparison) -> dict[str, float]:
    parts = found.cpu_ms
    worker = sum(parts[part] for part in IN_WORKER)
    return {part: round(spent, 3) for part, spent in (parts | {"worker": worker}).items()}


def _heading(told: Facts, models: Sequence[Facts]) -> str:
    host = told["machine"]
    ran = ", ".join(f"{model['id']} {model['input']}" for model in models)
    return f"{host['processor']}, {host['cores']} cores, load {host['load_1min']:.2f}; {ran}"
