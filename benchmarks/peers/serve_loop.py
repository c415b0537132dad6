"""One frame after the other: `python -m benchmarks.peers.serve_loop ENGINE MODEL REDIS`."""

import sys

from redis import Redis

from benchmarks.peers.work import Work

FRAMES, ANSWERS, NUMBER = "frames", "answers", 8
"""Lists in Redis, and bytes of the number before a frame and before its answer."""


def main() -> None:
    """Serve until killed."""
    engine, model, url = sys.argv[1:4]
    work, redis = Work(engine, model), Redis.from_url(url)
    while True:
        _, frame = redis.blpop([FRAMES])
        [boxes] = work([frame[NUMBER:]])
        redis.rpush(ANSWERS, frame[:NUMBER] + boxes)


if __name__ == "__main__":
    main()
