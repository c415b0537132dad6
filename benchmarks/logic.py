"""How many results one core takes through the pure pipeline: suppression, tracks, posture, every rule, episodes.

    python -m benchmarks.logic [--frames 3000] [--fps 10] [--profile]

Two horses and a person before one camera, one horse walking, seen by the noisy detector of the simulator with three
boxes of each before suppression, and ghosts. Told are results per second of CPU time, median of five rounds, for the
step alone, and with what a task does around it: the result decoded from its message, and the camera's state decoded and
encoded again once for every 16 results. At the end, milliseconds by the clock of a task that finds one result waiting:
taken from a real Redis, decided on, committed (without Celery around it).
"""

import argparse
import cProfile
import os
import platform
import pstats
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np

from fbtasks.keys import Keys
from fbtasks.logic.rules import load_rules
from fbtasks.logic.site import pipeline_of
from fbtasks.logic.state import CameraState
from fbtasks.logic.turn import take_turn
from fbtasks.mailbox import Mailboxes
from fbtasks.settings import Settings
from fbtasks.sim.noise import Classes, NoisyDetector
from fbtasks.sim.stage import Conditions, Truth
from fbtasks.wire import Result, Silence, decode_mailed, encode
from tests.servers import Valkey

CAMERA, WIDTH, HEIGHT = "stall-1", 1280, 720
ROUNDS, CHUNK = 5, 16
BEGINS_AT = 1_768_000_000.0


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--profile", action="store_true", help="where the time of a step goes, instead")
    options = parser.parse_args()
    messages = [encode(result) for result in results(options.frames, options.fps)]
    decoded = list(map(decode_mailed, messages))
    if options.profile:
        profile = cProfile.Profile()
        profile.runcall(steps, decoded)
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
        return
    rules = load_rules(settings().rule_tables(CAMERA))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}")
    print(f"{len(rules)} rules, {options.frames} results of {options.fps:g} fps, median of {ROUNDS}")
    rounds = {"the step alone": partial(steps, decoded), "as a task does it": partial(turns, messages)}
    for name, run in rounds.items():
        seconds = [run() for _ in range(ROUNDS)]
        each_us = median(seconds) / options.frames * 1e6
        print(f"{name}: {1e6 / each_us:.0f} results/s ({each_us:.0f} us each)")
    p50, p95 = np.quantile(tasks_ms(messages), (0.5, 0.95)).tolist()
    print(f"a task with one result waiting, with Redis: {p50:.2f} ms p50, {p95:.2f} ms p95")


def settings() -> Settings:
    """Every rule at work, also those that are off as they come."""
    zone = {"enabled": True, "polygon": [[0.0, 0.9], [1.0, 0.9], [1.0, 1.0], [0.0, 1.0]]}
    return Settings(rules={"cast": {"enabled": True}, "restless": {"enabled": True}, "zone": zone})


def results(count: int, fps: float, classes: Classes = "posture") -> list[Result]:
    """What the GPU worker would send of `count` pictures."""
    detector = NoisyDetector(WIDTH, HEIGHT, seed=1, classes=classes)
    found = []
    for seq in range(count):
        t = seq / fps
        at = BEGINS_AT + t
        boxes = detector.boxes(truths(t), Conditions(light="infrared"), t)
        found.append(
            Result(
                camera_id=CAMERA, seq=seq, captured_at=at, sent_at=at, taken_at=at, inferred_at=at, width=WIDTH,
                height=HEIGHT, model_id="simulated", names=detector.names, xyxy=boxes.xyxy.tobytes(),
                confidence=boxes.confidence.tobytes(), class_id=boxes.class_id.tobytes(),
            )
        )  # fmt: skip
    return found


def truths(t: float) -> list[Truth]:
    """One horse lies, one walks to and fro, a person stands beside."""
    x = 700 + 200 * abs((t / 10) % 2 - 1)
    return [
        Truth("Luna", "horse", (100.0, 400.0, 420.0, 560.0), 1.0, "lying", 0.0),
        Truth("Nero", "horse", (x, 250.0, x + 320.0, 550.0), 1.0, "standing", 0.4),
        Truth("groom", "person", (520.0, 300.0, 600.0, 520.0), 1.0, "standing", 0.0),
    ]


def steps(messages: Sequence[Result | Silence]) -> float:
    """Seconds of CPU time for all of them, one after another."""
    pipeline, state = pipeline_of(settings(), CAMERA), CameraState(camera_id=CAMERA)
    began = process_time()
    for message in messages:
        state, _, _ = pipeline.step(state, message)
        state.ledger.take()
    return process_time() - began


def turns(messages: Sequence[bytes]) -> float:
    """The same with messages and state as bytes between two turns."""
    pipeline, kept = pipeline_of(settings(), CAMERA), CameraState(camera_id=CAMERA).encode()
    began = process_time()
    for first in range(0, len(messages), CHUNK):
        state = CameraState.decode(kept)
        for message in messages[first : first + CHUNK]:
            state, _, _ = pipeline.step(state, decode_mailed(message))
        state.ledger.take()
        kept = state.encode()
    return process_time() - began


def tasks_ms(messages: Sequence[bytes]) -> list[float]:
    """Milliseconds of each task that takes one of them from its mailbox and commits what it decided."""
    pipeline, found = pipeline_of(settings(), CAMERA), []
    with TemporaryDirectory() as folder:
        server = Valkey(Path(folder), {})
        server.start()
        try:
            mailboxes = Mailboxes(server.client(), Keys(), length=1000)
            for message in messages:
                mailboxes.push({CAMERA: [message]})
                began = perf_counter()
                done = take_turn(
                    CAMERA,
                    mailboxes,
                    lambda _version: pipeline,
                    restore=lambda: CameraState(camera_id=CAMERA),
                    bury=lambda _refused: None,
                    chunk=CHUNK,
                    is_over=lambda: False,
                )
                found.append(1000 * (perf_counter() - began))
                assert done.decisions == 1
        finally:
            server.stop()
    return found


if __name__ == "__main__":
    main()
