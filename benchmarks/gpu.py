"""What batching gains on this machine and by which cause; made to run alone on a GPU host without a network.

    python -m benchmarks.gpu --model yolo11n.onnx
    python -m benchmarks.gpu --model yolo11n.onnx --provider cpu --quick

It needs this repository, what `pip install '.[openvino]'` installs (with the CUDA, cuDNN and, if wanted, TensorRT
libraries on a GPU host) and an ONNX export, no camera and no server: it starts its own Valkey on loopback. It measures

- the engine alone: batches of 1 to 32, half and full precision, 640x640 and 640x384;
- decoding alone, on one thread and on as many as the worker uses;
- Redis alone: frames of that size pushed and taken one by one and in batches;
- the whole, from frames in Redis to results: one frame after the other, in batches one after the other, and as the
  worker does it, all at once. The first two differ by batching, the last two by overlapping.

The figures go to a JSON file, and one row to RESULTS.md. TensorRT builds engines first, for minutes each. On a GPU it
ends with an error unless the provider that was asked for has run the model, with the boxes that the CPU finds.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from time import monotonic, time
from typing import Any, Literal, cast

import numpy as np

from fbtasks.cli.bench import comparison, limit, picture, pipeline, report, servers
from fbtasks.cli.bench.engines import TimedEngine
from fbtasks.cli.bench.load import Site
from fbtasks.detections import Boxes
from fbtasks.gpu.engine import LADDER, Engine, Precision, Provider, cores, open_engine
from fbtasks.gpu.model import prepare
from fbtasks.gpu.preprocess import decode_into, jpeg_size
from fbtasks.gpu.worker import MOST_DECODERS
from fbtasks.keys import Keys
from fbtasks.mailbox import Mailboxes
from fbtasks.settings import Settings
from fbtasks.transport import FrameQueue, connect
from fbtasks.wire import Frame, Result, decode_frame, encode

RESULTS = Path(__file__).with_name("RESULTS.md")
HEADING = "## GPU hosts, one row for each run"
COLUMNS = (
    "date", "device", "provider", "model", "640x640 batch 1", "best", "at batch", "in float32", "640x384 best",
    "one by one", "in batches", "as the worker does", "gain",
)  # fmt: skip
ON_A_GPU = {"tensorrt", "cuda"}
SURE = 0.5
AGREES_WITHIN = 0.1
"""Largest difference of a sure box's score between a GPU in half precision and the CPU in full."""
Facts = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        batches: sizes, the largest last.
        rounds: turns of each.
        seconds: of one turn.
    """

    batches: tuple[int, ...]
    rounds: int
    seconds: float


FULL = Plan((1, 2, 4, 8, 16, 32), 5, 1.0)
QUICK = Plan((1, 2), 1, 0.05)


class Bench:
    """The measurements of one model on one provider."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._plan: Plan = QUICK if options.quick else FULL
        self._provider: Provider | Literal["auto"] = options.provider
        self._folder = options.cache or folder
        self._model: Path = options.model
        self._engines: dict[tuple[tuple[int, int], Precision], Engine] = {}
        self._pictures = {
            tight: picture.encoded(options.image, _settings(tight=tight, max_batch=self._plan.batches[-1]))
            for tight in (False, True)
        }
        self._sizes = {tight: jpeg_size(jpeg) for tight, (_, jpeg) in self._pictures.items()}

    def measure(self) -> Facts:
        """All of it."""
        full = self._engine(self._sizes[False], "auto")
        _say(f"{full.provider} runs {full.model.model_id}")
        facts = report.surroundings() | {"provider": full.provider, "model": full.model.model_id}
        facts |= {"at": datetime.now(UTC).isoformat(timespec="seconds"), "device": device(full.provider)}
        facts["agreement"] = self._agreement(full)
        facts["engine"] = self._engine_alone()
        facts["decode"] = self._decoding()
        with servers.own_servers() as urls:
            site = self._site(urls)
            facts["redis"] = self._redis(site)
            facts["whole"] = self._whole(site, full)
        return facts

    def _engine(self, size: tuple[int, int], precision: Precision) -> Engine:
        if (size, precision) not in self._engines:
            _say(f"opening {size[0]}x{size[1]}, precision {precision}")
            engine = open_engine(
                prepare(self._model, self._folder, input_size=size),
                provider=self._provider,
                max_batch=self._plan.batches[-1],
                precision=precision,
                cache_dir=self._folder,
            )
            if self._provider not in {"auto", engine.provider}:
                raise SystemExit(f"asked for {self._provider}, got {engine.provider}")
            self._provider = cast("Provider", engine.provider)  # from now on the one that `auto` has found
            engine.warm_up()
            self._engines[size, precision] = engine
        return self._engines[size, precision]

    def _agreement(self, engine: Engine) -> Facts:
        """How far the boxes that are sure on the CPU in full precision are from these.

        Raises:
            SystemExit: too far, or another number of them; a GPU that computes something else is of no use.
        """
        size = self._sizes[False]
        frames = picture.batch(self._pictures[False][1], 1)
        exact = open_engine(
            prepare(self._model, self._folder, input_size=size),
            provider="cpu", max_batch=1, precision="float32", cache_dir=self._folder,
        )  # fmt: skip
        wanted, found = exact.run(frames), engine.run(frames)
        sure = wanted.confidence[0] >= SURE
        difference = float(np.abs(found.confidence[0][sure] - wanted.confidence[0][sure]).max(initial=0.0))
        if difference > AGREES_WITHIN:
            raise SystemExit(f"{engine.provider} gives other scores than the CPU, by up to {difference:.3f}")
        return {"sure_boxes": int(sure.sum()), "largest_score_difference": round(difference, 5)}

    def _engine_alone(self) -> list[Facts]:
        """Frames per second and time of a run, the precisions and sizes of one batch in turn."""
        rows: list[Facts] = []
        for tight, size in self._sizes.items():
            precisions: tuple[Precision, ...] = ("auto", "float32")
            engines = {precision: TimedEngine(self._engine(size, precision)) for precision in precisions}
            frames = picture.batch(self._pictures[tight][1], self._plan.batches[-1])
            sizes = len(limit.cells([engines["auto"]]))
            _say(f"engine alone at {size[0]}x{size[1]}, {sizes} sizes of batch")
            found = limit.limits(
                [*engines.values()], frames, rounds=self._plan.rounds, seconds=self._plan.seconds, progress=_ignore
            )
            rows += [
                {"input": f"{size[0]}x{size[1]}", "precision": precision, **asdict(one)}
                for precision, one in zip(np.repeat(precisions, sizes).tolist(), found, strict=True)
            ]
        return rows

    def _decoding(self) -> Facts:
        """Pictures per second, on one thread and on the worker's number of threads."""
        threads = min(MOST_DECODERS, self._plan.batches[-1], cores())
        facts: Facts = {"threads": threads}
        for tight, (_, jpeg) in self._pictures.items():
            width, height = self._sizes[tight]
            _say(f"decoding {width}x{height}")
            places = np.empty((threads, height, width, 3), np.uint8)

            def decode(place: int, jpeg: bytes = jpeg, places: Any = places) -> None:
                decode_into(jpeg, places[place])

            with ThreadPoolExecutor(threads) as pool:
                facts[f"{width}x{height}"] = {
                    "bytes": len(jpeg),
                    "one_thread_fps": self._rate(lambda: decode(0), 1),
                    "all_threads_fps": self._rate(lambda: list(pool.map(decode, range(threads))), threads),
                }
        return facts

    def _redis(self, site: Site) -> Facts:
        """Frames per second through the list, pushed and taken by one client."""
        _say("Redis")
        queue = FrameQueue(connect(site.frames_url, site.timeout_s), Keys(site.prefix), 10_000)
        message = _message(site, "bench-0", 0)

        def there_and_back(count: int) -> None:
            queue.push([message] * count)
            queue.take(count, 1.0)

        return {
            f"batches of {count}": {"frames_per_s": self._rate(partial(there_and_back, count), count)}
            for count in self._plan.batches
        }

    def _whole(self, site: Site, engine: Engine) -> Facts:
        """From frames in Redis to results, at the full size."""
        most = engine.max_batch
        timed = TimedEngine(engine)
        _say("the whole, one by one and in batches")
        one_by_one, batched = [], []
        for _ in range(self._plan.rounds):
            one_by_one.append(self._loop(site, engine, 1))
            batched.append(self._loop(site, engine, most))
        _say("the whole, as the worker does it")
        worker = pipeline.PipelineUnderTest(timed, site, _settings(tight=False, max_batch=most))
        frames = picture.batch(self._pictures[False][1], most)
        seconds = max(self._plan.seconds, 0.3)
        with pipeline.left_clean(site), worker.running():
            found = comparison.compare(
                worker, timed, frames, rounds=self._plan.rounds, seconds=seconds, progress=_ignore
            )
        return {
            "max_batch": most,
            "one_by_one_fps": round(median(one_by_one), 2),
            "in_batches_fps": round(median(batched), 2),
            "worker": report.figures(found),
        }

    def _loop(self, site: Site, engine: Engine, batch: int) -> float:
        """Frames per second of fetching, decoding, running and publishing, one after the other."""
        keys = Keys(site.prefix)
        queue = FrameQueue(connect(site.frames_url, site.timeout_s), keys, 10_000)
        mailboxes = Mailboxes(connect(site.state_url, site.timeout_s), keys, length=64)
        width, height = self._sizes[False]
        places = np.empty((batch, height, width, 3), np.uint8)
        spent, frames = 0.0, 0
        while spent < self._plan.seconds:
            queue.push([_message(site, f"bench-{number}", frames + number) for number in range(batch)])
            began = monotonic()
            taken = [decode_frame(message) for message in queue.take(batch, 1.0)]
            for place, frame in zip(places, taken, strict=True):
                decode_into(frame.jpeg, place)
            candidates = engine.run(places)
            results = {
                frame.camera_id: [_result(frame, candidates.of(index, 0.1), engine)]
                for index, frame in enumerate(taken)
            }
            mailboxes.push(results)
            spent += monotonic() - began
            frames += batch
        return frames / spent

    def _rate(self, work: Callable[[], object], frames: int) -> float:
        """Frames per second, median of the rounds."""
        rates = []
        for _ in range(self._plan.rounds):
            began, done = monotonic(), 0
            while done == 0 or monotonic() - began < self._plan.seconds:
                work()
                done += frames
            rates.append(done / (monotonic() - began))
        return round(median(rates), 1)

    def _site(self, urls: tuple[str, str]) -> Site:
        letterbox, jpeg = self._pictures[False]
        return Site(
            frames_url=urls[0], state_url=urls[1], prefix="bench:", cameras=pipeline.IN_FLIGHT * self._plan.batches[-1],
            letterbox=letterbox, jpeg=jpeg, timeout_s=5.0,
        )  # fmt: skip


def device(provider: str) -> str:
    """The GPU with its driver, or the processor.

    Raises:
        SystemExit: the model is said to run on a GPU and the driver's own tool knows of none.
    """
    if provider not in ON_A_GPU:
        return str(report.surroundings()["machine"]["processor"])
    question = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(question, check=True, capture_output=True, text=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise SystemExit(f"the model runs on {provider}, but nvidia-smi tells of no GPU: {error}") from error


def row(facts: Facts) -> dict[str, str]:
    """The line of RESULTS.md; frames per second where nothing else is said."""
    best = {
        (size, precision): max(
            (one for one in facts["engine"] if (one["input"], one["precision"]) == (size, precision)),
            key=lambda one: float(one["fps"]),
        )
        for size in {one["input"] for one in facts["engine"]}
        for precision in ("auto", "float32")
    }
    alone = next(one for one in facts["engine"] if one["batch"] == 1 and one["precision"] == "auto")
    tight = next(size for size, _ in best if size != alone["input"])
    whole = facts["whole"]
    values = (
        facts["at"][:10],
        facts["device"],
        facts["provider"],
        facts["model"],
        alone["fps"],
        best[alone["input"], "auto"]["fps"],
        best[alone["input"], "auto"]["batch"],
        best[alone["input"], "float32"]["fps"],
        best[tight, "auto"]["fps"],
        whole["one_by_one_fps"],
        whole["in_batches_fps"],
        whole["worker"]["pipeline_fps"],
        f"{whole['worker']['pipeline_fps'] / whole['one_by_one_fps']:.2f}",
    )
    return {column: str(value) for column, value in zip(COLUMNS, values, strict=True)}


def append(results: Path, line: dict[str, str]) -> None:
    """Put the line under its heading, at the end of the file; the heading comes with the first."""
    text = results.read_text(encoding="utf-8") if results.exists() else ""
    if HEADING not in text:
        text += f"\n{HEADING}\n\n`python -m benchmarks.gpu`; frames per second. The gain is that over one by one.\n\n"
        text += _cells(COLUMNS) + _cells(["---"] * len(COLUMNS))
    before, heading, after = text.partition(HEADING)
    table = after.rstrip("\n").split("\n\n## ", 1)
    table[0] += "\n" + _cells([line[column] for column in COLUMNS]).rstrip("\n")
    results.write_text(before + heading + "\n\n## ".join(table) + "\n", encoding="utf-8")


def main() -> None:
    """Measure once, write both files, print the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="ONNX export with an open batch and size")
    parser.add_argument("--provider", choices=["auto", *LADDER], default="auto")
    parser.add_argument("--image", type=Path, help="a 16:9 picture; default: a drawn stall")
    parser.add_argument("--quick", action="store_true", help="see whether it works; the figures are worth nothing")
    parser.add_argument("--cache", type=Path, help="keeps prepared graphs and TensorRT's engines for the next time")
    parser.add_argument("--json", type=Path, default=Path("gpu.json"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fbtasks-bench-") as folder:
        facts = Bench(options, Path(folder)).measure()
    options.json.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    line = row(facts)
    append(options.results, line)
    print("\n".join(f"{column + ':':<20}{value}" for column, value in line.items()))


def _settings(*, tight: bool, max_batch: int) -> Settings:
    return Settings.model_validate({"gpu": {"input": "auto" if tight else "fixed", "max_batch": max_batch}})


def _message(site: Site, camera_id: str, seq: int) -> bytes:
    box, now = site.letterbox, time()
    return encode(
        Frame(
            camera_id=camera_id, seq=seq, captured_at=now, sent_at=now, width=box.width, height=box.height,
            scale=box.scale, pad_x=box.pad_x, pad_y=box.pad_y, jpeg=memoryview(site.jpeg),
        )
    )  # fmt: skip


def _result(frame: Frame, found: Boxes, engine: Engine) -> bytes:
    boxes = Boxes(frame.letterbox.to_source(found.xyxy), found.confidence, found.class_id)
    model, now = engine.model, time()
    return encode(Result.of(frame, boxes, names=model.names, model_id=model.model_id, taken_at=now, inferred_at=now))


def _cells(values: Sequence[str]) -> str:
    return f"| {' | '.join(values)} |\n"


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _ignore(_steps: int) -> None:
    """Progress is not shown."""


if __name__ == "__main__":
    main()
