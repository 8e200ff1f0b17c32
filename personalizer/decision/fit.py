"""Step 8: how good an account is, by Lincoln Murphy's seven dimensions, and which criteria it fails.

What enters: an ICP's criteria, compiled; facts. What leaves: a `Fit`. Must not: gate anything; who is served what was
decided before, and a score only ranks.

A criterion is true, false or unknown. True adds its points; one with points to gain fails where it is false, one with
points to lose where it is true; the unknown does neither. A judgement is remembered by the values of the facts that the
criteria ask about, for all ICPs of a registry together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from personalizer.cache import Cache
from personalizer.decision.conditions import Compare, Condition, say
from personalizer.decision.index import LONGEST
from personalizer.decision.titles import fold_title, leads_as, read_title
from personalizer.model import Facts, Range, Value

DIMENSIONS = (
    "ready",
    "willing",
    "able",
    "success_potential",
    "acquisition_efficiency",
    "ascension_potential",
    "advocacy_potential",
)
REMEMBERED_FITS = 16_384  # judgements by all ICPs of a registry together


@dataclass(frozen=True, slots=True)
class Criterion:
    """One measurable sign of one dimension. `rule` says whether it is there; `leaves` are the comparisons that it is
    made of, for the trace."""

    dimension: str
    why: str
    points: float
    sentence: str
    rule: Condition | Authority | Affordability
    facts: tuple[str, ...]
    leaves: tuple[Compare, ...] = ()

    def test(self, facts: Facts) -> bool | None:
        """Whether it is there."""
        return self.rule.test(facts)

    @property
    def name(self) -> str:
        return f"{self.dimension}: {self.why}"


@dataclass(frozen=True, slots=True)
class Fit:
    """A judgement: the sum of points, what failed by name, the verdict on each criterion, each team's own score."""

    score: float
    failed: tuple[str, ...]
    verdicts: tuple[bool | None, ...]
    teams: Mapping[str, float]


Judgements = Cache[tuple[object, ...], Fit]  # a model and the values of its facts


class FitModel:
    """The criteria of one ICP. `teams`: by team the weight of each dimension; what a team does not name weighs 1.
    `known` is where it remembers, shared by the models of a registry."""

    __slots__ = ("_facts", "_known", "criteria", "teams")

    def __init__(
        self,
        criteria: Sequence[Criterion],
        teams: Mapping[str, Mapping[str, float]],
        known: Judgements | None = None,
    ) -> None:
        self.criteria = tuple(criteria)
        self.teams = teams
        self._facts = tuple(sorted({fact for one in criteria for fact in one.facts}))
        self._known = known

    @property
    def best(self) -> float:
        """The highest score that there is."""
        return sum(one.points for one in self.criteria if one.points > 0)

    def judge(self, facts: Facts) -> Fit:
        """How good an account with these facts is."""
        remembered = self._known
        if remembered is None:
            return self._judge(facts)
        asked: list[object] = [id(self)]
        for name in self._facts:
            value = facts.get(name)
            if isinstance(value, str) and len(value) > LONGEST:
                return self._judge(facts)
            asked.append(value)
        question = tuple(asked)
        known = remembered.get(question)
        return remembered.put(question, self._judge(facts)) if known is None else known

    def _judge(self, facts: Facts) -> Fit:
        verdicts = tuple(one.test(facts) for one in self.criteria)
        judged = list(zip(self.criteria, verdicts, strict=True))
        gained: dict[str, float] = {}
        for one, verdict in judged:
            if verdict is True:
                gained[one.dimension] = gained.get(one.dimension, 0.0) + one.points
        return Fit(
            score=sum(gained.values()),
            failed=tuple(one.name for one, verdict in judged if verdict is not None and verdict is (one.points < 0)),
            verdicts=verdicts,
            teams={team: _weigh(gained, weights) for team, weights in self.teams.items()},
        )


def _weigh(gained: Mapping[str, float], weights: Mapping[str, float]) -> float:
    return sum(weights.get(dimension, 1.0) * points for dimension, points in gained.items())


# --- criteria that an ICP has without writing them ---


class Authority:
    """Whether the visitor is who decides: a title that means the same in another language, as high up or higher."""

    __slots__ = ("_literal", "_wanted", "_years")

    def __init__(self, titles: Sequence[str], years: float | None) -> None:
        self._wanted = tuple(role for title in titles for role in read_title(title))
        unread = (title for title in titles if not any(role.department and role.rank for role in read_title(title)))
        self._literal = tuple(fold_title(title) for title in unread)
        self._years = years

    def test(self, facts: Facts) -> bool | None:
        verdict = self._by_title(facts)
        years = facts.get("person.years")
        if verdict is not True or self._years is None or years is None:
            return verdict
        low, high = _bounds(years)
        return False if high < self._years else True if low >= self._years else None

    def _by_title(self, facts: Facts) -> bool | None:
        title = facts.get("person.title")
        if title is None:
            title = " ".join(str(facts.get(name, "")) for name in ("person.seniority", "person.department"))
        folded = fold_title(str(title))
        if any(literal in folded for literal in self._literal):
            return True
        return leads_as(read_title(folded), self._wanted)


def authority(titles: Sequence[str], years: float | None, points: float) -> Criterion:
    """`able`: the visitor is the decision maker, by title; else by seniority and department."""
    shown = " or ".join(titles) + (f", for {say(years)} years" if years else "")
    facts = ("person.title", "person.seniority", "person.department", "person.years")
    return Criterion("able", "decision maker", points, f"the visitor leads as {shown}", Authority(titles, years), facts)


REVENUE_CAN, REVENUE_CANNOT = 100, 20  # times the price floor, a year
REVENUE_A_HEAD = 100_000  # assumed where revenue is not known; doubled and halved, because it is a guess


class Affordability:
    """Whether the account can pay the least that we ask: a declared budget tells, else revenue, else size."""

    __slots__ = ("_bounds",)

    def __init__(self, floor: float, budget: str | None) -> None:
        size = floor / REVENUE_A_HEAD
        bounds = [
            ("company.revenue", floor * REVENUE_CAN, floor * REVENUE_CANNOT),
            ("company.employees", size * REVENUE_CAN * 2, size * REVENUE_CANNOT / 2),
        ]
        if budget is not None:
            bounds.insert(0, (budget, floor, floor))
        self._bounds = tuple(bounds)

    @property
    def facts(self) -> tuple[str, ...]:
        return tuple(fact for fact, _, _ in self._bounds)

    def test(self, facts: Facts) -> bool | None:
        for fact, can, cannot in self._bounds:
            value = facts.get(fact)
            if value is None:
                continue
            low, high = _bounds(value)
            if low >= can:
                return True
            if high < cannot:
                return False
        return None


def affordability(floor: float, budget: str | None, points: float) -> Criterion:
    """`able`: the account can pay the price floor. `budget` is the fact of a declared budget, if there is one."""
    test = Affordability(floor, budget)
    sentence = f"{', '.join(test.facts)} can carry {say(floor)} a year"
    return Criterion("able", "can pay the price floor", points, sentence, test, test.facts)


def _bounds(value: Value) -> tuple[float, float]:
    if isinstance(value, Range):
        return value.low, value.high
    number = float(value) if isinstance(value, int | float) else 0.0
    return number, number
