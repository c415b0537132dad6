"""Exporting a detector with the user's own Ultralytics, as a process of its own: it is no part of this package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from fbtasks.errors import ExportFailed

COMMAND = "yolo"
ARGUMENTS = ("format=onnx", "dynamic=True", "opset=17")
"""An open batch and size; an opset that every provider reads."""

_ENTRY = "from ultralytics.cfg import entrypoint; entrypoint()"
"""What the command does, for an interpreter whose scripts are not on the path."""
_HAS_ULTRALYTICS = "import sys, importlib.util as u; sys.exit(u.find_spec('ultralytics') is None)"
_HOW_TO = """\
Install it in an environment of its own (mind its licence, AGPL-3.0 unless you bought another), then name that:
    python3 -m venv ~/ultralytics
    ~/ultralytics/bin/pip install ultralytics onnx onnxslim
    fbtasks model export FILE.pt --python ~/ultralytics/bin/python"""


def export(weights: Path, folder: Path, python: str | None, private: str) -> Path:
    """Export the weights to ONNX; returns the file, in `folder`.

    What Ultralytics prints goes to standard error. A `.pt` file is a program: it runs with the user's rights.

    Args:
        weights: Ultralytics' `.pt` file; it is copied first, for the export is written beside it.
        folder: to work in.
        python: interpreter that has Ultralytics; None takes the command `yolo` on the path.
        private: beginning of the names of environment variables that are no business of Ultralytics.

    Raises:
        ExportFailed: the weights cannot be read, Ultralytics is not there, or it fails.
    """
    command = _command(python)
    copy = folder / "weights.pt"
    try:
        shutil.copyfile(weights, copy)
    except OSError as error:
        raise ExportFailed(f"cannot export {weights}: {error.strerror}") from error
    environment = {name: value for name, value in os.environ.items() if not name.startswith(private)}
    arguments = [*command, "export", f"model={copy}", *ARGUMENTS]
    ended = subprocess.run(arguments, cwd=folder, env=environment, stdout=sys.stderr, check=False)
    exported = copy.with_suffix(".onnx")
    if ended.returncode != 0 or not exported.is_file():
        raise ExportFailed(
            f"Ultralytics made no ONNX file of {weights} (exit code {ended.returncode}); what it printed above says why"
        )
    return exported


def _command(python: str | None) -> list[str]:
    wanted = python or COMMAND
    found = shutil.which(wanted)
    if found is None:
        raise ExportFailed(f"there is no command {wanted!r}, and Ultralytics makes the export. {_HOW_TO}")
    if python is None:
        return [found]
    if subprocess.run([found, "-c", _HAS_ULTRALYTICS], check=False).returncode != 0:
        raise ExportFailed(f"{found} has no Ultralytics, which makes the export. {_HOW_TO}")
    return [found, "-c", _ENTRY]
