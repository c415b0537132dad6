"""Which producer reads a camera: rendezvous hashing, the same answer in every process that knows the same producers.

Each pair of producer and camera has a weight, and the heaviest producer reads the camera (Thaler and Ravishankar,
"Using name-based mappings to increase hit rates", 1998). A producer that comes takes cameras only for itself, one that
goes leaves its own to the others, and no other camera moves.
"""

from collections.abc import Collection, Mapping
from hashlib import blake2b

INSTANCE = "#"
"""What follows it in a producer's id tells two of one name apart and weighs nothing: one that restarts gets its own."""


def owner(camera_id: str, producers: Mapping[str, Collection[str]]) -> str | None:
    """The producer that is to read the camera; None when none can.

    Args:
        producers: the cameras that each can read, by the producer's id.
    """
    able = (producer for producer, cameras in producers.items() if camera_id in cameras)
    return max(able, key=lambda producer: (_weight(producer, camera_id), producer), default=None)


def _weight(producer: str, camera_id: str) -> bytes:
    name = producer.partition(INSTANCE)[0]
    return blake2b(f"{name}\0{camera_id}".encode(), digest_size=8).digest()
