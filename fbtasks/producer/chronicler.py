"""Writes down what happens to each camera, once for each change; while Redis is away the newest changes wait here."""

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Collection

from fbtasks.camera_history import CameraChange, CameraHistory
from fbtasks.producer.status import Status
from fbtasks.transport import REDIS_AWAY

log = logging.getLogger(__name__)

WAITING = 10_000
TRY_AGAIN_S = 1.0


class Chronicler:
    """Takes statuses from the producer's loop and appends them in a thread of its own, which may wait for Redis."""

    def __init__(self, history: CameraHistory) -> None:
        self._history = history
        self._host = socket.gethostname()
        self._last: dict[str, tuple[str, str]] = {}
        self._waiting: deque[CameraChange] = deque(maxlen=WAITING)
        self._noted = threading.Event()

    def note(self, camera_id: str, status: Status) -> None:
        """Note the status of a camera, unless it is the one noted last."""
        state = status.state, status.reason
        if self._last.get(camera_id) == state:
            return
        self._last[camera_id] = state
        change = CameraChange(camera_id, time.time(), status.state, status.since, status.reason, self._host)
        self._waiting.append(change)
        self._noted.set()

    def forget_all_but(self, camera_ids: Collection[str]) -> None:
        """Cameras that are not to be read any more begin anew when they come back."""
        self._last = {camera_id: state for camera_id, state in self._last.items() if camera_id in camera_ids}

    def run(self, over: threading.Event) -> None:
        """Append until `over` and `wake`, and then what is left once more."""
        last = False
        while not last:
            if self._noted.wait(TRY_AGAIN_S):
                self._noted.clear()
            last = over.is_set()
            if self._waiting and not self._append():
                over.wait(TRY_AGAIN_S)

    def wake(self) -> None:
        """Let `run` see at once that it is over."""
        self._noted.set()

    def _append(self) -> bool:
        changes = list(self._waiting)
        try:
            self._history.append(changes)
        except REDIS_AWAY as error:
            log.debug("changes of cameras wait: Redis is away (%s)", error)
            return False
        for _ in changes:
            self._waiting.popleft()
        return True
