"""A site with a prefix: its keys, Celery's among them, all begin with it."""

from pathlib import Path

from fbtasks.keys import Keys
from fbtasks.mailbox import Mailboxes
from fbtasks.wire import encode
from tests.processes import Processes
from tests.results import result
from tests.servers import Valkey, immortal_keys
from tests.waiting import wait_until

PREFIX = "{stable-7}:"
WORKER = ("worker", "-Q", "logic", "--without-gossip", "--without-mingle", "--concurrency=1")


def test_beat_and_worker_find_each_other_under_the_prefix(valkey: Valkey, processes: Processes, tmp_path: Path) -> None:
    """The results of a camera that nobody was woken for are decided: swept by beat, sent, and done by the worker."""
    env = {
        "FBTASKS_REDIS_URL": valkey.url,
        "FBTASKS_REDIS__PREFIX": PREFIX,
        "FBTASKS_DATA_DIR": str(tmp_path / "not" / "made" / "yet"),
    }
    keys = Keys(PREFIX)
    with valkey.client() as redis:
        mailboxes = Mailboxes(redis, keys, length=10)
        mailboxes.push({"box-3": [encode(result(0.0, []))]})
        redis.delete(keys.camera("box-3").owner)
        worker = processes.start("celery", "-A", "fbtasks", *WORKER, env=env, name="worker")
        beat = processes.start("celery", "-A", "fbtasks", "beat", "--pidfile=", env=env, name="beat")
        wait_until(lambda: mailboxes.waiting() == 0, 60, "beat and the worker to deal with the camera")
        names = [name.decode() for name in redis.scan_iter()]
        assert [name for name in names if not name.startswith(PREFIX)] == []
        assert immortal_keys(redis, PREFIX) == []
    assert beat.terminate(10) == 0
    assert worker.terminate(10) == 0


def test_a_worker_whose_rules_are_wrong_does_not_start(valkey: Valkey, processes: Processes) -> None:
    env = {"FBTASKS_REDIS_URL": valkey.url, "FBTASKS_RULES__LYNG": "{}"}
    worker = processes.start("celery", "-A", "fbtasks", *WORKER, env=env, name="worker")
    assert worker.wait(60) == 1
    assert "fbtasks: rules.lyng: unknown rule (did you mean 'lying'?)" in worker.output()
    assert "Traceback" not in worker.output()
