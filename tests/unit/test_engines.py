"""Which engine a picture is run by, and that none waits for one."""

import logging
import threading
from collections.abc import Callable

import pytest

from fbtasks.errors import BadMessage, ProviderUnavailable
from fbtasks.gpu.engine import Engine
from fbtasks.gpu.engines import MOST_SIZES, Engines
from fbtasks.gpu.fixed_engine import fixed_engine
from tests.waiting import wait_until

FULL = (640, 640)
TIMEOUT_S = 5.0


def engine(width: int, height: int) -> Engine:
    return fixed_engine("fixed:1ms", 8, input_size=(width, height))


def opened(engines: Engines, width: int, height: int) -> None:
    """Ask for a size until it has an engine of its own."""
    wait_until(lambda: engines.size_for(width, height) == (width, height), TIMEOUT_S)


def held_back() -> tuple[threading.Event, Callable[[int, int], Engine]]:
    go_on = threading.Event()

    def open_one(width: int, height: int) -> Engine:
        assert go_on.wait(TIMEOUT_S)
        return engine(width, height)

    return go_on, open_one


def test_until_its_engine_is_open_a_picture_is_run_by_the_full_one() -> None:
    go_on, open_one = held_back()
    engines = Engines(engine(*FULL), open_one)
    assert engines.size_for(640, 384) == FULL
    assert engines.is_opening
    assert engines.size_for(640, 384) == FULL
    go_on.set()
    opened(engines, 640, 384)
    wait_until(lambda: not engines.is_opening, TIMEOUT_S)
    assert engines.sizes == [FULL, (640, 384)]
    own = engines[640, 384]
    assert (own.model.input_width, own.model.input_height) == (640, 384)
    assert engines.size_for(*FULL) == FULL


def test_a_picture_off_the_stride_takes_the_next_larger_size() -> None:
    engines = Engines(engine(*FULL), engine)
    opened(engines, 640, 384)
    assert engines.size_for(640, 360) == engines.size_for(611, 353) == (640, 384)


def test_a_picture_that_is_too_large_is_refused() -> None:
    engines = Engines(engine(640, 384), engine)
    for width, height in ((640, 640), (672, 384), (20_000, 20_000)):
        with pytest.raises(BadMessage, match=f"{width}x{height}, this model takes 640x384 at most"):
            engines.size_for(width, height)


def test_what_cannot_be_opened_is_run_at_the_full_size_and_tried_once(caplog: pytest.LogCaptureFixture) -> None:
    tries: list[tuple[int, int]] = []

    def refuse(width: int, height: int) -> Engine:
        tries.append((width, height))
        raise ProviderUnavailable("the model only takes pictures of 640x640")

    engines = Engines(engine(*FULL), refuse)
    with caplog.at_level(logging.WARNING):
        assert engines.size_for(640, 384) == FULL
        wait_until(lambda: not engines.is_opening, TIMEOUT_S)
        assert engines.size_for(640, 384) == FULL
    assert tries == [(640, 384)]
    assert [record.getMessage() for record in caplog.records] == [
        "pictures of 640x384 are run at 640x640: the model only takes pictures of 640x640"
    ]


def test_fixed_engines_open_nothing() -> None:
    engines = Engines(engine(*FULL))
    assert engines.size_for(640, 384) == FULL
    assert not engines.is_opening


def test_a_flood_of_sizes_opens_no_more_than_a_few() -> None:
    engines = Engines(engine(*FULL), engine)
    for height in range(32, 640, 32):
        engines.size_for(640, height)
        wait_until(lambda: not engines.is_opening, TIMEOUT_S)
    assert len(engines.sizes) == 1 + MOST_SIZES
