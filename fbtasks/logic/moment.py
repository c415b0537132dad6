"""What the deciding picture adds to the evidence of an alert: where the animal was, and how late each stage was."""

from collections.abc import Mapping

from fbtasks.alert import Alert
from fbtasks.logic.motion import Corners
from fbtasks.wire import Result

SEEN_AS = "seen_as_track"
"""Which track the animal is now; an episode keeps the number of the one that it began with."""
BOX = ("box_left", "box_top", "box_right", "box_bottom")
"""Where the animal was, source pixels."""
STAGES = ("capture_to_push_ms", "push_to_take_ms", "take_to_inferred_ms")
"""As `fbtasks top` tells them. Where the stages run on several machines, their clocks' differences are in it."""
LAST_STAGE = "inferred_to_decided_ms"


def at_moment(alert: Alert, result: Result, boxes: Mapping[int, Corners]) -> Alert:
    """The alert that `result` brought about, with the facts of that moment.

    Args:
        boxes: where each track is in the picture, source pixels.
    """
    times = (result.captured_at, result.sent_at, result.taken_at, result.inferred_at)
    facts = {stage: _ms(end - begin) for stage, begin, end in zip(STAGES, times, times[1:], strict=False)}
    box = next((box for track_id, box in boxes.items() if track_id == alert.evidence.get(SEEN_AS)), None)
    if box is not None:
        facts |= {name: round(side, 1) for name, side in zip(BOX, box, strict=True)}
    return alert.model_copy(update={"evidence": alert.evidence | facts})


def place_in(alert: Alert) -> Corners | None:
    """Where the animal was, as `at_moment` noted it; None when it did not."""
    left, top, right, bottom = [
        side if isinstance(side := alert.evidence.get(name), int | float) else None for name in BOX
    ]
    if left is None or top is None or right is None or bottom is None:
        return None
    return left, top, right, bottom


def decided(alert: Alert, at: float) -> Alert:
    """The alert with its last stage, when its commit was made at `at` (unix seconds of Redis)."""
    before = [alert.evidence.get(stage) for stage in STAGES]
    known = [ms for ms in before if isinstance(ms, int | float)]
    if len(known) < len(STAGES):
        return alert
    return alert.model_copy(update={"evidence": alert.evidence | {LAST_STAGE: _ms(at - alert.at - sum(known) / 1000)}})


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
