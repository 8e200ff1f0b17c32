"""How the query's groups are looked at: the goal that judges them, the moment, the confidence.

What enters: the registry and what was asked. What leaves: a `Lens`, shared by everything that rolls groups up. Must
not: sum or compare anything.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from personalizer.decision.registry import Registry
from personalizer.reports.query import Group
from personalizer.reports.result import Rate
from personalizer.reports.statistics import wilson_interval

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Lens:
    """How groups are looked at: by which goal each page is judged, at what time, with what confidence.

    `goal` overrides the goal of pages and experiments. `segmented` says whether groups carry segments to break down by.
    """

    registry: Registry
    as_of: dt.datetime
    confidence: float
    goal: str | None
    segmented: bool

    def goal_of_page(self, page: str) -> str:
        """The goal a page is judged by: its primary one; `lead` where it has none or is gone from the workspace."""
        known = self.registry.pages.get(page)
        return self.goal or (known.goals[0] if known and known.goals else "lead")

    def goal_of(self, group: Group) -> str:
        """The goal that the contest of this group is judged by."""
        experiment = self.registry.experiments.get(group.experiment) if group.experiment else None
        return self.goal or (experiment.goal if experiment else self.goal_of_page(group.page))

    def window(self, goal: str) -> int:
        """Seconds after the first view in which the goal counts."""
        known = self.registry.goals.get(goal)
        return known.window if known else 0

    def unmatured(self, group: Group) -> bool:
        """Whether the window is still open for some who were first seen on this group's day."""
        day_ends = dt.datetime.combine(group.day, dt.time(), dt.UTC) + _DAY
        return day_ends + dt.timedelta(seconds=self.window(self.goal_of(group))) > self.as_of

    def rate(self, converters: int, units: int) -> Rate:
        """A rate with its interval."""
        low, high = wilson_interval(converters, units, self.confidence)
        return Rate(converters / units if units else None, low, high)
