"""`fbtasks demo`: the whole pipeline on the simulated stable, on any machine, without a network."""

import json
import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread, Timer
from time import monotonic

import click
import msgspec
from redis import Redis

from fbtasks import logs
from fbtasks.alert import Alert
from fbtasks.cli import up
from fbtasks.cli.sim.options import need_pyav
from fbtasks.cli.wording import alert_line, line
from fbtasks.embedded import LOOPBACK, port_or_free, url
from fbtasks.keys import Keys
from fbtasks.lifecycle import on_stop
from fbtasks.logic.pipeline import Decision
from fbtasks.logic.posture import subject
from fbtasks.settings import CONFIG_VARIABLE, ENV_PREFIX, Settings, load_settings
from fbtasks.supervisor import Child
from fbtasks.transport import REDIS_AWAY, connect

CAMERAS = ("box-1", "box-2", "box-3", "paddock")
"""Scenarios that come with the package, told in their comments."""
CAMERAS_START_S = 60.0
"""A slow, busy machine may take so long to lay out the scenes."""

INTRODUCTION = """\
Four cameras in a simulated stable, over real RTSP. In box-1 the horse lies down and stays down; in the paddock one
bolts; in box-2 it is night and somebody comes in; in box-3 the camera dies. The model was trained on such drawings: it
is made for them, not for real horses. The rules count seconds here where a stable counts minutes. The story takes five
minutes and begins again. Ctrl-C ends it.
"""

SETTINGS = """\
data_dir = {data_dir}

[log]
level = "{level}"

[up]
state_port = {state_port}
frames_port = {frames_port}
flower_port = 0

[gpu]
model = {model}
provider = "cpu"
"""

RULES = """
[rules.lying]
info_after_s = 20
warning_after_s = 60
critical_after_s = false
clear_after_s = 4
cooldown_s = 0

[rules.too_fast]
clear_after_s = 5
cooldown_s = 0

[rules.person]
allowed = []
for_s = 8
clear_after_s = 8
cooldown_s = 0

[rules.camera_blind]
warning_after_s = 15
critical_after_s = false
clear_after_s = 4
"""

CAMERA = """
[[cameras]]
id = "{camera}"
url = "rtsp://127.0.0.1:{port}/{camera}"
"""


class Narrator(Thread):
    """Tells what the pipeline finds, a line for each camera's first boxes and for each alert, as it happens."""

    def __init__(self, redis: Redis, keys: Keys, stop: Event) -> None:
        super().__init__(name="narrator", daemon=True)
        self._redis = redis
        self._keys = keys
        self._stop_event = stop
        self._began = monotonic()
        self._watched: set[str] = set()

    def run(self) -> None:
        """Until the event is set; waits for Redis as long as it is not there."""
        while not self._stop_event.is_set():
            try:
                self._listen()
            except REDIS_AWAY:
                self._stop_event.wait(0.2)

    def _listen(self) -> None:
        with self._redis.pubsub(ignore_subscribe_messages=True) as channels:
            channels.subscribe(self._keys.decisions_channel, self._keys.alerts_channel)
            while not self._stop_event.is_set():
                message = channels.get_message(timeout=0.5)
                if message is None:
                    continue
                if message["channel"].decode() == self._keys.alerts_channel:
                    self._tell_alert(Alert.model_validate_json(message["data"]))
                else:
                    self._tell_first(msgspec.json.decode(message["data"], type=Decision))

    def _tell_first(self, decision: Decision) -> None:
        camera_id = decision.camera_id
        if camera_id in self._watched or not decision.tracks:
            return
        self._watched.add(camera_id)
        after = monotonic() - self._began
        seen = subject(decision.tracks[0].class_name)
        message = f"A {seen} is in view, {after:.0f} s after the start"
        click.echo(line(decision.captured_at, camera_id, "seen", message))

    def _tell_alert(self, alert: Alert) -> None:
        click.echo(alert_line(alert))


def write_settings(folder: Path, camera_port: int, *, verbose: bool) -> Settings:
    """Write the demonstration's settings file into `folder`; returns the settings."""
    from fbtasks.sim import DEMO_MODEL

    text = SETTINGS.format(
        data_dir=_quoted(folder / "data"),
        model=_quoted(DEMO_MODEL),
        level="INFO" if verbose else "WARNING",
        state_port=port_or_free(0, "up.state_port"),
        frames_port=port_or_free(0, "up.frames_port"),
    )
    text += RULES + "".join(CAMERA.format(camera=camera, port=camera_port) for camera in CAMERAS)
    file = folder / "fbtasks.toml"
    file.write_text(text, encoding="utf-8")
    _leave_own_settings_aside(file)
    return load_settings(file)


def _leave_own_settings_aside(file: Path) -> None:
    """The demonstration shows the same everywhere, whatever this machine's user has set for the daily work."""
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        del os.environ[name]
    os.environ[CONFIG_VARIABLE] = str(file)
    # Celery warns root at length, and containers run as root; here nothing but the demonstration's own is in reach.
    os.environ["PYTHONWARNINGS"] = "ignore:You're running the worker with superuser privileges"


def _quoted(path: Path) -> str:
    """The path as a TOML string."""
    return json.dumps(str(path), ensure_ascii=False)


def _cameras(port: int) -> Child:
    """The process that plays the scenarios, and says where each can be watched."""
    argv = [up.executable("fbtasks"), "sim", "serve", "--port", str(port), *CAMERAS]
    return Child("cameras", argv, ready=lambda: _listens(port), ready_s=CAMERAS_START_S, stop_s=5.0)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def show(folder: Path, stop: Event, *, verbose: bool) -> None:
    """Run the demonstration in `folder` until `stop`."""
    port = port_or_free(0, "the cameras' port")
    settings = write_settings(folder, port, verbose=verbose)
    logs.configure("demo", settings.log.level)
    client = connect(url(settings.up.state_port), settings.redis.timeout_s)
    narrator = Narrator(client, Keys(settings.redis.prefix), stop)
    try:
        click.echo(INTRODUCTION)
        narrator.start()
        up.run(settings, stop, _cameras(port))
    finally:
        stop.set()
        narrator.join()
        client.close()


@click.command(name="demo")
@click.option("--seconds", type=click.FloatRange(min=1), help="End after so long; default: run until Ctrl-C.")
@click.option("--verbose", is_flag=True, help="Show the processes' logs too.")
def command(seconds: float | None, verbose: bool) -> None:
    """Watch a simulated stable through the whole pipeline and tell every alert. Leaves nothing behind."""
    need_pyav()
    stop = Event()
    with on_stop(stop.set), TemporaryDirectory(prefix="fbtasks-demo-") as folder:
        if seconds is not None:
            timer = Timer(seconds, stop.set)
            timer.daemon = True
            timer.start()
        show(Path(folder), stop, verbose=verbose)
