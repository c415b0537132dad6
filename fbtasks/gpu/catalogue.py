"""The list of models: detectors that were checked, each kept under a name that `gpu.model` may be set to."""

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from fbtasks.errors import CatalogueError, ConfigError
from fbtasks.naming import nearest

FOLDER = "models-added"
"""Of the list, in the data folder."""

_SUFFIX = ".onnx"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Catalogue:
    """A folder with a file `NAME.onnx` for each model. A file in it was checked, is whole, and is never written again.

    A file that is replaced goes on to be read by whoever had opened it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Of all models, sorted."""
        return sorted(file.stem for file in self.folder.glob(f"*{_SUFFIX}") if is_name(file.stem))

    def path(self, name: str) -> Path:
        """Where the model of that name is kept, or would be.

        Raises:
            CatalogueError: that can be no name.
        """
        if not is_name(name):
            raise CatalogueError(
                f"{name!r} can be no model's name: use letters, digits, '_', '.', '-', at most 64 of them, a letter or "
                f"digit first, without {_SUFFIX} at its end; `--name` gives another"
            )
        return self.folder / f"{name}{_SUFFIX}"

    def find(self, model: Path) -> Path:
        """The file that the setting `gpu.model` means: of a name in this list, else the path itself.

        Raises:
            ConfigError: it looks like a name, and there is neither a model nor a file of that name.
        """
        name = str(model)
        if not is_name(name):
            return model
        named = self.path(name)
        if named.is_file():
            return named
        if model.is_file():
            return model
        raise ConfigError(
            f"gpu.model: there is no model {name!r} in the list{nearest(name, self.names())}; `fbtasks model list` "
            "shows it, `fbtasks model add` and `fbtasks model fetch` fill it"
        )

    def holds(self, name: str, sha256: str) -> bool:
        """Whether the model of that name is in the list already, with just this content."""
        path = self.path(name)
        return path.is_file() and sha256_of(path) == sha256

    def refuse_taken(self, name: str, sha256: str) -> None:
        """Refuse a name under which there is another model.

        Raises:
            CatalogueError: there is.
        """
        if self.path(name).is_file() and not self.holds(name, sha256):
            raise CatalogueError(
                f"there is another model {name!r} in the list: choose a name with --name, or replace it with --replace"
            )

    def add(self, file: Path, name: str, check: Callable[[Path], None], *, replace: bool = False) -> Path:
        """Keep a copy of the file under the name; returns where.

        Args:
            file: the model.
            name: to keep it under.
            check: is called with the copy, so that what was checked is what is kept; what it raises is passed on, and
                then nothing is kept. The copy's folder is its own and goes away.
            replace: take the place of another model of that name.

        Raises:
            CatalogueError: the name is impossible or taken, or a file cannot be read or written.
        """
        target = self.path(name)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=self.folder, prefix=".adding-") as folder:
                copy = Path(folder) / target.name
                _copy(file, copy)
                if not replace:
                    self.refuse_taken(name, sha256_of(copy))
                check(copy)
                copy.replace(target)
        except OSError as error:
            raise CatalogueError(f"cannot add {file}: {error.filename or self.folder}: {error.strerror}") from error
        return target


def is_name(text: str) -> bool:
    """Whether a model may be called so."""
    return _NAME.fullmatch(text) is not None and not text.lower().endswith(_SUFFIX)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in small hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as content, target.open("wb") as copy:
        shutil.copyfileobj(content, copy)
        copy.flush()
        os.fsync(copy.fileno())  # before it gets its name: a power cut must not leave an empty model under it
