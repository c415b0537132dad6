"""A whole stable for tests: settings, two Redis servers, and our commands as a technician would start them."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from redis import Redis

from tests.processes import Process, Processes
from tests.servers import Valkey
from tests.waiting import wait_until

WORKER = ("celery", "-A", "fbtasks", "worker", "-Q", "logic", "--without-gossip", "--without-mingle", "--concurrency=2")
COMMANDS: dict[str, tuple[str, ...]] = {
    "worker": (*WORKER, "--loglevel=INFO"),
    "beat": ("celery", "-A", "fbtasks", "beat", "--pidfile="),
    "infer": ("fbtasks", "infer"),
    "produce": ("fbtasks", "produce"),
}
WATCH = ("fbtasks", "check", "--watch")
"""Outside of the pipeline; runs only where a test starts it."""
READY = {"worker": "celery@", "infer": "ready:", "produce": "reading", "beat": "beat", "watch": "watching"}
START_S = 60.0


class Stable:
    """One site. Nothing runs until `start`."""

    def __init__(self, folder: Path, state: Valkey, frames: Valkey, processes: Processes) -> None:
        self.folder = folder
        self.state = state
        self.frames = frames
        self._processes = processes
        self._sections: list[str] = []
        self.env = {
            "FBTASKS_CONFIG": str(folder / "fbtasks.toml"),
            "FBTASKS_REDIS_URL": state.url,
            "FBTASKS_FRAMES_REDIS_URL": frames.url,
            "FBTASKS_DATA_DIR": str(folder / "data"),
        }

    def settings(self, *sections: str) -> None:
        """Write the settings file from these pieces of TOML, in their order."""
        (self.folder / "fbtasks.toml").write_text("\n".join(sections))

    def start(self, name: str) -> Process:
        """Start one of `COMMANDS`, or `watch`, and wait until it says that it is ready."""
        process = self._processes.start(*COMMANDS.get(name, WATCH), env=self.env, name=name)
        wait_until(
            lambda: READY[name] in process.output() or process.exit_code is not None, START_S, f"{name} to be ready"
        )
        assert process.exit_code is None, process.tail()
        return process

    def start_all(self) -> dict[str, Process]:
        """Start every command, the consumers first."""
        return {name: self.start(name) for name in COMMANDS}

    def run(self, *argv: str, timeout_s: float = 60.0) -> Process:
        """Run a command of ours to its end."""
        process = self._processes.start(*argv, env=self.env)
        process.wait(timeout_s)
        return process


class Listener:
    """Hears every decision of the logic, by camera, in the order in which they were told."""

    def __init__(self, redis: Redis, channel: str = "decisions") -> None:
        self._pubsub = redis.pubsub(ignore_subscribe_messages=True)
        self._pubsub.subscribe(channel)
        self.decisions: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def hear(self) -> dict[str, list[dict[str, Any]]]:
        """All decisions so far."""
        while (message := self._pubsub.get_message(timeout=0.01)) is not None:
            decision = json.loads(message["data"])
            self.decisions[decision["camera_id"]].append(decision)
        return self.decisions

    def close(self) -> None:
        """Stop listening."""
        self._pubsub.close()


def camera(camera_id: str, url: str, more: str = "") -> str:
    """The TOML of one camera."""
    return f'[[cameras]]\nid = "{camera_id}"\nurl = "{url}"\n{more}'
