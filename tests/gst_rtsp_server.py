"""An RTSP server on Debian's gst-rtsp-server, run by the system's Python: `gi` comes from a system package.

Reads one JSON object a line from standard input, `{"port", "path", "clip", "user", "password", "digest"}`, and serves
that H.264 clip as it is at `rtsp://127.0.0.1:<port><path>`. Every camera has a port of its own, as real ones have, and
every client a pipeline of its own that starts with the clip. Ends with its standard input.
"""

import json
import sys
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 - the versions must be chosen before

ROLE = "viewer"
PIPELINE = (
    # On the parser: `config-interval` on the payloader cuts pictures of several slices apart.
    '( filesrc location="{clip}" ! qtdemux ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 )'
)


def serve(camera: dict[str, Any]) -> Any:
    """Listen on the camera's port; returns the server, which must be kept."""
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(camera["port"]))
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE.format(clip=camera["clip"]))
    factory.set_shared(False)
    if camera["user"]:
        protect(server, factory, camera)
    server.get_mount_points().add_factory(camera["path"], factory)
    if server.attach(None) == 0:
        sys.exit(f"cannot listen on port {camera['port']}")
    return server


def protect(server: Any, factory: Any, camera: dict[str, Any]) -> None:
    """Let only the camera's user watch."""
    factory.add_role_from_structure(
        Gst.Structure.from_string(f"{ROLE}, media.factory.access=true, media.factory.construct=true")[0]
    )
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", ROLE)
    auth = GstRtspServer.RTSPAuth()
    if camera["digest"]:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(camera["user"], camera["password"], token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(camera["user"], camera["password"]), token)
    server.set_auth(auth)


def main() -> None:
    """Serve what standard input names until it closes."""
    Gst.init(None)
    loop = GLib.MainLoop()
    servers: list[Any] = []

    # Unbuffered: lines that waited in a buffer would wake nobody.
    lines = open(0, "rb", buffering=0)  # noqa: SIM115 - for as long as the process lives

    def on_input(*_: object) -> bool:
        line = lines.readline()
        if not line:
            loop.quit()
            return False
        camera = json.loads(line)
        servers.append(serve(camera))
        print(f"serving {camera['path']} on port {camera['port']}", flush=True)
        return True

    events = GLib.IOCondition.IN | GLib.IOCondition.HUP
    GLib.io_add_watch(GLib.IOChannel.unix_new(0), GLib.PRIORITY_DEFAULT, events, on_input)
    loop.run()


if __name__ == "__main__":
    main()
