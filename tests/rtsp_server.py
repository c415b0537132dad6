"""RTSP cameras for tests, on a real server that shares no code with us: Debian's gst-rtsp-server."""

import json
import socket
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.ports import LOOPBACK, free_port
from tests.servers import START_TIMEOUT_S, Server
from tests.waiting import wait_until

SYSTEM_PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).with_name("gst_rtsp_server.py")
MISSING = "gst-rtsp-server is not installed; run `ops/install-test-packages` as root (Debian, Ubuntu)"
PROBE = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


def is_installed() -> bool:
    """Whether the system's Python can run the server."""
    try:
        return (
            subprocess.run([SYSTEM_PYTHON, "-c", PROBE], capture_output=True, check=False, timeout=30).returncode == 0
        )
    except FileNotFoundError:
        return False


@dataclass(frozen=True, slots=True)
class Camera:
    """One simulated camera."""

    port: int
    path: str
    clip: str
    user: str | None
    password: str | None
    digest: bool

    @property
    def url(self) -> str:
        """Where to watch it, credentials included."""
        login = f"{self.user}:{self.password}@" if self.user else ""
        return f"rtsp://{login}{LOOPBACK}:{self.port}{self.path}"


class RtspServer(Server):
    """Any number of cameras, each on a port of its own, in one process that starts with the first of them.

    Each client sees the clip from its beginning, at the speed at which it was taken; at its end the stream ends.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "rtsp.log")
        self._cameras: list[Camera] = []

    def serve(
        self, name: str, clip: Path, *, user: str | None = None, password: str | None = None, digest: bool = False
    ) -> str:
        """Add a camera that plays `clip` (MP4 with H.264) and wait until it can be watched; returns its URL.

        With `user` it asks for basic authentication, or for digest authentication.
        """
        camera = Camera(free_port(), f"/{name}", str(clip), user, password, digest)
        self._cameras.append(camera)
        if self._process is None:
            self.start()
        else:
            self._mount(camera)
            wait_until(self.is_ready, START_TIMEOUT_S, f"camera {name}; see {self._log}")
        return camera.url

    def restart(self) -> None:
        """Start again with the same cameras on the same ports, after a kill when it still runs."""
        self.kill()
        self.start()

    def launched(self) -> None:
        """Tell the new process its cameras."""
        for camera in self._cameras:
            self._mount(camera)

    def command(self) -> list[str]:
        """The script beside this module, under the Python that has `gi`."""
        return [SYSTEM_PYTHON, str(SCRIPT)]

    def is_ready(self) -> bool:
        """Whether every camera accepts connections."""
        return all(_accepts(camera.port) for camera in self._cameras)

    def _mount(self, camera: Camera) -> None:
        pipe = self._running().stdin
        assert pipe is not None
        pipe.write(json.dumps(asdict(camera)).encode() + b"\n")
        pipe.flush()


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
