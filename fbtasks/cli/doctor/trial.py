"""What may crash in native code, in a process of its own: `python -m fbtasks.cli.doctor.trial engine cuda`.

Prints one line of JSON: `ok`, and `text` with what was seen or why it does not work.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import cast

import numpy as np

from fbtasks.cli.infer import model_file
from fbtasks.errors import ConfigError, FbtasksError
from fbtasks.gpu.engine import Engine, Provider, open_engine
from fbtasks.gpu.inspection import inspect
from fbtasks.gpu.model import prepare
from fbtasks.redaction import redact
from fbtasks.settings import Settings, load_settings
from fbtasks.sim import DEMO_MODEL

PICTURES = 2
WATCHED_S = 2.0


def engine(settings: Settings, provider: str) -> str:
    """Open the model on that provider alone, and run it; the model that comes along where none is set."""
    gpu = settings.gpu
    file = model_file(settings) if gpu.model is not None else DEMO_MODEL
    size = (gpu.input_width, gpu.input_height)
    with TemporaryDirectory(prefix="fbtasks-doctor-") as folder:
        # Kept work is used, but nothing is written into the folder of another user.
        kept = settings.data_dir / "models"
        cache = kept if kept.is_dir() and kept.owner() == Path(folder).owner() else Path(folder)
        opened = open_engine(
            prepare(file, cache, top_k=gpu.candidates, input_size=size),
            provider=cast(Provider, provider),
            max_batch=PICTURES,
            threads=gpu.threads,
            precision=gpu.precision,
            cache_dir=cache,
        )
        return _timed(opened)


def _timed(opened: Engine) -> str:
    count = min(PICTURES, opened.max_batch)
    shape = (count, opened.model.input_height, opened.model.input_width, 3)
    pictures = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    opened.run(pictures)
    began = monotonic()
    opened.run(pictures)
    milliseconds = (monotonic() - began) * 1000 / count
    return f"runs {opened.model.model_id}, {milliseconds:.1f} ms a picture in a batch of {count}"


def model(settings: Settings, _: str) -> str:
    """Whether the model that is set can be used."""
    file = model_file(settings)
    if not file.is_file():
        raise ConfigError(f"gpu.model: there is no file {file.absolute()}")
    found = inspect(file, settings.gpu.input_width, settings.gpu.input_height)
    if found.refusal is not None:
        raise ConfigError(found.refusal)
    return f"{file.name}: {found.head}, {len(found.names)} classes, licence {found.licence or 'not told'}"


def camera(settings: Settings, camera_id: str) -> str:
    """Watch one camera for two seconds."""
    from fbtasks.producer.probe import probe

    found = settings.camera(camera_id)
    if found is None:
        raise ConfigError(f"there is no camera {camera_id!r} in the settings")
    seen = probe(found.url.get_secret_value(), settings.producer, WATCHED_S)
    width, height = seen.facts.size
    rate = "too few frames to tell how many a second" if seen.fps is None else f"{seen.fps:.0f} frames per second"
    return f"{width}x{height} {seen.facts.codec}, {rate}, first picture after {seen.first_picture_s:.1f} s"


TRIALS = {"engine": engine, "model": model, "camera": camera}


def main(kind: str, what: str) -> None:
    """Make one trial, and print what came of it."""
    try:
        told = {"ok": True, "text": TRIALS[kind](load_settings(), what)}
    except FbtasksError as error:
        told = {"ok": False, "text": str(error)}
    sys.stdout.write(json.dumps(told | {"text": redact(str(told["text"]))}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
