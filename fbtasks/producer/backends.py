"""Opens streams, each with the backend that suits it."""

import sys
import time
from pathlib import Path
from typing import Literal

from fbtasks.errors import CameraError, ConfigError
from fbtasks.producer import capture
from fbtasks.producer.choice import choose, has_pyav
from fbtasks.producer.stream import Facts, VideoStream
from fbtasks.settings import CameraSettings, ProducerSettings


def backend_for(camera: CameraSettings, producer: ProducerSettings) -> Literal["opencv", "pyav"]:
    """What reads a camera here.

    Raises:
        CameraError: nothing can as wanted.
    """
    installed = has_pyav()
    try:
        return choose(
            producer.backend,
            camera.decode or producer.decode,
            camera.fps or producer.fps,
            has_pyav=installed,
            has_hardware=installed and bool(_hardware(producer)),
            skip_loop_filter=producer.skip_loop_filter,
        )
    except ConfigError as error:
        raise CameraError(str(error)) from None


def open_stream(camera: CameraSettings, producer: ProducerSettings) -> VideoStream:
    """Connect to a camera; after `capture.prepare`.

    Raises:
        CameraError: it cannot be opened, or no backend here can read it as wanted.
    """
    url = camera.url.get_secret_value()
    if backend_for(camera, producer) == "opencv":
        return capture.Stream.open(url, producer.open_timeout_s, producer.read_timeout_s)
    from fbtasks.producer.pyav import PyAvStream  # noqa: PLC0415 - an extra

    return PyAvStream.open(
        url,
        producer.open_timeout_s,
        transport=producer.transport,
        decode=camera.decode or producer.decode,
        fps=camera.fps or producer.fps,
        skip_loop_filter=producer.skip_loop_filter,
    )


def look_at(camera: CameraSettings, producer: ProducerSettings) -> Facts:
    """Open a stream once, wait for its first picture, and tell what it is; after `capture.prepare`.

    Raises:
        CameraError: it cannot be opened, or gives no picture within `producer.read_timeout_s`.
    """
    with open_stream(camera, producer) as stream:
        give_up_at = time.monotonic() + producer.read_timeout_s
        while time.monotonic() < give_up_at:
            if stream.grab() and stream.has_picture and stream.picture() is not None:
                return stream.facts()
    raise CameraError(f"opens, but gives no picture within {producer.read_timeout_s:g} s")


def _hardware(producer: ProducerSettings) -> tuple[str, ...]:
    """PyAV is loaded for an answer only where there is a device: it costs each process memory and time."""
    devices = [*Path("/dev").glob("nvidiactl"), *Path("/dev").glob("dri/renderD*")]
    if producer.backend != "auto" or (sys.platform == "linux" and not devices):
        return ()
    from fbtasks.producer.pyav import hardware  # noqa: PLC0415 - an extra

    return hardware()
