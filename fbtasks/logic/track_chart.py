"""What the pipeline believed of each track, through time, and a picture of it."""

from collections.abc import Sequence
from datetime import datetime
from xml.sax.saxutils import escape

import msgspec

from fbtasks.alert import SEVERITIES, Alert
from fbtasks.logic.localtime import Zone
from fbtasks.logic.pipeline import Decision, TrackView
from fbtasks.logic.smoother import MAX_GAP_S, PostureName

WIDTH, GUTTER, MARGIN = 1200, 130, 16
HEAD, TITLE, LANE, BAND, SPEED = 64, 26, 44, 12, 20
COLUMNS = 1000
"""Speeds are drawn as the highest of each of so many pieces of the picture's width."""
FULL_SPEED_BL_S = 2.0
"""Body lengths per second at the top of a row; more is cut."""
APART_S = 5.0
"""Tracks share a row when the one begins at least so long after the other has ended."""
STEPS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800)
MOST_TICKS = 13
STYLE = """
:root { color-scheme: light dark; --back: #ffffff; --ink: #1f2933; --faint: #6b7280; --line: #e2e5e9;
  --standing: #7fb8a4; --lying: #4c72b0; --person: #b6a3cf; --speed: #9aa3ad;
  --note: #6b7280; --info: #2f7fd0; --warning: #c77700; --critical: #c62828; }
@media (prefers-color-scheme: dark) { :root { --back: #14181d; --ink: #e6e9ec; --faint: #98a1ab; --line: #2b3138;
  --standing: #4f8f7c; --lying: #6f9be0; --person: #8672a8; --speed: #6c7681;
  --note: #98a1ab; --info: #62a8ee; --warning: #f0a63a; --critical: #ff6b63; } }
text { font: 12px system-ui, "Segoe UI", Roboto, sans-serif; fill: var(--ink); }
.faint { fill: var(--faint); } .camera { font-weight: 600; font-size: 13px; } .back { fill: var(--back); }
.tick { stroke: var(--line); } .standing { fill: var(--standing); } .lying { fill: var(--lying); }
.person { fill: var(--person); } .speed { fill: var(--speed); }
.note { fill: var(--note); stroke: var(--note); } .info { fill: var(--info); stroke: var(--info); }
.warning { fill: var(--warning); stroke: var(--warning); }
.critical { fill: var(--critical); stroke: var(--critical); } .mark { stroke-width: 1.5; }
.cleared { fill: var(--back); }
"""


class Band(msgspec.Struct):
    """A time in which one track was seen without a gap and its posture did not change; unix seconds."""

    begin: float
    end: float
    posture: PostureName


class Line(msgspec.Struct):
    """One track through time.

    Attributes:
        bands: in order; between two there is a gap, or the posture changes.
        speeds: the highest of each second, body lengths per second, by the second's unix time.
    """

    kind: str
    bands: list[Band] = []
    speeds: dict[int, float] = {}

    @property
    def begin(self) -> float:
        """When the track was first seen."""
        return self.bands[0].begin

    @property
    def end(self) -> float:
        """When the track was last seen."""
        return self.bands[-1].end


class TrackChart(msgspec.Struct):
    """All tracks of one camera."""

    camera_id: str
    lines: dict[int, Line] = {}

    def add(self, decision: Decision) -> None:
        """Go on by one decision, later than the one before."""
        for view in decision.tracks:
            line = self.lines.setdefault(view.id, Line(view.kind))
            _extend(line.bands, view, decision.captured_at)
            if view.speed_bl_s is not None:
                second = int(decision.captured_at)
                line.speeds[second] = max(view.speed_bl_s, line.speeds.get(second, 0.0))

    def rows(self) -> list[list[tuple[int, Line]]]:
        """The tracks, those that follow one another in one row: a horse that is lost and found is mostly one row."""
        rows: list[list[tuple[int, Line]]] = []
        for track_id, line in sorted(self.lines.items(), key=lambda item: item[1].begin):
            for row in rows:
                last = row[-1][1]
                if last.kind == line.kind and line.begin >= last.end + APART_S:
                    row.append((track_id, line))
                    break
            else:
                rows.append([(track_id, line)])
        return rows


def _extend(bands: list[Band], view: TrackView, at: float) -> None:
    """A picture speaks for the time since the one before, unless that is too long ago."""
    last = bands[-1] if bands else None
    if last is None or at - last.end > MAX_GAP_S or at < last.end:
        bands.append(Band(at, at, view.posture))
    elif last.posture == view.posture:
        last.end = at
    else:
        bands.append(Band(last.end, at, view.posture))


def svg(charts: Sequence[TrackChart], alerts: Sequence[Alert], zone: Zone) -> str:
    """The picture: for each camera its rows of tracks with posture, speed and alerts; unknown is left empty.

    It brings its colours for light and dark, and as titles the words of each alert.
    """
    told = {alert.camera_id for alert in alerts}
    shown = [chart for chart in charts if chart.lines or chart.camera_id in told]
    times = [at for chart in shown for line in chart.lines.values() for at in (line.begin, line.end)]
    times += [alert.at for alert in alerts]
    if not times:
        return _document(HEAD, [_text(MARGIN, 24, "Nothing was seen", "faint")])
    axis = _Axis(min(times), max(times), zone)
    top = float(HEAD)
    body: list[str] = []
    for chart in shown:
        mine = [alert for alert in alerts if alert.camera_id == chart.camera_id]
        pieces, top = _camera(chart, mine, axis, top)
        body += pieces
    return _document(top + MARGIN, [*_legend(), *axis.ticks(top), *body])


class _Axis:
    """Where a time lies in the picture, from `begin` to `end` (unix seconds)."""

    def __init__(self, begin: float, end: float, zone: Zone) -> None:
        self.begin = begin
        self.length = max(1.0, end - begin)
        self.zone = zone

    def x(self, at: float) -> float:
        return GUTTER + (at - self.begin) / self.length * (WIDTH - GUTTER - MARGIN)

    def ticks(self, bottom: float) -> list[str]:
        step = next((step for step in STEPS_S if self.length / step <= MOST_TICKS), STEPS_S[-1])
        offset = datetime.fromtimestamp(self.begin, self.zone).astimezone(self.zone).utcoffset()
        shift = offset.total_seconds() if offset else 0.0
        first = -int(-(self.begin + shift) // step) * step - shift
        times = [first + number * step for number in range(int((self.begin + self.length - first) / step) + 1)]
        first_day = f"{datetime.fromtimestamp(self.begin, self.zone):%d %B %Y}"
        return [_text(MARGIN, HEAD - 14, first_day), *(piece for at in times for piece in self._tick(at, step, bottom))]

    def _tick(self, at: float, step: int, bottom: float) -> list[str]:
        local, x = datetime.fromtimestamp(at, self.zone), self.x(at)
        label = (
            f"{local:%H:%M:%S}" if step < 60 else f"{local:%d %b}" if f"{local:%H%M}" == "0000" else f"{local:%H:%M}"
        )
        line = f'<line class="tick" x1="{x:.1f}" y1="{HEAD - 8}" x2="{x:.1f}" y2="{bottom:.1f}"/>'
        return [line, _text(x, HEAD - 14, label, "faint", anchor="middle")]


def _camera(chart: TrackChart, alerts: list[Alert], axis: _Axis, top: float) -> tuple[list[str], float]:
    """The pieces of one camera, and where they end."""
    pieces = [_text(MARGIN, top + 16, chart.camera_id, "camera")]
    row_of: dict[int | None, float] = {None: top + 6}
    top += TITLE
    for row in chart.rows():
        pieces.append(_text(MARGIN, top + LANE - 8, row[0][1].kind, "faint"))
        for track_id, line in row:
            row_of[track_id] = top
            pieces += _line(track_id, line, axis, top)
        top += LANE
    # What is over first, so that it hides no beginning.
    for alert in sorted(alerts, key=lambda alert: alert.event != "cleared"):
        pieces.append(_mark(alert, axis.x(alert.at), row_of.get(alert.track_id, row_of[None])))
    return pieces, top


def _line(track_id: int, line: Line, axis: _Axis, top: float) -> list[str]:
    y = top + LANE - BAND - 4
    title = f"track {track_id}"
    bands = [
        f'<rect class="{"person" if line.kind == "person" else band.posture}" x="{axis.x(band.begin):.1f}" y="{y}" '
        f'width="{max(0.5, axis.x(band.end) - axis.x(band.begin)):.1f}" height="{BAND}"><title>{title}</title></rect>'
        for band in line.bands
        if line.kind == "person" or band.posture != "unknown"
    ]
    highest: dict[int, float] = {}
    for second, speed in line.speeds.items():
        column = int((second - axis.begin) / axis.length * COLUMNS)
        highest[column] = max(speed, highest.get(column, 0.0))
    wide = (WIDTH - GUTTER - MARGIN) / COLUMNS
    return bands + _speeds(highest, max(wide, 1.0), wide, y)


def _speeds(highest: dict[int, float], width: float, pitch: float, y: float) -> list[str]:
    """One path of upright bars on the band."""
    bars = [
        f"M{GUTTER + column * pitch:.1f} {y - 1}v{-height:.1f}h{width:.1f}v{height:.1f}z"
        for column, speed in sorted(highest.items())
        if (height := min(1.0, speed / FULL_SPEED_BL_S) * SPEED) >= 0.5
    ]
    return [f'<path class="speed" d="{"".join(bars)}"/>'] if bars else []


def _mark(alert: Alert, x: float, top: float) -> str:
    """A triangle that points at the moment: full when it begins or grows worse, hollow when it is over."""
    over = ' cleared"' if alert.event == "cleared" else '"'
    title = escape(f"{alert.severity} {alert.rule} {alert.event}: {alert.message}")
    shape = f"M{x - 5:.1f} {top}h10l-5 9z"
    return f'<path class="mark {alert.severity}{over} d="{shape}"><title>{title}</title></path>'


def _legend() -> list[str]:
    pieces, x = [], float(GUTTER)
    for name, words in (
        ("standing", "standing"),
        ("lying", "lying"),
        ("person", "person"),
        ("speed", "speed, 0 to 2 body lengths/s"),
    ):
        pieces += [f'<rect class="{name}" x="{x}" y="12" width="14" height="10"/>', _text(x + 20, 21, words)]
        x += 40 + 6.5 * len(words)
    for severity in SEVERITIES:
        pieces += [f'<path class="mark {severity}" d="M{x} 12h10l-5 9z"/>', _text(x + 16, 21, severity)]
        x += 32 + 6.5 * len(severity)
    return [
        *pieces,
        f'<path class="mark warning cleared" d="M{x} 12h10l-5 9z"/>',
        _text(x + 16, 21, "over; empty: unknown"),
    ]


def _text(x: float, y: float, words: str, style: str = "", anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _document(height: float, pieces: Sequence[str]) -> str:
    size = f'width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>What was seen, and what was told</title>'
    return "\n".join(
        [head, f"<style>{STYLE}</style>", '<rect class="back" width="100%" height="100%"/>', *pieces, "</svg>\n"]
    )
