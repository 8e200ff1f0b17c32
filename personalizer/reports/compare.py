"""Comparisons: what chance has dealt, side by side: experiment arms, and personalized against held out.

What enters: groups of the query. What leaves: `Comparison`s. Must not: compare what chance did not deal, or what did
not fall as chance should have dealt it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from personalizer.decision.registry import Registry
from personalizer.reports.lens import Lens
from personalizer.reports.query import Group
from personalizer.reports.result import Arm, Comparison, Difference, Segment, Srm
from personalizer.reports.statistics import lift_interval, newcombe_interval, srm_test
from personalizer.reports.verdict import judge, say_verdict

SRM_LEVEL = 0.001  # p below it is a mismatch: low, because every report tests every comparison
SIDES = ("holdout", "personalized")  # the baseline is what everybody would see without personalization
KINDS = ("holdout", "row", "experiment")  # in the order of a report


def compare(groups: Sequence[Group], lens: Lens) -> tuple[Comparison, ...]:
    """Every contest between arms: per page the holdout over all rows, then each row, then each experiment's phases."""
    contests: dict[tuple[object, ...], list[Group]] = {}
    for group in groups:
        if group.contest != "page":
            contests.setdefault(_contest_of(group), []).append(group)
    pages = {page: place for place, page in enumerate(lens.registry.pages)}

    def order(comparison: Comparison) -> tuple[object, ...]:
        place = (pages.get(comparison.page, len(pages)), comparison.page, KINDS.index(comparison.kind))
        return *place, comparison.row or "", comparison.experiment or "", -(comparison.phase or 0)

    return tuple(sorted((_compare(mine, lens) for mine in contests.values()), key=order))


def _contest_of(group: Group) -> tuple[object, ...]:
    """The key that the query groups by. An experiment is one deal, also if its row or page has changed."""
    if group.contest == "experiment":
        return group.contest, group.experiment, group.phase
    return group.contest, group.page, group.row if group.contest == "row" else None


def _compare(groups: Sequence[Group], lens: Lens) -> Comparison:
    first = min(groups, key=lambda group: (group.day, group.page, group.row or ""))
    goal = lens.goal_of(first)
    names = _arm_names(groups, lens.registry)
    single = [group for group in groups if not group.multiple]
    srm = _test_shares(single, lens.registry)
    arms = _arms(single, names, goal, lens)
    differences = () if srm.failed else _differences(arms, lens)
    unmatured = sum(group.units for group in single if lens.unmatured(group))
    by_company = _deals_to_companies(groups, lens.registry)
    return Comparison(
        kind=first.contest,  # type: ignore[arg-type]  # one of KINDS
        page=first.page,
        row=None if first.contest == "holdout" else first.row,
        experiment=first.experiment,
        phase=first.phase,
        goal=goal,
        window=lens.window(goal),
        arms=arms,
        differences=differences,
        multiple=sum(group.units for group in groups if group.multiple),
        companies=sum(group.units for group in single if group.company) if by_company else None,
        unmatured=unmatured,
        srm=srm,
        verdict=say_verdict(
            first.contest,
            arms,
            differences,
            srm,
            unmatured=unmatured,
            epochs=len({group.weight_epoch for group in single}),
            confidence=lens.confidence,
            noun="unit" if by_company else "visitor",
        ),
        segments=_segments(single, names, goal, lens, srm) if lens.segmented else (),
    )


def _deals_to_companies(groups: Sequence[Group], registry: Registry) -> bool:
    """Whether the experiment deals to companies, or did in this phase."""
    experiment = registry.experiments.get(groups[0].experiment or "")
    now = experiment is not None and experiment.by_company and experiment.phase == groups[0].phase
    return now or any(group.company for group in groups)


def _arm_names(groups: Sequence[Group], registry: Registry) -> tuple[str, ...]:
    """The arms, the baseline first; of an experiment that is gone or has a newer phase, those that were seen."""
    if groups[0].contest != "experiment":
        return SIDES
    experiment = registry.experiments.get(groups[0].experiment or "")
    declared = experiment.arms if experiment else ()
    seen = {group.arm for group in groups}
    if experiment and experiment.phase == groups[0].phase:
        return declared + tuple(sorted(seen - set(declared)))
    return tuple(arm for arm in declared if arm in seen) + tuple(sorted(seen - set(declared)))


def _arms(groups: Iterable[Group], names: Sequence[str], goal: str, lens: Lens) -> tuple[Arm, ...]:
    by_arm: dict[str, list[Group]] = {name: [] for name in names}
    for group in groups:
        by_arm[group.arm].append(group)
    return tuple(_arm(name, by_arm[name], goal, lens) for name in names)


def _arm(name: str, groups: Sequence[Group], goal: str, lens: Lens) -> Arm:
    reached = [group for group in groups if group.goal == goal]
    units = sum(group.units for group in groups)
    converters = sum(group.converters for group in reached)
    return Arm(
        arm=name,
        units=units,
        converters=converters,
        conversions=sum(group.conversions for group in reached),
        value=sum(group.value for group in reached),
        value_squares=sum(group.value_squares for group in reached),
        rate=lens.rate(converters, units),
    )


def _differences(arms: Sequence[Arm], lens: Lens) -> tuple[Difference, ...]:
    """Each arm against the first; none where a side is empty."""
    return tuple(_difference(arm, arms[0], lens.confidence) for arm in arms[1:] if arm.units and arms[0].units)


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


def _segments(groups: Iterable[Group], names: Sequence[str], goal: str, lens: Lens, srm: Srm) -> tuple[Segment, ...]:
    """The comparison in each segment, the largest first."""
    by_values: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        by_values.setdefault(group.values, []).append(group)
    sides = {values: _arms(mine, names, goal, lens) for values, mine in by_values.items()}
    ordered = sorted(sides, key=lambda values: (-sum(arm.units for arm in sides[values]), values))
    return tuple(Segment(v, sides[v], () if srm.failed else _differences(sides[v], lens)) for v in ordered)


# --- sample ratio mismatch ---


def _test_shares(groups: Sequence[Group], registry: Registry) -> Srm:
    if not groups:
        return _untested("every unit was seen in two arms")
    return _test_arms(groups, registry) if groups[0].contest == "experiment" else _test_holdout(groups, registry)


def _test_arms(groups: Sequence[Group], registry: Registry) -> Srm:
    """Units dealt in the current weight epoch against its weights. Whose cookie brought the arm was dealt before."""
    experiment = registry.experiments.get(groups[0].experiment or "")
    if experiment is None or experiment.phase != groups[0].phase:
        return _untested("the weights of this phase are not in the workspace any more")
    now = [group for group in groups if group.weight_epoch == experiment.weight_epoch]
    earlier = sum(group.units for group in groups) - sum(group.fresh for group in now)
    note = (
        f"{earlier:,} units dealt under earlier weights or before this report's time are not tested" if earlier else ""
    )
    shares = dict(zip(experiment.arms, experiment.weights, strict=True))
    return _tested(now, lambda group: group.fresh, shares, note)


def _test_holdout(groups: Sequence[Group], registry: Registry) -> Srm:
    page = registry.pages.get(groups[0].page)
    known = page.rows if page else {}
    shares = {row.holdout if (row := known.get(group.row or "")) else None for group in groups}
    if len(shares) > 1:
        return _untested("the rows have different holdouts; each is tested by itself")
    (share,) = shares
    if not share:
        return _untested("the workspace has no holdout for it any more")
    return _tested(groups, lambda group: group.units, dict(zip(SIDES, (share, 1 - share), strict=True)), "")


def _tested(groups: Iterable[Group], count: Callable[[Group], int], shares: dict[str, float], note: str) -> Srm:
    observed = dict.fromkeys(shares, 0)
    for group in groups:
        observed[group.arm] = observed.get(group.arm, 0) + count(group)
    expected = {arm: shares.get(arm, 0.0) for arm in observed}
    fit = srm_test(tuple(observed.values()), tuple(expected.values()))
    if fit is None:
        return Srm(observed, expected, None, None, False, note or "too few units to test the shares")
    return Srm(observed, expected, fit.p, fit.imbalance, fit.p < SRM_LEVEL, note)


def _untested(why: str) -> Srm:
    return Srm({}, {}, None, None, False, why)
