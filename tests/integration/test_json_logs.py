"""With `log.format = "json"` all that a process logs is an object a line, Celery's own messages too."""

import json
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.processes import Process, Processes
from tests.servers import Valkey
from tests.waiting import wait_until

WORKER = ("worker", "-Q", "logic", "--without-gossip", "--without-mingle", "--concurrency=1")


def logged(process: Process) -> list[dict[str, Any]]:
    """The lines that are objects; Celery prints its banner beside them."""
    return [json.loads(line) for line in process.output().splitlines() if line.startswith("{")]


def test_the_worker_and_beat_log_objects(valkey: Valkey, processes: Processes, tmp_path: Path) -> None:
    env = {
        "FBTASKS_REDIS_URL": valkey.url,
        "FBTASKS_LOG__FORMAT": "json",
        "FBTASKS_PROMETHEUS__PORT": str(free_port()),
        "FBTASKS_DATA_DIR": str(tmp_path / "data"),
    }
    worker = processes.start("celery", "-A", "fbtasks", *WORKER, env=env, name="worker")
    beat = processes.start("celery", "-A", "fbtasks", "beat", "--pidfile=", env=env, name="beat")
    wait_until(lambda: any(line["message"].endswith("ready.") for line in logged(worker)), 60, "the worker")
    wait_until(lambda: logged(beat), 60, "beat")
    ready = next(line for line in logged(worker) if line["message"].endswith("ready."))
    assert (ready["logger"], ready["role"], ready["level"]) == ("celery.apps.worker", "logic", "INFO")
    assert next(line for line in logged(worker) if "metrics: http" in line["message"])["logger"] == "fbtasks.metrics"
    assert beat.terminate(20) == 0
    assert all(line["role"] == "beat" for line in logged(beat))
