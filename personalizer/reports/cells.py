"""Tables of a page: how many units of which kind, and what they did. They describe; chance has dealt nothing here.

What enters: the query's groups of contest `page`. What leaves: `Cell`s and `Line`s. Must not: compare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from personalizer.reports.lens import Lens
from personalizer.reports.query import Group
from personalizer.reports.result import Cell, Line


@dataclass(slots=True)
class _Sum:
    """Units of one group, and per goal how many converted, how often, for how much."""

    units: int = 0
    views: int = 0
    converters: Counter[str] = field(default_factory=Counter)
    conversions: Counter[str] = field(default_factory=Counter)
    value: Counter[str] = field(default_factory=Counter)

    def add(self, group: Group) -> None:
        self.units += group.units
        self.views += group.views
        if group.goal is not None:
            self.converters[group.goal] += group.converters
            self.conversions[group.goal] += group.conversions
            self.value[group.goal] += group.value


def build_cells(groups: Iterable[Group]) -> tuple[Cell, ...]:
    """Units of each page by row, arm, ICP and persona."""
    sums: dict[tuple[str, str | None, str, str | None, str | None], _Sum] = {}
    for group in groups:
        sums.setdefault((group.page, group.row, group.arm, group.icp, group.persona), _Sum()).add(group)
    ordered = sorted(sums.items(), key=lambda item: tuple(part or "" for part in item[0]))
    return tuple(
        Cell(*key, s.units, s.views, *(dict(sorted(part.items())) for part in (s.converters, s.conversions, s.value)))
        for key, s in ordered
    )


def build_lines(groups: Iterable[Group], lens: Lens, *, chosen: bool) -> tuple[Line, ...]:
    """The table by segment, largest segment first, with each goal that the page has or that was reached on it.

    `chosen` takes the dimensions that were asked for, else row, ICP and persona.
    """
    sums: dict[tuple[str, tuple[str, ...], str], _Sum] = {}
    for group in groups:
        values = group.values if chosen else tuple(value or "none" for value in (group.row, group.icp, group.persona))
        sums.setdefault((group.page, values, group.arm), _Sum()).add(group)
    sizes = Counter[tuple[str, tuple[str, ...]]]()
    reached: dict[str, set[str]] = {}
    for (page, values, _), total in sums.items():
        sizes[page, values] += total.units
        reached.setdefault(page, set()).update(total.converters)
    ordered = sorted(sums, key=lambda key: (key[0], -sizes[key[:2]], key[1:]))
    return tuple(
        _line(key, goal, sums[key], lens) for key in ordered for goal in _goals_of(key[0], reached[key[0]], lens)
    )


def _goals_of(page: str, reached: Iterable[str], lens: Lens) -> Iterable[str]:
    known = lens.registry.pages.get(page)
    return dict.fromkeys((lens.goal_of_page(page), *(known.goals if known else ()), *sorted(reached)))


def _line(key: tuple[str, tuple[str, ...], str], goal: str, total: _Sum, lens: Lens) -> Line:
    page, values, arm = key
    converters = total.converters[goal]
    return Line(
        page=page,
        values=values,
        arm=arm,
        goal=goal,
        units=total.units,
        views=total.views,
        converters=converters,
        conversions=total.conversions[goal],
        value=total.value[goal],
        rate=lens.rate(converters, total.units),
    )
