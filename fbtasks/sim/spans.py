"""Times between a start and an end, in seconds of a story: what is left of them, and how long they are together."""

from collections.abc import Sequence

from fbtasks.sim.motion import Spans


def merged(spans: Spans, gap_s: float) -> Spans:
    """Spans with gaps of no more than `gap_s` between them as one."""
    found: Spans = []
    for start, end in sorted(spans):
        if found and start - found[-1][1] <= gap_s:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def without(spans: Spans, holes: Spans) -> Spans:
    """What is left of the spans outside of the holes."""
    left = sorted(spans)
    for start, end in holes:
        left = [
            piece
            for low, high in left
            for piece in ((low, min(high, start)), (max(low, end), high))
            if piece[1] > piece[0]
        ]
    return left


def reached(spans: Spans, levels_s: Sequence[float], losses: Sequence[float] = ()) -> list[float | None]:
    """When the spans together have lasted as long as each level, rising ones; None where they do not.

    At a loss, what was added up falls back to the last level that was reached: that has been told, and is known.
    """
    found: list[float] = []
    held_s, before = 0.0, 0.0
    for start, end in without(spans, [(loss, loss) for loss in losses]):
        if any(before <= loss <= start for loss in losses):
            held_s = levels_s[len(found) - 1] if found else 0.0
        while len(found) < len(levels_s) and held_s + end - start >= levels_s[len(found)]:
            found.append(start + levels_s[len(found)] - held_s)
        held_s, before = held_s + end - start, end
    return [*found, *[None] * (len(levels_s) - len(found))]


def lasted(spans: Spans) -> float:
    """How long all of them are together, seconds."""
    return sum(end - start for start, end in spans)


def within(spans: Spans, start: float, end: float) -> Spans:
    """What lies of the spans between the two times."""
    return [(max(start, low), min(end, high)) for low, high in spans if low < end and high > start]


def within_any(moments: Sequence[float], start: float, end: float) -> bool:
    """Whether one of the moments lies between the two times."""
    return any(start <= moment <= end for moment in moments)
