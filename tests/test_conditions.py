"""Conditions: verdicts and mistakes as data, a predicate equal to a brute-force reading, an index equal to a scan."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalizer.cache import Cache
from personalizer.content.compile import SCHEMA
from personalizer.decision.conditions import Condition, say
from personalizer.decision.index import FEW, Answers, RuleIndex
from personalizer.decision.parse import OPERATORS, compile_condition
from personalizer.model import Range
from personalizer.visitor.place_names import name_place

CASES = json.loads((Path(__file__).parent / "cases/conditions.json").read_text())


def named(cases: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(case, id=case["why"].replace(" ", "-")) for case in cases]


def read_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of a case file: bands and lists as the engine has them."""
    read = {}
    for name, value in facts.items():
        read[name] = Range(**value) if isinstance(value, dict) else tuple(value) if isinstance(value, list) else value
    return read


def compiled(data: Any) -> Condition:
    condition, mistakes = compile_condition(data, SCHEMA)
    assert mistakes == []
    assert condition is not None
    return condition


@pytest.mark.parametrize("case", named(CASES["verdicts"]))
def test_verdict(case: dict[str, Any]) -> None:
    assert compiled(case["condition"]).test(read_facts(case["facts"])) is case["is"]


@pytest.mark.parametrize("case", named(CASES["mistakes"]))
def test_mistake(case: dict[str, Any]) -> None:
    condition, mistakes = compile_condition(case["condition"], SCHEMA)
    if case["at"] is None:
        assert mistakes == [] and condition is not None
        return
    assert condition is None
    [mistake] = mistakes
    assert list(mistake.path) == case["at"]
    for word in case["says"]:
        assert word in f"{mistake.message} {mistake.remedy}"


def test_the_cases_cover_every_operator_of_every_type() -> None:
    seen = {(leaf.type, leaf.op) for case in CASES["verdicts"] for leaf in compiled(case["condition"]).leaves}
    assert {(kind, op) for kind, ops in OPERATORS.items() for op in ops} - seen == set()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_refused(number: float) -> None:
    for data in ({"visit.count": number}, {"visit.count": {"between": [0, number]}}, {"visit.count": {"in": [number]}}):
        condition, [mistake] = compile_condition(data, SCHEMA)
        assert condition is None and "is not a number" in mistake.message


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        ({"company.employees": "50-100"}, "Write `{between: [50, 100]}`."),
        ({"company.employees": {"gte": "1,000"}}, "Write the number without quotes and without separators."),
        ({"or": [{"geo.eu": True}]}, "Write `any: [{…}, {…}]`."),
    ],
)
def test_what_people_write_at_first_is_answered_with_what_to_write(data: dict[str, object], remedy: str) -> None:
    condition, [mistake] = compile_condition(data, SCHEMA)
    assert condition is None and mistake.remedy == remedy


def test_all_mistakes_are_found_at_once() -> None:
    data = {
        "company.employes": 1,
        "any": [{"geo.eu": 1}, {"utm.term": {"gt": 1, "lt": 2}}],
        "not": {"visit.count": "x"},
    }
    _, mistakes = compile_condition(data, SCHEMA)
    assert [mistake.path for mistake in mistakes] == [
        ("company.employes",),
        ("any", 0, "geo.eu"),
        ("any", 1, "utm.term", "gt"),
        ("any", 1, "utm.term", "lt"),
        ("not", "visit.count"),
    ]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({}, "always"),
        ({"company.industry": "Software"}, "company.industry is software"),
        ({"company.industry": {"ne": "a"}}, "company.industry is not a"),
        ({"company.industry": {"in": ["a", "b"]}}, "company.industry is a or b"),
        ({"company.industry": {"not_in": ["a", "b"]}}, "company.industry is neither a nor b"),
        ({"company.employees": {"gt": 1000}}, "company.employees is more than 1,000"),
        ({"company.employees": {"gte": 0.5}}, "company.employees is at least 0.5"),
        ({"company.employees": {"lt": 10}}, "company.employees is less than 10"),
        ({"company.employees": {"lte": 10}}, "company.employees is at most 10"),
        ({"company.employees": {"between": [10, 1000]}}, "company.employees is from 10 to 1,000"),
        ({"utm.term": {"contains": ["a", "b"]}}, "utm.term contains a or b"),
        ({"utm.term": {"starts_with": "a"}}, "utm.term starts with a"),
        ({"utm.term": {"ends_with": "a"}}, "utm.term ends with a"),
        ({"utm.term": {"glob": "a*"}}, "utm.term looks like a*"),
        ({"visit.goals": "a"}, "visit.goals has a"),
        ({"visit.goals": {"has_any": ["a", "b"]}}, "visit.goals has a or b"),
        ({"visit.goals": {"has_all": ["a", "b"]}}, "visit.goals has a and b"),
        ({"utm.term": {"known": True}}, "utm.term is known"),
        ({"utm.term": {"known": False}}, "utm.term is unknown"),
        ({"geo.eu": True}, "geo.eu is yes"),
        ({"not": {"geo.country": "DE"}}, "not (geo.country is de)"),
        ({"geo.country": "DE", "visit.count": 1}, "geo.country is de and visit.count is 1"),
        ({"any": [{"geo.country": "DE"}, {"geo.eu": True, "visit.count": 1}]},
         "geo.country is de or (geo.eu is yes and visit.count is 1)"),
        ({"utm.term": {"contains": "{x}"}}, "utm.term contains {x}"),
    ],
)  # fmt: skip
def test_the_sentence_of_a_condition(data: Any, sentence: str) -> None:
    assert compiled(data).sentence == sentence


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Range(51, 1000), "51–1,000"),
        (Range(51, math.inf), "51 or more"),
        (Range(-math.inf, 10), "up to 10"),
        (("a", "b"), "a, b"),
        (False, "no"),
        (1234.5, "1,234.5"),
    ],
)
def test_values_are_said_as_people_write_them(value: Any, said: str) -> None:
    assert say(value) == said


# --- the predicate equals a reading of the YAML that knows nothing of the compiled form ---


def brute(data: Mapping[str, Any], facts: Mapping[str, Any]) -> bool | None:
    """Kleene's logic over a mapping as it is written."""
    verdicts = []
    for key, value in data.items():
        if key in ("any", "all"):
            inner = [brute(one, facts) for one in value]
            verdicts.append(kleene_any(inner) if key == "any" else kleene_all(inner))
        elif key == "not":
            inside = brute(value, facts)
            verdicts.append(None if inside is None else not inside)
        else:
            asked = value if isinstance(value, dict) else {"=": value}
            verdicts += [brute_leaf(op, operand, facts.get(key)) for op, operand in asked.items()]
    return kleene_all(verdicts)


def kleene_all(verdicts: list[bool | None]) -> bool | None:
    return min(verdicts, key=[False, None, True].index, default=True)


def kleene_any(verdicts: list[bool | None]) -> bool | None:
    return max(verdicts, key=[False, None, True].index, default=False)


def brute_leaf(op: str, operand: Any, value: Any) -> bool | None:
    if op == "known":
        return (value is not None) is operand
    if value is None:
        return None
    if isinstance(value, Range):  # operands are whole numbers: the ends and the halves between stand for all
        halves = [n / 2 for n in range(int(value.low * 2), int(value.high * 2) + 1)]
        verdicts = {holds(op, operand, number) for number in halves}
        return verdicts.pop() if len(verdicts) == 1 else None
    return holds(op, operand, value)


def fold(value: Any) -> Any:
    return value.lower().replace("ß", "ss") if isinstance(value, str) else value


def holds(op: str, operand: Any, value: Any) -> bool:
    many = [fold(one) for one in (operand if isinstance(operand, list) else [operand])]
    one = many[0]
    if isinstance(value, tuple):
        items = [fold(item) for item in value]
        return all(w in items for w in many) if op == "has_all" else any(w in items for w in many)
    value = fold(value)
    checks: dict[str, Callable[[], bool]] = {
        "=": lambda: value == one,
        "eq": lambda: value == one,
        "ne": lambda: value != one,
        "in": lambda: value in many,
        "not_in": lambda: value not in many,
        "gt": lambda: value > one,
        "gte": lambda: value >= one,
        "lt": lambda: value < one,
        "lte": lambda: value <= one,
        "between": lambda: many[0] <= value <= many[1],
        "contains": lambda: any(part in value for part in many),
        "starts_with": lambda: any(value.startswith(part) for part in many),
        "ends_with": lambda: any(value.endswith(part) for part in many),
        "glob": lambda: any(fnmatchcase(value, pattern) for pattern in many),
    }
    return checks[op]()


TEXT_FACTS = ("utm.term", "company.industry", "geo.country")
NUMBER_FACTS = ("visit.count", "time.hour")
words = st.sampled_from(["a", "A", "b", "ab", "Aß", "ass", "Ä", "ä", "x*"])
numbers = st.integers(0, 6)


def several(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=3)


def leaf(facts: st.SearchStrategy[str], comparisons: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda fact, asked: {fact: asked}, facts, comparisons)


def asks(ops: list[str], operands: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(ops), operands, min_size=1, max_size=2)


known = st.builds(lambda flag: {"known": flag}, st.booleans())
leaves = st.one_of(
    leaf(
        st.sampled_from(TEXT_FACTS),
        words
        | asks(["eq", "ne"], words)
        | asks(["in", "not_in", "contains", "starts_with", "ends_with", "glob"], several(words))
        | known,
    ),
    leaf(
        st.sampled_from([*NUMBER_FACTS, "company.employees"]),
        numbers
        | asks(["eq", "ne", "gt", "gte", "lt", "lte"], numbers)
        | asks(["in", "not_in"], several(numbers))
        | asks(["between"], st.builds(lambda a, b: sorted([a, b]), numbers, numbers))
        | known,
    ),
    leaf(st.just("geo.eu"), st.booleans() | asks(["eq", "ne"], st.booleans()) | known),
    leaf(st.just("visit.goals"), words | asks(["has"], words) | asks(["has_any", "has_all"], several(words)) | known),
)


def trees(of: st.SearchStrategy[dict[str, Any]], most: int) -> st.SearchStrategy[dict[str, Any]]:
    """Conditions of up to `most` leaves; those that nest too deeply are left out."""
    return st.recursive(
        of,
        lambda inner: (
            st.builds(lambda many: {"any": many}, several(inner))
            | st.builds(lambda many: {"all": many}, several(inner))
            | st.builds(lambda one: {"not": one}, inner)
            | st.builds(lambda one, other: {**one, **other}, inner, inner)
        ),
        max_leaves=most,
    ).filter(lambda data: compile_condition(data, SCHEMA)[0] is not None)


conditions = trees(leaves, 6)
few_words = st.sampled_from(["a", "A", "b"])
equalities = leaf(st.sampled_from(TEXT_FACTS), few_words | asks(["in"], several(few_words))) | leaf(
    st.just("visit.goals"), few_words | asks(["has_any"], several(few_words))
)  # what the index is made of
bands = st.builds(lambda a, b: Range(*sorted([a, b])), numbers, numbers)
visitors = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(TEXT_FACTS, words | few_words | st.just("")),
        **dict.fromkeys(NUMBER_FACTS, numbers),
        "company.employees": numbers | bands,
        "geo.eu": st.booleans(),
        "visit.goals": st.lists(words, max_size=3).map(tuple),
    },
)


@given(conditions, visitors)
@settings(max_examples=100)
def test_the_predicate_equals_brute_force(data: dict[str, Any], facts: dict[str, Any]) -> None:
    assert compiled(data).test(facts) is brute(data, facts)


NEVER = [{"utm.campaign": f"never {number}"} for number in range(FEW)]  # so many rules that the index is used


@given(st.lists(trees(equalities | leaves, 4), min_size=1, max_size=4), st.lists(visitors, min_size=3, max_size=6))
@settings(max_examples=100)
def test_the_index_finds_what_a_scan_finds(rules: list[dict[str, Any]], people: list[dict[str, Any]]) -> None:
    keyed = [(f"r{place}", compiled(rule)) for place, rule in enumerate([*NEVER, *rules])]
    answers: Answers = Cache(64)
    index, remembering = RuleIndex(keyed), RuleIndex(keyed, answers)
    others = RuleIndex(keyed[::-1], answers)
    hopeful = RuleIndex(keyed, answers, or_unknown=True)
    for facts in people * 2:
        scanned = [key for key, condition in keyed if condition.test(facts) is True]
        possible = [key for key, condition in keyed if condition.test(facts) is not False]
        assert index.true_rules(facts) == scanned
        assert index.first(facts) == remembering.first(facts) == (scanned[0] if scanned else None)
        assert others.first(facts) == (scanned[-1] if scanned else None)
        assert hopeful.first(facts) == (possible[0] if possible else None)


def test_what_is_remembered_of_a_number_is_its_place_among_the_rules_bounds() -> None:
    rules = [{"visit.count": {"gt": 30}}, {"visit.count": {"gte": 20}}, {"visit.count": {"eq": 10}}]
    keyed = [(f"r{place}", compiled(rule)) for place, rule in enumerate(rules)]
    told = {9: None, 10: "r2", 11: None, 19: None, 20: "r1", 21: "r1", 30: "r1", 31: "r0"}
    for numbers in (told, reversed(told)):  # whichever is asked first and remembered for the others
        index = RuleIndex(keyed, Cache(64))
        assert {number: index.first({"visit.count": number}) for number in numbers} == told


def test_a_rule_that_asks_one_thing_in_two_ways_is_found_once() -> None:
    either = {"any": [{"utm.term": "a", "visit.count": 1}, {"utm.term": "A", "geo.eu": True}]}
    index = RuleIndex([(f"r{place}", compiled(rule)) for place, rule in enumerate([*NEVER, either])])
    assert list(index.true_rules({"utm.term": "a", "visit.count": 1, "geo.eu": True})) == [f"r{FEW}"]


@pytest.mark.parametrize(
    ("rule", "true", "false"),
    [
        ({"company.naics": {"starts_with": "54"}}, ["54", "541110"], ["513210", "5"]),
        ({"company.naics": {"starts_with": "31-33"}}, ["31-33", "31", "325", "333248"], ["3", "423110", "34"]),
        ({"company.naics": {"starts_with": ["44-45", "5132"]}}, ["441110", "455211", "513210"], ["423110"]),
        ({"company.naics": {"in": ["519130", "513210"]}}, ["519130"], ["541110"]),  # the first is of 2017
        ({"company.sic": {"starts_with": "737"}}, ["7372", "737"], ["7389"]),
        ({"company.sic": "0111"}, ["0111"], ["111"]),
    ],
)
def test_industry_codes(rule: dict[str, Any], true: list[str], false: list[str]) -> None:
    (fact,) = rule
    assert all(compiled(rule).test({fact: code}) is True for code in true)
    assert all(compiled(rule).test({fact: code}) is False for code in false)


@pytest.mark.parametrize(
    ("rule", "message", "remedy"),
    [
        ({"company.naics": "541111"}, "there is no code `541111`.", "Did you mean `54111`?"),
        ({"company.naics": {"in": ["513210", "x"]}}, "there is no code `x`.", ""),
        ({"company.naics": {"starts_with": "5499"}}, "no code starts with `5499`.", "Did you mean `54`?"),
        ({"company.naics": "31-33"}, "`31-33` are several codes.", 'Write `{starts_with: "31-33"}`.'),
        ({"company.naics": {"starts_with": "31-34"}}, "no code starts with `31-34`.", "Did you mean `31`?"),
        ({"company.sic": {"ne": "7300"}}, "there is no code `7300`.", "Did you mean `73`?"),
    ],
)
def test_an_industry_code_that_does_not_exist_is_a_mistake(rule: dict[str, Any], message: str, remedy: str) -> None:
    condition, (mistake,) = compile_condition(rule, SCHEMA)
    assert condition is None
    assert (mistake.message, mistake.remedy) == (message, remedy)


def test_a_place_with_names_in_other_languages_is_found_by_its_english_one() -> None:
    rules = [{"geo.city": "munich"}, {"geo.city": {"in": ["Munich"]}, "geo.region": "by"}, {"geo.city": "München"}]
    index = RuleIndex([(f"r{place}", compiled(rule)) for place, rule in enumerate([*NEVER, *rules])])
    facts = {"geo.city": name_place("Munich", {"de": "München"}), "geo.region": name_place("BY", {"de": "Bayern"})}
    assert list(index.true_rules(facts)) == [f"r{FEW}", f"r{FEW + 1}"]


SAP = {"company.technologies": {"has": "sap"}}


@pytest.mark.parametrize(
    "rule",
    [
        {"geo.country": "DE", **SAP},
        {"geo.country": "DE", "any": [SAP]},
        {"all": [{"geo.country": "DE"}, {"all": [SAP]}]},
        {"geo.country": "DE", "company.technologies": {"has": "sap", "has_any": ["sap", "datev"]}},
        {"all": [{"any": [{"company.technologies": {"has_any": ["sap"]}}]}, {"any": [{"geo.country": "DE"}]}]},
    ],
)
def test_a_list_is_never_one_of_two_facts_that_are_looked_up_together(rule: dict[str, Any]) -> None:
    index = RuleIndex([(f"r{place}", compiled(one)) for place, one in enumerate([*NEVER, rule])])
    assert index.true_rules({"geo.country": "DE", "company.technologies": ("SAP", "Datev")}) == [f"r{FEW}"]


def test_what_is_long_is_answered_and_not_remembered() -> None:
    answers: Answers = Cache(64)
    rules = [*NEVER, {"utm.campaign": {"starts_with": "x"}}]
    index = RuleIndex([(f"r{place}", compiled(one)) for place, one in enumerate(rules)], answers)
    for length, remembered in ((64, True), (65, False)):
        asked = {"utm.campaign": "x" * length}
        assert index.first(asked) == f"r{FEW}"
        assert any("x" * length in question for question in answers._newer) is remembered


def test_the_index_does_not_try_every_rule() -> None:
    """2,000 rules on one fact each: a visitor who has the value of one is asked one rule, not all."""
    rules = [(f"r{n}", compiled({"utm.campaign": f"c{n}", "visit.count": {"gte": 1}})) for n in range(2_000)]
    index = RuleIndex(rules)
    assert list(index.candidates({"utm.campaign": "C77", "visit.count": 2})) == [77]
    assert index.first({"utm.campaign": "C77", "visit.count": 2}) == "r77"
    assert list(index.candidates({"utm.campaign": "none"})) == []
