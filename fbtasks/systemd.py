"""What a service tells systemd: that it is ready, that it still works, and in a few words what it does.

The protocol of sd_notify(3): one datagram of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names. Without that
variable, which systemd sets for units of `Type=notify`, nothing is told.
"""

import os
import socket
from contextlib import suppress

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Meant for the one process that systemd has started; a child that inherited them would speak for its parent."""


def notify(*lines: str) -> None:
    """Tell systemd; a message that it does not take is lost, as it is without systemd."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as messenger:
        messenger.setblocking(False)
        # An address that begins with @ is one of Linux' own, outside of the file system.
        messenger.sendto("\n".join(lines).encode(), f"\0{address[1:]}" if address.startswith("@") else address)


def status(text: str) -> str:
    """The line that `systemctl status` shows."""
    return f"STATUS={text.splitlines()[0] if text else ''}"
