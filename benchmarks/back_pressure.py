"""Back-pressure drawn: what producers send, and what waits, while a GPU worker slows down, goes away and returns.

    python -m benchmarks.back_pressure --svg docs/back-pressure.svg

In simulated time, with the product's own law and pacing (see `tests/overload.py`).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from tests.overload import Producer, Worker, rate, simulate

END_S, STRETCH_S = 300, 2
WIDTH, HEIGHT, LEFT, GAP = 760, 150, 60, 40
COLOURS = ("#1b6ca8", "#c8553d", "#588157")
PHASES = ((0, "all fits"), (60, "half of it fits"), (140, "nobody takes"), (180, "all fits again"))
Points = Sequence[tuple[float, float]]


def capacity(at: float) -> float:
    """Frames per second that the worker runs."""
    return 200.0 if at < 60 or at >= 180 else 60.0 if at < 140 else 0.0


def main() -> None:
    """Simulate, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--svg", type=Path, help="where to write the drawing")
    options = parser.parse_args()
    # The second one starts late, in the middle of the overload, and wants its whole rate at once.
    producers = [Producer([5.0] * 8), Producer([5.0] * 8, starts_at=90.0), Producer([5.0] * 8)]
    lengths = simulate(producers, Worker(capacity), END_S)
    sent = [[(begin, _fps(producer, begin)) for begin in range(0, END_S, STRETCH_S)] for producer in producers]
    print("| seconds | fps per camera, by producer | waiting |\n|---|---|---|")
    for begin in range(0, END_S, 20):
        each = " ".join(f"{_mean(points, begin, begin + 20):.2f}" for points in sent)
        print(f"| {begin} to {begin + 20} | {each} | {_mean(lengths, begin, begin + 20):.1f} |")
    if options.svg:
        options.svg.write_text(_drawing(sent, lengths))


def _fps(producer: Producer, begin: float) -> float:
    """Of its average camera."""
    return sum(rate(times, begin, begin + STRETCH_S) for times in producer.sent) / len(producer.sent)


def _mean(points: Points, begin: float, end: float) -> float:
    values = [value for at, value in points if begin <= at < end]
    return sum(values) / len(values)


def _drawing(sent: Sequence[Points], lengths: Points) -> str:
    box = f"0 0 {LEFT + WIDTH + 20} {2 * HEIGHT + 3 * GAP}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        *_panel(GAP, "frames per second and camera, three producers of 8 cameras", list(sent), 5.0),
        *_panel(2 * GAP + HEIGHT, "frames in the list", [lengths], 256.0),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _panel(top: float, title: str, lines: Sequence[Points], most: float) -> list[str]:
    bottom = top + HEIGHT
    parts = [f'<text x="{LEFT}" y="{top - 8}">{title}</text>']
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * HEIGHT
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{share * most:g}</text>')
        parts.append(f'<path d="M{LEFT} {y}h{WIDTH}" stroke="#ddd"/>')
    for begin, name in PHASES:
        x = LEFT + begin / END_S * WIDTH
        parts.append(f'<path d="M{x:.1f} {top}V{bottom}" stroke="#999" stroke-dasharray="3 3"/>')
        parts.append(f'<text x="{x + 4:.1f}" y="{bottom + 15}" fill="#666">{begin} s: {name}</text>')
    for colour, points in zip(COLOURS, lines, strict=False):
        path = " ".join(
            f"{LEFT + at / END_S * WIDTH:.1f},{bottom - min(1.0, value / most) * HEIGHT:.1f}" for at, value in points
        )
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return parts


if __name__ == "__main__":
    main()
