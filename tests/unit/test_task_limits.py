"""A task that hangs is killed, whatever it hangs in: it holds a process of the worker."""

import pytest

from fbtasks.celery import LONGEST_TASK_S, SHOW, app, settings
from fbtasks.keys import DELIVERING_TTL_S
from fbtasks.logic import tasks
from fbtasks.settings import Settings


def test_every_task_has_a_limit() -> None:
    assert app.conf.task_time_limit == LONGEST_TASK_S
    assert app.tasks[SHOW].time_limit == tasks.hangs_after_s(settings.sinks)


def test_a_delivery_that_hangs_is_gone_before_its_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = {"kind": "webhook", "url": "http://backend.example/alerts"}
    slow = usual | {"timeout_s": 60}
    site = Settings.model_validate({"sinks": {"backend": usual, "slow": slow}})
    monkeypatch.setattr(tasks, "settings", site)
    assert tasks.hangs_after_s(["backend"]) < DELIVERING_TTL_S
    assert tasks.hangs_after_s(["slow"]) == tasks.hangs_after_s([]) + 120
