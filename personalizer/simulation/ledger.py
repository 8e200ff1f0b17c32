"""The sender's own ledger: who was sent, what they were shown, what they did. It never asks the engine.

What enters: what each simulated person saw and did. What leaves: JSON, and differences from a report's cells. Must not:
read anything that the server wrote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """Where a person is counted: what they saw first, and who the sender knows them to be."""

    page: str
    row: str | None
    arm: str
    icp: str | None
    persona: str | None

    def __str__(self) -> str:
        return (
            f"page {self.page}, row {self.row or 'none'}, arm {self.arm}, "
            f"ICP {self.icp or 'none'}, persona {self.persona or 'none'}"
        )


@dataclass(slots=True)
class Tally:
    """People, those of them that count, their views, and how many reached each goal (once a person and goal)."""

    visitors: int = 0
    units: int = 0
    views: int = 0
    conversions: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        self.visitors += other.visitors
        self.units += other.units
        self.views += other.views
        self.conversions += other.conversions

    def as_json(self, *counts: str) -> dict[str, Any]:
        """The counts of these names, and the conversions."""
        return {**{name: getattr(self, name) for name in counts}, "conversions": _sorted(self.conversions)}


ASIDE = ("unseen", "bots", "internal", "orphans")


@dataclass(slots=True)
class Ledger:
    """Cells of people who may count, and aside of them those who never do.

    `aside` `unseen`: nothing confirmed their view; they are visitors of their cell and no units. `bots` and `internal`
    are in no cell. `orphans` are conversions of strangers. `sent_views` and `sent_conversions` are everything that the
    server accepted, repetitions included.
    """

    cells: dict[Cell, Tally] = field(default_factory=dict)
    aside: dict[str, Tally] = field(default_factory=lambda: {name: Tally() for name in ASIDE})
    sent_views: int = 0
    sent_conversions: Counter[str] = field(default_factory=Counter)

    def count(self, cell: Cell, views: int, goals: Iterable[str]) -> None:
        """One person who counts: first seen in `cell`, `views` of its page, the goals reached."""
        self._cell(cell).add(Tally(1, 1, views, Counter(goals)))

    def leave_out(self, why: str, views: int, goals: Iterable[str], cell: Cell | None = None) -> None:
        """One person who does not, for a reason in ASIDE; all the same a visitor of `cell`, if it is given."""
        self.aside[why].add(Tally(1, 0, views, Counter(goals)))
        if cell is not None:
            self._cell(cell).add(Tally(1))

    def note_conversions(self, *goals: str) -> None:
        """One conversion that the server accepted, which counts for these goals."""
        self.sent_conversions.update(goals)

    def _cell(self, cell: Cell) -> Tally:
        return self.cells.setdefault(cell, Tally())

    def merge(self, other: Ledger) -> None:
        for cell, tally in other.cells.items():
            self._cell(cell).add(tally)
        for name, tally in other.aside.items():
            self.aside[name].add(tally)
        self.sent_views += other.sent_views
        self.sent_conversions += other.sent_conversions

    def as_json(self) -> dict[str, Any]:
        """Cells, those aside, and what was sent, as plain data in a fixed order."""
        ordered = sorted(self.cells.items(), key=lambda item: tuple(part or "" for part in item[0]))
        return {
            "cells": [{**cell._asdict(), **tally.as_json("visitors", "units", "views")} for cell, tally in ordered],
            **{name: tally.as_json("visitors", "views") for name, tally in self.aside.items()},
            "sent": {"views": self.sent_views, "conversions": _sorted(self.sent_conversions)},
        }


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def compare_ledger(ledger: Mapping[str, Any], report_cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every difference between a ledger (as JSON) and the `cells` of a report (as JSON), a sentence each.

    Units, views and conversions by goal must be equal in every cell of either.
    """
    ours, theirs = _by_cell(ledger["cells"]), _by_cell(report_cells)
    nothing: Mapping[str, Any] = {}
    differences = []
    for cell in sorted(ours.keys() | theirs.keys(), key=str):
        sent, reported = _counts(ours.get(cell, nothing)), _counts(theirs.get(cell, nothing))
        differences += [
            f"{cell}: the ledger has {sent[what]:,} {what}, the report {reported[what]:,}."
            for what in sorted(sent.keys() | reported.keys())
            if sent[what] != reported[what]
        ]
    return differences


def _by_cell(cells: Iterable[Mapping[str, Any]]) -> dict[Cell, Mapping[str, Any]]:
    return {Cell(**{name: cell[name] for name in Cell._fields}): cell for cell in cells}


def _counts(cell: Mapping[str, Any]) -> Counter[str]:
    counts = Counter({what: cell.get(what, 0) for what in ("units", "views")})
    counts.update({f"conversions of {goal}": count for goal, count in cell.get("conversions", {}).items()})
    return counts
