"""The growth curves as one picture for the docs.

What enters: the points of `growth.py`, as JSON has them. What leaves: an SVG file. Must not: measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from benchmarks.market import USUAL

matplotlib.use("svg")

from matplotlib import pyplot

_CURVES = ("rules", "variants", "workers")
_MEASURES = (("cpu", "CPU µs a page"), ("memory", "MB a worker"), ("load_seconds", "CPU seconds to load"))
_USUAL = {"rules": USUAL.rules, "variants": USUAL.variants, "workers": 1}


def draw_growth(points: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Three curves, one a column: each grows one thing, with the others at their usual size."""
    matplotlib.rcParams.update({"svg.hashsalt": "growth", "svg.fonttype": "none", "font.size": 9})
    figure, axes = pyplot.subplots(len(_MEASURES), len(_CURVES), figsize=(9, 6), sharex="col", sharey="row")
    for column, grown in enumerate(_CURVES):
        others = {name: usual for name, usual in _USUAL.items() if name != grown}
        curve = [point for point in points if all(point[name] == usual for name, usual in others.items())]
        curve.sort(key=lambda point: float(point[grown]))
        for row, (measure, title) in enumerate(_MEASURES):
            one = axes[row][column]
            one.plot([point[grown] for point in curve], [point[measure] for point in curve], "o-", color="#0b6b57")
            one.grid(color="#d5dce1", linewidth=0.5)
            if column == 0:
                one.set_ylabel(title)
        _label_axis(axes[-1][column], grown, [point[grown] for point in curve])
    for (measure, _), (first, *_) in zip(_MEASURES, axes, strict=True):
        first.set_ylim(0, 1.1 * max(point[measure] for point in points))
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None, "Title": "What a page, a worker and a start cost as content grows"})
    pyplot.close(figure)


def _label_axis(axis: Any, grown: str, values: Sequence[int]) -> None:
    axis.set_xlabel(grown)
    if grown != "workers":
        axis.set_xscale("log")
    axis.set_xticks(values, [f"{value:,}" for value in values], fontsize=8)
    axis.minorticks_off()
