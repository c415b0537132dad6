"""The reports of the processes in a real Redis."""

from collections.abc import Iterator
from pathlib import Path
from time import time

import pytest
from redis import Redis

from fbtasks.health import CameraReport, HealthBoard, Report, report_of
from fbtasks.keys import Keys
from fbtasks.reporter import Reporter
from fbtasks.transport import connect
from tests.processes import Processes
from tests.servers import Valkey
from tests.waiting import wait_until

KEYS = Keys()

pytestmark = pytest.mark.usefixtures("no_immortal_keys")


@pytest.fixture
def redis(valkey: Valkey) -> Iterator[Redis]:
    with connect(valkey.url, timeout_s=1.0) as client:
        yield client


@pytest.fixture
def board(redis: Redis) -> HealthBoard:
    return HealthBoard(redis, KEYS)


def report(now: float = 100.0) -> Report:
    camera = CameraReport(state="running", since=1.0, last_frame_at=None, reason="", decoder="software", frames=3)
    return report_of(
        "producer", now=now, progress_at=99.5, facts={"queue": 3.0}, counters={"sent": 7}, cameras={"box-3": camera}
    )


def test_a_report_is_read_as_it_was_written(board: HealthBoard) -> None:
    board.write(report())
    assert board.read() == [report()]


def test_what_cannot_be_read_counts_as_no_report(board: HealthBoard, redis: Redis) -> None:
    board.write(report())
    redis.set(KEYS.health("gpu:elsewhere:1"), b"\xff{", ex=60)
    redis.set(KEYS.health("gpu:elsewhere:2"), b'{"role": "gpu"}', ex=60)
    assert board.read() == [report()]


def test_a_report_of_a_later_build_with_more_in_it_is_read(board: HealthBoard, redis: Redis) -> None:
    board.write(report())
    (key,) = redis.scan_iter()
    stored = redis.get(key)
    assert isinstance(stored, bytes)
    redis.set(key, b'{"mood":"good",' + stored[1:], ex=60)
    assert board.read() == [report()]


def test_an_orderly_end_takes_the_report_away(board: HealthBoard) -> None:
    with Reporter(board, lambda: report(time())):
        wait_until(board.read, message="the first report")
    assert board.read() == []


def test_after_an_error_the_last_report_stays(board: HealthBoard) -> None:
    def fail() -> None:
        with Reporter(board, lambda: report(time())):
            wait_until(board.read, message="the first report")
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert len(board.read()) == 1


def test_reports_go_on_after_redis_was_away(
    board: HealthBoard, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fbtasks.reporter.REPORT_EVERY_S", 0.05)
    with Reporter(board, lambda: report(time())):
        wait_until(board.read, message="the first report")
        valkey.restart()
        wait_until(board.read, message="a report after the restart")


def test_celery_that_ends_in_order_leaves_the_board(
    board: HealthBoard, valkey: Valkey, processes: Processes, tmp_path: Path
) -> None:
    env = {"FBTASKS_REDIS_URL": valkey.url, "FBTASKS_DATA_DIR": str(tmp_path)}
    argv = ("-Q", "logic", "--without-gossip", "--without-mingle", "--concurrency=1")
    worker = processes.start("celery", "-A", "fbtasks", "worker", *argv, env=env, name="worker")
    beat = processes.start("celery", "-A", "fbtasks", "beat", "--pidfile=", env=env, name="beat")

    def roles() -> set[str]:
        return {one.role for one in board.read()}

    wait_until(lambda: roles() == {"logic", "beat"}, 60, "both reports")
    assert beat.terminate(20) == 0
    assert roles() == {"logic"}
    assert worker.terminate(20) == 0
    assert roles() == set()
