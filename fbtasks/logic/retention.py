"""What is kept on disk for a while: which files are too many, and their end."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Kept(NamedTuple):
    """One file: when it was last written (unix seconds), how large it is (bytes), where."""

    written_at: float
    size: int
    path: Path


def surplus(files: Iterable[Kept], now: float, keep_s: float, max_bytes: int) -> list[Kept]:
    """The files that must go, the oldest first: those older than `keep_s`, then as many as exceed `max_bytes`."""
    oldest_first = sorted(files)
    total = sum(file.size for file in oldest_first)
    gone: list[Kept] = []
    for file in oldest_first:
        if now - file.written_at <= keep_s and total <= max_bytes:
            break
        gone.append(file)
        total -= file.size
    return gone


def clear_out(folder: Path, suffix: str, now: float, *, keep_s: float, max_bytes: int) -> int:
    """Remove what is surplus of the files in the folders of `folder`, and folders that are empty then.

    Only files whose names end with `suffix` are counted and removed: the folder may hold what others keep there.

    Returns:
        How many files are gone.

    Raises:
        OSError: a file cannot be looked at or removed.
    """
    gone = surplus(_files(folder, suffix), now, keep_s, max_bytes)
    for file in gone:
        file.path.unlink(missing_ok=True)
        with suppress(OSError):  # it holds more
            file.path.parent.rmdir()
    return len(gone)


def _files(folder: Path, suffix: str) -> Iterator[Kept]:
    for path in folder.glob(f"*/*{suffix}"):
        with suppress(FileNotFoundError):
            status = path.lstat()
            yield Kept(status.st_mtime, status.st_size, path)
