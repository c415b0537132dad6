"""What beat has done once a night and now and then, in a real Celery worker."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time

from celery import Celery

from fbtasks.logic.localtime import last_over, span_of
from fbtasks.logic.minutes import WHOLE, Account, Minute
from fbtasks.logic.store import open_store
from tests.acceptance.stable import Stable
from tests.conftest import ValkeyFactory
from tests.processes import Processes
from tests.waiting import wait_until

BOX = "box-3"


def test_the_last_night_is_reported_and_old_minutes_go(
    tmp_path: Path, valkey_factory: ValkeyFactory, processes: Processes
) -> None:
    server = valkey_factory()
    stable = Stable(tmp_path, server, server, processes)
    # A night that has been over for three hours and no other since, whatever the time is.
    ended = datetime.now(UTC).astimezone() - timedelta(hours=3)
    hours = f"{ended - timedelta(hours=10):%H}:00-{ended:%H}:00"
    stable.settings("[metrics]", "keep_days = 30", "[report]", f'night = "{hours}"')
    night = last_over(time(), hours, None)
    begin, end = (int(at) for at in span_of(night, hours, None))
    slept = [Minute(BOX, at, {WHOLE: Account("camera", lying_s=60.0)}) for at in range(begin, end, 60)]
    old = [Minute(BOX, at, {WHOLE: Account("camera")}) for at in range(begin - 40 * 86_400, begin - 39 * 86_400, 60)]
    with closing(open_store(f"sqlite:///{tmp_path / 'data' / 'fbtasks.sqlite'}")) as store:
        store.migrate()
        store.record_minutes([*old, *slept])
        stable.start("worker")
        client = Celery(broker=server.url)
        for task in ("fbtasks.report_night", "fbtasks.forget", "fbtasks.report_night"):
            client.send_task(task, queue="logic")
        wait_until(lambda: store.reported_nights(night.isoformat()), 60, "the report")
        wait_until(lambda: len(store.minutes_between(BOX, 0, end)) == len(slept), 60, "the old minutes to go")
        report = store.reported_nights(night.isoformat())[BOX]
        assert report["figures"]["lying_s"] == 60.0 * len(slept)
        assert (report["since"], report["until"]) == (begin, end)
