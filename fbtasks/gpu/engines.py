"""The engines of one model: one for the full input, and one for each smaller size that pictures come in.

Producers leave the needless border of a picture out (`fbtasks.frame`), so 16:9 cameras send 640x384 where the full
input is 640x640. An engine that was built for one size is the fastest there is; one that is open to all sizes would
plan its memory and choose its kernels anew with each of them.

The full engine is there from the start. That for a smaller size is opened in the background when the first picture of
that size comes; until then its pictures lie in the middle of the full input, in the border that was left out. So no
frame waits for an engine, a model that takes one size only never sees another, and an engine that cannot be opened
costs speed and nothing else. As it is pictures that decide, producers and workers may be started in any order.
"""

import logging
import threading
from collections.abc import Callable

from fbtasks.errors import BadMessage
from fbtasks.frame import whole_strides
from fbtasks.gpu.engine import Engine

log = logging.getLogger(__name__)

Size = tuple[int, int]
"""Width and height of an input, in pixels."""

MOST_SIZES = 4
"""Besides the full one; each costs memory. Pictures of further sizes are run at the full one."""


class Engines:
    """Finds the engine for a picture.

    Args:
        full: the engine for the full input, warm.
        open_one: opens and warms one for another width and height; None where all pictures are run at the full size.
    """

    def __init__(self, full: Engine, open_one: Callable[[int, int], Engine] | None = None) -> None:
        self.full = full
        self._open_one = open_one
        self._full_size = full.model.input_width, full.model.input_height
        self._engines: dict[Size, Engine] = {self._full_size: full}
        self._tried: set[Size] = set()
        self._opener: threading.Thread | None = None

    @property
    def sizes(self) -> list[Size]:
        """Those that have an engine, the full one first."""
        return list(self._engines)

    @property
    def is_opening(self) -> bool:
        """Whether an engine is being opened now, which cannot be interrupted."""
        return self._opener is not None and self._opener.is_alive()

    def size_for(self, width: int, height: int) -> Size:
        """The size at which a picture of `width` x `height` is to be run now; opens its own one for later.

        For one thread.

        Raises:
            BadMessage: the picture is larger than the full input.
        """
        own = whole_strides(width), whole_strides(height)
        if own in self._engines:
            return own
        if width > self._full_size[0] or height > self._full_size[1]:
            raise BadMessage(
                f"the picture is {width}x{height}, this model takes {self._full_size[0]}x{self._full_size[1]} at most"
            )
        if self._open_one is not None and self._may_open(own):
            self._tried.add(own)
            # A daemon: what is being built for minutes must not keep the process from ending.
            self._opener = threading.Thread(
                target=self._open, args=(self._open_one, own), name=f"open-{_named(own)}", daemon=True
            )
            self._opener.start()
        return self._full_size

    def __getitem__(self, size: Size) -> Engine:
        """The engine for a size that `size_for` has given."""
        return self._engines[size]

    def _may_open(self, size: Size) -> bool:
        fits = size[0] <= self._full_size[0] and size[1] <= self._full_size[1]
        return fits and size not in self._tried and len(self._tried) < MOST_SIZES and not self.is_opening

    def _open(self, open_one: Callable[[int, int], Engine], size: Size) -> None:
        try:
            self._engines[size] = open_one(*size)
        except Exception as error:  # noqa: BLE001 - whatever it is, the pictures have the full engine
            log.warning("pictures of %s are run at %s: %s", _named(size), _named(self._full_size), error)
        else:
            log.info("pictures of %s have an engine of their own now", _named(size))


def _named(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
