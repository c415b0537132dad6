"""How one horse or person moves: a row of figures for every moment, with straight lines between them.

A `Motion` is read at any time, in any order. A `Mover` writes one, from the beginning on, out of a few movements: stay,
change slowly, turn on the spot, go along a way. None of them jumps, and a way is gone no faster than its turns allow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Spans = list[tuple[float, float]]

CHANNELS = ("x", "y", "heading", "down", "roll", "head", "strides", "pace", "effort", "speed")
"""As in `stage`; effort is the thrashing of a horse and the stoop of a person, speed is that of its way."""
INDEX = {name: index for index, name in enumerate(CHANNELS)}
STEP_S = 0.1
"""A curve is drawn in straight pieces of so many seconds."""
STEP_M = 0.1
LEAST_POINTS = 9
"""Of a way, however short: it begins and ends at rest, so that it has its speed between."""
EVENED = 7
TURN_MIN_S = 0.4
FASTEST_TURN_RAD_S = 4.5
"""Of the heading, on a way with a kink in it."""
TURN_PACE = 0.2
SIDEWAYS_M_S2 = 6.0
"""Acceleration that a galloping horse bears in a turn, about 0.6 of gravity. Ours."""


@dataclass(frozen=True, slots=True)
class Gait:
    """How legs go with speed: at `speeds` in metres per second, their reach and the length of a stride in metres."""

    speeds: tuple[float, ...]
    paces: tuple[float, ...]
    strides: tuple[float, ...]

    def pace(self, speed: Floats) -> Floats:
        return np.interp(speed, self.speeds, self.paces)

    def stride(self, speed: Floats) -> Floats:
        return np.interp(speed, self.speeds, self.strides)


@dataclass(frozen=True, slots=True)
class Motion:
    """The whole movement.

    Attributes:
        times: float64 `[n]`, rising, seconds.
        rows: float64 `[n, channels]`, see `CHANNELS`.
    """

    times: Floats
    rows: Floats

    def at(self, t: float) -> Floats:
        """The row at `t`; before the first and after the last time, those."""
        after = int(np.searchsorted(self.times, t, side="right"))
        if after == 0 or after == len(self.times):
            end_row: Floats = self.rows[min(after, len(self.times) - 1)]
            return end_row
        start, end = self.times[after - 1], self.times[after]
        share = (t - start) / (end - start)
        row: Floats = self.rows[after - 1] * (1 - share) + self.rows[after] * share
        return row

    def spans(self, channel: str, least: float) -> Spans:
        """When the channel is at `least` or more, from the first to the last such moment of each time."""
        values = self.rows[:, INDEX[channel]] - least
        spans: Spans = []
        since = float(self.times[0]) if values[0] >= 0 else None
        for index in np.flatnonzero((values[1:] >= 0) != (values[:-1] >= 0)).tolist():
            before, after = values[index], values[index + 1]
            crossed = float(self.times[index] + (self.times[index + 1] - self.times[index]) * before / (before - after))
            if since is None:
                since = crossed
            else:
                spans.append((since, crossed))
                since = None
        if since is not None:
            spans.append((since, float(self.times[-1])))
        return spans


class Mover:
    """Writes a motion from the beginning on."""

    def __init__(self, gait: Gait, **first: float) -> None:
        row = np.zeros(len(CHANNELS))
        for name, value in first.items():
            row[INDEX[name]] = value
        self._gait = gait
        self._times: list[Floats] = [np.zeros(1)]
        self._rows: list[Floats] = [row[None]]
        self._row = row
        self.now = 0.0

    def __getitem__(self, channel: str) -> float:
        return float(self._row[INDEX[channel]])

    def motion(self) -> Motion:
        return Motion(np.concatenate(self._times), np.concatenate(self._rows))

    def stay(self, until: float) -> Self:
        """Change nothing until then; does nothing when it is later already."""
        if until > self.now:
            self._append(np.array([until - self.now]), self._row[None].copy())
        return self

    def change(self, seconds: float, **targets: float) -> Self:
        """Let channels come to `targets` smoothly."""
        if seconds <= 0:
            return self
        shares = _smooth(_pieces(seconds, STEP_S))
        rows = np.repeat(self._row[None], len(shares), axis=0)
        for name, target in targets.items():
            rows[:, INDEX[name]] += shares * (target - rows[:, INDEX[name]])
        self._append(_pieces(seconds, STEP_S) * seconds, rows)
        return self

    def turn(self, heading: float, rate: float) -> Self:
        """Turn on the spot, the shorter way, by `rate` radians per second at most."""
        angle = _shorter(heading - self["heading"])
        if abs(angle) < 1e-6:
            return self
        seconds = turning_s(angle, rate)
        times = _pieces(seconds, STEP_S)
        rows = np.repeat(self._row[None], len(times), axis=0)
        rows[:, INDEX["heading"]] += _smooth(times) * angle
        rows[:, INDEX["strides"]] += times * abs(angle) / pi
        rows[:, INDEX["pace"]] = TURN_PACE * np.sin(pi * times)
        self._append(times * seconds, rows)
        return self

    def follow(self, way: Floats, speed: float, hurry: float, until: float | None = None, head: float = 0.65) -> Self:
        """Go along `way`, float64 `[n, 2]` in metres, looking ahead; from standstill to standstill.

        Args:
            way: begins where it stands, and looking along it.
            speed: at most, metres per second.
            hurry: how fast the speed changes, metres per second squared.
            until: stop on the way by then.
            head: where it is carried.
        """
        way = _dense(way)
        if until is not None:
            way = _within(way, speed, hurry, until - self.now)
        if len(way) < 2:
            return self
        times, speeds = _timetable(way, speed, hurry)
        steps = _lengths(way)
        rows = np.repeat(self._row[None], len(way), axis=0)
        rows[:, 0:2] = way
        rows[:, INDEX["heading"]] = self["heading"] + _turns(way, self["heading"])
        between = (speeds[1:] + speeds[:-1]) / 2
        rows[1:, INDEX["strides"]] += np.cumsum(steps / self._gait.stride(between))
        rows[:, INDEX["pace"]] = self._gait.pace(speeds)
        rows[:, INDEX["speed"]] = speeds
        rows[:, INDEX["head"]] += _smooth(np.clip(times, 0, 1)) * (head - self["head"])
        self._append(times[1:], rows[1:])
        return self

    def _append(self, elapsed: Floats, rows: Floats) -> None:
        self._times.append(self.now + elapsed)
        self._rows.append(rows)
        self._row = rows[-1].copy()
        self.now += float(elapsed[-1])


def turning_s(angle: float, rate: float) -> float:
    """Seconds that a turn on the spot takes; the smooth curve is half as fast again in its middle as on average."""
    return max(TURN_MIN_S, 1.5 * abs(_shorter(angle)) / rate)


def going_s(way: Floats, speed: float, hurry: float) -> float:
    """Seconds that `Mover.follow` takes."""
    return float(_timetable(_dense(way), speed, hurry)[0][-1]) if len(way) > 1 else 0.0


def heading_of(step: Sequence[float] | Floats) -> float:
    """Where one looks that goes by `step`, radians."""
    return float(np.arctan2(step[1], step[0]))


def _shorter(angle: float) -> float:
    return (angle + pi) % (2 * pi) - pi


def _pieces(length: float, piece: float) -> Floats:
    """Ends of equal pieces of 1, no longer than `piece` of `length`."""
    count = max(2, int(np.ceil(length / piece)))
    return np.arange(1, count + 1) / count


def _smooth(share: Floats) -> Floats:
    return np.asarray(share * share * (3 - 2 * share))


def _lengths(way: Floats) -> Floats:
    return np.asarray(np.hypot(*np.diff(way, axis=0).T))


def _dense(way: Floats) -> Floats:
    """The same way in even steps of `STEP_M` at most, without standing still."""
    made = np.concatenate([[0.0], np.cumsum(_lengths(way))])
    if made[-1] < 1e-6:
        return way[:1]
    marks = np.linspace(0.0, made[-1], max(LEAST_POINTS, int(np.ceil(made[-1] / STEP_M)) + 1))
    return np.stack([np.interp(marks, made, way[:, 0]), np.interp(marks, made, way[:, 1])], axis=1)


def _turns(way: Floats, heading: float) -> Floats:
    """How far a heading along the way is turned from the first, at each point; unbroken."""
    directions = np.arctan2(np.diff(way[:, 1]), np.diff(way[:, 0]))
    turns = np.unwrap(np.concatenate([[heading], directions]))[1:] - heading
    middle = (turns[1:] + turns[:-1]) / 2
    return np.concatenate([[0.0], middle, turns[-1:]]) if len(turns) > 1 else np.array([0.0, turns[0]])


def _timetable(way: Floats, speed: float, hurry: float) -> tuple[Floats, Floats]:
    """When each point of the way is reached, and how fast: as fast as `speed`, `hurry` and the curves allow.

    With constant acceleration the square of the speed is linear in the way, so that "no faster than could be reached
    from any point before" is a running minimum.
    """
    steps = _lengths(way)
    made = np.concatenate([[0.0], np.cumsum(steps)])
    turns = _turns(way, heading_of(way[1] - way[0]))
    curve = np.abs(_evened(np.gradient(turns, made)))
    limit = np.minimum(speed**2, SIDEWAYS_M_S2 / np.maximum(curve, 1e-9))
    limit[0] = limit[-1] = 0.0
    rising = np.minimum.accumulate(limit - 2 * hurry * made) + 2 * hurry * made
    falling = np.minimum.accumulate((limit + 2 * hurry * made)[::-1])[::-1] - 2 * hurry * made
    speeds = np.sqrt(np.maximum(np.minimum(rising, falling), 0.0))
    going = 2 * steps / np.maximum(speeds[1:] + speeds[:-1], 1e-3)
    times = np.concatenate([[0.0], np.cumsum(np.maximum(going, np.abs(np.diff(turns)) / FASTEST_TURN_RAD_S))])
    return times, speeds


def _evened(values: Floats) -> Floats:
    """Running means: a way of short straight pieces bends at their ends alone, which no animal does."""
    if len(values) < EVENED:
        return values
    padded = np.pad(values, EVENED // 2, mode="edge")
    return np.convolve(padded, np.full(EVENED, 1 / EVENED), mode="valid")


def _within(way: Floats, speed: float, hurry: float, seconds: float) -> Floats:
    """As much of the way, from its beginning, as can be gone in so many seconds."""
    low, high = 1, len(way)
    if going_s(way, speed, hurry) <= seconds:
        return way
    while high - low > 1:
        middle = (low + high) // 2
        if float(_timetable(way[:middle], speed, hurry)[0][-1]) <= seconds:
            low = middle
        else:
            high = middle
    return way[:low]
