"""What Linux makes of a wish for a time slice: asked of the kernel this runs on."""

import ctypes
import os
import platform
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from fbtasks import timeslice
from tests import tiny_detector
from tests.acceptance.stable import Stable
from tests.conftest import ValkeyFactory
from tests.processes import Processes
from tests.waiting import wait_until

GET = {"x86_64": 315, "aarch64": 275}
"""Numbers of the system call `sched_getattr`."""
ASKS = """
import os, subprocess
from fbtasks import timeslice

os.nice(3)
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
timeslice.ask(0.02)
with subprocess.Popen(["cat"]) as child:
    print(os.getpid(), child.pid, flush=True)
"""


def _version() -> tuple[int, ...]:
    return tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])


needs_slices = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in GET or _version() < (6, 12),
    reason="Linux grants slices since 6.12",
)


def _scheduled(pid: int) -> tuple[int, int, float]:
    """Policy, nice value and slice in seconds."""
    attributes = struct.Struct("=IIQiIQQQII")
    told = ctypes.create_string_buffer(attributes.size)
    assert ctypes.CDLL(None).syscall(GET[platform.machine()], pid, told, attributes.size, 0) == 0
    _, policy, _, nice, _, slice_ns, *_ = attributes.unpack(told.raw)
    return policy, nice, slice_ns / 1e9


@needs_slices
def test_a_slice_is_granted_to_the_process_and_its_children_and_nothing_else_changes() -> None:
    with subprocess.Popen([sys.executable, "-c", ASKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as asking:
        assert asking.stdout is not None
        pids = [int(pid) for pid in asking.stdout.readline().split()]
        scheduled = [_scheduled(pid) for pid in pids]
        asking.communicate()
    assert scheduled == [(os.SCHED_BATCH, 3, 0.02)] * 2


def test_where_the_system_has_no_slices_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeslice, "_SET", None)
    timeslice.ask(0.02)


@needs_slices
def test_who_may_wait_asks_for_the_longer_slice(
    tmp_path: Path, valkey_factory: ValkeyFactory, processes: Processes
) -> None:
    server = valkey_factory()
    stable = Stable(tmp_path, server, server, processes)
    stable.settings(f'[gpu]\nmodel = "{tiny_detector.saved(tmp_path)}"\ninput_width = 96\ninput_height = 96')
    wanted = {"infer": timeslice.RUN_S, "worker": timeslice.BACKGROUND_S, "beat": timeslice.BACKGROUND_S}
    pids = {name: stable.start(name).pid for name in wanted}
    wait_until(lambda: {name: _scheduled(pid)[2] for name, pid in pids.items()} == wanted, 10, "the slices")
