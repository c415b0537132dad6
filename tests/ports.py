"""Free TCP ports on loopback."""

import random
import socket

LOOPBACK = "127.0.0.1"
FIRST, LAST = 15_000, 32_000
"""Below the range from which Linux (32768 up) and macOS (49152 up) draw the ports of outgoing connections: a port drawn
from that range may be gone when a killed server wants it back."""


def free_port() -> int:
    """A port that nothing listens on."""
    for port in random.sample(range(FIRST, LAST), k=100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no free port between {FIRST} and {LAST}")
