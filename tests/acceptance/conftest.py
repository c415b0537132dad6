"""What every acceptance test needs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.stable import Listener, Stable
from tests.conftest import ValkeyFactory
from tests.processes import Processes


@pytest.fixture
def stable(tmp_path: Path, valkey_factory: ValkeyFactory, processes: Processes) -> Stable:
    """A site with its two Redis servers, as `fbtasks up` sets them up."""
    return Stable(tmp_path, valkey_factory(appendonly="yes"), valkey_factory(), processes)


@pytest.fixture
def listener(stable: Stable) -> Iterator[Listener]:
    """Hears the site's decisions."""
    heard = Listener(stable.state.client())
    yield heard
    heard.close()
