"""The Celery tasks about pictures, clips and recordings: making, copying, and removing what is too old."""

import logging
from collections.abc import Iterable
from pathlib import Path
from time import monotonic, time

from fbtasks.alert import Alert
from fbtasks.celery import CLEAR_BUCKET, CLEAR_OUT, COPY_EVIDENCE, MAKE_CLIP, app, settings
from fbtasks.errors import BadMessage, CopyFailed
from fbtasks.keys import FILM_SLACK_S
from fbtasks.logic import clips, retention
from fbtasks.logic.bucket import Bucket
from fbtasks.logic.copies import await_copy, copy_waiting
from fbtasks.logic.evidence import SUFFIX as PICTURE_SUFFIX
from fbtasks.logic.film import need_encoder
from fbtasks.logic.recorder import SUFFIX as RESULTS_SUFFIX
from fbtasks.logic.runtime import runtime
from fbtasks.logic.weather import RESENT_AFTER_S, WEATHER, held
from fbtasks.transport import FrameQueue

log = logging.getLogger(__name__)

COPY_S = 20.0
"""A copying task begins no other file after so long."""
COPY_HANGS_S = 55.0
"""One file may take as long as the bucket may wait with its answer; a task that hangs is gone before its lock is."""


def refuse_missing_libraries() -> None:
    """Raise `ExtraMissing` when what is asked for cannot be made or kept here."""
    if settings.evidence.enabled and settings.evidence.clip.seconds:
        need_encoder()
    if settings.evidence.s3.bucket:
        Bucket(settings.evidence.s3)


def begin_evidence(alerts: Iterable[Alert]) -> None:
    """Start what takes longer than an alert may wait: its clip, while the pictures for it are there, and copies."""
    for alert in alerts:
        if alert.clip is not None:
            make_clip.apply_async((alert.camera_id, alert.at, alert.clip), expires=FILM_SLACK_S)
    if settings.evidence.s3.bucket and any(alert.picture for alert in alerts):
        copy_evidence.apply_async(expires=RESENT_AFTER_S)


@app.task(name=MAKE_CLIP, throws=(*WEATHER, BadMessage, OSError))
def make_clip(camera_id: str, at: float, name: str) -> None:
    """Write the film of the seconds before an alert, which has been promised it under that name."""
    shared, folder = runtime(), settings.evidence_folder
    frames = FrameQueue(shared.frames_redis, shared.keys, settings.frames.max_length)
    try:
        made = clips.make_clip(folder / name, frames, camera_id, at=at, seconds=settings.evidence.clip.seconds)
    except (BadMessage, OSError) as error:
        log.warning("camera %s: no clip %s: %s", camera_id, name, error)
        raise
    if made and settings.evidence.s3.bucket:
        await_copy(folder, name)
        copy_evidence.apply_async(expires=RESENT_AFTER_S)


@app.task(name=COPY_EVIDENCE, throws=(*WEATHER, CopyFailed), time_limit=COPY_HANGS_S)
def copy_evidence() -> None:
    """Copy pictures and films to the bucket, on the machine that this runs on; the next run takes what is left."""
    shared = runtime()
    if shared.bucket is None:
        return
    with held(shared.redis, shared.keys.copying) as is_mine:
        if is_mine:
            deadline = monotonic() + COPY_S
            copy_waiting(settings.evidence_folder, shared.bucket, lambda: monotonic() >= deadline)


@app.task(name=CLEAR_BUCKET, throws=(*WEATHER, CopyFailed))
def clear_bucket() -> None:
    """Remove copies of pictures and films that are too old."""
    bucket = runtime().bucket
    removed = bucket.clear_out(time()) if bucket is not None else 0
    if removed:
        log.info("%d old files removed from the bucket", removed)


@app.task(name=CLEAR_OUT, throws=(*WEATHER, OSError))
def clear_out() -> None:
    """Remove recordings and pictures that are too old or too many, on the machine that this runs on.

    With workers on several machines each gets its turn by chance, within minutes.
    """
    recording, evidence = settings.recording, settings.evidence
    try:
        if recording.folder is not None:
            _clear_out(recording.folder, RESULTS_SUFFIX, recording.keep_days, recording.max_mb)
    finally:
        _clear_out(settings.evidence_folder, PICTURE_SUFFIX, evidence.keep_days, evidence.max_mb)
        _clear_out(settings.evidence_folder, clips.SUFFIX, evidence.clip.keep_days, evidence.clip.max_mb)


def _clear_out(folder: Path, suffix: str, keep_days: float, max_mb: int) -> None:
    removed = retention.clear_out(folder, suffix, time(), keep_s=keep_days * 86_400, max_bytes=max_mb * 1_000_000)
    if removed:
        log.info("%d old files removed from %s", removed, folder)
