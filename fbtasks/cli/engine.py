"""The engine as the settings describe it: what `infer`, `bench` and `sim score --pixels` run."""

from pathlib import Path
from typing import Literal

from fbtasks.gpu.engine import Engine, Provider, open_engine
from fbtasks.gpu.model import prepare
from fbtasks.settings import Settings


def engine_of(
    settings: Settings,
    model: Path,
    size: tuple[int, int],
    *,
    provider: Provider | Literal["auto"],
    max_batch: int,
) -> Engine:
    """Prepare the model for pictures of `size`, width and height, unless that was done before, and open it cold.

    Raises:
        EngineError: the model or the provider cannot be used here.
    """
    gpu, cache = settings.gpu, settings.data_dir / "models"
    return open_engine(
        prepare(model, cache, top_k=gpu.candidates, input_size=size),
        provider=provider,
        max_batch=max_batch,
        threads=gpu.threads,
        precision=gpu.precision,
        cache_dir=cache,
    )
