"""Comparisons: what chance has dealt, side by side: experiment arms, and personalized against held out.

What enters: rows of the query and the registry. What leaves: `Comparison`s. Must not: compare what chance did not deal.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from personalizer.decision.registry import Goal, Registry
from personalizer.reports.query import Row
from personalizer.reports.result import Arm, Comparison, Difference, Rate, Segment, Srm
from personalizer.reports.statistics import lift_interval, newcombe_interval, srm_test, wilson_interval
from personalizer.reports.verdict import judge, say_verdict

SRM_LEVEL = 0.001  # p below it is a mismatch: low, because every report tests every comparison
SIDES = ("holdout", "personalized")  # the baseline is what everybody would see without personalization

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Lens:
    """How rows are looked at: by which goal each page is judged, at what time, with what confidence.

    `goal` overrides the goal of pages and experiments. `segmented` says whether rows carry segments to break down by.
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

    def goal_of(self, row: Row) -> str:
        """The goal that the contest of this row is judged by."""
        experiment = self.registry.experiments.get(row.experiment) if row.experiment else None
        return self.goal or (experiment.goal if experiment else self.goal_of_page(row.page))

    def window(self, goal: str) -> int:
        """Seconds after the first view in which the goal counts."""
        known: Goal | None = self.registry.goals.get(goal)
        return known.window if known else 0

    def unmatured(self, row: Row) -> bool:
        """Whether the window is still open for some who were first seen on this row's day."""
        end = (
            dt.datetime.combine(row.day, dt.time(), dt.UTC)
            + _DAY
            + dt.timedelta(seconds=self.window(self.goal_of(row)))
        )
        return end > self.as_of

    def rate(self, converters: int, units: int) -> Rate:
        """A rate with its interval."""
        low, high = wilson_interval(converters, units, self.confidence)
        return Rate(converters / units if units else None, low, high)


def compare(rows: Sequence[Row], lens: Lens) -> tuple[Comparison, ...]:
    """Every contest between arms: per page the holdout over all rows, then each row, then each experiment's phases."""
    contests: dict[tuple[str, str, str, int], list[Row]] = {}
    for row in rows:
        if row.contest != "page":
            contests.setdefault(_contest_of(row), []).append(row)
    order = {page: place for place, page in enumerate(lens.registry.pages)}
    kinds = ("holdout", "row", "experiment")
    keys = sorted(contests, key=lambda key: (order.get(key[0], len(order)), key[0], kinds.index(key[1]), key[2:]))
    return tuple(_compare(contests[key], lens) for key in keys)


def _contest_of(row: Row) -> tuple[str, str, str, int]:
    """Page, kind, name and phase; the latest phase sorts first."""
    name = {"experiment": row.experiment, "row": row.row}.get(row.contest) or ""
    return row.page, row.contest, name, -(row.phase or 0)


def _compare(rows: Sequence[Row], lens: Lens) -> Comparison:
    first = rows[0]
    goal = lens.goal_of(first)
    names = _arm_names(rows, lens.registry)
    single = [row for row in rows if not row.multiple]
    arms, differences = _sides(single, names, goal, lens)
    srm = _test_shares(single, lens.registry)
    unmatured = sum(row.units for row in single if lens.unmatured(row))
    return Comparison(
        kind=first.contest,  # type: ignore[arg-type]  # the query's names, but for "page"
        page=first.page,
        row=None if first.contest == "holdout" else first.row,
        experiment=first.experiment,
        phase=first.phase,
        goal=goal,
        window=lens.window(goal),
        arms=arms,
        differences=differences,
        multiple=sum(row.units for row in rows if row.multiple),
        unmatured=unmatured,
        srm=srm,
        verdict=say_verdict(
            first.contest,
            arms,
            differences,
            srm,
            unmatured=unmatured,
            epochs=len({row.weight_epoch for row in single}),
            confidence=lens.confidence,
        ),
        segments=_segments(single, names, goal, lens) if lens.segmented else (),
    )


def _arm_names(rows: Iterable[Row], registry: Registry) -> tuple[str, ...]:
    """The arms, the baseline first; of an experiment that is gone or has a newer phase, those that were seen."""
    rows = list(rows)
    if rows[0].contest != "experiment":
        return SIDES
    experiment = registry.experiments.get(rows[0].experiment or "")
    declared = experiment.arms if experiment else ()
    seen = {row.arm for row in rows}
    if experiment and experiment.phase == rows[0].phase:
        return declared + tuple(sorted(seen - set(declared)))
    return tuple(arm for arm in declared if arm in seen) + tuple(sorted(seen - set(declared)))


def _sides(
    rows: Iterable[Row], names: Sequence[str], goal: str, lens: Lens
) -> tuple[tuple[Arm, ...], tuple[Difference, ...]]:
    by_arm: dict[str, list[Row]] = {name: [] for name in names}
    for row in rows:
        by_arm[row.arm].append(row)
    arms = tuple(_arm(name, by_arm[name], goal, lens) for name in names)
    return arms, tuple(_difference(arm, arms[0], lens.confidence) for arm in arms[1:] if arm.units and arms[0].units)


def _arm(name: str, rows: Sequence[Row], goal: str, lens: Lens) -> Arm:
    reached = [row for row in rows if row.goal == goal]
    units = sum(row.units for row in rows)
    converters = sum(row.converters for row in reached)
    return Arm(
        arm=name,
        units=units,
        converters=converters,
        conversions=sum(row.conversions for row in reached),
        value=sum(row.value for row in reached),
        value_squares=sum(row.value_squares for row in reached),
        rate=lens.rate(converters, units),
    )


def _difference(arm: Arm, base: Arm, confidence: float) -> Difference:
    counts = (arm.converters, arm.units, base.converters, base.units)
    low, high = newcombe_interval(*counts, confidence)
    lift = lift_interval(*counts, confidence)
    share, base_share = arm.converters / arm.units, base.converters / base.units
    return Difference(
        arm=arm.arm,
        baseline=base.arm,
        difference=share - base_share,
        low=low,
        high=high,
        lift=share / base_share - 1 if lift else None,
        lift_low=lift.low if lift else None,
        lift_high=lift.high if lift else None,
        finding=judge(arm, base, low, high),
    )


def _segments(rows: Iterable[Row], names: Sequence[str], goal: str, lens: Lens) -> tuple[Segment, ...]:
    by_values: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        by_values.setdefault(row.values, []).append(row)
    segments = [Segment(values, *_sides(group, names, goal, lens)) for values, group in by_values.items()]
    return tuple(sorted(segments, key=lambda segment: (-sum(arm.units for arm in segment.arms), segment.values)))


# --- sample ratio mismatch ---


def _test_shares(rows: Sequence[Row], registry: Registry) -> Srm:
    if not rows:
        return _untested("every unit was seen in two arms")
    return _test_arms(rows, registry) if rows[0].contest == "experiment" else _test_holdout(rows, registry)


def _test_arms(rows: Sequence[Row], registry: Registry) -> Srm:
    """Units dealt in the current weight epoch against its weights. Whose cookie brought the arm was dealt before."""
    experiment = registry.experiments.get(rows[0].experiment or "")
    if experiment is None or experiment.phase != rows[0].phase:
        return _untested("the weights of this phase are not in the workspace any more")
    now = [row for row in rows if row.weight_epoch == experiment.weight_epoch]
    earlier = sum(row.units for row in rows) - sum(row.fresh for row in now)
    note = (
        f"{earlier:,} units dealt under earlier weights or before this report's time are not tested" if earlier else ""
    )
    shares = dict(zip(experiment.arms, experiment.weights, strict=True))
    return _tested(now, lambda row: row.fresh, shares, note)


def _test_holdout(rows: Sequence[Row], registry: Registry) -> Srm:
    page = registry.pages.get(rows[0].page)
    known = page.rows if page else {}
    shares = {known[row.row].holdout if row.row in known else None for row in rows if row.row}
    if len(shares) > 1:
        return _untested("the rows have different holdouts; each is tested by itself")
    (share,) = shares
    if not share:
        return _untested("the workspace has no holdout for it any more")
    return _tested(rows, lambda row: row.units, dict(zip(SIDES, (share, 1 - share), strict=True)), "")


def _tested(rows: Iterable[Row], count: Callable[[Row], int], shares: dict[str, float], note: str) -> Srm:
    observed = dict.fromkeys(shares, 0)
    for row in rows:
        observed[row.arm] = observed.get(row.arm, 0) + count(row)
    expected = {arm: shares.get(arm, 0.0) for arm in observed}
    fit = srm_test(tuple(observed.values()), tuple(expected.values()))
    if fit is None:
        return Srm(observed, expected, None, None, False, note or "too few units to test the shares")
    return Srm(observed, expected, fit.p, fit.imbalance, fit.p < SRM_LEVEL, note)


def _untested(why: str) -> Srm:
    return Srm({}, {}, None, None, False, why)
