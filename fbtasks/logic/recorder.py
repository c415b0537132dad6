"""Recorded results on disk: appended by the worker's processes, read by `fbtasks replay`.

One file for each camera and hour (UTC), `box-3/2026-11-22T16.000.results`, and a next number where one has grown to
`FILE_BYTES`. Every process of the worker appends to the same file, a block with a single write (`O_APPEND`); which of
them wrote first does not matter, see `fbtasks.logic.recording_format`. Use a local disk: one that hangs holds up the
process that writes to it.
"""

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count, groupby
from pathlib import Path
from time import monotonic

from fbtasks.logic.recording_format import Block, Place, camera_of, pack, place, unpack

log = logging.getLogger(__name__)

SUFFIX = ".results"
FILE_BYTES = 64 * 1024 * 1024
HEAD_BYTES = 64 * 1024
"""Of a file, read to see whose it is."""
LOG_EVERY_S = 60.0


class Recorder:
    """Writes down what was decided on. It never fails: what cannot be written is counted and told once a minute.

    Attributes:
        failures: blocks that could not be written.
    """

    def __init__(self, folder: Path) -> None:
        self.failures = 0
        self._folder = folder
        self._told_at: float | None = None
        self._untold = 0

    def record(self, camera_id: str, first_unseen: str, messages: Sequence[bytes]) -> None:
        """Keep `messages`, which were decided on.

        Args:
            camera_id: theirs; it has passed the wire's check and is fit for the name of a folder.
            first_unseen: the stream identifier in the mailbox up to which they reach.
        """
        if not messages:
            return
        until = place(first_unseen)
        try:
            _append(self._folder / camera_id, until, pack(until, messages))
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        self.failures += 1
        self._untold += 1
        now = monotonic()
        if self._told_at is None or now - self._told_at >= LOG_EVERY_S:
            log.error("%d blocks of results were not recorded in %s: %s", self._untold, self._folder, error.strerror)
            self._told_at, self._untold = now, 0


def _append(folder: Path, until: Place, block: bytes) -> None:
    descriptor = _open(folder, _hour_of(until.milliseconds / 1000))
    try:
        written = os.write(descriptor, block)
    finally:
        os.close(descriptor)
    if written < len(block):  # the reader passes over the piece
        raise OSError(0, f"{written} of {len(block)} bytes were taken; is the disk full?")


def _open(folder: Path, hour: str) -> int:
    """The first file of the hour that has room; opened for each block, for retention may have removed it meanwhile."""
    for part in count():
        path = folder / f"{hour}.{part:03}{SUFFIX}"
        try:
            descriptor = _appending(path)
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = _appending(path)
        if os.fstat(descriptor).st_size < FILE_BYTES:
            return descriptor
        os.close(descriptor)
    raise AssertionError("there is no last number")


def _appending(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


@dataclass
class Recording:
    """The recorded files of one camera, in order of time.

    Attributes:
        bytes_lost: of torn blocks that were passed over; grows while it is read.
    """

    camera_id: str
    files: list[Path]
    bytes_lost: int = field(default=0)

    def messages(self, since: float | None = None, until: float | None = None) -> Iterator[bytes]:
        """The messages in the order in which they were decided on; an hour of them is in memory at a time.

        Args:
            since, until: of those that reached the mailbox in this time, unix seconds; None: no limit.
        """
        for hour, parts in groupby(self.files, key=_hour):
            if (since is not None and hour < _hour_of(since)) or (until is not None and hour > _hour_of(until)):
                continue
            blocks = [block for part in parts for block in self._blocks(part)]
            for block in sorted(blocks):
                at = block.until.milliseconds / 1000
                if (since is None or at >= since) and (until is None or at < until):
                    yield from block.messages

    def _blocks(self, file: Path) -> list[Block]:
        data = file.read_bytes()
        blocks = list(unpack(data))
        self.bytes_lost += len(data) - sum(block.size for block in blocks)
        return blocks


def find_recordings(paths: Iterable[Path]) -> list[Recording]:
    """The recordings in these files and in all folders below these, by camera; files without a whole block are none."""
    files = {file.resolve() for path in paths for file in (path.rglob(f"*{SUFFIX}") if path.is_dir() else [path])}
    by_camera: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(files, key=lambda file: file.name):
        camera_id = _camera_of(file)
        if camera_id is not None:
            by_camera[camera_id].append(file)
    return [Recording(camera_id, found) for camera_id, found in sorted(by_camera.items())]


def _camera_of(file: Path) -> str | None:
    """By what the file holds, so that copies in any folder are found."""
    for length in (HEAD_BYTES, -1):
        with file.open("rb") as opened:
            block = next(unpack(opened.read(length)), None)
        if block is not None:
            return camera_of(block.messages[0])
    return None


def _hour(file: Path) -> str:
    return file.name.partition(".")[0]


def _hour_of(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H}"
