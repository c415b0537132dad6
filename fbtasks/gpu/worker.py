"""The GPU worker: frames in, raw boxes out, three things at once.

The gathering thread takes frames from Redis, and a few more threads decode them into the open batch; the calling thread
runs the model on the batch before; the publishing thread sends the results of the batch before that. All of them spend
their time outside the interpreter's lock. Redis being away costs frames, which are counted, and nothing else.
"""

import logging
import queue
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic, time

from fbtasks.detections import BatchCandidates
from fbtasks.errors import BadMessage
from fbtasks.gpu.assembly import Assembly, Pictures, Place
from fbtasks.gpu.batcher import Batcher, Taken
from fbtasks.gpu.engine import Engine, cores
from fbtasks.gpu.preprocess import decode_into
from fbtasks.mailbox import Mailboxes
from fbtasks.transport import REDIS_AWAY, DeadLetters, FrameQueue
from fbtasks.wire import Result, decode_frame, encode

log = logging.getLogger(__name__)

DECODE = "decode"
"""Begins the names of the decoding threads."""
POLL_S = 0.5
"""Longest wait for frames; bounds how late a request to stop is seen."""
AWAY_PAUSE_S = 0.2
MOST_DECODERS = 8
"""One thread decodes some 800 pictures of 640x640 a second; more than these would wait for the interpreter's lock."""


@dataclass(frozen=True, slots=True)
class _Done:
    frames: list[Taken]
    candidates: BatchCandidates
    inferred_at: float


@dataclass(slots=True)
class Progress:
    """What a worker has done so far, for health: written by its threads, read by the reporter.

    Attributes:
        counters: frames, batches, published results, and every kind of loss.
        batch_at: when the last batch was published, unix seconds.
        batch_size: size of the last batch.
        run_ms: time of the last run of the model, milliseconds.
    """

    counters: "Counter[str]"
    batch_at: float | None = None
    batch_size: int = 0
    run_ms: float = 0.0


class GpuWorker:
    """One engine, fed from one frame list. `run` blocks until `stop`, then finishes what it holds.

    Args:
        wake: called with the cameras that were asleep; sends a task for each.
    """

    def __init__(
        self,
        engine: Engine,
        frames: FrameQueue,
        mailboxes: Mailboxes,
        dead: DeadLetters,
        *,
        max_wait_ms: float,
        max_age_s: float,
        min_confidence: float,
        wake: Callable[[list[str]], None],
    ) -> None:
        self._engine = engine
        self._frames = frames
        self._mailboxes = mailboxes
        self._dead = dead
        self._max_batch = engine.max_batch
        self._min_confidence = min_confidence
        self._wake = wake
        self._batcher = Batcher(max_age_s=max_age_s)
        model = engine.model
        self._assembly = Assembly(
            engine.max_batch, model.input_height, model.input_width, max_wait_s=max_wait_ms / 1000
        )
        self._decoders = ThreadPoolExecutor(min(MOST_DECODERS, engine.max_batch, cores()), DECODE)
        self._done: queue.Queue[_Done | None] = queue.Queue(maxsize=2)
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self.progress = Progress(Counter())

    def stop(self) -> None:
        """Ask `run` to finish; safe in a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Work until `stop`. What is held then is still analysed and published.

        Raises:
            Whatever the engine raised or a thread died of: a worker that lost a part must be replaced as a whole.
        """
        gathering = self._thread("gather", self._gather, then=self._assembly.close)
        publishing = self._thread("publish", self._publish, then=self._assembly.close)
        try:
            while (batch := self._assembly.take()) is not None and self._failure is None:
                self._hand_over(self._infer(*batch), publishing)
        finally:
            self._stop.set()
            self._assembly.close()
            self._hand_over(None, publishing)
            publishing.join()
            gathering.join()
            self._decoders.shutdown()
        if self._failure is not None:
            raise self._failure

    def _thread(self, name: str, work: Callable[[], None], *, then: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - kept and raised by `run` in the main thread
                self._failure = self._failure or error
            finally:
                then()

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
                self._fetch()
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

    def _fetch(self) -> None:
        """Take what has come. A full answer means a backlog: then take all of it, to choose the freshest."""
        if not len(self._batcher):
            messages = self._frames.take(self._max_batch, POLL_S)
            self._read(messages)
            if len(messages) < self._max_batch:
                return
        self._read(self._frames.drain())

    def _read(self, messages: list[bytes]) -> None:
        taken_at = time()
        refused: list[tuple[str, bytes]] = []
        for message in messages:
            try:
                self._batcher.add([Taken(decode_frame(message), message, taken_at)])
            except BadMessage as error:
                refused.append((str(error), message))
        self.progress.counters["frames_taken"] += len(messages)
        self._bury(refused)

    def _decode(self, room: int) -> None:
        choice = self._batcher.choose(room, time())
        self.progress.counters["frames_stale"] += choice.stale
        self.progress.counters["frames_superseded"] += choice.superseded
        places = filter(None, map(self._assembly.place, choice.batch))
        faults = [self._decoders.submit(self._fill, place) for place in places]
        self._bury([fault for done in faults if (fault := done.result()) is not None])

    def _fill(self, place: Place) -> tuple[str, bytes] | None:
        """Decode one frame into its place; returns the reason and the message of one that cannot be."""
        frame, good = place.taken.frame, False
        try:
            decode_into(frame.jpeg, place.picture)
            good = True
        except BadMessage as error:
            return f"camera {frame.camera_id}, frame {frame.seq}: {error}", place.taken.message
        finally:
            self._assembly.settle(place, good=good)
        return None

    def _bury(self, refused: list[tuple[str, bytes]]) -> None:
        if not refused:
            return
        self.progress.counters["frames_refused"] += len(refused)
        log.warning("%d frames refused, the first: %s", len(refused), refused[0][0])
        try:
            self._dead.add("frames", refused, time())
        except REDIS_AWAY as error:
            log.warning("%d dead letters not kept: Redis is away (%s)", len(refused), error)

    # running

    def _infer(self, frames: list[Taken], pictures: Pictures) -> _Done:
        began = monotonic()
        candidates = self._engine.run(pictures)
        self.progress.run_ms = (monotonic() - began) * 1000
        return _Done(frames, candidates, time())

    def _hand_over(self, done: _Done | None, publishing: threading.Thread) -> None:
        """Wait for room in the publishing thread's queue, unless that thread is no more."""
        while publishing.is_alive():
            try:
                self._done.put(done, timeout=POLL_S)
            except queue.Full:
                continue
            return

    # publishing

    def _publish(self) -> None:
        while (done := self._done.get()) is not None:
            results = self._results(done)
            try:
                delivered = self._mailboxes.push(results)
            except REDIS_AWAY as error:
                self.progress.counters["results_dropped"] += len(done.frames)
                log.warning("%d results dropped: Redis is away (%s)", len(done.frames), error)
                continue
            self.progress.counters["results_cut"] += sum(told.dropped for told in delivered.values())
            self.progress.counters["results"] += len(done.frames)
            self.progress.counters["batches"] += 1
            self.progress.batch_size = len(done.frames)
            self.progress.batch_at = time()
            asleep = [camera_id for camera_id, told in delivered.items() if told.wake]
            if asleep:
                self._wake(asleep)

    def _results(self, done: _Done) -> dict[str, list[bytes]]:
        results: dict[str, list[bytes]] = defaultdict(list)
        for index, taken in enumerate(done.frames):
            frame = taken.frame
            boxes = done.candidates.of(index, self._min_confidence)
            boxes = type(boxes)(frame.letterbox.to_source(boxes.xyxy), boxes.confidence, boxes.class_id)
            result = Result.of(
                frame,
                boxes,
                names=self._engine.model.names,
                model_id=self._engine.model.model_id,
                taken_at=taken.taken_at,
                inferred_at=done.inferred_at,
            )
            results[frame.camera_id].append(encode(result))
        return results
