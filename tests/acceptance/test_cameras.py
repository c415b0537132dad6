"""Cameras that come, change and go while the site runs: nothing is restarted."""

import json
from pathlib import Path
from time import time

from fbtasks.keys import Keys
from fbtasks.logic.store import open_store
from fbtasks.mailbox import Mailboxes
from fbtasks.sim.clip import write_clip
from fbtasks.sim.serving import serving
from fbtasks.transport import FrameQueue
from fbtasks.wire import decode_frame, encode
from tests.acceptance.stable import Stable, camera
from tests.films import numbered_picture
from tests.results import lying, result, standing
from tests.waiting import wait_until

SIZE, CLIP_FPS = (128, 64), 15
WITHIN_S = 30.0
"""On a busy machine; by itself it is a second and what the camera takes to open."""


def test_a_camera_is_read_as_soon_as_it_is_added_and_no_longer_than_it_is_enabled(
    stable: Stable, tmp_path: Path
) -> None:
    write_clip(tmp_path / "a.mp4", (numbered_picture(n, SIZE) for n in range(150)), SIZE, CLIP_FPS)
    queue = FrameQueue(stable.frames.client(), Keys(), 10_000)

    def arrives(camera_id: str, since: float) -> bool:
        frames = map(decode_frame, queue.drain(10_000))
        return any(frame.camera_id == camera_id and frame.captured_at > since for frame in frames)

    def listed() -> dict[str, dict[str, object]]:
        told = stable.run("fbtasks", "cameras", "list", "--json").output()
        return {line["id"]: line for line in json.loads(told)}

    with serving({"one": tmp_path / "a.mp4", "two": tmp_path / "a.mp4"}) as server:
        stable.settings(camera("box-1", server.url("one")))
        producer = stable.start("produce")
        wait_until(lambda: arrives("box-1", time() - 1), WITHIN_S, "frames of the file's camera")
        added = stable.run("fbtasks", "cameras", "add", "box-2", server.url("two"), "horse=Luna", "fps=2")
        assert added.exit_code == 0, added.tail()
        wait_until(lambda: arrives("box-2", time() - 1), WITHIN_S, "frames of the one that was added")
        now = listed()
        assert (now["box-2"]["state"], now["box-2"]["horse"], now["box-2"]["source"]) == ("running", "Luna", "added")
        fps = now["box-2"]["fps"]
        assert isinstance(fps, float)
        assert fps < 4

        assert stable.run("fbtasks", "cameras", "disable", "box-1").exit_code == 0
        wait_until(lambda: not arrives("box-1", time() - 1), WITHIN_S, "no more frames of the disabled one")
        assert listed()["box-1"]["state"] == "disabled"
        assert stable.run("fbtasks", "cameras", "enable", "box-1").exit_code == 0
        wait_until(lambda: arrives("box-1", time() - 1), WITHIN_S, "frames of it again")
        assert stable.run("fbtasks", "cameras", "remove", "box-2").exit_code == 0
        assert set(listed()) == {"box-1"}
        assert producer.exit_code is None, producer.tail()


def test_the_rules_of_a_camera_that_is_added_hold_at_once(stable: Stable) -> None:
    stable.settings("[rules.lying]\ninfo_after_s = 3600\nwarning_after_s = 7200\n")
    worker = stable.start("worker")
    mailboxes = Mailboxes(stable.state.client(), Keys(), length=10_000)
    stable.start("beat")

    def night(camera_id: str) -> None:
        """Stands for 10 seconds, then lies for 20."""
        poses = [standing] * 50 + [lying] * 100
        results = [result(n / 5, [pose()], seq=n, camera_id=camera_id) for n, pose in enumerate(poses)]
        mailboxes.push({camera_id: [encode(each) for each in results]})

    night("box-1")
    wait_until(lambda: mailboxes.waiting() == 0, 60, "the first camera to be decided on")
    rules = ("rules.lying.info_after_s=5", "rules.lying.warning_after_s=10", "rules.lying.clear_after_s=3")
    added = stable.run("fbtasks", "cameras", "add", "box-2", "rtsp://10.0.0.2/1", *rules)
    assert added.exit_code == 0, added.tail()
    night("box-2")
    store = open_store(f"sqlite:///{stable.folder / 'data' / 'fbtasks.sqlite'}")
    try:
        wait_until(
            lambda: (
                {"raised", "escalated"} <= {alert.event for alert in store.recent_alerts(100) if alert.rule == "lying"}
            ),
            60,
            "alerts by the rules of the camera",
        )
        assert {alert.camera_id for alert in store.recent_alerts(100) if alert.rule == "lying"} == {"box-2"}
    finally:
        store.close()
    assert worker.exit_code is None, worker.tail()
