"""A producer is told at run time what to read."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from fbtasks.camera_history import CameraHistory
from fbtasks.keys import Keys
from fbtasks.producer.daemon import ProducerDaemon
from fbtasks.settings import CameraSettings, RedisUrl, Settings
from tests.conftest import LoopedClip
from tests.rtsp_server import RtspServer
from tests.servers import Valkey
from tests.waiting import wait_until

PATIENCE_S = 60.0


@contextmanager
def running(settings: Settings) -> Iterator[ProducerDaemon]:
    """A producer in this process, its readers in theirs."""
    daemon = ProducerDaemon(settings)
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        yield daemon
    finally:
        daemon.stop()
        thread.join(20)
        assert not thread.is_alive()


def states(daemon: ProducerDaemon) -> dict[str, str]:
    return {camera_id: camera.state for camera_id, camera in daemon.report().cameras.items()}


def test_cameras_come_go_and_change_and_the_others_are_not_disturbed(
    rtsp_server: RtspServer, looped_clip: LoopedClip, valkey: Valkey, tmp_path: Path
) -> None:
    clip = looped_clip("horse_paddock_360p30", 300)
    urls = {name: rtsp_server.serve(name, clip) for name in ("a", "b", "c")}

    def camera(name: str, **more: object) -> CameraSettings:
        return CameraSettings(id=name, url=SecretStr(urls[name]), **more)

    redis_url: RedisUrl = SecretStr(valkey.url)
    with running(Settings(redis_url=redis_url, data_dir=tmp_path, cameras=[camera("a")])) as daemon:
        wait_until(lambda: states(daemon) == {"a": "running"}, PATIENCE_S, "a to run")
        since = daemon.report().cameras["a"].since

        daemon.assign([camera("a", horse="Bella"), camera("b"), camera("c", enabled=False)])
        wanted = {"a": "running", "b": "running", "c": "disabled"}
        wait_until(lambda: states(daemon) == wanted, PATIENCE_S, "b to run beside it")
        assert daemon.report().cameras["a"].since == since, "what does not concern the stream disturbs nothing"

        before = daemon.report().cameras["b"].since
        daemon.assign([camera("a"), camera("b", fps=2.0), camera("c")])
        wait_until(lambda: set(states(daemon).values()) == {"running"}, PATIENCE_S, "c to run")
        wait_until(lambda: daemon.report().cameras["b"].since > before, PATIENCE_S, "b to be read anew")
        assert daemon.report().cameras["a"].since == since

        read = daemon.report().counters["frames_read"]
        daemon.assign([])
        wait_until(lambda: not daemon.report().cameras, PATIENCE_S, "nothing to be read")
        assert daemon.report().counters["frames_read"] >= read, "totals never fall"
        daemon.assign([camera("a")])
        wait_until(lambda: states(daemon) == {"a": "running"}, PATIENCE_S, "a to run again")

    with valkey.client() as client:
        changes = [change for _, change in CameraHistory(client, Keys()).peek(100) if change is not None]
    # Once, where it was wanted again before its process had heard that it was not.
    assert {change.state for change in changes if change.camera_id == "a"} == {"running"}
    assert [change.state for change in changes if change.camera_id == "c"] == ["disabled", "running"]
