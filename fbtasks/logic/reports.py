"""The reports of nights, from what the store holds."""

from collections.abc import Sequence
from datetime import date, timedelta
from time import time

import msgspec
from msgspec.structs import replace

from fbtasks.errors import ConfigError
from fbtasks.logic.localtime import last_over, span_of
from fbtasks.logic.minutes import WHOLE, Minute
from fbtasks.logic.nightly import (
    BASELINE_NIGHTS,
    DAY_S,
    TOGETHER_MIN,
    Report,
    compare,
    figures,
    little_lying_nights,
    told,
    tracks,
)
from fbtasks.logic.replay import Course, courses
from fbtasks.logic.store import Store
from fbtasks.naming import nearest
from fbtasks.settings import Settings


def report_of(settings: Settings, store: Store, camera_id: str, night: date) -> Report:
    """The report of the camera's night that begins on that day, from its minutes and those of the nights before.

    Raises:
        StoreUnavailable: the database is away.
    """
    since, until = span_of(night, settings.report.night, settings.zone)
    days = [night - timedelta(days=number) for number in range(BASELINE_NIGHTS + 1)]
    spans = [span_of(day, settings.report.night, settings.zone) for day in days]
    own = store.minutes_between(camera_id, spans[-1][1] - DAY_S, until, WHOLE)
    # One query for the tracks of this night alone: those of a month are many.
    full = store.minutes_between(camera_id, since, until)
    this = figures([*_within(own, until - DAY_S, since), *full], since, until)
    before = [figures(_within(own, end - DAY_S, end), begin, end) for begin, end in spans[1:]]
    in_a_row = little_lying_nights(this, before)
    comparisons = compare(this, before)
    camera = settings.camera(camera_id)
    return Report(
        camera_id=camera_id,
        horse=camera.horse if camera else "",
        night=night.isoformat(),
        since=since,
        until=until,
        figures=this,
        comparisons=comparisons,
        nights_before=sum(each.counts for each in before),
        little_lying_nights=in_a_row,
        told=told(this, comparisons, in_a_row),
        tracks=tracks(full) if this.together_min >= TOGETHER_MIN else [],
        alerts=_courses(store, camera_id, since, until),
    )


def reports(settings: Settings, store: Store, night: date, cameras: Sequence[str] = ()) -> list[Report]:
    """The reports of that night, as they were written, or made now where none was; of all cameras or of `cameras`.

    Raises:
        ConfigError: one of `cameras` is neither set nor was it watched in that night.
        StoreUnavailable: the database is away.
    """
    written = {
        camera_id: msgspec.convert(plain, Report)
        for camera_id, plain in store.reported_nights(night.isoformat()).items()
    }
    known = {*written, *store.watched_cameras(*span_of(night, settings.report.night, settings.zone))}
    named = known | {camera.id for camera in settings.cameras}
    unknown = set(cameras) - named
    if unknown:
        name = min(unknown)
        raise ConfigError(f"camera {name!r} is neither set nor was it watched in that night{nearest(name, named)}")
    return [
        written.get(camera_id) or report_of(settings, store, camera_id, night) for camera_id in sorted(cameras or known)
    ]


def write_last(settings: Settings, store: Store, now: float) -> list[str]:
    """Write the reports of the last night that is over at `now` (unix seconds), those that are not written yet.

    Returns:
        The cameras whose reports were written.

    Raises:
        StoreUnavailable: the database is away; those before are written.
    """
    night = last_over(now, settings.report.night, settings.zone)
    done = store.reported_nights(night.isoformat())
    watched = store.watched_cameras(*span_of(night, settings.report.night, settings.zone))
    due = [camera_id for camera_id in watched if camera_id not in done]
    for camera_id in due:
        plain = msgspec.to_builtins(report_of(settings, store, camera_id, night))
        store.record_night(camera_id, night.isoformat(), plain, time())
    return due


def _courses(store: Store, camera_id: str, since: float, until: float) -> list[Course]:
    untold = store.untold_episodes(camera_id)
    found = courses(store.alerts_between(camera_id, since, until))
    return [replace(course, told=str(course.episode_id) not in untold) for course in found]


def _within(minutes: Sequence[Minute], since: float, until: float) -> list[Minute]:
    return [minute for minute in minutes if since <= minute.began_at < until]
