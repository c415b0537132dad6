"""LitServe: `python -m benchmarks.peers.serve_litserve ENGINE MODEL PORT`."""

import base64
import sys
from typing import Any

from litserve import LitAPI, LitServer

from benchmarks.peers.work import MAX_BATCH, Work


class Detector(LitAPI):  # type: ignore[misc]
    """Pictures come as LitServe's examples send them: base64 in JSON."""

    def setup(self, device: str) -> None:
        """In each worker."""
        self.work = Work(*sys.argv[1:3])

    def decode_request(self, request: dict[str, Any]) -> bytes:
        """The JPEG."""
        return base64.b64decode(request["image"])

    def predict(self, jpegs: list[bytes]) -> list[bytes]:
        """A batch."""
        return self.work(jpegs)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        """One answer for each request."""
        return output

    def encode_response(self, boxes: bytes) -> dict[str, str]:
        """The answer."""
        return {"boxes": base64.b64encode(boxes).decode()}


if __name__ == "__main__":
    api = Detector(max_batch_size=MAX_BATCH, batch_timeout=0.005)
    # The faster of its two queues between processes.
    server = LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True, timeout=60)
    server.run(host="127.0.0.1", port=int(sys.argv[3]), generate_client_file=False, log_level="warning")
