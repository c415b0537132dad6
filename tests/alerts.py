"""Alerts made by hand."""

from typing import Any

from fbtasks.alert import Alert, alert_id, episode_id
from fbtasks.logic.moment import LAST_STAGE

STARTED_AT = 1_700_000_000.0


def first_alert(camera_id: str = "box-1", **changes: Any) -> Alert:
    """The alert that a horse in `camera_id` lies, the first of its episode."""
    episode = episode_id(camera_id, "lying", 1, STARTED_AT)
    return Alert(
        id=alert_id(episode, 0),
        episode_id=episode,
        number=0,
        event="raised",
        camera_id=camera_id,
        rule="lying",
        severity="warning",
        track_id=1,
        started_at=STARTED_AT,
        at=STARTED_AT + 60.5,
        message="Liegt, bitte prüfen",
    ).model_copy(update=changes)


def as_decided(stored: Alert) -> Alert:
    """The alert as the pipeline made it, without what is added when it is stored."""
    added = {LAST_STAGE, "no_picture", "picture_after_s"}
    evidence = {name: value for name, value in stored.evidence.items() if name not in added}
    return stored.model_copy(update={"picture": None, "evidence": evidence})
