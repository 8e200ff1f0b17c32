"""The waterfall: from what was received to what was analysed, each loss with its size and reason.

What enters: counts of the query. What leaves: a `Waterfall`. Must not: read events, or hide a loss.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from personalizer.reports.query import Fate, Group, Received
from personalizer.reports.result import Stage, Waterfall

_FATES = ("not_counted", "unknown_goal", "duplicate", "orphan", "repeat")


def build_waterfall(
    received: Sequence[Received],
    groups: Sequence[Group],
    fates: Sequence[Fate],
    main: str,
    unmatured: Callable[[Group], bool],
) -> Waterfall:
    """The waterfall of contest `main`. `unmatured` says of a group whether its goal's window is still open."""
    units = [group for group in groups if group.contest == main and group.goal is None]
    return Waterfall(
        views=_views(received, groups, units, main),
        unmatured=sum(group.units for group in units if not group.multiple and unmatured(group)),
        conversions=_conversions(fates),
    )


def _views(
    received: Sequence[Received], groups: Sequence[Group], units: Sequence[Group], main: str
) -> tuple[Stage, ...]:
    refused, not_counted = Counter[str](), Counter[str]()
    for line in received:
        if line.kind == "refused":
            refused[line.refused_reason or "no reason given"] += line.events
        elif line.not_counted is not None:
            not_counted[line.not_counted] += line.events
    total = sum(line.events for line in received)
    # Every view that counts is a view of its page, whatever else it belongs to.
    counted = sum(group.views for group in groups if group.contest == "page")
    entered = sum(group.views for group in units)
    everybody = sum(group.units for group in units)
    losses: dict[str, Mapping[str, int]] = {
        "refused": refused,
        "not_counted": not_counted,
        "unconfirmed": {"": total - refused.total() - not_counted.total() - counted},
        "outside": {"": counted - entered},
        "repeat": {"": entered - everybody},
        "multiple": {"": sum(group.units for group in units if group.multiple)},
    }
    if main == "page":  # every view is a page's, and whoever sees two arms of a page stays with the first
        del losses["outside"], losses["multiple"]
    return _stages(total, losses)


def _conversions(fates: Iterable[Fate]) -> dict[str, tuple[Stage, ...]]:
    by_goal: dict[str, dict[str, Counter[str]]] = {}
    for line in fates:
        by_goal.setdefault(line.goal, {}).setdefault(line.fate, Counter())[line.reason or ""] += line.conversions
    return {
        goal: _stages(
            sum(reasons.total() for reasons in ends.values()), {fate: ends.get(fate, Counter()) for fate in _FATES}
        )
        for goal, ends in sorted(by_goal.items())
    }


def _stages(total: int, losses: Mapping[str, Mapping[str, int]]) -> tuple[Stage, ...]:
    stages = [Stage("received", 0, total, {})]
    for name, reasons in losses.items():
        dropped = sum(reasons.values())
        named = {reason: count for reason, count in sorted(reasons.items()) if reason}
        stages.append(Stage(name, dropped, stages[-1].left - dropped, named))
    return tuple(stages)
