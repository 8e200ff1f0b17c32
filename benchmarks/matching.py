"""Row 5: who a visitor is, by our index of rules and by GrowthBook's SDK, which must say the same of everybody.

What enters: markets of several sizes. What leaves: `Findings`. Must not: hand either of them a rule or a fact that the
other has not, or count what only one of them would have to do.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from growthbook import GrowthBook

from benchmarks import BenchError, market
from benchmarks.figures import Figure, Findings, Say, Sheet, ratios, spread
from benchmarks.market import Rule, Scale
from benchmarks.sizes import Size
from benchmarks.workspace import Bench
from personalizer.cache import Cache
from personalizer.content.compile import SCHEMA
from personalizer.decision.index import REMEMBERED, Answers, RuleIndex
from personalizer.decision.parse import compile_condition
from personalizer.model import Facts

GROWTHBOOK = "GrowthBook"
FRESH, REMEMBERING = "ours, each asked anew", "ours, as a server remembers"

_SMALL, _USUAL, _LARGE = Scale(25, 1, 1, 1), Scale(), Scale(250)
_GOALS = {_SMALL: 250, _USUAL: 3000}  # × GrowthBook's cost
_BATCH = 50  # visitors between two looks at the clock
_COMPANY_SHARE = 0.4  # of the visitors, as in the look-up files

Verdict = tuple[str | None, str | None]  # the first ICP and the first persona that match


class _Matcher(NamedTuple):
    """One way to find a visitor's verdict, and the visitors in the form that it reads."""

    decide: Callable[[Any], Verdict]
    visitors: Sequence[Any]


def measure_matching(bench: Bench, size: Size, say: Say) -> Findings:
    """Verdicts compared, then rounds. Raises BenchError when one visitor is judged differently."""
    costs: dict[tuple[Scale, str], list[float]] = {}
    matchers: dict[tuple[Scale, str], _Matcher] = {}
    for scale in (_SMALL, _USUAL, _LARGE):
        say(f"matching: {scale.rules:,} rules, verdicts")
        visitors = _visitors(scale, size.visitors)
        for name in (FRESH, REMEMBERING):
            matchers[scale, name] = _Matcher(_ours(scale, remembers=name == REMEMBERING), visitors)
        if scale in _GOALS:
            some = visitors[: size.naive_visitors]
            matchers[scale, GROWTHBOOK] = _Matcher(_growthbook(scale), [_nested(facts) for facts in some])
            _compare_verdicts(scale, matchers, some)
        for facts in visitors:  # a server has seen them before
            matchers[scale, REMEMBERING].decide(facts)
    for number in range(1, size.rounds + 1):
        for (scale, name), matcher in matchers.items():
            say(f"matching, round {number} of {size.rounds}: {scale.rules:,} rules, {name}")
            costs.setdefault((scale, name), []).append(_time(matcher, size.inside_seconds / 2, number))
    return _findings(costs)


def _compare_verdicts(scale: Scale, matchers: dict[tuple[Scale, str], _Matcher], visitors: Sequence[Facts]) -> None:
    theirs = matchers[scale, GROWTHBOOK]
    for facts, attributes in zip(visitors, theirs.visitors, strict=True):
        wanted = theirs.decide(attributes)
        for name in (FRESH, REMEMBERING):
            found = matchers[scale, name].decide(facts)
            if found != wanted:
                raise BenchError(f"{GROWTHBOOK} says {wanted}, we say {found} ({name}), of a visitor with {facts}")


def _time(matcher: _Matcher, seconds: float, seed: int) -> float:
    """CPU µs a visitor."""
    draw = random.Random(seed)
    spent, visitors = 0.0, 0
    while spent < seconds:
        batch = draw.choices(matcher.visitors, k=_BATCH)
        began = time.process_time()
        for one in batch:
            matcher.decide(one)
        spent += time.process_time() - began
        visitors += _BATCH
    return spent / visitors * 1e6


def _findings(costs: dict[tuple[Scale, str], list[float]]) -> Findings:
    found = Findings()
    lines = [(f"{scale.rules:,}", name, spread(values, "{:,.2f}")) for (scale, name), values in costs.items()]
    found.sheets.append(Sheet("Matching an ICP and a persona", ("rules", "by", "CPU µs a visitor"), lines))
    found.rounds["matching"] = [
        {"rules": scale.rules, "by": name, "cpu": values} for (scale, name), values in costs.items()
    ]
    for name in (FRESH, REMEMBERING):
        for scale, goal in _GOALS.items():
            values = ratios(costs[scale, GROWTHBOOK], costs[scale, name], float)
            found.figures.append(Figure("5", f"CPU of {GROWTHBOOK} at {scale.rules:,} rules, × {name}", values, goal))
        values = ratios(costs[_LARGE, name], costs[_SMALL, name], float)
        title = f"CPU at {_LARGE.rules:,} rules, × at {_SMALL.rules}: {name}"
        found.figures.append(Figure("5", title, values, 6, at_most=True))
    return found


# --- rules and visitors ---


def _rules(scale: Scale) -> tuple[list[Rule], list[Rule]]:
    """ICPs and personas. A persona's industry, which an engine knows from its ICP, stands in its rule for both."""
    industry_of = {rule.key: rule.match["company.industry"] for rule in market.icp_rules(scale)}
    personas = [
        rule._replace(match={"company.industry": industry_of[rule.icps[0]], **rule.match})
        for rule in market.persona_rules(scale)
    ]
    return market.icp_rules(scale), personas


def _visitors(scale: Scale, count: int) -> list[Facts]:
    """Facts as look-ups and links tell them; two visitors with the same are rare."""
    draw = random.Random(4)
    industries = market.industries(scale.industries)
    return [_facts(draw, industries) for _ in range(count)]


def _facts(draw: random.Random, industries: Sequence[str]) -> Facts:
    facts: Facts = {"geo.country": draw.choice(market.CITIES).country, "utm.term": draw.choice(market.LINKS).term}
    if draw.random() < _COMPANY_SHARE:
        low, high = draw.choice(market.SIZES)
        facts |= {"company.industry": draw.choice(industries), "company.employees": draw.randint(low, high)}
    return facts


# --- ours ---


def _ours(scale: Scale, *, remembers: bool) -> Callable[[Facts], Verdict]:
    answers: Answers | None = Cache(REMEMBERED) if remembers else None
    icps, personas = (_index(rules, answers) for rules in _rules(scale))
    return lambda facts: (icps.first(facts), personas.first(facts))


def _index(rules: Sequence[Rule], answers: Answers | None) -> RuleIndex:
    compiled = []
    for rule in rules:
        condition, mistakes = compile_condition(rule.match, SCHEMA)
        if condition is None:
            raise BenchError(f"personalizer cannot read the rule {rule.key}: {mistakes}")
        compiled.append((rule.key, condition))
    return RuleIndex(compiled, answers)


# --- GrowthBook ---


def _growthbook(scale: Scale) -> Callable[[dict[str, Any]], Verdict]:
    """Two features, whose rules force the key of the first one that matches. The SDK is set up once and told of each
    visitor, which is the cheapest way to use it."""
    features = {
        name: {
            "defaultValue": None,
            "rules": [{"condition": _condition(rule.match), "force": rule.key} for rule in rules],
        }
        for name, rules in zip(("icp", "persona"), _rules(scale), strict=True)
    }
    sdk = GrowthBook(features=features)

    def decide(attributes: dict[str, Any]) -> Verdict:
        sdk.set_attributes(attributes)
        return sdk.get_feature_value("icp", None), sdk.get_feature_value("persona", None)

    return decide


def _condition(match: dict[str, object]) -> dict[str, Any]:
    """One of our conditions in GrowthBook's language."""
    return {
        "$or" if name == "any" else name: [_condition(part) for part in told]  # type: ignore[attr-defined]
        if name == "any"
        else _operators(told)
        for name, told in match.items()
    }


def _operators(told: Any) -> Any:
    if not isinstance(told, dict):
        return told
    (operator, operand), *_ = told.items()
    if operator == "between":
        return {"$gte": operand[0], "$lte": operand[1]}
    if operator == "in":
        return {"$in": operand}
    return {"$regex": "|".join(operand)}  # `contains`: these words hold nothing that a pattern reads otherwise


def _nested(facts: Facts) -> dict[str, Any]:
    """The facts as GrowthBook finds them: `company.industry` is a path."""
    nested: dict[str, Any] = {}
    for name, value in facts.items():
        group, _, key = name.partition(".")
        nested.setdefault(group, {})[key] = value
    return nested
