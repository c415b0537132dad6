"""`fbtasks cameras test`."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import SecretStr

from fbtasks.cli import with_settings
from fbtasks.cli.cameras.site import USER, password_for, registry_of, with_login
from fbtasks.cli.files import OutputFile
from fbtasks.errors import CameraError, ConfigError
from fbtasks.naming import nearest
from fbtasks.redaction import redact
from fbtasks.settings import CameraSettings, ProducerSettings, Settings
from fbtasks.transport import REDIS_AWAY

if TYPE_CHECKING:
    from fbtasks.producer.probe import Found

LINES_BELOW = 8
"""Kept free of the picture, for what is said of it."""


@click.command(name="test")
@click.argument("camera", metavar="CAMERA|URL")
@click.option("--save", "file", type=OutputFile(), help="Write a picture to this JPEG file.")
@click.option("--draw/--no-draw", default=None, help="Draw a picture in the terminal; default: when it is one.")
@click.option(
    "--seconds", type=click.FloatRange(0.1, 600), default=5.0, show_default=True, help="How long to watch it."
)
@click.option("--json", "as_json", is_flag=True, help="What is found as an object; draws nothing.")
@USER
@with_settings("cameras")
def command(
    settings: Settings,
    camera: str,
    *,
    file: Path | None,
    draw: bool | None,
    seconds: float,
    as_json: bool,
    user: str | None,
) -> None:
    """Open a camera and tell what it sends, how soon, and what it looks like; exit 1 when it gives no picture.

    For a URL, the password of --user is asked for, or taken from $CAMERA_PASSWORD.
    """
    wanted = (
        named_camera(settings, camera)
        if "://" not in camera
        else unnamed_camera(with_login(camera, user, password_for(user) if user else None))
    )
    shown = redact(camera)
    try:
        found = looked_at(wanted, settings.producer, seconds)
    except CameraError as error:
        if as_json:
            click.echo(json.dumps({"camera": shown, "ok": False, "reason": str(error)}))
            sys.exit(1)
        raise CameraError(f"{shown}: {error}") from None
    if file is not None:
        _save(found, file)
    if as_json:
        click.echo(json.dumps({"camera": shown, "ok": True, **facts(found)}, indent=2))
        return
    if draw if draw is not None else sys.stdout.isatty():
        _draw(found)
    click.echo(_told(shown, found))
    if file is not None:
        click.echo(f"picture: {file}")


def looked_at(camera: CameraSettings, producer: ProducerSettings, seconds: float) -> "Found":
    """What OpenCV sees of the camera; and where a producer here would read it in another way, what decodes it then.

    Raises:
        CameraError: it cannot be opened, gives no picture, or cannot be read as wanted.
    """
    from fbtasks.producer.backends import backend_for, look_at
    from fbtasks.producer.probe import probe

    backend = backend_for(camera, producer)
    found = probe(camera.url.get_secret_value(), producer, seconds)
    return found if backend == "opencv" else replace(found, facts=look_at(camera, producer))


def unnamed_camera(url: str) -> CameraSettings:
    """A camera of which only the URL is known; whether that is of use is seen when it is opened."""
    return CameraSettings.model_construct(id="", url=SecretStr(url))


def named_camera(settings: Settings, camera_id: str) -> CameraSettings:
    """The camera of that name, in the file or added.

    Raises:
        ConfigError: there is none.
    """
    try:
        now = registry_of(settings).settings()
    except REDIS_AWAY:
        now = settings  # a camera of the file can be looked at before anything runs
    found = now.camera(camera_id)
    if found is None:
        near = nearest(camera_id, [camera.id for camera in now.cameras])
        raise ConfigError(f"there is no camera {camera_id!r}{near}; name one, or give a URL")
    return found


def facts(found: "Found") -> dict[str, Any]:
    """What was found, as plain values; times in seconds."""
    height, width = found.picture.shape[:2]
    return {
        "codec": found.facts.codec,
        "width": width,
        "height": height,
        "fps": _rounded(found.fps or found.facts.fps),
        "backend": found.facts.backend,
        "decoder": found.facts.decoder,
        "key_frame_s": _rounded(found.key_frame_s),
        "open_s": _rounded(found.open_s),
        "first_picture_s": _rounded(found.first_picture_s),
        "damaged": found.damaged,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _told(shown: str, found: "Found") -> str:
    told = facts(found)
    rate = f"{told['fps']:g} frames a second" if told["fps"] else "frame rate unknown"
    keys = f"a key frame every {told['key_frame_s']:g} s" if told["key_frame_s"] else "key frames too rare to tell"
    damaged = f", {found.damaged} frames damaged" if found.damaged else ""
    return (
        f"{shown}: {told['codec'] or 'unknown codec'} {told['width']}x{told['height']}, {rate}, {keys}{damaged}\n"
        f"decoded in {told['decoder']}, by {told['backend']}; "
        f"first picture after {told['first_picture_s']:g} s (open {told['open_s']:g} s)"
    )


def _save(found: "Found", file: Path) -> None:
    import cv2

    done, jpeg = cv2.imencode(".jpg", found.picture)
    assert done, "OpenCV writes every picture that it has decoded"
    file.write_bytes(jpeg.tobytes())


def _draw(found: "Found") -> None:
    from fbtasks.cli.cameras.blocks import blocks

    columns, lines = shutil.get_terminal_size()
    click.echo(blocks(found.picture, columns, max(4, lines - LINES_BELOW)), color=True)
