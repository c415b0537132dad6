"""Graphs that were built once, on disk: read only when they are what was written."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def kept(path: Path, build: Callable[[], bytes]) -> Path:
    """The file, built first unless it is there and intact; its name must follow from all that its content does."""
    if not _is_intact(path):
        content = build()
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, content)
        _replace(_digest_path(path), hashlib.sha256(content).hexdigest().encode())
    return path


def _is_intact(path: Path) -> bool:
    """Whether the file is there and is what was once written, by the digest beside it."""
    try:
        return _digest_path(path).read_text() == hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, UnicodeDecodeError):
        return False


def _digest_path(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _replace(path: Path, content: bytes) -> None:
    """Write the file so that another process sees all of it or the old one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
