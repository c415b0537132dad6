"""A hundred cameras on this machine: memory, CPU per camera and frame, latency, and whether any camera falls behind.

    python -m benchmarks.hundred_cameras --seconds 600

Serves small clips (240x136, 10 fps) as RTSP cameras from two processes of their own, runs `fbtasks produce` on them
with a private Valkey, and takes the frames from the list as a GPU worker would. It prints what the producer's
processes use (CPU from `/proc`, memory as their own share, `Pss`), the rate of every camera over stretches of ten
seconds, and how old frames are when they are taken. Ends with 1 if memory grew or a camera fell below its least rate.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import mean
from typing import IO

import numpy as np

from fbtasks.keys import Keys
from fbtasks.transport import FrameQueue, connect
from fbtasks.wire import decode_frame
from tests.servers import Valkey
from tests.waiting import wait_until

SIZE = (240, 136)
SOURCE_FPS = 10
FPS, MIN_FPS = 2.0, 1.0
STRETCH_S = 10
GROWTH_ALLOWED = 0.05
"""Of memory, from the first quarter of the run to the last."""
LAST_LINES = 40
"""Of the producer's log, shown when something is wrong."""
BIN = Path(sys.executable).parent
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warm-up", type=float, default=20.0, help="seconds after the last camera came, not counted")
    parser.add_argument("--serve", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return _serve(options.serve)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        clip = folder / "clip.mp4"
        _write_clip(clip)
        halves = [range(0, options.cameras, 2), range(1, options.cameras, 2)]
        late = stack.enter_context((folder / "servers.log").open("w"))
        urls = [url for half in halves for url in stack.enter_context(_served(clip, list(half), late))]
        valkey = Valkey(folder, {})
        valkey.start()
        stack.callback(valkey.kill)
        return _measure(options, folder, valkey, urls, stack)


def _measure(options: argparse.Namespace, folder: Path, valkey: Valkey, urls: list[str], stack: ExitStack) -> int:
    settings = folder / "fbtasks.toml"
    cameras = [f'[[cameras]]\nid = "cam-{number}"\nurl = "{url}"' for number, url in enumerate(urls)]
    head = [f'redis_url = "{valkey.url}"', f'data_dir = "{folder / "data"}"']
    limits = f"[producer]\nfps = {FPS}\nmin_fps = {MIN_FPS}\nopen_timeout_s = 20"
    settings.write_text("\n".join([*head, limits, *cameras]))
    log = stack.enter_context((folder / "produce.log").open("wb"))
    producer = subprocess.Popen([BIN / "fbtasks", "--config", settings, "produce"], stdout=log, stderr=log)
    stack.callback(producer.wait)
    stack.callback(producer.send_signal, signal.SIGTERM)
    taken = Taken(valkey.url)
    stack.callback(taken.stop)
    wait_until(lambda: len(taken.cameras()) == len(urls) or producer.poll() is not None, 300, "all cameras")
    taken.pause(options.warm_up)
    taken.clear()
    cpu, began = _cpu_s(producer.pid), time.monotonic()
    memory = []
    while (passed := time.monotonic() - began) < options.seconds:
        memory.append(_memory_mb(producer.pid))
        taken.pause(min(STRETCH_S, options.seconds - passed) / 2)
    well = _tell(options, taken, memory, _cpu_s(producer.pid) - cpu, time.monotonic() - began)
    late = (folder / "servers.log").read_text().count(" late ")
    print(f"the cameras themselves were over 2 s late {late} times; the machine is too busy" if late else "")
    if not well:
        print("".join((folder / "produce.log").read_text().splitlines(keepends=True)[-LAST_LINES:]))
    return 0 if well else 1


def _tell(options: argparse.Namespace, taken: "Taken", memory: list[float], cpu_s: float, seconds: float) -> bool:
    """Print the figures; whether they are as they should be."""
    frames = taken.frames()
    lags = np.array([lag for camera in frames.values() for _, lag in camera]) * 1000
    slowest = min(_slowest([at for at, _ in camera]) for camera in frames.values())
    quarter = max(1, len(memory) // 4)
    growth = mean(memory[-quarter:]) / mean(memory[:quarter]) - 1
    print(f"{len(frames)} cameras, {seconds:.0f} s, {len(lags)} frames taken, {len(lags) / seconds:.1f} a second")
    print(f"CPU {100 * cpu_s / seconds / len(frames):.2f} % of a core per camera,", end=" ")
    print(f"{1000 * cpu_s / (seconds * SOURCE_FPS * len(frames)):.2f} ms per source frame,", end=" ")
    print(f"{1000 * cpu_s / len(lags):.1f} ms per frame sent")
    print(f"memory {memory[0]:.0f} MB at first, {memory[-1]:.0f} MB at last, {100 * growth:+.1f} % by quarters")
    print("capture stamp to taken: " + ", ".join(f"p{p} {np.percentile(lags, p):.1f} ms" for p in (50, 95, 99)))
    print(f"slowest camera in any {STRETCH_S} s: {slowest:.2f} fps of {FPS}, least {MIN_FPS}")
    missing = options.cameras - len(frames)
    well = growth <= GROWTH_ALLOWED and slowest >= 0.95 * MIN_FPS and not missing
    print("well" if well else f"NOT WELL: {missing} cameras missing, memory or rate out of bounds")
    return well


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
def _served(clip: Path, numbers: list[int], log: IO[str]) -> Iterator[list[str]]:
    """The clip as so many cameras, from a process of its own, which logs where it was too late for a picture."""
    table = json.dumps({f"cam-{number}": str(clip) for number in numbers})
    command = [sys.executable, "-m", "benchmarks.hundred_cameras", "--serve", table]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        assert process.stdout is not None
        urls: list[str] = json.loads(process.stdout.readline())
        try:
            yield urls
        finally:
            process.communicate()


def _serve(table: dict[str, str]) -> int:
    from fbtasks.sim.serving import serving  # noqa: PLC0415 - only the serving process needs it

    with serving({name: Path(path) for name, path in table.items()}) as server:
        print(json.dumps([server.url(name) for name in table]), flush=True)
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
