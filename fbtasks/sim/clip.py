"""A scene as an H.264 file, drawn and encoded once."""

import os
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import cv2
import numpy as np

from fbtasks.sim.backdrop import Picture
from fbtasks.sim.scene import FPS, HEIGHT, VIEWS, WIDTH, Scene, View
from fbtasks.sim.script import LOOP_S

ENCODER = {
    "preset": "veryfast",
    "crf": "26",
    # As a camera is set up for this work: a key frame each second, and no B-frames, which would cost latency.
    "x264-params": f"keyint={FPS}:min-keyint={FPS}:scenecut=0:bframes=0:threads=1",
}


def ensure_clips(folder: Path, seed: int = 0, views: tuple[View, ...] = VIEWS) -> list[Path]:
    """The clips of all views in `folder`, `<camera>.mp4`; what is missing is drawn first, a thread for each."""
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(len(views)) as threads:
        return list(threads.map(lambda view: _ensure(view, seed, folder / f"{view.camera_id}.mp4"), views))


def _ensure(view: View, seed: int, path: Path) -> Path:
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}.part")
        write_clip(Scene(view, seed), unfinished, LOOP_S)
        unfinished.replace(path)
    return path


class Pictures(Protocol):
    """What can be asked for the picture at any time; see `Scene.picture`."""

    def picture(self, t: float) -> Picture: ...


def write_clip(pictures: Pictures, path: Path, seconds: float) -> None:
    """Draw `seconds` and encode them as H.264 in MP4, `scene.FPS` pictures of `WIDTH` x `HEIGHT` per second."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options=ENCODER)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(round(seconds * FPS)):
            planes = cv2.cvtColor(pictures.picture(number / FPS), cv2.COLOR_BGR2YUV_I420)
            frame = av.VideoFrame.from_ndarray(np.asarray(planes, np.uint8), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
