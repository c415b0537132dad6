"""Copies of pictures and films in a bucket.

What is written into the evidence folder gets a second name in its folder `to-copy`, which costs no space, and loses it
when the bucket has taken it. So nothing is forgotten while the bucket is away, within the folder's retention.
"""

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from fbtasks.errors import CopyFailed
from fbtasks.logic.bucket import Bucket

log = logging.getLogger(__name__)

WAITING = "to-copy"


def await_copy(folder: Path, name: str) -> None:
    """Let the file `name` (`DAY/FILE`) of the folder be copied; calling again does no harm."""
    link = folder / WAITING / name.replace("/", "_", 1)
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(folder / name, link)
    except FileExistsError:
        return
    except OSError as error:
        log.warning("%s will not be copied to the bucket: %s", name, error.strerror)


def waiting(folder: Path) -> list[Path]:
    """What is still to be copied, the oldest day first."""
    return sorted(path for path in (folder / WAITING).glob("*_*") if not path.name.startswith("."))


def oldest_s(links: Sequence[Path], now: float) -> float:
    """For how long the first of these files has waited at `now` (unix seconds), seconds; 0 when there is none."""
    written_at = []
    for link in links:
        with suppress(FileNotFoundError):  # it has been copied meanwhile
            written_at.append(link.stat().st_mtime)
    return max(0.0, now - min(written_at, default=now))


def copy_waiting(folder: Path, bucket: Bucket, is_over: Callable[[], bool]) -> int:
    """Copy what waits until all is there or `is_over`.

    Returns:
        How many files were copied.

    Raises:
        CopyFailed: the bucket did not take one; it and those after it wait on.
    """
    count = 0
    for link in waiting(folder):
        if is_over():
            break
        try:
            content = link.read_bytes()
        except FileNotFoundError:  # another process was quicker, or it was too old
            continue
        except OSError as error:
            raise CopyFailed(f"{link.name} cannot be read: {error.strerror}") from error
        bucket.put(link.name.replace("_", "/", 1), content)
        link.unlink(missing_ok=True)
        count += 1
    return count
