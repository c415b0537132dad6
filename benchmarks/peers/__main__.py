"""The comparison; the package's docstring says how it is run and what it measures."""

import argparse
import base64
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from math import ceil, inf
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from fbtasks.cli.bench import machine, picture, servers
from fbtasks.cli.bench.engines import TimedEngine, opener
from fbtasks.cli.bench.load import Pace, Site, timetable
from fbtasks.cli.bench.pipeline import PipelineUnderTest, left_clean
from fbtasks.embedded import port_or_free
from fbtasks.errors import FbtasksError
from fbtasks.gpu.preprocess import jpeg_size
from fbtasks.settings import Settings

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
OWN = "fbtasks"
CAMERAS = 32
MAX_BATCH = 8
LOAD = 0.6
"""Share of fbtasks' own rate that all are asked for when latency is measured."""
TAIL = 0.95
"""Share of the frames that must be answered within the limit."""
HALVINGS = 4
WARM_UP_S = 1.0
STOPS_WITHIN_S = 10.0
Times = Sequence[tuple[float, float]]


class Asked(Protocol):
    """A running server and its cameras."""

    def saturate(self, seconds: float) -> float:
        """Frames per second with `CAMERAS` under way."""
        ...

    def latency_ms(self, fps: float, seconds: float) -> list[float]:
        """Of each frame at an even load; infinite for one without an answer."""
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """What all are asked to do.

    Attributes:
        python: of the peers' environment.
        engine: its name.
        model: ONNX file; empty for a fixed engine.
        jpeg: the frame.
        redis_url: for those who want one.
    """

    python: Path
    engine: str
    model: str
    jpeg: bytes
    redis_url: str

    def environment(self) -> dict[str, str]:
        """For peers that take no arguments."""
        own = {"PEERS_ENGINE": self.engine, "PEERS_MODEL": self.model, "PEERS_REDIS": self.redis_url}
        return os.environ | own | {"PYTHONPATH": str(ROOT)}


@dataclass(slots=True)
class Measured:
    """One server's figures, a number for each round."""

    fps: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    within_fps: list[float] = field(default_factory=list)

    def told(self) -> dict[str, float | None]:
        """Medians; no latency where the load could not be held."""
        return {
            "fps": median(self.fps),
            "fps_least": min(self.fps),
            "fps_most": max(self.fps),
            "p50_ms": median(self.p50_ms) if self.p50_ms else None,
            "p99_ms": median(self.p99_ms) if self.p99_ms else None,
            "within_fps": median(self.within_fps),
        }


class Peer:
    """A server that is asked by `load.py`.

    Args:
        cameras: the running client.
    """

    def __init__(self, cameras: subprocess.Popen[str]) -> None:
        self._cameras = cameras

    def saturate(self, seconds: float) -> float:
        """See `Asked`."""
        self._ordered({"cameras": CAMERAS, "seconds": WARM_UP_S})
        times: Times = self._ordered({"cameras": CAMERAS, "seconds": seconds})
        began = min(sent for sent, _ in times)
        # The first answers come together after the start, the last ones with ever fewer cameras.
        counted = sum(began + 0.2 * seconds < came <= began + seconds for _, came in times)
        return counted / (0.8 * seconds)

    def latency_ms(self, fps: float, seconds: float) -> list[float]:
        """See `Asked`."""
        due = [at for at, _ in timetable(Pace(fps, seconds), [str(number) for number in range(CAMERAS)])]
        times: Times = self._ordered({"due": due})
        return [1000 * (came - sent) for sent, came in times]

    def _ordered(self, order: dict[str, Any]) -> Any:
        assert self._cameras.stdin is not None
        self._cameras.stdin.write(json.dumps(order) + "\n")
        self._cameras.stdin.flush()
        return answer_of(self._cameras)


class Own:
    """The worker of `fbtasks infer`."""

    def __init__(self, worker: PipelineUnderTest) -> None:
        self._worker = worker

    def saturate(self, seconds: float) -> float:
        """See `Asked`."""
        self._worker.warm_up()
        return self._worker.saturate(seconds).fps

    def latency_ms(self, fps: float, seconds: float) -> list[float]:
        """See `Asked`."""
        sent, samples = self._worker.pace(fps, seconds)
        answered = [1000 * (sample.arrived_at - sample.captured_at) for sample in samples]
        return answered + [inf] * (sent - len(answered))


def answer_of(cameras: "subprocess.Popen[str]") -> Any:
    """The client's next line.

    Raises:
        FbtasksError: it ended instead.
    """
    assert cameras.stdout is not None
    line = cameras.stdout.readline()
    if not line:
        raise FbtasksError("the client ended; its last lines above say why")
    return json.loads(line)


@contextmanager
def peer(name: str, task: Task) -> Iterator[Asked]:
    """A server and its client, ready; both are gone afterwards."""
    port = port_or_free(0, f"{name}'s port")
    module = f"benchmarks.peers.serve_{name}"
    with_arguments = [str(task.python), "-m", module, task.engine, task.model]
    command, where = {
        "triton": ([*with_arguments, str(port)], f"127.0.0.1:{port + 1}"),
        "litserve": ([*with_arguments, str(port)], f"127.0.0.1:{port}"),
        "mosec": (
            [str(task.python), "-m", module, "--address", "127.0.0.1", "--port", str(port), "--timeout", "60000"],
            f"127.0.0.1:{port}",
        ),
        "celery": (
            [str(task.python), "-m", "celery", "-A", module, "worker", "-l", "warning", "--concurrency",
             str(len(os.sched_getaffinity(0))), "--without-gossip", "--without-mingle", "--without-heartbeat"],
            task.redis_url,
        ),
        "loop": ([*with_arguments, task.redis_url], task.redis_url),
    }[name]  # fmt: skip
    with TemporaryDirectory(prefix="peers-") as folder, running(command, task, folder), asking(name, where, task) as it:
        yield it


@contextmanager
def running(command: list[str], task: Task, folder: str) -> Iterator[None]:
    """A server in a session of its own, so that all its processes can be ended together."""
    environment = task.environment() | {"TMPDIR": folder}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=sys.stderr, start_new_session=True) as server:
        try:
            yield
        finally:
            server.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                server.wait(STOPS_WITHIN_S)
            # What it left of its processes; none is no fault.
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


@contextmanager
def asking(name: str, where: str, task: Task) -> Iterator[Asked]:
    """The client of a server that is starting; returns when it answers."""
    command = [str(task.python), "-m", "benchmarks.peers.load"]
    with subprocess.Popen(
        command, cwd=ROOT, env=task.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as cameras:
        try:
            assert cameras.stdin is not None
            first = {"peer": name, "where": where, "jpeg": base64.b64encode(task.jpeg).decode()}
            cameras.stdin.write(json.dumps(first) + "\n")
            cameras.stdin.flush()
            answer_of(cameras)
            yield Peer(cameras)
        finally:
            cameras.kill()


@contextmanager
def own(settings: Settings, name: str, site: Site) -> Iterator[Asked]:
    """Our own worker, running."""
    engine = TimedEngine(opener(settings, jpeg_size(site.jpeg))(name))
    worker = PipelineUnderTest(engine, site, settings)
    with left_clean(site), worker.running():
        yield Own(worker)


PEERS = ("triton", "litserve", "mosec", "celery", "loop")


def most_within(asked: Asked, limit_ms: float, fps: float, seconds: float) -> float:
    """The highest even load, frames per second, at which `TAIL` of the frames are answered within the limit.

    Args:
        asked: the server.
        limit_ms: from sending to answer.
        fps: what it answers at most; the result is found to 1/2^`HALVINGS` of that, and is rounded down.
        seconds: of each load that is tried.
    """
    held, missed = 0.0, fps
    for _ in range(HALVINGS):
        load = (held + missed) / 2
        latency = sorted(asked.latency_ms(load, seconds))
        if latency[ceil(TAIL * len(latency)) - 1] <= limit_ms:
            held = load
        else:
            missed = load
    return held


def compared(
    starts: dict[str, Callable[[], AbstractContextManager[Asked]]], rounds: int, seconds: float, limit_ms: float
) -> tuple[dict[str, Measured], float]:
    """Figures of all, and the load at which latency was measured, frames per second.

    Args:
        starts: what starts each; ours is the first.
        rounds: turns of each; the order changes.
        seconds: of each part of a turn.
        limit_ms: see `most_within`.
    """
    figures = {name: Measured() for name in starts}
    load = 0.0
    for number in range(rounds):
        order = list(starts)
        # Ours first in the first round, for it sets the load.
        if number:
            random.Random(number).shuffle(order)
        for name in order:
            with starts[name]() as asked:
                fps = asked.saturate(seconds)
                load = load or LOAD * fps
                figures[name].fps.append(fps)
                if fps > load:
                    latency = quantiles(asked.latency_ms(load, seconds), n=100, method="inclusive")
                    figures[name].p50_ms.append(latency[49])
                    figures[name].p99_ms.append(latency[98])
                within = most_within(asked, limit_ms, fps, seconds)
                figures[name].within_fps.append(within)
            sys.stderr.write(
                f"round {number + 1} of {rounds}, {name}: {fps:.1f} frames/s, {within:.1f} within {limit_ms:g} ms\n"
            )
    return figures, load


def table(told: dict[str, Any]) -> str:
    """As Markdown."""
    within, load = f"{told['within_ms']:g} ms", f"{told['load_fps']:.0f} frames/s"
    lines = [
        f"| server | frames/s | least to most | to fbtasks | frames/s within {within} | at {load}: p50 ms | p99 ms |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    own_fps = told["servers"][OWN]["fps"]
    for name, row in sorted(told["servers"].items(), key=lambda item: -item[1]["fps"]):
        latency = [f"{row[part]:.1f}" if row[part] is not None else "cannot" for part in ("p50_ms", "p99_ms")]
        spread = f"{row['fps_least']:.1f} to {row['fps_most']:.1f}"
        lines.append(
            f"| {name} | {row['fps']:.1f} | {spread} | {row['fps'] / own_fps:.2f} | {row['within_fps']:.1f} "
            f"| {' | '.join(latency)} |"
        )
    return "\n".join(lines)


def write_section(told: dict[str, Any], plot: Path) -> None:
    """Put the table into RESULTS.md, in the place of an earlier one of the same engine."""
    heading = f"## Beside other ways to serve: {told['engine']}"
    text = RESULTS.read_text()
    before, _, rest = text.partition(heading)
    after = rest[rest.find("\n## ") + 1 :] if "\n## " in rest else ""
    section = (
        f"{heading}\n\n    {told['command']}\n\n"
        f"{told['date']}, {told['machine']}. {told['cameras']} cameras, batches of up to {MAX_BATCH}, "
        f"medians of {told['rounds']} rounds. What is compared and how: "
        "`benchmarks/peers/__init__.py`.\n\n"
        f"{table(told)}\n\n![]({plot.name})\n\n"
    )
    RESULTS.write_text(f"{before.rstrip()}\n\n{section}{after}".rstrip() + "\n")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--python", type=Path, required=True, help="of the peers' environment")
    parser.add_argument("--engine", default="fixed:20ms", help="fixed:20ms or cpu")
    parser.add_argument("--model", type=Path, help="ONNX file, for cpu")
    parser.add_argument("--image", type=Path, help="the picture; default: a drawn stall")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each part of a turn")
    parser.add_argument("--within-ms", type=float, default=100.0, help="for the load that is answered within a limit")
    parser.add_argument("--only", nargs="*", choices=PEERS, default=PEERS, help="these peers")
    parser.add_argument("--json", type=Path, help="all figures")
    parser.add_argument("--write", action="store_true", help="put table and plot into benchmarks/")
    asked = parser.parse_args()
    settings = Settings(gpu={"model": asked.model, "max_batch": MAX_BATCH, "input": "fixed"})  # type: ignore[arg-type]
    letterbox, jpeg = picture.encoded(asked.image, settings)
    with servers.own_servers() as (frames_url, state_url):
        site = Site(frames_url, state_url, "peers:", CAMERAS, letterbox, jpeg, settings.redis.timeout_s)
        model = str(asked.model.resolve()) if asked.model else ""
        task = Task(asked.python.absolute(), asked.engine, model, jpeg, frames_url)
        starts: dict[str, Callable[[], AbstractContextManager[Asked]]] = {
            OWN: partial(own, settings, asked.engine, site)
        }
        starts |= {name: partial(peer, name, task) for name in asked.only}
        figures, load = compared(starts, asked.rounds, asked.seconds, asked.within_ms)
    told = {
        "command": f"python -m benchmarks.peers --engine {asked.engine} --rounds {asked.rounds} "
        f"--seconds {asked.seconds:g} --within-ms {asked.within_ms:g}",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": "{processor}, {cores} cores, load {load_1min} at the end".format(**machine.machine()),
        "engine": asked.engine,
        "cameras": CAMERAS,
        "rounds": asked.rounds,
        "load_fps": load,
        "within_ms": asked.within_ms,
        "servers": {name: one.told() for name, one in figures.items()},
        "rounds_of": {name: asdict(one) for name, one in figures.items()},
    }
    sys.stdout.write(table(told) + "\n")
    with TemporaryDirectory() as folder:
        file = asked.json or Path(folder) / "figures.json"
        file.write_text(json.dumps(told, indent=2) + "\n")
        if asked.write:
            plot = RESULTS.with_name(f"peers-{asked.engine.replace(':', '-')}.svg")
            command = [str(task.python), "-m", "benchmarks.peers.plot", str(file), str(plot)]
            subprocess.run(command, cwd=ROOT, env=task.environment(), check=True)
            write_section(told, plot)


if __name__ == "__main__":
    main()
