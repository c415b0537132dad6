"""mosec: `python -m benchmarks.peers.serve_mosec --address 127.0.0.1 --port PORT`; engine and model by environment."""

import os

from mosec import Server, Worker

from benchmarks.peers.work import MAX_BATCH, Work


class Detector(Worker):  # type: ignore[misc]
    """Pictures come as they are, in the request's body."""

    def __init__(self) -> None:
        self.work = Work(os.environ["PEERS_ENGINE"], os.environ["PEERS_MODEL"])

    def deserialize(self, data: bytes) -> bytes:
        """The JPEG."""
        return data

    def serialize(self, data: bytes) -> bytes:
        """The boxes."""
        return data

    def forward(self, data: list[bytes]) -> list[bytes]:
        """A batch."""
        return self.work(data)


if __name__ == "__main__":
    server = Server()
    server.append_worker(Detector, num=1, max_batch_size=MAX_BATCH, max_wait_time=5, timeout=60)
    server.run()
