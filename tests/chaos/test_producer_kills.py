"""One of two producers is killed, again and again: its cameras run elsewhere within ten seconds, each read by one.

`CHAOS_PRODUCER_KILLS=40` for the full number.
"""

import os
import random
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import monotonic, time
from typing import cast

import pytest
from redis import Redis

from fbtasks.keys import Keys
from fbtasks.producer.rendezvous import INSTANCE
from fbtasks.sim.clip import write_clip
from fbtasks.sim.serving import ServerThread, serving
from fbtasks.transport import FrameQueue
from fbtasks.wire import decode_frame
from tests.acceptance.stable import Stable, camera
from tests.films import numbered_picture
from tests.processes import Process
from tests.waiting import wait_until

KILLS = int(os.environ.get("CHAOS_PRODUCER_KILLS", "4"))
CAMERAS = [f"box-{number}" for number in range(6)]
NAMES = ("one", "two")
"""Names by which each gets three of the cameras."""
SIZE, CLIP_FPS = (128, 64), 15
LEASE_S = 5.0
BACK_S = 10.0
SETTLED_S = 60.0
SETTINGS = f"[producer]\nfps = 5\nlease_s = {LEASE_S}\nbackoff_max_s = 1\n"


class Readers:
    """Watches how many clients watch each camera, and for how long it has been more than one, at most."""

    def __init__(self, server: ServerThread) -> None:
        self._cameras = server._server.cameras
        self._stop = threading.Event()
        self._since: dict[str, float] = {}
        self.longest_overlap_s = 0.0

    def count(self, camera_id: str) -> int:
        return len(self._cameras[camera_id]._viewers)

    def watch(self) -> None:
        while not self._stop.wait(0.02):
            now = monotonic()
            for camera_id in CAMERAS:
                if self.count(camera_id) > 1:
                    overlap_s = now - self._since.setdefault(camera_id, now)
                    self.longest_overlap_s = max(self.longest_overlap_s, overlap_s)
                else:
                    self._since.pop(camera_id, None)

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self.watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()


class Frames:
    """What arrives of each camera."""

    def __init__(self, redis: Redis) -> None:
        self._queue = FrameQueue(redis, Keys(), 10_000)
        self.times: dict[str, list[float]] = {camera_id: [] for camera_id in CAMERAS}

    def take(self) -> None:
        for message in self._queue.drain(10_000):
            frame = decode_frame(message)
            self.times[frame.camera_id].append(frame.captured_at)

    def all_since(self, camera_ids: set[str], at: float) -> bool:
        self.take()
        return all(self.times[camera_id] and self.times[camera_id][-1] > at for camera_id in camera_ids)


def holders(redis: Redis) -> dict[str, str]:
    """The name of each camera's producer."""
    values = cast(list[bytes | None], redis.mget([Keys().lease(camera_id) for camera_id in CAMERAS]))
    return {
        camera_id: holder.decode().partition(INSTANCE)[0]
        for camera_id, holder in zip(CAMERAS, values, strict=True)
        if holder is not None
    }


def is_settled(redis: Redis, readers: Readers, frames: Frames, names: Collection[str]) -> bool:
    """Whether these producers are at work, and each camera is read by one."""
    frames.take()
    held = holders(redis)
    alone = all(readers.count(camera_id) == 1 for camera_id in CAMERAS)
    return alone and len(held) == len(CAMERAS) and set(held.values()) == set(names)


def start(stable: Stable, name: str) -> Process:
    """A producer of that name."""
    stable.env["FBTASKS_PRODUCER__ID"] = name
    return stable.start("produce")


@pytest.mark.timeout(120 + 60 * KILLS)
def test_the_cameras_of_a_killed_producer_run_elsewhere_within_ten_seconds(stable: Stable, tmp_path: Path) -> None:
    clip = tmp_path / "box.mp4"
    write_clip(clip, (numbered_picture(number, SIZE) for number in range(10 * CLIP_FPS)), SIZE, CLIP_FPS)
    redis, dice = stable.state.client(), random.Random(3)
    frames = Frames(stable.frames.client())
    back: list[float] = []
    with serving(dict.fromkeys(CAMERAS, clip)) as server:
        readers = Readers(server)
        stable.settings(SETTINGS, *(camera(camera_id, server.url(camera_id)) for camera_id in CAMERAS))
        with readers.watching():
            producers = {name: start(stable, name) for name in NAMES}
            for number in range(KILLS):
                settled = partial(is_settled, redis, readers, frames, NAMES)
                wait_until(settled, SETTLED_S, f"both producers at work before kill {number}")
                name = dice.choice(NAMES)
                orphans = {camera_id for camera_id, holder in holders(redis).items() if holder == name}
                began, killed_at = monotonic(), time()
                producers[name].end()
                running = partial(frames.all_since, orphans, killed_at)
                wait_until(running, SETTLED_S, f"cameras {sorted(orphans)} after kill {number}")
                back.append(monotonic() - began)
                producers[name] = start(stable, name)
    print(f"{KILLS} kills: back after {median(back):.1f} s in the middle, {max(back):.1f} s at most")
    print(f"a camera read twice for {readers.longest_overlap_s:.1f} s at most")
    assert max(back) < BACK_S
    assert readers.longest_overlap_s < LEASE_S
    for producer in producers.values():
        assert producer.exit_code is None, producer.tail()


def test_a_new_producer_takes_its_share_without_a_gap_and_an_orderly_end_leaves_none(
    stable: Stable, tmp_path: Path
) -> None:
    clip = tmp_path / "box.mp4"
    write_clip(clip, (numbered_picture(number, SIZE) for number in range(10 * CLIP_FPS)), SIZE, CLIP_FPS)
    redis, frames = stable.state.client(), Frames(stable.frames.client())
    with serving(dict.fromkeys(CAMERAS, clip)) as server:
        readers = Readers(server)
        stable.settings(SETTINGS, *(camera(camera_id, server.url(camera_id)) for camera_id in CAMERAS))
        with readers.watching():
            first = start(stable, NAMES[0])
            wait_until(partial(is_settled, redis, readers, frames, NAMES[:1]), SETTLED_S, "the first to read all")
            wait_until(partial(frames.all_since, set(CAMERAS), time()), SETTLED_S, "frames of all")
            joined_at = time()
            second = start(stable, NAMES[1])
            wait_until(partial(is_settled, redis, readers, frames, NAMES), SETTLED_S, "both to have their share")
            settled_at = time()
            wait_until(partial(frames.all_since, set(CAMERAS), settled_at), SETTLED_S, "frames of all")
            gaps = [
                later - earlier
                for times in frames.times.values()
                for earlier, later in pairwise(sorted(at for at in times if joined_at <= at))
            ]
            assert second.terminate(10) == 0
            ended_at = time()
            wait_until(partial(frames.all_since, set(CAMERAS), ended_at), BACK_S, "the first to read all again")
            assert first.exit_code is None, first.tail()
    print(f"longest gap {max(gaps):.1f} s, read twice for {readers.longest_overlap_s:.1f} s at most")
    assert max(gaps) < LEASE_S / 2, "the one before read on until the new one had pictures"
    assert readers.longest_overlap_s < LEASE_S
