"""Draws a comparison: `python -m benchmarks.peers.plot FIGURES.json PICTURE.svg`, in the peers' environment."""

import json
import sys
from pathlib import Path

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

_OWN, _OTHER = "#1b6e53", "#9aa5a1"


def main() -> None:
    """Frames per second, those within a limit, and latency; ours in another colour."""
    told = json.loads(Path(sys.argv[1]).read_text())
    rows = sorted(told["servers"].items(), key=lambda row: row[1]["fps"])
    names = [name for name, _ in rows]
    colours = [_OWN if name == "fbtasks" else _OTHER for name in names]
    figure = Figure(figsize=(12, 2.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3, sharey=True)
    fps = [row["fps"] for _, row in rows]
    low, high = ([abs(row["fps"] - row[end]) for _, row in rows] for end in ("fps_least", "fps_most"))
    left.barh(names, fps, xerr=[low, high], color=colours, capsize=2)
    left.set_xlabel(f"frames/s, {told['cameras']} cameras that wait for their answers")
    middle.barh(names, [row["within_fps"] for _, row in rows], color=colours)
    middle.set_xlabel(f"frames/s, 95 of 100 answered within {told['within_ms']:g} ms")
    latency = [row["p99_ms"] or 0.0 for _, row in rows]
    right.barh(names, latency, color=colours)
    for place, (_, row) in enumerate(rows):
        if row["p99_ms"] is None:
            right.annotate(" cannot hold it", (0, place), va="center")
    right.set_xlabel(f"p99 latency, ms, at {told['load_fps']:.0f} frames/s")
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{told['engine']}, medians of {told['rounds']} rounds, whiskers: least and most", fontsize=9)
    FigureCanvasSVG(figure).print_svg(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()
