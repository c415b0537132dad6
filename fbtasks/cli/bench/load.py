"""The cameras and the logic of a measurement, in a process of their own: pushes frames, reads results.

A process of its own, for the worker under measurement has its interpreter for itself in real life too.
"""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import monotonic, sleep, time
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
from redis import Redis
from redis.exceptions import RedisError

from fbtasks.errors import FbtasksError
from fbtasks.frame import Letterbox
from fbtasks.keys import Keys
from fbtasks.transport import FrameQueue, connect
from fbtasks.wire import Frame, decode_result, encode

ANSWER_S = 60.0
"""A worker that is silent for so long, frames waiting, is not going to answer: a batch of 32 on one core takes 4 s."""

LOST_S = 10.0
"""A frame that is not answered so long after all others was given up on its way."""


class BenchFailed(FbtasksError):
    """The measurement could not be carried out."""


class Sample(NamedTuple):
    """When one frame passed each point, unix seconds."""

    captured_at: float
    taken_at: float
    inferred_at: float
    arrived_at: float


@dataclass(frozen=True, slots=True)
class Site:
    """Where the load goes.

    Attributes:
        frames_url, state_url: Redis URLs.
        prefix: of all keys.
        cameras: how many take part.
        letterbox: of the picture.
        jpeg: the picture at the model's input size.
    """

    frames_url: str
    state_url: str
    prefix: str
    cameras: int
    letterbox: Letterbox
    jpeg: bytes
    timeout_s: float


Answer = Literal["results", "alerts"]
"""What answers a frame: its result in the mailbox, or the logic's commit with its decision and alerts."""


@dataclass(frozen=True, slots=True)
class Saturate:
    """Every camera sends its next frame as soon as its last one is answered."""

    seconds: float
    to: Answer = "results"


@dataclass(frozen=True, slots=True)
class Pace:
    """Every camera sends at an even rate, together `fps`, each at a moment of its own."""

    fps: float
    seconds: float
    to: Answer = "results"


def cameras(site: Site, to: Answer = "results") -> list[str]:
    """Names of those that take part; others for each answer, for the logic is woken for one kind only."""
    return [f"bench-{to}-{number}" for number in range(site.cameras)]


def timetable(task: Pace, names: Sequence[str]) -> list[tuple[float, str]]:
    """Seconds after the start and camera of every frame, in order; the same each time."""
    period = len(names) / task.fps
    draw = random.Random(1)
    phases = {camera: draw.random() * period for camera in names}
    rounds = max(1, round(task.seconds / period))
    return sorted((phase + turn * period, camera) for camera, phase in phases.items() for turn in range(rounds))


class Answers(Protocol):
    """Where answers come from."""

    def read(self, patience_s: float) -> tuple[list[str], list[Sample]]:
        """Cameras whose answers came, and the times of their frames; waits for the first, in the end in vain."""
        ...


class Mailed:
    """Results as they come into the mailboxes; nobody else works on these."""

    def __init__(self, site: Site) -> None:
        self._wait_ms = int(site.timeout_s * 500)
        self._state: Redis = connect(site.state_url, site.timeout_s)
        keys = Keys(site.prefix)
        self._read_to: dict[str, bytes] = {keys.camera(camera).mailbox: b"0" for camera in cameras(site)}

    def read(self, patience_s: float) -> tuple[list[str], list[Sample]]:
        """See `Answers`."""
        deadline = monotonic() + patience_s
        streams: Any = self._read_to  # redis-py takes more kinds of keys and says so
        while not (reply := self._state.xread(streams, block=self._wait_ms)):
            if monotonic() > deadline:
                return [], []
        arrived_at = time()
        answered: list[str] = []
        samples: list[Sample] = []
        entries: Any = reply
        for mailbox, results in entries:
            self._read_to[mailbox.decode()] = results[-1][0]
            for _, fields in results:
                result = decode_result(fields[b"d"])
                answered.append(result.camera_id)
                samples.append(Sample(result.captured_at, result.taken_at, result.inferred_at, arrived_at))
        return answered, samples


class _Decision(msgspec.Struct):
    """What is read of a decision."""

    camera_id: str
    captured_at: float
    taken_at: float
    inferred_at: float


class Decided:
    """Decisions as the logic tells of them, after the commit that holds the frame's alerts."""

    def __init__(self, site: Site) -> None:
        channel = connect(site.state_url, site.timeout_s).pubsub(ignore_subscribe_messages=True)
        channel.subscribe(Keys(site.prefix).decisions_channel)
        self._channel = channel

    def read(self, patience_s: float) -> tuple[list[str], list[Sample]]:
        """See `Answers`."""
        deadline = monotonic() + patience_s
        while (message := self._channel.get_message(timeout=0.5)) is None:
            if monotonic() > deadline:
                return [], []
        decision = msgspec.json.decode(message["data"], type=_Decision)
        return [decision.camera_id], [Sample(decision.captured_at, decision.taken_at, decision.inferred_at, time())]


class Load:
    """Sends frames and reads what answers them; one for a whole measurement."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._frames = FrameQueue(
            connect(site.frames_url, site.timeout_s), Keys(site.prefix), max_length=4 * site.cameras
        )
        self._answers: dict[Answer, Answers] = {"results": Mailed(site), "alerts": Decided(site)}
        self._seq = 0

    def saturate(self, task: Saturate) -> list[Sample]:
        """As many frames in the pipeline as there are cameras, always; ends when the last is answered.

        Raises:
            BenchFailed: nothing came back for a long time.
        """
        samples: list[Sample] = []
        deadline = monotonic() + task.seconds
        names = cameras(self._site, task.to)
        self._push(names)
        waiting = len(names)
        while waiting:
            answered, new = self._answers[task.to].read(ANSWER_S)
            if not new:
                raise BenchFailed(f"there were no {task.to} for {ANSWER_S:.0f} s while frames waited")
            samples += new
            waiting -= len(new)
            if monotonic() < deadline:
                self._push(answered)
                waiting += len(answered)
        return samples

    def pace(self, task: Pace) -> list[Sample]:
        """Frames at their times, whether those before are answered or not; fewer come back where some are given up.

        A thread sends them: Redis wakes a reader in time when something comes, but not when its patience ends.
        """
        samples: list[Sample] = []
        due = timetable(task, cameras(self._site, task.to))
        with ThreadPoolExecutor(1) as threads:
            sending = threads.submit(self._send, due)
            while len(samples) < len(due):
                new = self._answers[task.to].read(LOST_S)[1]
                if not new and sending.done():
                    break
                samples += new
            sending.result()
        return samples

    def _send(self, due: list[tuple[float, str]]) -> None:
        began = monotonic()
        for at, camera in due:
            sleep(max(0.0, began + at - monotonic()))
            self._push([camera])

    def _push(self, cameras: Sequence[str]) -> None:
        self._frames.push([encode(self._frame(camera)) for camera in cameras])

    def _frame(self, camera: str) -> Frame:
        self._seq += 1
        box, now = self._site.letterbox, time()
        return Frame(
            camera_id=camera,
            seq=self._seq,
            captured_at=now,
            sent_at=now,
            width=box.width,
            height=box.height,
            scale=box.scale,
            pad_x=box.pad_x,
            pad_y=box.pad_y,
            jpeg=memoryview(self._site.jpeg),
        )


def serve(site: Site, orders: Connection) -> None:
    """Carry out orders until the pipe is closed; what goes wrong is sent back as an error."""
    load: Load | None = None
    with orders:
        while True:
            try:
                order = orders.recv()
            except EOFError:
                return
            try:
                load = load or Load(site)
                samples = load.saturate(order) if isinstance(order, Saturate) else load.pace(order)
            except (RedisError, FbtasksError) as error:
                orders.send(str(error))
                return
            orders.send(msgspec.msgpack.encode(samples))
