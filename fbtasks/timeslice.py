"""How long a process wants to compute at a stretch: a wish to Linux that takes nothing from anybody's share.

Since Linux 6.12 a thread may ask for a time slice of its own. Whoever becomes ready does not interrupt a thread that
has asked for a shorter slice before that one's is over; over a longer time all get what they would have got anyway. It
matters to a model that computes on the CPU: the threads of a run wait for each other, so each interruption of one of
them is an interruption of all.
"""

import ctypes
import os
import platform
import struct
import sys

RUN_S = 0.02
"""Slice of the GPU worker: a run of the model on a CPU, on a machine that can serve a few cameras."""
BACKGROUND_S = 0.1
"""Slice of those who may let a run end first; the longest that Linux grants."""

_SET = {"x86_64": 314, "aarch64": 274}.get(platform.machine())
"""Number of the system call `sched_setattr`, for which the C library has no function before glibc 2.41."""
_ATTRIBUTES = struct.Struct("=IIQiIQQQII")
"""`struct sched_attr`: size, policy, flags, nice value, priority, runtime, deadline, period, two bounds."""
_KEEP_POLICY = 0x08


def ask(seconds: float) -> None:
    """Ask for a slice for this thread, and for those that it starts from now on, processes too.

    An older Linux, and any other system, does nothing about it.
    """
    if sys.platform != "linux" or _SET is None:
        return
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = _ATTRIBUTES.pack(_ATTRIBUTES.size, 0, _KEEP_POLICY, nice, 0, round(seconds * 1e9), 0, 0, 0, 0)
    ctypes.CDLL(None).syscall(_SET, 0, wanted, 0)
