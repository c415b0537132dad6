"""Both Redis servers are killed under load, again and again. Everything works again by itself, within five seconds."""

import os
from pathlib import Path
from threading import Event
from time import monotonic, time

import pytest

from tests.acceptance.stable import Listener, Stable, camera
from tests.conftest import LoopedClip
from tests.rtsp_server import RtspServer
from tests.waiting import wait_until

KILLS = int(os.environ.get("CHAOS_REDIS_KILLS", "10"))
EMPTY_AT = 5
"""In this round the broker's server, too, comes back without its data."""
LONG_AT = 7
"""In this round both stay away long enough for a client that waits longer with every attempt to oversleep."""
DOWN_S, LONG_DOWN_S = 1.0, 12.0
BACK_S = 5.0
CAMERAS = ("pair", "paddock")


@pytest.mark.timeout(120 + 15 * KILLS)
def test_everything_returns_after_each_kill(
    stable: Stable, rtsp_server: RtspServer, looped_clip: LoopedClip, shared_data: Path
) -> None:
    stable.settings(
        f'[gpu]\nmodel = "{shared_data / "models" / "yolo11n.onnx"}"',
        camera("pair", rtsp_server.serve("pair", looped_clip("two_horses_540p25", 300))),
        camera("paddock", rtsp_server.serve("paddock", looped_clip("horse_paddock_360p30", 300))),
    )
    processes = stable.start_all()
    await_decisions(stable, since=time(), within_s=60)

    times = []
    for kill in range(KILLS):
        stable.state.kill()
        stable.frames.kill()
        Event().wait(LONG_DOWN_S if kill == LONG_AT else DOWN_S)
        stable.state.restart(empty=kill == EMPTY_AT)
        stable.frames.restart(empty=True)
        times.append(await_decisions(stable, since=time(), within_s=BACK_S))

    print("back after (s):", " ".join(f"{seconds:.1f}" for seconds in times))
    for process in processes.values():
        assert process.exit_code is None, process.tail()


def await_decisions(stable: Stable, *, since: float, within_s: float) -> float:
    """Wait until both cameras have a decision on a frame captured after `since`; returns how long that took."""
    began = monotonic()
    listener = Listener(stable.state.client())

    def fresh() -> bool:
        heard = listener.hear()
        return all(any(told["captured_at"] > since for told in heard[name]) for name in CAMERAS)

    try:
        wait_until(
            fresh, within_s, f"fresh decisions; so far {[(name, len(listener.decisions[name])) for name in CAMERAS]}"
        )
    finally:
        listener.close()
    return monotonic() - began
