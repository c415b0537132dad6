"""A hundred cameras on this machine: memory, CPU per camera and frame, latency, and whether any camera falls behind.

    python -m benchmarks.hundred_cameras --seconds 600 --docs docs/reading-cameras.md

Serves small clips (240x136, 10 fps) as RTSP cameras from two processes of their own, runs `fbtasks produce` on them
with a private Valkey, and takes the frames from the list as a GPU worker would. It prints what the producer's
processes use (CPU from `/proc`, memory as their own share, `Pss`), the rate of every camera over stretches of ten
seconds, how long after a picture was due at its camera it is stamped, and how old it is when it is taken. A clip's
pictures are due at multiples of its period, all cameras' at the same moment, which is the worst that they can do; so a
stamp that is late by a whole period would look early, and many that are late fill the period. Ends with 1 if memory
grew, a camera fell below its least rate, or more than one stamp in a hundred was late.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import IO

import numpy as np
from numpy.typing import NDArray

from fbtasks.keys import Keys
from fbtasks.transport import FrameQueue, connect
from fbtasks.wire import decode_frame
from tests.servers import Valkey
from tests.waiting import wait_until

SIZE = (240, 136)
SOURCE_FPS = 10
FPS, MIN_FPS = 2.0, 1.0
STRETCH_S = 10
GROWTH_ALLOWED = 0.02
"""Of memory, from the first `ENDS_S` of the run to the last."""
ENDS_S = 30.0
LATE_S = 0.05
"""From the camera to the stamp, and from the stamp to who takes the frame; of 99 in 100."""
BEGIN, END = "<!-- benchmarks/hundred_cameras.py -->", "<!-- end -->"
LAST_LINES = 40
"""Of the producer's log, shown when something is wrong."""
BIN = Path(sys.executable).parent
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Served:
    """A camera: where it is watched, and when (unix seconds) its first picture was due."""

    url: str
    began_at: float


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warm-up", type=float, default=60.0, help="seconds after the last camera came, not counted")
    parser.add_argument("--docs", type=Path, help="page whose table is replaced")
    parser.add_argument("--serve", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return _serve(options.serve)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        clip = folder / "clip.mp4"
        _write_clip(clip)
        halves = [range(0, options.cameras, 2), range(1, options.cameras, 2)]
        late = stack.enter_context((folder / "servers.log").open("w"))
        served: dict[str, Served] = {}
        for half in halves:
            served |= stack.enter_context(_served(clip, list(half), late))
        valkey = Valkey(folder, {})
        valkey.start()
        stack.callback(valkey.kill)
        return _measure(options, folder, valkey, served, stack)


def _measure(
    options: argparse.Namespace, folder: Path, valkey: Valkey, served: Mapping[str, Served], stack: ExitStack
) -> int:
    settings = folder / "fbtasks.toml"
    cameras = [f'[[cameras]]\nid = "{name}"\nurl = "{camera.url}"' for name, camera in served.items()]
    head = [f'redis_url = "{valkey.url}"', f'data_dir = "{folder / "data"}"']
    limits = f"[producer]\nfps = {FPS}\nmin_fps = {MIN_FPS}\nopen_timeout_s = 20"
    settings.write_text("\n".join([*head, limits, *cameras]))
    log = stack.enter_context((folder / "produce.log").open("wb"))
    producer = subprocess.Popen([BIN / "fbtasks", "--config", settings, "produce"], stdout=log, stderr=log)
    stack.callback(producer.wait)
    stack.callback(producer.send_signal, signal.SIGTERM)
    taken = Taken(valkey.url)
    stack.callback(taken.stop)
    wait_until(lambda: len(taken.cameras()) == len(served) or producer.poll() is not None, 300, "all cameras")
    taken.pause(options.warm_up)
    taken.clear()
    cpu, began = _cpu_s(producer.pid), time.monotonic()
    memory, load = [], os.getloadavg()[0]
    while (passed := time.monotonic() - began) < options.seconds:
        memory.append((passed, _memory_mb(producer.pid)))
        taken.pause(min(STRETCH_S, options.seconds - passed) / 2)
    run = Run(served, taken.frames(), memory, _cpu_s(producer.pid) - cpu, time.monotonic() - began, load)
    print("\n".join(run.table()))
    if options.docs:
        _write(options.docs, run.table())
    late = (folder / "servers.log").read_text().count(" late ")
    print(f"the cameras themselves were over 2 s late {late} times; the machine is too busy" if late else "")
    faults = run.faults()
    if faults:
        print("".join((folder / "produce.log").read_text().splitlines(keepends=True)[-LAST_LINES:]))
    print(f"NOT WELL: {', '.join(faults)}" if faults else "well")
    return 1 if faults else 0


@dataclass(frozen=True, slots=True)
class Run:
    """What was seen.

    Attributes:
        frames: by camera, capture time (unix seconds) and age when taken (seconds).
        memory: at so many seconds, megabytes.
        cpu_s: of the producer's processes.
    """

    served: Mapping[str, Served]
    frames: Mapping[str, list[tuple[float, float]]]
    memory: list[tuple[float, float]]
    cpu_s: float
    seconds: float
    load: float

    @property
    def lags_ms(self) -> NDArray[np.float64]:
        """From the stamp to who takes the frame."""
        return np.array([lag for camera in self.frames.values() for _, lag in camera]) * 1000

    @property
    def stamps_ms(self) -> NDArray[np.float64]:
        """From the camera to the stamp."""
        late = [
            (at - self.served[name].began_at) % (1 / SOURCE_FPS)
            for name, frames in self.frames.items()
            for at, _ in frames
        ]
        return np.array(late) * 1000

    @property
    def slowest(self) -> float:
        """Frames per second of the emptiest stretch of any camera."""
        return min(_slowest([at for at, _ in camera]) for camera in self.frames.values())

    def _memory_at(self, begin: float, end: float) -> float:
        return mean(megabytes for at, megabytes in self.memory if begin <= at <= end)

    def _by_minutes(self) -> list[float]:
        minutes = int(self.memory[-1][0] // 60) + 1
        return [self._memory_at(60 * minute, 60 * (minute + 1)) for minute in range(minutes)]

    @property
    def growth(self) -> float:
        """Of memory, as a share."""
        last = self.memory[-1][0]
        return self._memory_at(last - ENDS_S, last) / self._memory_at(0, ENDS_S) - 1

    def table(self) -> list[str]:
        """All of it in Markdown."""
        count, sent, last = len(self.frames), len(self.lags_ms), self.memory[-1][0]
        machine = f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, load {self.load:.1f}"
        rows = {
            "memory": f"{self._memory_at(0, ENDS_S):.0f} MB at first, {self._memory_at(last - ENDS_S, last):.0f} MB at "
            f"last, {100 * self.growth:+.1f} %",
            "memory by minutes": ", ".join(f"{megabytes:.0f}" for megabytes in self._by_minutes()) + " MB",
            "slowest camera": f"{self.slowest:.2f} frames a second in any {STRETCH_S} s, {FPS:g} wanted, "
            f"{MIN_FPS:g} at least",
            "CPU per camera": f"{100 * self.cpu_s / self.seconds / count:.2f} % of a core",
            "CPU per source frame": f"{1000 * self.cpu_s / (self.seconds * SOURCE_FPS * count):.2f} ms",
            "CPU per frame sent": f"{1000 * self.cpu_s / sent:.1f} ms",
            "camera to stamp": _percentiles(self.stamps_ms),
            "stamp to taken": _percentiles(self.lags_ms),
        }
        rate = sent / self.seconds
        head = f"{machine}. {count} cameras for {self.seconds:.0f} s, {sent} frames taken, {rate:.0f} a second."
        return [head, "", "| | |", "|---|---|", *(f"| {name} | {figure} |" for name, figure in rows.items())]

    def faults(self) -> list[str]:
        """What is not as it should be."""
        late_ms = 1000 * LATE_S
        judged = {
            f"{len(self.served) - len(self.frames)} cameras missing": len(self.frames) == len(self.served),
            "memory grew": self.growth <= GROWTH_ALLOWED,
            "a camera below its least rate": self.slowest >= 0.95 * MIN_FPS,
            "late stamps": np.percentile(self.stamps_ms, 99) < late_ms,
            "frames taken late": np.percentile(self.lags_ms, 99) < late_ms,
        }
        return [fault for fault, well in judged.items() if not well]


def _percentiles(figures: NDArray[np.float64]) -> str:
    return ", ".join(f"p{p} {np.percentile(figures, p):.1f} ms" for p in (50, 95, 99))


def _write(page: Path, table: list[str]) -> None:
    """Put the table between the page's marks."""
    head, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{head}{BEGIN}\n" + "\n".join(table) + f"\n{END}{rest.partition(END)[2]}")


class Taken:
    """Takes frames from the list, in a thread, and keeps when each came of which camera."""

    def __init__(self, url: str) -> None:
        self._queue = FrameQueue(connect(url, 5.0), Keys(), 1000)
        self._lock = threading.Lock()
        self._frames: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def cameras(self) -> set[str]:
        with self._lock:
            return set(self._frames)

    def frames(self) -> dict[str, list[tuple[float, float]]]:
        """By camera, capture time and age when taken, in seconds."""
        with self._lock:
            return {camera: list(frames) for camera, frames in self._frames.items()}

    def clear(self) -> None:
        with self._lock:
            self._frames.clear()

    def pause(self, seconds: float) -> None:
        """Let it take for so long."""
        self._stop.wait(seconds)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            messages = self._queue.take(32, 0.2)
            now = time.time()
            with self._lock:
                for frame in map(decode_frame, messages):
                    self._frames[frame.camera_id].append((frame.captured_at, now - frame.captured_at))


def _slowest(times: list[float]) -> float:
    """Frames per second in the emptiest stretch."""
    begin, end = times[0], times[-1]
    counts = [
        sum(start <= at < start + STRETCH_S for at in times)
        for start in np.arange(begin, max(begin + 1e-9, end - STRETCH_S), STRETCH_S)
    ]
    return min(counts, default=0) / STRETCH_S


def _family(pid: int) -> list[int]:
    """The process and all below it."""
    children = (Path(f"/proc/{pid}/task") / str(pid) / "children").read_text().split()
    return [pid, *(below for child in children for below in _family(int(child)))]


def _cpu_s(pid: int) -> float:
    fields = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in _family(pid)]
    return sum(int(field[11]) + int(field[12]) for field in fields) / TICKS


def _memory_mb(pid: int) -> float:
    """Resident memory, that which processes share counted once."""
    rollups = [Path(f"/proc/{one}/smaps_rollup").read_text().splitlines() for one in _family(pid)]
    return sum(int(line.split()[1]) for lines in rollups for line in lines if line.startswith("Pss:")) / 1024


def _write_clip(path: Path) -> None:
    from fbtasks.sim.clip import write_clip  # noqa: PLC0415 - PyAV is needed for this alone

    generator = np.random.default_rng(1)
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    ground = 90 + 30 * np.sin(columns / 9) + 12 * np.sin(rows / 5)

    def pictures() -> Iterator[np.ndarray]:
        for number in range(20 * SOURCE_FPS):
            picture = np.repeat(ground[..., None], 3, axis=2)
            left = 20 + abs(number % 160 - 80) * 2
            picture[60:110, left : left + 40] = 50
            picture += generator.normal(0, 4, picture.shape)
            yield picture.clip(0, 255).astype(np.uint8)

    write_clip(path, pictures(), SIZE, SOURCE_FPS)


@contextmanager
def _served(clip: Path, numbers: list[int], log: IO[str]) -> Iterator[dict[str, Served]]:
    """The clip as so many cameras, from a process of its own, which logs where it was too late for a picture."""
    table = json.dumps({f"cam-{number}": str(clip) for number in numbers})
    command = [sys.executable, "-m", "benchmarks.hundred_cameras", "--serve", table]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        assert process.stdout is not None
        told: dict[str, tuple[str, float]] = json.loads(process.stdout.readline())
        try:
            yield {name: Served(*camera) for name, camera in told.items()}
        finally:
            process.communicate()


def _serve(table: dict[str, str]) -> int:
    from fbtasks.sim.serving import serving  # noqa: PLC0415 - only the serving process needs it

    with serving({name: Path(path) for name, path in table.items()}) as server:
        print(json.dumps({name: (server.url(name), server.began_at(name)) for name in table}), flush=True)
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
