"""What becomes of a camera's pictures, and of all others', when the camera fails in each way that cameras do.

    python -m benchmarks.camera_faults --data ../shared/data --into docs/camera-faults.md

Starts a Valkey, two RTSP servers and the real `fbtasks produce`, all on loopback. One server is hurt, in one way after
the other; the other carries two cameras that nothing may happen to. Told for each fault: after how many seconds it was
noticed, how long after the end of its cause the first new picture was in Redis, and how many pictures the others lost.
Ends with 1 if a camera took longer than 5 s to come back, or another lost a picture.
"""

import argparse
import math
import os
import platform
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from time import strftime, time
from typing import Self

import av
import numpy as np

from fbtasks.camera_history import CameraChange, CameraHistory
from fbtasks.keys import Keys
from fbtasks.sim.clip import write_clip
from fbtasks.sim.encoder import Picture
from fbtasks.sim.faults import send
from fbtasks.transport import FrameQueue, connect
from fbtasks.wire import Frame, decode_frame
from tests.ports import LOOPBACK, free_port
from tests.processes import Processes
from tests.servers import Server, Valkey
from tests.waiting import wait_until

BIN = Path(sys.executable).parent
SICK = "sick"
DRAWN = "box-1"
WELL = ("well-1", "well-2")
USER, PASSWORD = "groom", "oats"
FPS = 5.0
SIZE, SOURCE_FPS = (320, 180), 10
FRAMES_KEPT = 1000
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
RUNNING_WITHIN_S = 60.0
RECOVERY_LIMIT_S = 60.0
BACK_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The producer's settings for a run, and how long each cause lasts; all in seconds."""

    open_timeout_s: float = 4.0
    read_timeout_s: float = 3.0
    frozen_after_s: float = 10.0
    backoff_max_s: float = 30.0
    login_pause_s: float = 3.0
    lasts_s: float = 6.0


class SimServer(Server):
    """`fbtasks sim serve` of these files or scenarios, always on the same port."""

    start_timeout_s = 60.0

    def __init__(self, folder: Path, name: str, shown: Sequence[str]) -> None:
        super().__init__(folder / f"{name}.log")
        self.port = free_port()
        self._shown = shown

    def url(self, camera: str, login: str = "") -> str:
        """Where to watch it; `login` is `user:password`."""
        return f"rtsp://{login + '@' if login else ''}{LOOPBACK}:{self.port}/{camera}"

    def suffer(self, camera: str, *commands: str) -> None:
        """Tell a camera its faults, one after the other."""
        for command in commands:
            send(self.url(camera), command)

    def restart(self) -> None:
        """Start again on the same port."""
        self.kill()
        self.start()

    def command(self) -> list[str]:
        return [str(BIN / "fbtasks"), "sim", "serve", "--port", str(self.port), *self._shown]

    def is_ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self.port)) == 0


class Pictures:
    """Takes all frames out of Redis, in a thread of its own, and notes when those of each camera were taken."""

    def __init__(self, url: str) -> None:
        self._client = connect(url, 5.0)
        self._queue = FrameQueue(self._client, Keys(), FRAMES_KEPT)
        self._frames: list[Frame] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._client.close()

    def of(self, camera_id: str, since: float, until: float | None = None) -> list[Frame]:
        """Those captured from `since` to `until`, unix seconds."""
        end = time() if until is None else until
        return [one for one in list(self._frames) if one.camera_id == camera_id and since <= one.captured_at <= end]

    def _run(self) -> None:
        while not self._over.is_set():
            for message in self._queue.take(32, 0.2):
                self._frames.append(decode_frame(message))


@dataclass(frozen=True, slots=True)
class Case:
    """One way to fail.

    Attributes:
        name: as it stands in the table.
        hurt, heal: the cause, and its end; None where it is a moment.
        stays: the stream may well go on, or come back at once.
        camera: which is hurt.
    """

    name: str
    hurt: Callable[["Site"], object]
    heal: Callable[["Site"], object] | None
    stays: bool = False
    camera: str = SICK


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was seen.

    Attributes:
        detected_s: from the cause to the first change of the camera's status; None: it stayed as it was.
        said: the reason that was given for it.
        recovered_s: from the end of the cause to the first picture captured after it, in Redis; None: it did not come.
        others_lost: pictures that the other cameras missed, the worse of them.
    """

    case: Case
    detected_s: float | None
    said: str
    recovered_s: float | None
    others_lost: int


class Site:
    """The servers, the producer, and what comes out of it."""

    def __init__(self, server: SimServer, drawn: SimServer, history: CameraHistory, pictures: Pictures) -> None:
        self.server = server
        self.drawn = drawn
        self.pictures = pictures
        self._history = history

    def run(self, case: Case, limits: Limits) -> Outcome:
        """Let it happen once, from a site that runs well to one that does again."""
        known = {identifier for identifier, _ in self._changes()}
        self.await_running((case.camera, *WELL))
        hurt_at = time()
        case.hurt(self)
        over_at = time()
        passed(lambda: time() - hurt_at >= limits.lasts_s, limits.lasts_s + 1)
        passed(lambda: case.stays or self._losses(case.camera, known), RUNNING_WITHIN_S)
        losses = self._losses(case.camera, known)
        if case.heal is not None:
            case.heal(self)
            over_at = time()
        # Of a moment's cause only what comes after its consequence is new.
        since = losses[0].at if losses and case.heal is None else over_at
        passed(lambda: self._seen(case.camera, since) and time() > since + 1, RECOVERY_LIMIT_S)
        seen, losses = self._seen(case.camera, since), self._losses(case.camera, known)
        return Outcome(
            case,
            detected_s=max(0.0, losses[0].at - hurt_at) if losses else None,
            said=losses[0].reason if losses else "",
            recovered_s=seen[0].sent_at - over_at if seen else None,
            others_lost=max(
                missed_pictures([frame.captured_at for frame in self.pictures.of(camera, hurt_at - 1)])
                for camera in WELL
            ),
        )

    def await_running(self, cameras: Sequence[str]) -> None:
        """Until each of these gives pictures.

        Raises:
            AssertionError: one does not.
        """
        since = time()
        wait_until(lambda: all(len(self._seen(one, since)) >= 3 for one in cameras), RUNNING_WITHIN_S, f"{cameras}")

    def _changes(self) -> list[tuple[bytes, CameraChange | None]]:
        return self._history.peek(100_000)

    def _losses(self, camera: str, known: set[bytes]) -> list[CameraChange]:
        """The camera's new changes to anything but running."""
        new = [change for identifier, change in self._changes() if change is not None and identifier not in known]
        return [
            change for change in new if change.camera_id == camera and change.state not in ("running", "connecting")
        ]

    def _seen(self, camera: str, since: float) -> list[Frame]:
        return [frame for frame in self.pictures.of(camera, since) if not frame.blind]


def passed(predicate: Callable[[], object], timeout_s: float) -> bool:
    """Wait until it is true, or for so long; whether it came true."""
    with suppress(AssertionError):
        wait_until(lambda: bool(predicate()), timeout_s, "the site")
        return True
    return False


def missed_pictures(times: Sequence[float]) -> int:
    """By how many pictures a camera fell behind its rate of `FPS` at most, told from when they were taken, in seconds.

    Of a source with 10 frames a second a picture may take the frame after the one that was due, and the next be on time
    again: half a picture late, and none missing. A missing one is missing from then on.
    """
    behind = [(at - times[0]) * FPS - number for number, at in enumerate(times)]
    ahead = accumulate(behind, min)
    return math.floor(max((now - best for now, best in zip(behind, ahead, strict=True)), default=0.0) + 0.25)


def _suffer(*commands: str) -> Callable[[Site], None]:
    return lambda site: site.server.suffer(SICK, *commands)


def _drawn(*commands: str) -> Callable[[Site], None]:
    return lambda site: site.drawn.suffer(DRAWN, *commands)


_CLEAR = _suffer("clear")
_KNOWN, _OTHER = f"{USER} {PASSWORD}", f"{USER} barley"

CASES = (
    Case("server killed", lambda site: site.server.kill(), lambda site: site.server.start()),
    Case("server frozen (SIGSTOP)", lambda site: site.server.pause(), lambda site: site.server.resume()),
    Case("server restarted", lambda site: site.server.restart(), None, stays=True),
    Case("connection closed once", _suffer("disconnect"), None, stays=True),
    Case("connections refused", _suffer("refuse closed", "disconnect"), _CLEAR),
    Case("no stream at the path, 404", _suffer("refuse 404", "disconnect"), _CLEAR),
    Case(
        "another password, basic",
        _suffer(f"password basic {_OTHER}", "disconnect"),
        _suffer(f"password basic {_KNOWN}"),
    ),
    Case(
        "another password, digest",
        _suffer(f"password digest {_OTHER}", "disconnect"),
        _suffer(f"password digest {_KNOWN}"),
    ),
    Case("password wanted, basic", _suffer(f"password basic {_KNOWN}", "disconnect"), None, stays=True),
    Case("password wanted, digest", _suffer(f"password digest {_KNOWN}", "disconnect"), None, stays=True),
    Case("silent stream", _suffer("stall"), _CLEAR),
    Case("mute server", _suffer("mute"), _CLEAR),
    Case("frozen picture", _suffer("freeze"), _CLEAR),
    Case("packets lost, 20 %", _suffer("drop 0.2"), _CLEAR, stays=True),
    Case("packets corrupted, 20 %", _suffer("corrupt 0.2"), _CLEAR, stays=True),
    Case("stream corrupted, every packet", _suffer("corrupt 1"), _CLEAR, stays=True),
    Case("slow link, 32 kbit/s", _suffer("slow 32"), _CLEAR, stays=True),
    Case("time stamps an hour ahead", _suffer("jump 3600"), None, stays=True),
    Case("time stamps an hour back", _suffer("jump -3600"), None, stays=True),
    Case("other resolution", _drawn("size 256x144"), _drawn("size 192x108"), stays=True, camera=DRAWN),
    Case("H.264 to H.265", _drawn("codec h265"), None, stays=True, camera=DRAWN),
    Case("H.265 to H.264", _drawn("codec h264"), None, stays=True, camera=DRAWN),
)
UDP_CASES = (
    Case("server killed, UDP", lambda site: site.server.kill(), lambda site: site.server.start()),
    Case("server frozen (SIGSTOP), UDP", lambda site: site.server.pause(), lambda site: site.server.resume()),
    Case("silent stream, UDP", _suffer("stall"), _CLEAR),
    Case("packets lost, 20 %, UDP", _suffer("drop 0.2"), _CLEAR, stays=True),
)


@contextmanager
def site(folder: Path, clip: Path, transport: str, limits: Limits) -> Iterator[Site]:
    """All that runs: two servers with three cameras and one that is drawn, Redis, and `fbtasks produce`.

    Args:
        clip: a film of at least a few seconds, MP4 with H.264.
        transport: RTSP over `tcp` or `udp`.
    """
    films = {name: str(folder / f"{name}.mp4") for name in (SICK, *WELL)}
    write_clip(Path(films[SICK]), pictures_of(clip), SIZE, SOURCE_FPS)
    for name in WELL:
        shutil.copy(films[SICK], films[name])
    servers = [
        SimServer(folder, "sick", [films[SICK]]),
        SimServer(folder, "well", [films[name] for name in WELL]),
        SimServer(folder, "drawn", [DRAWN, "--size", "192x108", "--fps", "5"]),
    ]
    valkey, processes = Valkey(folder, {}), Processes(folder)
    try:
        for server in (*servers, valkey):
            server.start()
        urls = {SICK: servers[0].url(SICK, f"{USER}:{PASSWORD}"), DRAWN: servers[2].url(DRAWN)}
        urls |= {camera: servers[1].url(camera) for camera in WELL}
        env = {"FBTASKS_CONFIG": str(_settings(folder, urls, transport, limits)), "FBTASKS_REDIS_URL": valkey.url}
        processes.start("fbtasks", "produce", env=env)
        with Pictures(valkey.url) as pictures, valkey.client() as client:
            yield Site(servers[0], servers[2], CameraHistory(client, Keys()), pictures)
    finally:
        processes.end_all()
        for server in (*servers, valkey):
            server.kill()


def pictures_of(clip: Path) -> Iterator[Picture]:
    """The film's pictures, of `SIZE` and so many a second; written again they get a key frame each second."""
    with av.open(str(clip)) as container:
        rate = container.streams.video[0].average_rate or SOURCE_FPS
        every = max(1, round(rate / SOURCE_FPS))
        for number, frame in enumerate(container.decode(video=0)):
            if number % every == 0:
                yield np.asarray(frame.reformat(*SIZE).to_ndarray(format="bgr24"), np.uint8)


def _settings(folder: Path, urls: Mapping[str, str], transport: str, limits: Limits) -> Path:
    lines = ["[producer]", "back_pressure = false", f'transport = "{transport}"', f"fps = {FPS}"]
    lines += [
        f"{name} = {value}" for name, value in asdict(limits).items() if name not in ("lasts_s", "frozen_after_s")
    ]
    lines += ["[producer.sight]", f"frozen_after_s = {limits.frozen_after_s}"]
    lines += [f'[[cameras]]\nid = "{camera}"\nurl = "{url}"' for camera, url in urls.items()]
    path = folder / "fbtasks.toml"
    path.write_text("\n".join(lines))
    return path


def main() -> int:
    """Run the whole matrix, write the table and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with clips/")
    parser.add_argument("--into", type=Path, help="Markdown file whose table is replaced; default: printed")
    parser.add_argument("--lasts", type=float, default=Limits().lasts_s, help="seconds that each cause lasts")
    options = parser.parse_args()
    limits, outcomes = Limits(lasts_s=options.lasts), []
    for transport, cases in (("tcp", CASES), ("udp", UDP_CASES)):
        with TemporaryDirectory() as folder:
            clip = options.data / "clips" / "horse_paddock_360p30.mp4"
            with site(Path(folder), clip, transport, limits) as running:
                for case in cases:
                    outcomes.append(running.run(case, limits))
                    print(_row(outcomes[-1]), flush=True)
    if options.into is not None:
        _replace(options.into, table(outcomes))
    bad = [outcome.case.name for outcome in outcomes if not is_well(outcome)]
    print(f"late, or others lost pictures: {', '.join(bad)}" if bad else f"all back within {BACK_WITHIN_S:g} s")
    return 1 if bad else 0


def is_well(outcome: Outcome) -> bool:
    """Whether it came back soon enough, and no other camera suffered."""
    return outcome.recovered_s is not None and outcome.recovered_s < BACK_WITHIN_S and not outcome.others_lost


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes in Markdown."""
    cores, load = os.cpu_count(), os.getloadavg()[0]
    measured = f"{strftime('%Y-%m-%d')}, {platform.machine()}, {cores} cores, load {load:.1f} at the end."
    head = ["| cause | noticed after, s | said | back after, s | others lost, pictures |", "|---|--:|---|--:|--:|"]
    return "\n".join([*head, *map(_row, outcomes), "", measured])


def _row(outcome: Outcome) -> str:
    noticed = "goes on" if outcome.detected_s is None else f"{outcome.detected_s:.1f}"
    back = "never" if outcome.recovered_s is None else f"{outcome.recovered_s:.1f}"
    return f"| {outcome.case.name} | {noticed} | {outcome.said} | {back} | {outcome.others_lost} |"


def _replace(path: Path, new: str) -> None:
    """Between the two lines that mark the table."""
    head, _, rest = path.read_text().partition(BEGIN)
    path.write_text(f"{head}{BEGIN}\n{new}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    sys.exit(main())
