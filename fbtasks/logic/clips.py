"""Clips: the seconds before an alert as a short film beside its picture.

An alert is promised its clip when it is stored, and goes out at once; a task of its own makes the film within seconds,
while the camera's last pictures are still in the frames' Redis. It is made once: a file that is there counts.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from fbtasks.alert import SEVERITIES, SITE, Alert
from fbtasks.errors import BadMessage
from fbtasks.logic.film import write_film
from fbtasks.settings import EvidenceSettings
from fbtasks.transport import FrameQueue
from fbtasks.wire import Frame, decode_frame

log = logging.getLogger(__name__)

SUFFIX = ".clip.mp4"
AFTER_S = 0.5
"""The picture that brought the alert about is in its film, and the one after it."""
FEWEST = 2
"""Pictures that make a film."""


def wants_clip(alert: Alert, settings: EvidenceSettings) -> bool:
    """Whether the alert is to have a clip."""
    return (
        alert.event in {"raised", "escalated"}
        and alert.camera_id != SITE
        and settings.films(alert.camera_id)
        and SEVERITIES.index(alert.severity) >= SEVERITIES.index(settings.clip.min_severity)
    )


def make_clip(path: Path, frames: FrameQueue, camera_id: str, *, at: float, seconds: float) -> bool:
    """Write the film of the `seconds` before `at` (unix seconds), whole or not at all.

    Returns:
        Whether it was made by this call; it is not when it was there already.

    Raises:
        BadMessage: there are too few pictures.
        OSError: it cannot be written.
        redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: the frames' Redis is away.
    """
    if path.exists():
        return False
    film = list(_within(frames.film(camera_id), at - seconds, at + AFTER_S))
    if len(film) < FEWEST:
        raise BadMessage(f"of the {seconds:g} s before it {len(film)} pictures were left")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")  # with its suffix: left by a kill, it goes in time
    try:
        write_film(unfinished, film)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return True


def _within(messages: list[bytes], since: float, until: float) -> Iterator[Frame]:
    for message in messages:
        try:
            frame = decode_frame(message)
        except BadMessage as error:
            log.warning("a picture is missing in a film: %s", error)
            continue
        if since <= frame.captured_at <= until:
            yield frame
