"""What a comparison found: figures of the design's speed table, tables, and what could not be measured.

What enters: values of rounds. What leaves: the same with medians and verdicts, ready to be shown. Must not: measure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, NamedTuple

Say = Callable[[str], None]  # tells whoever waits what is being done


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, a value for each round. `gate` fails the run, `goal` is the design's: the least that is right, or
    with `at_most` the most."""

    row: str
    name: str
    values: tuple[float, ...]
    goal: float
    gate: float | None = None
    at_most: bool = False

    @property
    def value(self) -> float:
        return median(self.values)

    @property
    def holds(self) -> bool:
        return self.gate is None or self._meets(self.gate)

    @property
    def reached(self) -> bool:
        return self._meets(self.goal)

    def say_bound(self, bound: float | None) -> str:
        return "–" if bound is None else f"{'≤' if self.at_most else '≥'} {bound:,g}"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "value": self.value, "holds": self.holds, "reached": self.reached}

    def _meets(self, bound: float) -> bool:
        return self.value <= bound if self.at_most else self.value >= bound


class Sheet(NamedTuple):
    """A table of texts; the first column names its lines."""

    title: str
    columns: tuple[str, ...]
    lines: Sequence[tuple[str, ...]]


@dataclass(slots=True)
class Findings:
    """Of one row or of all: figures, tables, sentences about them, why a row was not measured, and the raw rounds."""

    figures: list[Figure] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    rounds: dict[str, Any] = field(default_factory=dict)

    def add(self, other: Findings) -> None:
        self.figures += other.figures
        self.sheets += other.sheets
        self.notes += other.notes
        self.missing |= other.missing
        self.rounds |= other.rounds

    def as_json(self) -> dict[str, Any]:
        figures = [figure.as_json() for figure in self.figures]
        return {"figures": figures, "not measured": self.missing, "notes": self.notes, "rounds": self.rounds}


def ratios(ones: Sequence[Any], others: Sequence[Any], value: Callable[[Any], float]) -> tuple[float, ...]:
    """The one by the other, of each pair of rounds that stood side by side."""
    return tuple(value(one) / value(other) for one, other in zip(ones, others, strict=True))


def spread(values: Sequence[float], form: str) -> str:
    """The median, with the lowest and the highest."""
    low, middle, high = (form.format(value) for value in (min(values), median(values), max(values)))
    return middle if low == high else f"{middle} ({low}–{high})"


def number(value: float) -> str:
    """A figure as precise as it is worth: 0.83, 4.2, 51, 1,370."""
    return f"{value:.2f}" if value < 3 else f"{value:.1f}" if value < 30 else f"{value:,.0f}"
