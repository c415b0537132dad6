"""CPU time per frame of reading a camera: backends, codecs and what can be left out, against a plain loop.

    python -m benchmarks.capture --clip ../shared/data/clips/two_horses_540p25.mp4 --seconds 20 --rounds 5

Encodes the clip, scaled and with noise, as H.264 and H.265 at 1080p and 4K, 25 fps, a key frame every two seconds;
serves it from a process of its own as RTSP over TCP, and reads it in one process per way and turn, one after the other,
round after round, so that a change of the machine's speed meets all alike. A figure is the median over the rounds of
the CPU time (user and system, all threads) per frame that the camera sent; ratios are medians over the rounds too. The
`plain loop` is what one writes first: OpenCV as it comes, `read`, `resize` to 640 x 640 and `imencode` (quality 85) for
every frame, over TCP like the others.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import av
import cv2
import numpy as np

from fbtasks.producer import capture
from fbtasks.producer.backends import open_stream
from fbtasks.producer.encoder import Encoder
from fbtasks.producer.motion_gate import STILL_FPS, MotionGate
from fbtasks.producer.pacing import Pacer
from fbtasks.settings import CameraSettings, ProducerSettings

FPS = 25
KEY_EVERY = 50
SIZES = {"1080p": (1920, 1080), "4K": (3840, 2160)}
ENCODERS = {"h264": ("libx264", "x264-params", 4_000_000), "hevc": ("libx265", "x265-params", 3_000_000)}
PLAIN = "plain loop, every frame"
WAYS: dict[str, dict[str, Any]] = {
    "OpenCV": {"backend": "opencv"},
    "PyAV": {"backend": "pyav", "decode": "all"},
    "PyAV, no loop filter": {"backend": "pyav", "decode": "all", "skip_loop_filter": True},
    "PyAV, key frames": {"backend": "pyav", "decode": "keyframes"},
    "OpenCV, motion gate": {"backend": "opencv", "motion_gate": True},
}


def main() -> None:
    """Measure, print a table, and write it where asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="an MP4 file with horses")
    parser.add_argument("--codecs", nargs="+", default=list(ENCODERS), choices=list(ENCODERS))
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--fps", type=float, default=5.0, help="analysed frames per second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="folder in which the encoded clips are kept, for the next time")
    parser.add_argument("--docs", type=Path, help="page whose table is replaced, docs/reading-cameras.md")
    parser.add_argument("--serve", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--turn", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        _serve({name: Path(path) for name, path in options.serve.items()})
    elif options.turn:
        print(json.dumps(_turn(**options.turn)))
    elif options.clip is None:
        parser.error("--clip is needed")
    else:
        _compare(options)


def _compare(options: argparse.Namespace) -> None:
    table = [
        f"{_machine()} {options.rounds} rounds of {options.seconds:g} s.",
        "",
        "| stream | way | CPU ms per source frame | of the plain loop | decoder |",
        "|---|---|---|---|---|",
    ]
    print("\n".join(table))
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            for codec in options.codecs:
                clip = (options.keep or Path(folder)) / f"{codec}-{size}.mp4"
                if not clip.exists():
                    _encode(options.clip, clip, codec, SIZES[size])
                with _server({"box": clip}) as url:
                    figures = _rounds(url, options)
                for way, turns in figures.items():
                    cost = median(turn["cpu_ms"] for turn in turns)
                    ratios = [
                        turn["cpu_ms"] / plain["cpu_ms"] for turn, plain in zip(turns, figures[PLAIN], strict=True)
                    ]
                    line = f"| {codec} {size} | {way} | {cost:.2f} | {median(ratios):.2f} | {turns[-1]['decoder']} |"
                    print(line, flush=True)
                    table.append(line)
    if options.docs:
        _write(options.docs, table)


def _rounds(url: str, options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    figures: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for _ in range(options.rounds):
        for way in (PLAIN, *WAYS):
            turn = {"way": way, "url": url, "fps": options.fps, "seconds": options.seconds}
            command = [sys.executable, "-m", "benchmarks.capture", "--turn", json.dumps(turn)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            figures[way].append(json.loads(done.stdout))
    return figures


def _turn(way: str, url: str, fps: float, seconds: float) -> dict[str, Any]:
    """One way for so long, in this process; opening and the first second do not count."""
    return _plain(url, seconds) if way == PLAIN else _own(way, url, fps, seconds)


def _plain(url: str, seconds: float) -> dict[str, Any]:
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "rtsp_transport;tcp"
    camera = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
    frames = 0

    def step() -> None:
        nonlocal frames
        good, picture = camera.read()
        if good:
            cv2.imencode(".jpg", cv2.resize(picture, (640, 640)), [cv2.IMWRITE_JPEG_QUALITY, 85])
            frames += 1

    _for(1.0, step)
    first, before = frames, _cpu_s()
    _for(seconds, step)
    cost_ms = 1000 * (_cpu_s() - before) / (frames - first)
    camera.release()
    return {"cpu_ms": cost_ms, "decoder": "software", "frames": frames, "sent": frames}


def _own(way: str, url: str, fps: float, seconds: float) -> dict[str, Any]:
    limits = ProducerSettings.model_validate(
        {"open_timeout_s": 20, **WAYS[way] | {"backend": WAYS[way].get("backend", "opencv")}}
    )
    capture.prepare("tcp")
    encoder = Encoder(640, 640, limits.jpeg_quality, tight=True)
    camera = CameraSettings.model_validate({"id": "box", "url": url})
    with open_stream(camera, limits) as stream:
        pacer = Pacer(fps)
        gate = MotionGate(fps) if limits.motion_gate else None
        frames = sent = 0

        def step() -> None:
            nonlocal frames, sent
            if not stream.grab():
                return
            frames += 1
            if not stream.has_picture:
                return
            # By the camera's time: a machine that is behind must not send a larger part of its frames.
            at = frames / FPS
            if gate and gate.looks(at) and (glance := stream.glance()) is not None and gate.see(glance, at):
                pacer.hurry()
            due = pacer.due(at, STILL_FPS if gate and gate.is_still else fps)
            if due and (picture := stream.picture(encoder.drawn_size)) is not None:
                encoder.encode(picture, stream.size)
                sent += 1

        _for(1.0, step)
        first, before = frames, _cpu_s()
        _for(seconds, step)
        cost_ms = 1000 * (_cpu_s() - before) / (frames - first)
        return {"cpu_ms": cost_ms, "decoder": stream.decoder, "frames": frames, "sent": sent}


def _for(seconds: float, step: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        step()


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _encode(source: Path, target: Path, codec: str, size: tuple[int, int], seconds: float = 4.0) -> None:
    """The clip as a camera would send it: its own size and bit rate, a sensor's noise, no B-frames."""
    library, parameters, bit_rate = ENCODERS[codec]
    fixed = f"keyint={KEY_EVERY}:min-keyint={KEY_EVERY}:scenecut=0:bframes=0"
    fixed += ":log-level=none" if codec == "hevc" else ""
    with av.open(str(source)) as reader:
        pictures = [frame.to_ndarray(format="bgr24") for frame in reader.decode(video=0)]
    generator = np.random.default_rng(1)
    with av.open(str(target), "w") as writer:
        stream: Any = writer.add_stream(library, rate=FPS, options={"preset": "superfast", parameters: fixed})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.bit_rate = bit_rate * size[1] // 1080
        for number in range(round(seconds * FPS)):
            picture = cv2.resize(pictures[number % len(pictures)], size, interpolation=cv2.INTER_CUBIC)
            grain = cv2.resize(generator.integers(0, 7, (size[1] // 2, size[0] // 2), np.uint8), size)
            frame = av.VideoFrame.from_ndarray(
                cv2.add(picture, cv2.merge([grain] * 3)).astype(np.uint8), format="bgr24"
            )
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))


def _serve(clips: dict[str, Path]) -> None:
    from fbtasks.sim.serving import serving  # noqa: PLC0415 - only the serving process needs it

    with serving(clips) as server:
        print(json.dumps({name: server.url(name) for name in clips}), flush=True)
        sys.stdin.read()


@contextmanager
def _server(clips: dict[str, Path]) -> Iterator[str]:
    """The server in a process of its own: its CPU time is the camera's."""
    command = [sys.executable, "-m", "benchmarks.capture", "--serve", json.dumps({k: str(v) for k, v in clips.items()})]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        urls: dict[str, str] = json.loads(process.stdout.readline())
        try:
            yield next(iter(urls.values()))
        finally:
            process.communicate()


def _machine() -> str:
    versions = f"OpenCV {cv2.__version__}, PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info} in PyAV"
    load = f"load {os.getloadavg()[0]:.1f} at the start"
    return f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, {load}; {versions}."


BEGIN, END = "<!-- benchmarks/capture.py -->", "<!-- end -->"


def _write(page: Path, table: list[str]) -> None:
    """Put the table between the page's marks."""
    head, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{head}{BEGIN}\n" + "\n".join(table) + f"\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
