"""Runs a batch on the engine of its size, in parts where the device's memory is short, under the watchdog's eyes."""

import logging
from time import monotonic

from fbtasks.detections import BatchCandidates
from fbtasks.errors import OutOfDeviceMemory
from fbtasks.gpu.assembly import Pictures
from fbtasks.gpu.batch_limit import BatchLimit
from fbtasks.gpu.engine import Engine
from fbtasks.gpu.watchdog import Watchdog

log = logging.getLogger(__name__)


class Runner:
    """For one thread, or for several that run one picture each.

    Attributes:
        limit: the largest batch that fits at present.
        memory_faults: how many runs failed for want of memory.
    """

    def __init__(self, max_batch: int, watchdog: Watchdog) -> None:
        self.limit = BatchLimit(max_batch)
        self.memory_faults = 0
        self._watchdog = watchdog

    def run(self, engine: Engine, pictures: Pictures) -> BatchCandidates:
        """Candidates of all pictures.

        Raises:
            OutOfDeviceMemory: not even one picture fits.
        """
        parts: list[BatchCandidates] = []
        done = 0
        while done < len(pictures):
            part = pictures[done : done + self.limit.allowed(monotonic())]
            candidates = self._attempt(engine, part)
            if candidates is not None:
                parts.append(candidates)
                done += len(part)
        return BatchCandidates.joined(parts)

    def _attempt(self, engine: Engine, part: Pictures) -> BatchCandidates | None:
        """None when the part was too large, and a smaller one is to be tried."""
        try:
            with self._watchdog.watching(len(part)):
                candidates = engine.run(part)
        except OutOfDeviceMemory as error:
            self.memory_faults += 1
            if len(part) == 1:
                raise
            self.limit.failed(len(part), monotonic())
            log.warning("no memory for a batch of %d, going on with %d: %s", len(part), self.limit.limit, error)
            return None
        if self.limit.worked(len(part), monotonic()):
            log.info("batches of %d fit again", self.limit.limit)
        return candidates
