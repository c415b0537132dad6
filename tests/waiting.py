"""Waiting for a condition instead of for a time."""

import threading
import time
from collections.abc import Callable

POLL_S = 0.02


def wait_until(predicate: Callable[[], object], timeout_s: float = 10.0, message: str = "the condition") -> None:
    """Return as soon as `predicate()` is true.

    Raises:
        AssertionError: it was not within `timeout_s` seconds; says `message`.
    """
    pause = threading.Event()
    deadline = time.monotonic() + timeout_s
    while not predicate():
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s in vain for {message}"
        pause.wait(POLL_S)
