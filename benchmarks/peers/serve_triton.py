"""Triton with pytriton: `python -m benchmarks.peers.serve_triton ENGINE MODEL PORT`; HTTP on PORT, gRPC on the next."""

import sys

import numpy as np
from numpy.typing import NDArray
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.peers.work import MAX_BATCH, Work


def main() -> None:
    """Serve until a signal comes."""
    engine, model, port = sys.argv[1:4]
    work = Work(engine, model)

    @batch  # type: ignore[untyped-decorator]
    def detect(jpeg: NDArray[np.bytes_]) -> dict[str, NDArray[np.bytes_]]:
        return {"boxes": np.array(work([row[0] for row in jpeg]), object).reshape(-1, 1)}

    config = TritonConfig(
        http_address="127.0.0.1", http_port=int(port), grpc_address="127.0.0.1", grpc_port=int(port) + 1,
        allow_metrics=False, log_verbose=0,
    )  # fmt: skip
    with Triton(config=config) as server:
        # No delay: whatever waits when the model is free is a batch, up to the largest.
        server.bind(
            model_name="detector",
            infer_func=detect,
            inputs=[Tensor(name="jpeg", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="boxes", dtype=bytes, shape=(1,))],
            config=ModelConfig(max_batch_size=MAX_BATCH, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        server.serve()


if __name__ == "__main__":
    main()
