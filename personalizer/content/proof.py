"""What can be proven about conditions without a visitor: never true, implied by another, never true together.

What enters: trees of conditions. What leaves: `Rule`s, and yes where it is proven. Must not: guess; whatever is not
proven, or would take too long, is no.

A condition is true if one of its *cases* holds: a demand on the value of each of some facts. Cases are drawn up from
the tree with three-valued logic, so `not` of a comparison demands a known value too. What a demand is: `demands.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from personalizer.content.demands import Demand, demand_of
from personalizer.decision.conditions import All, Compare, Node, Not

MOST_CASES = 64  # of one condition; with more of them nothing is proven about it

Case = Mapping[str, Demand]


class Rule:
    """A condition with the cases in which it is true; `cases` is None where there are too many."""

    __slots__ = ("cases", "node")

    def __init__(self, node: Node) -> None:
        self.node = node
        try:
            self.cases: Sequence[Case] | None = _cases(node, True)
        except _TooManyError:
            self.cases = None

    @property
    def never(self) -> bool:
        """Whether it is true for nobody."""
        return self.cases is not None and not self.cases


def implies(one: Rule, other: Rule) -> bool:
    """Whether `other` is true wherever `one` is."""
    return one.cases is not None and all(_settles(case, other.node, True) for case in one.cases)


def disjoint(one: Rule, other: Rule) -> bool:
    """Whether nobody has both true."""
    if one.cases is None or other.cases is None:
        return False
    return all(_apart(first, second) for first in one.cases for second in other.cases)


class _TooManyError(Exception):
    """A condition has more cases than are looked at."""


def _cases(node: Node, verdict: bool) -> list[Case]:
    """The cases in which `node` has this verdict; in any other it has not."""
    if isinstance(node, Compare):
        demand = demand_of(node, verdict)
        return [] if demand is None else [{node.fact: demand}]
    if isinstance(node, Not):
        return _cases(node.child, not verdict)
    parts = [_cases(child, verdict) for child in node.children]
    together = isinstance(node, All) is verdict  # true of all: each is true; false of any: each is false
    cases = _every(parts) if together else [case for part in parts for case in part]
    if len(cases) > MOST_CASES:
        raise _TooManyError
    return cases


def _every(parts: Sequence[Sequence[Case]]) -> list[Case]:
    cases: list[Case] = [{}]
    for part in parts:
        pairs = (_merged(case, more) for case in cases for more in part)
        cases = [case for case in pairs if case is not None]
        if len(cases) > MOST_CASES:
            raise _TooManyError
    return cases


def _merged(one: Case, other: Case) -> Case | None:
    """What both demand; None if no value meets that."""
    merged = dict(one)
    for fact, demand in other.items():
        had = merged.get(fact)
        both = demand if had is None else had.meet(demand)
        if both is None:
            return None
        merged[fact] = both
    return merged


def _apart(one: Case, other: Case) -> bool:
    return any(fact in one and one[fact].meet(demand) is None for fact, demand in other.items())


def _settles(case: Case, node: Node, verdict: bool) -> bool:
    """Whether `node` has this verdict for everybody in `case`."""
    if isinstance(node, Compare):
        demand = case.get(node.fact)
        return demand is not None and demand.settles(node, verdict)
    if isinstance(node, Not):
        return _settles(case, node.child, not verdict)
    told = (_settles(case, child, verdict) for child in node.children)
    return all(told) if isinstance(node, All) is verdict else any(told)
