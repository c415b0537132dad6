"""`fbtasks watch`: what every camera's decisions cost, measured where they arrive."""

import json
from collections import defaultdict
from pathlib import Path
from threading import Event
from time import monotonic, time

import click
import msgspec
from redis import Redis

from fbtasks.cli import with_settings
from fbtasks.cli.files import OutputFile
from fbtasks.keys import Keys
from fbtasks.latency import percentiles
from fbtasks.lifecycle import on_stop
from fbtasks.logic.pipeline import Decision
from fbtasks.settings import Settings
from fbtasks.transport import REDIS_AWAY, connect

STAGES = ("capture to push", "push to take", "take to inferred", "inferred to decided", "capture to decided")


class Tally:
    """Decisions of one measurement: per camera how many, per stage how long (seconds)."""

    def __init__(self) -> None:
        self.cameras: dict[str, list[float]] = defaultdict(list)
        self.stages: dict[str, list[float]] = defaultdict(list)

    def add(self, decision: Decision, heard_at: float) -> None:
        """One decision, heard at `heard_at` (unix seconds), after its commit."""
        times = (decision.captured_at, decision.sent_at, decision.taken_at, decision.inferred_at, heard_at)
        for stage, begin, end in zip(STAGES, times, times[1:], strict=False):
            self.stages[stage].append(end - begin)
        self.stages[STAGES[-1]].append(heard_at - decision.captured_at)
        self.cameras[decision.camera_id].append(decision.captured_at)

    def summary(self, seconds: float) -> dict[str, object]:
        """Rates in frames per second of this measurement, latencies in milliseconds."""
        return {
            "seconds": round(seconds, 1),
            "decisions": sum(len(times) for times in self.cameras.values()),
            "fps": {camera: round(len(times) / seconds, 3) for camera, times in sorted(self.cameras.items())},
            "latency_ms": {stage: percentiles(self.stages[stage]) for stage in STAGES if stage in self.stages},
        }


def measure(redis: Redis, keys: Keys, seconds: float, stop: Event) -> tuple[Tally, float]:
    """Listen to the decisions for `seconds` or until `stop`; returns what was heard and how long that was."""
    tally = Tally()
    began = monotonic()
    with redis.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(keys.decisions_channel)
        while not stop.is_set() and monotonic() - began < seconds:
            try:
                message = channel.get_message(timeout=0.5)
            except REDIS_AWAY:  # it subscribes again by itself when Redis is back
                stop.wait(0.2)
                continue
            if message is not None:
                tally.add(msgspec.json.decode(message["data"], type=Decision), time())
    return tally, monotonic() - began


@click.command(name="watch")
@click.option("--seconds", type=click.FloatRange(min=1), default=10.0, show_default=True, help="How long to listen.")
@click.option("--json", "json_file", type=OutputFile(), help="Write the figures to this file too.")
@with_settings("watch")
def command(settings: Settings, seconds: float, json_file: Path | None) -> None:
    """Print each camera's analysed frame rate, and p50, p95 and p99 of every stage from capture to decision."""
    stop = Event()
    redis = connect(settings.state_url, settings.redis.timeout_s)
    with on_stop(stop.set):
        tally, heard_for = measure(redis, Keys(settings.redis.prefix), seconds, stop)
    summary = tally.summary(heard_for)
    if json_file is not None:
        json_file.write_text(json.dumps(summary, indent=2))
    click.echo(f"{summary['decisions']} decisions in {heard_for:.1f} s")
    for camera, times in sorted(tally.cameras.items()):
        click.echo(f"  {camera:<24} {len(times) / heard_for:6.2f} fps")
    click.echo(f"  {'milliseconds':<24} {'p50':>7} {'p95':>7} {'p99':>7}")
    for stage in STAGES:
        figures = percentiles(tally.stages[stage])
        if figures:
            click.echo(f"  {stage:<24} {figures['p50']:7.1f} {figures['p95']:7.1f} {figures['p99']:7.1f}")
