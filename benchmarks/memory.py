"""Whether the GPU worker's memory stays as it is: `python -m benchmarks.memory [--frames 200000]`.

The worker of `fbtasks infer` in threads of this process, real Redis servers, an engine that takes 1 ms for a batch,
small pictures, as many frames under way as it takes. Every so often the process tells its resident memory; it ends with
an error when the second half of the frames has made it grow by more than 2 %.
"""

import argparse
import sys
from pathlib import Path

from fbtasks.cli.bench import picture, servers
from fbtasks.cli.bench.engines import TimedEngine, opener
from fbtasks.cli.bench.load import Site
from fbtasks.cli.bench.pipeline import IN_FLIGHT, PipelineUnderTest
from fbtasks.gpu.preprocess import jpeg_size
from fbtasks.settings import GpuSettings, Settings

ENGINE = "fixed:1ms"
SIDE = 128
"""Width and height of the pictures: decoding must not take all the time."""
TURN_S = 5.0
MOST_GROWTH = 0.02
_PAGE_BYTES = 4096


def resident_mb() -> float:
    """Of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES / 1e6


def measured(frames: int) -> list[tuple[int, float]]:
    """Frames so far and resident megabytes, after each turn."""
    settings = Settings(gpu=GpuSettings(input="fixed", input_width=SIDE, input_height=SIDE))
    letterbox, jpeg = picture.encoded(None, settings)
    rows: list[tuple[int, float]] = []
    with servers.own_servers() as (frames_url, state_url):
        engine = TimedEngine(opener(settings, jpeg_size(jpeg))(ENGINE))
        site = Site(
            frames_url, state_url, "memory:", IN_FLIGHT * engine.max_batch, letterbox, jpeg, settings.redis.timeout_s
        )
        worker = PipelineUnderTest(engine, site, settings)
        with worker.running():
            worker.warm_up()
            engine.runs.clear()
            done = 0
            while done < frames:
                turn = worker.saturate(TURN_S)
                done += round(turn.batch * len(engine.runs))
                # What the measurement itself keeps of every run.
                engine.runs.clear()
                rows.append((done, resident_mb()))
                sys.stderr.write(f"{done:7} frames, {turn.fps:5.0f} frames/s, {rows[-1][1]:.1f} MB\n")
    return rows


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200_000)
    rows = measured(parser.parse_args().frames)
    half = next(mb for done, mb in rows if done >= rows[-1][0] / 2)
    growth = rows[-1][1] / half - 1
    sys.stdout.write(f"{rows[-1][0]} frames, {rows[-1][1]:.1f} MB, in the second half {growth:+.2%}\n")
    if growth > MOST_GROWTH:
        sys.exit(1)


if __name__ == "__main__":
    main()
