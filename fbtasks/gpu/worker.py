"""The GPU worker: frames in, raw boxes out, three things at once.

The gathering thread takes frames from Redis and, with a few more threads, decodes them into the open batch; the calling
thread runs the model on the batch before; the publishing thread sends the results of the batch before that. All of them
spend their time outside the interpreter's lock. Redis being away costs frames, which are counted, and nothing else.

An engine that computes several runs at once, as one on a CPU does, has a thread for each of them and gets one frame in
each: the next frame begins as soon as any of them is done, not when all are. Results are published in the order in
which their frames were taken.

Several workers may share the list. Each takes what it can run next; only of a backlog, frames that waited there for
longer than a few runs take, does it take more, to choose the freshest. (Clocks of producers and workers must agree, as
for the age limit.) Two results of one camera may overtake each other then, and the logic drops the late one.
"""

import logging
import queue
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic, sleep, time

from fbtasks.detections import BatchCandidates
from fbtasks.errors import BadMessage
from fbtasks.gpu.assembly import Assembly, Batch, Place
from fbtasks.gpu.batcher import Batcher, Taken
from fbtasks.gpu.engine import cores
from fbtasks.gpu.engines import Engines
from fbtasks.gpu.preprocess import decode_into, jpeg_size
from fbtasks.gpu.runner import Runner
from fbtasks.gpu.watchdog import Watchdog
from fbtasks.mailbox import Mailboxes
from fbtasks.metrics import GpuMetrics
from fbtasks.tracing import Traces
from fbtasks.transport import REDIS_AWAY, DeadLetters, FrameQueue
from fbtasks.wire import Frame, Result, decode_frame, encode

log = logging.getLogger(__name__)

DECODE, RUN = "decode", "run"
"""Begin the names of the threads that decode, and of those that run the model besides the calling one."""
POLL_S = 0.5
"""Longest wait for frames; bounds how late a request to stop is seen."""
AWAY_PAUSE_S = 0.2
MOST_DECODERS = 8
"""One thread decodes some 800 pictures of 640x640 a second; more than these would wait for the interpreter's lock."""
OTHER_SIZE_S = 0.01
"""How often new frames are fetched while those that wait are of another size than the open batch."""
BACKLOG_RUNS = 4.0
"""Frames that waited in the list for longer than so many runs are a backlog: one that its workers do not work off."""
BACKLOG_STEP = 8
"""Frames at least that are taken at once from a backlog."""
FLUSH_S = 1.0
"""How long a worker whose engine hangs waits for what it has analysed before to be published."""
FINISHED = ("results", "results_dropped", "frames_refused", "frames_stale", "frames_superseded")
"""Counters of what became of the frames that were taken; the rest is held."""

Fault = tuple[str, bytes]
"""The reason why a frame is refused, and its message."""


@dataclass(frozen=True, slots=True)
class _Done:
    frames: list[Taken]
    candidates: BatchCandidates
    inferred_at: float
    run_s: float


@dataclass(slots=True)
class Progress:
    """What a worker has done so far, for health: written by its threads, read by the reporter.

    Attributes:
        counters: frames, batches, published results, and every kind of loss.
        batch_at: when the last batch was published, unix seconds.
        batch_size: size of the last batch.
        run_ms: time of the last run of the model, milliseconds.
        batch_limit: the largest batch that fits into the device's memory at present.
        hung: of a worker that is about to end because its engine hangs, what happened.
    """

    counters: "Counter[str]"
    batch_limit: int
    batch_at: float | None = None
    batch_size: int = 0
    run_ms: float = 0.0
    hung: str | None = None


class GpuWorker:
    """One model, fed from one frame list. `run` blocks until `stop`, then finishes what it holds.

    Args:
        wake: called with the cameras that were asleep; sends a task for each.
        hang_s: a run that takes longer than this and ten times its usual time counts as hung.
        on_hang: called then from another thread, when all is counted and published that can be; it must end the
            process, for nothing else ends such a run.
        metrics: is told how long each stage took.
        traces: is told the way of single frames.
    """

    def __init__(
        self,
        engines: Engines,
        frames: FrameQueue,
        mailboxes: Mailboxes,
        dead: DeadLetters,
        *,
        max_wait_ms: float,
        max_age_s: float,
        min_confidence: float,
        wake: Callable[[list[str]], None],
        hang_s: float,
        on_hang: Callable[[], None],
        metrics: GpuMetrics | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._engines = engines
        self._metrics = metrics or GpuMetrics()
        self._traces = traces
        self._frames = frames
        self._mailboxes = mailboxes
        self._dead = dead
        self._runs = engines.full.at_once
        self._max_batch = engines.full.max_batch
        self._metrics.limit.set(self._max_batch)
        self._min_confidence = min_confidence
        self._wake = wake
        self._batcher = Batcher(max_age_s=max_age_s)
        self._on_hang = on_hang
        self._model = engines.full.model
        self._watchdog = Watchdog(hang_s, self._hangs)
        self._runner = Runner(self._max_batch, self._watchdog)
        self._assembly = Assembly(
            self._max_batch, self._model.input_height, self._model.input_width, max_wait_s=max_wait_ms / 1000
        )
        self._decoders = ThreadPoolExecutor(min(MOST_DECODERS, self._max_batch, cores()), DECODE)
        self._turn = threading.Lock()
        self._unanswered: set[str] = set()
        self._coming: queue.Queue[Future[_Done] | None] = queue.Queue(maxsize=self._runs + 2)
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self.progress = Progress(Counter(), self._max_batch)

    def stop(self) -> None:
        """Ask `run` to finish; safe in a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Work until `stop`. What is held then is still analysed and published.

        Raises:
            Whatever the engine raised or a thread died of: a worker that lost a part must be replaced as a whole.
        """
        gathering = self._thread("gather", self._gather)
        self._publishing = self._thread("publish", self._publish)
        with self._watchdog:
            others = [self._thread(f"{RUN}-{number}", self._run_batches) for number in range(1, self._runs)]
            try:
                self._run_batches()
            finally:
                self._stop.set()
                self._assembly.close()
                for thread in others:
                    thread.join()
                self._announce(None)
                self._publishing.join()
                gathering.join()
                self._decoders.shutdown()
        if self._failure is not None:
            raise self._failure

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - kept and raised by `run` in the main thread
                self._failure = self._failure or error
            finally:
                self._assembly.close()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    # gathering

    def _gather(self) -> None:
        away = False
        while not self._stop.is_set():
            room = self._assembly.room(POLL_S)
            if not room:
                continue
            try:
                self._fetch(room)
            except REDIS_AWAY as error:
                if not away:
                    log.warning("no frames: Redis is away (%s)", error)
                away = True
                self._stop.wait(AWAY_PAUSE_S)
                continue
            if away:
                log.info("Redis is back")
                away = False
            self._decode(room)
        while len(self._batcher) and not self._assembly.closed:
            self._decode(self._assembly.room(POLL_S))

    def _fetch(self, room: int) -> None:
        """Take as many frames as there is room for, and the whole of a backlog, to choose the freshest."""
        messages = self._frames.drain(room) if len(self._batcher) else self._frames.take(room, POLL_S)
        asked = room
        while self._read(messages) > BACKLOG_RUNS * self.progress.run_ms / 1000 and len(messages) == asked:
            asked = max(BACKLOG_STEP, self._max_batch)
            messages = self._frames.drain(asked)

    def _read(self, messages: list[bytes]) -> float:
        """Frames for the batcher; returns for how many seconds the newest of them lay in the list."""
        taken_at = time()
        refused: list[Fault] = []
        newest = 0.0
        for message in messages:
            try:
                taken = self._taken(message, taken_at)
            except BadMessage as error:
                refused.append((str(error), message))
            else:
                self._batcher.add([taken])
                newest = max(newest, taken.frame.sent_at)
                self._trace([taken], "capture", taken.frame.captured_at, taken.frame.sent_at)
                self._trace([taken], "queue_wait", taken.frame.sent_at, taken_at)
                self._metrics.stages.observe("capture", taken.frame.sent_at - taken.frame.captured_at)
                self._metrics.stages.observe("queue_wait", taken_at - taken.frame.sent_at)
        self.progress.counters["frames_taken"] += len(messages)
        self._bury(refused)
        return taken_at - newest

    def _taken(self, message: bytes, taken_at: float) -> Taken:
        frame = decode_frame(message)
        try:
            own = jpeg_size(frame.jpeg)
            size = self._engines.size_for(*own)
        except BadMessage as error:
            raise BadMessage(_of(frame, error)) from error
        return Taken(frame, message, taken_at, size, frame.letterbox.inside(own, size))

    def _decode(self, room: int) -> None:
        choice = self._batcher.choose(room, time(), self._assembly.size)
        self.progress.counters["frames_stale"] += choice.stale
        self.progress.counters["frames_superseded"] += choice.superseded
        self._bury(self._filled(choice.batch))
        if not choice.batch and len(self._batcher):
            self._assembly.await_empty(OTHER_SIZE_S)

    def _filled(self, batch: list[Taken]) -> list[Fault]:
        """Decode these frames, each into its place; returns the faults of those that cannot be.

        The last one is decoded in this thread, which has nothing else to do until all are: a batch of one picture needs
        no other thread at all. Only the last, for a place may be long in coming, and the engine waits for all before.
        """
        faults: list[Fault | None] = []
        decoding: list[Future[Fault | None]] = []
        for number, taken in enumerate(batch, 1):
            place = self._assembly.place(taken)
            if place is None:
                continue
            if number < len(batch):
                decoding.append(self._decoders.submit(self._fill, place))
            else:
                faults.append(self._fill(place))
        faults += [done.result() for done in decoding]
        return [fault for fault in faults if fault is not None]

    def _fill(self, place: Place) -> Fault | None:
        """Decode one frame into its place; returns the reason and the message of one that cannot be."""
        frame, good, began = place.taken.frame, False, monotonic()
        try:
            decode_into(frame.jpeg, place.picture)
            good = True
            took_s = monotonic() - began
            self._metrics.stages.observe("decode", took_s)
            self._trace([place.taken], "decode", time() - took_s, time())
        except BadMessage as error:
            return _of(frame, error), place.taken.message
        finally:
            self._assembly.settle(place, good=good)
        return None

    def _bury(self, refused: list[Fault]) -> None:
        if not refused:
            return
        self.progress.counters["frames_refused"] += len(refused)
        log.warning("%d frames refused, the first: %s", len(refused), refused[0][0])
        try:
            self._dead.add("frames", refused, time())
        except REDIS_AWAY as error:
            log.warning("%d dead letters not kept: Redis is away (%s)", len(refused), error)

    # running

    def _run_batches(self) -> None:
        while self._failure is None and (announced := self._next()) is not None:
            batch, coming = announced
            try:
                coming.set_result(self._infer(batch))
            except BaseException as error:
                coming.set_exception(error)
                raise
            self._assembly.give_back(batch)

    def _next(self) -> "tuple[Batch, Future[_Done]] | None":
        """The next batch, its place in the order of publishing taken."""
        with self._turn:
            batch = self._assembly.take()
            if batch is None:
                return None
            coming: Future[_Done] = Future()
            self._announce(coming)
            return batch, coming

    def _infer(self, batch: Batch) -> _Done:
        began = monotonic()
        try:
            candidates = self._runner.run(self._engines[batch.frames[0].size], batch.pictures)
        finally:
            self.progress.batch_limit = self._runner.limit.limit
            self.progress.counters["memory_faults"] = self._runner.memory_faults
        # All that can be told later is: the engine stands still between two runs.
        took_s = monotonic() - began
        self.progress.run_ms = took_s * 1000
        return _Done(batch.frames, candidates, time(), took_s)

    def _tell_of_run(self, done: _Done) -> None:
        self._metrics.limit.set(self.progress.batch_limit)
        self._metrics.stages.observe("inference", done.run_s)
        self._metrics.batch.observe(len(done.frames))
        self._trace(done.frames, "inference", done.inferred_at - done.run_s, done.inferred_at, batch=len(done.frames))

    def _hangs(self, what: str) -> None:
        """Save what can be saved; the engine's thread will not come back."""
        self._stop.set()
        deadline = monotonic() + FLUSH_S
        while self._coming.unfinished_tasks > 1 and monotonic() < deadline:
            sleep(0.01)
        told = self.progress.counters
        told["frames_lost"] = told["frames_taken"] - sum(told[name] for name in FINISHED)
        self.progress.hung = what
        log.critical("%s; %d frames are lost, this worker ends to be replaced", what, told["frames_lost"])
        self._on_hang()

    def _announce(self, coming: "Future[_Done] | None") -> None:
        """Wait for room in the publishing thread's queue, unless that thread is no more."""
        while self._publishing.is_alive():
            try:
                self._coming.put(coming, timeout=POLL_S)
            except queue.Full:
                continue
            return

    # publishing

    def _publish(self) -> None:
        while (coming := self._coming.get()) is not None:
            self._send(coming.result())
            self._coming.task_done()

    def _send(self, done: _Done) -> None:
        self._tell_of_run(done)
        began = monotonic()
        results = self._results(done)
        try:
            delivered = self._mailboxes.push(results)
        except REDIS_AWAY as error:
            self._unanswered |= results.keys()
            self.progress.counters["results_dropped"] += len(done.frames)
            log.warning("%d results dropped: Redis is away (%s)", len(done.frames), error)
            return
        self.progress.counters["results_cut"] += sum(told.dropped for told in delivered.values())
        self.progress.counters["results"] += len(done.frames)
        self.progress.counters["batches"] += 1
        self.progress.batch_size = len(done.frames)
        self.progress.batch_at = time()
        # A push that was not answered may have been carried out: then the camera counts as woken, and nobody woke it.
        asleep = [camera_id for camera_id, told in delivered.items() if told.wake or camera_id in self._unanswered]
        self._unanswered -= delivered.keys()
        if asleep:
            self._wake(asleep)
        took_s = monotonic() - began
        self._metrics.stages.observe("publish", took_s)
        self._trace(done.frames, "publish", time() - took_s, time())

    def _trace(self, frames: list[Taken], stage: str, began: float, ended: float, **attributes: float | str) -> None:
        if self._traces is not None:
            for taken in frames:
                self._traces.stage(taken.frame, stage, began, ended, **attributes)

    def _results(self, done: _Done) -> dict[str, list[bytes]]:
        results: dict[str, list[bytes]] = defaultdict(list)
        for index, taken in enumerate(done.frames):
            frame = taken.frame
            boxes = done.candidates.of(index, self._min_confidence)
            boxes = type(boxes)(taken.letterbox.to_source(boxes.xyxy), boxes.confidence, boxes.class_id)
            result = Result.of(
                frame,
                boxes,
                names=self._model.names,
                model_id=self._model.model_id,
                taken_at=taken.taken_at,
                inferred_at=done.inferred_at,
            )
            results[frame.camera_id].append(encode(result))
        return results


def _of(frame: Frame, error: BadMessage) -> str:
    """The reason for a dead letter."""
    return f"camera {frame.camera_id}, frame {frame.seq}: {error}"
