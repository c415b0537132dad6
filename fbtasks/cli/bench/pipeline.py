"""The pipeline from frames in Redis to results, measured in turn with its engine alone."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from multiprocessing import get_context
from operator import attrgetter
from typing import Any

import msgspec
from redis import Redis

from fbtasks.cli.bench import machine
from fbtasks.cli.bench.engines import TimedEngine
from fbtasks.cli.bench.load import (
    ANSWER_S,
    Answer,
    BenchFailed,
    Pace,
    Sample,
    Saturate,
    Site,
    cameras,
    serve,
    timetable,
)
from fbtasks.gpu.engines import Engines
from fbtasks.gpu.worker import DECODE, RUN, GpuWorker
from fbtasks.keys import Keys
from fbtasks.lifecycle import leave, settle
from fbtasks.mailbox import Mailboxes
from fbtasks.settings import Settings
from fbtasks.transport import DeadLetters, FrameQueue, connect

MAX_AGE_S = 600.0
"""No frame is given up here: a measurement that drops frames would not measure them."""
IN_FLIGHT = 4
"""Frames under way at full load, in batches: one runs, one is decoded, one waits in Redis, one is on its way back."""
POLL_S = 0.2
WARM_UP_S = 1.0
WORKER = "bench-worker"


class TimedFrames(FrameQueue):
    """A frame list that counts what fetching takes of the calling thread's processor time."""

    thread_s = 0.0

    def take(self, count: int, timeout_s: float) -> list[bytes]:
        """See `FrameQueue.take`."""
        began = time.thread_time()
        try:
            return super().take(count, timeout_s)
        finally:
            self.thread_s += time.thread_time() - began

    def drain(self, count: int | None = None) -> list[bytes]:
        """See `FrameQueue.drain`."""
        began = time.thread_time()
        try:
            return super().drain(count)
        finally:
            self.thread_s += time.thread_time() - began


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the pipeline under as much load as it takes.

    Attributes:
        fps: results per second, from the first batch's arrival to the last one's.
        cpu_ms: processor time per frame outside the engine by part, milliseconds.
        batch: mean size of the batches.
    """

    fps: float
    cpu_ms: Mapping[str, float]
    batch: float


class PipelineUnderTest:
    """A real worker in threads of this process, real Redis servers, the load in a process of its own.

    Args:
        engine: what the worker runs.
        site: where the load goes.
        settings: of the worker.
        wake: what wakes the logic for cameras whose frames are answered by their alerts; without it there is no logic.
    """

    def __init__(
        self, engine: TimedEngine, site: Site, settings: Settings, wake: Callable[[list[str]], None] | None = None
    ) -> None:
        keys = Keys(site.prefix)
        decided = set(cameras(site, "alerts"))
        self.answers: tuple[Answer, ...] = ("results",) if wake is None else ("results", "alerts")
        self._engine = engine
        self._servers: list[Redis] = [
            connect(url, site.timeout_s) for url in dict.fromkeys((site.frames_url, site.state_url))
        ]
        state = self._servers[-1]
        self._keys = keys
        self._site = site
        self._frames = TimedFrames(self._servers[0], keys, settings.frames.max_length)
        self._worker = GpuWorker(
            Engines(engine),
            self._frames,
            Mailboxes(state, keys, length=settings.logic.mailbox_length),
            DeadLetters(state, keys),
            max_wait_ms=settings.gpu.max_wait_ms,
            max_age_s=MAX_AGE_S,
            min_confidence=settings.gpu.min_confidence,
            wake=lambda names: wake([name for name in names if name in decided]) if wake else None,
            hang_s=ANSWER_S,
            on_hang=partial(leave, 1),
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """The worker and the load, ready for orders; what they leave in Redis is `left_clean`'s."""
        context = get_context("spawn")
        self._orders, theirs = context.Pipe()
        load = context.Process(target=serve, args=(self._site, theirs), daemon=True)
        load.start()
        theirs.close()
        settle()
        with ThreadPoolExecutor(1, WORKER) as threads:
            self._run = threads.submit(self._worker.run)
            try:
                yield
            finally:
                self._worker.stop()
                self._orders.close()
                load.join()

    def warm_up(self) -> None:
        """Let everything run once that is slower the first time, the start of all processes included."""
        for answer in self.answers:
            self._carry_out(Saturate(WARM_UP_S, answer))

    def saturate(self, seconds: float, to: Answer = "results") -> Turn:
        """One round under full load."""
        before, first_run = self._cpu(), len(self._engine.runs)
        samples = self._carry_out(Saturate(seconds, to))
        after = self._cpu()
        spent = {part: (after[part] - before[part]) / len(samples) * 1000 for part in before}
        return Turn(arrival_rate(samples), spent, len(samples) / len(self._engine.runs[first_run:]))

    def pace(self, fps: float, seconds: float, to: Answer = "results") -> tuple[int, list[Sample]]:
        """How many frames a steady load sent, and those that came back."""
        task = Pace(fps, seconds, to)
        return len(timetable(task, cameras(self._site))), self._carry_out(task)

    def server_version(self) -> str:
        """Of the server with the frames."""
        return machine.server_version(self._servers[0])

    def _carry_out(self, order: Saturate | Pace) -> list[Sample]:
        """What the load saw.

        Raises:
            BenchFailed: the load ended. Whatever ended the worker is raised as it is.
        """
        self._orders.send(order)
        while not self._orders.poll(POLL_S):
            if self._run.done():
                self._run.result()
        try:
            answer: bytes | str = self._orders.recv()
        except EOFError:
            raise BenchFailed("the process that sends the frames ended; its last lines above say why") from None
        if isinstance(answer, str):
            raise BenchFailed(answer)
        return msgspec.msgpack.decode(answer, type=list[Sample])

    def _cpu(self) -> dict[str, float]:
        """Processor seconds spent so far, by part. Decoding writes into the batch itself: there is no copy to list."""
        threads = {thread.name: thread_seconds(thread) for thread in threading.enumerate()}
        decoders, others = (
            sum(spent for name, spent in threads.items() if name.startswith(begins)) for begins in (DECODE, RUN)
        )
        info: list[Any] = [server.info("cpu") for server in self._servers]
        return {
            "fetch": self._frames.thread_s,
            "decode": threads["gather"] - self._frames.thread_s + decoders,
            "run": threads[f"{WORKER}_0"] + others - self._engine.thread_s,
            "publish": threads["publish"],
            "redis": sum(told["used_cpu_user"] + told["used_cpu_sys"] for told in info),
        }


@contextmanager
def left_clean(site: Site) -> Iterator[None]:
    """Afterwards none of the measurement's keys is left in Redis."""
    try:
        yield
    finally:
        for url in {site.frames_url, site.state_url}:
            with connect(url, site.timeout_s) as server:
                for key in server.scan_iter(f"{site.prefix}*"):
                    server.delete(key)


def thread_seconds(thread: threading.Thread) -> float:
    """Processor time that a running thread of this process has taken, seconds."""
    assert thread.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def arrival_rate(samples: list[Sample]) -> float:
    """Frames per second, from the arrival of the first batch to that of the last."""
    by_batch = groupby(sorted(samples, key=attrgetter("inferred_at")), key=attrgetter("inferred_at"))
    batches = [(len(frames), max(frame.arrived_at for frame in frames)) for frames in (list(of) for _, of in by_batch)]
    if len(batches) < 2:
        raise BenchFailed("a round saw fewer than two batches: make it longer with --seconds")
    return sum(size for size, _ in batches[1:]) / (batches[-1][1] - batches[0][1])
