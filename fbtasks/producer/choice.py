"""Which backend reads a camera: OpenCV, or PyAV where only that does what is wanted. Loads neither."""

from importlib.util import find_spec
from typing import Literal

from fbtasks.errors import ConfigError
from fbtasks.settings import CameraSettings, Decode, ProducerSettings

Backend = Literal["auto", "opencv", "pyav"]
KEYFRAMES_WORTH_FPS = 1.0
"""Cameras send a key frame every one to ten seconds: where more frames are wanted, key frames alone are not enough."""
INSTALL = 'install it with `pip install "fbtasks[pyav]"`'


def has_pyav() -> bool:
    """Whether PyAV is installed."""
    return find_spec("av") is not None


def choose(
    backend: Backend,
    decode: Decode,
    fps: float,
    *,
    has_pyav: bool,
    has_hardware: bool,
    skip_loop_filter: bool = False,
) -> Literal["opencv", "pyav"]:
    """The backend for a camera of which `fps` frames per second are wanted.

    Args:
        has_pyav: it is installed.
        has_hardware: it can decode in hardware here.

    Raises:
        ConfigError: what is asked for cannot be had; says what to do.
    """
    wanted = {
        "producer.backend = pyav": backend == "pyav",
        "decode = keyframes": decode == "keyframes",
        "producer.skip_loop_filter": skip_loop_filter,
    }
    needed = [name for name, is_wanted in wanted.items() if is_wanted]
    if needed and backend == "opencv":
        raise ConfigError(f"{needed[0]} needs PyAV: set producer.backend to auto or pyav")
    if needed and not has_pyav:
        raise ConfigError(f"{needed[0]} needs PyAV: {INSTALL}")
    if backend != "auto":
        return backend
    fewer = decode == "auto" and fps <= KEYFRAMES_WORTH_FPS
    return "pyav" if has_pyav and (needed or fewer or has_hardware) else "opencv"


def check(camera: CameraSettings, producer: ProducerSettings) -> None:
    """Refuse a camera that no backend here can read as wanted.

    Raises:
        ConfigError: says what to do.
    """
    decode, fps = camera.decode or producer.decode, camera.fps or producer.fps
    choose(
        producer.backend,
        decode,
        fps,
        has_pyav=has_pyav(),
        has_hardware=False,
        skip_loop_filter=producer.skip_loop_filter,
    )
