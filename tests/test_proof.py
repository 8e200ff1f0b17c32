"""What is said to be proven about conditions is true of every visitor; what is plain to people is proven."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalizer.content.compile import SCHEMA
from personalizer.content.pairs import Pairs
from personalizer.content.proof import MOST_CASES, Rule, disjoint, implies
from personalizer.decision.conditions import Condition
from personalizer.decision.parse import compile_condition
from personalizer.model import Range

INFINITE = float("inf")
FEW_FACTS = 3


def compiled(data: Any) -> Condition:
    condition, mistakes = compile_condition(data, SCHEMA)
    assert mistakes == []
    assert condition is not None
    return condition


def rule(data: Any) -> Rule:
    return Rule(compiled(data).node)


# --- a small world: few values, and every combination of them is tried ---

NUMBERS = st.sampled_from([1, 2, 2.5, 3])
WORDS = st.sampled_from(["a", "b", "ab", "ba", "aba", "bab"])
PATTERNS = st.sampled_from(["a", "b", "ab", "a*", "*b", "?", "[ab]b"])
VALUES: dict[str, list[Any]] = {
    "geo.city": [None, "", "a", "B", "ab", "Ba", "aba", "BAB", "c", "abab"],
    "company.employees": [
        None,
        *(Range(low, high) for low, high in itertools.combinations_with_replacement((0, 1, 1.5, 2, 2.5, 3, 4), 2)),
        Range(-INFINITE, 1),
        Range(3, INFINITE),
    ],
    "visit.count": [None, 0, 1, 1.5, 2, 2.5, 3, 4],
    "geo.eu": [None, True, False],
    "company.technologies": [None, (), ("a",), ("B",), ("a", "b"), ("c",), ("ab", "a")],
}
NUMERIC = st.one_of(
    st.fixed_dictionaries({"eq": NUMBERS}),
    st.fixed_dictionaries({"ne": NUMBERS}),
    st.fixed_dictionaries({"in": st.lists(NUMBERS, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"not_in": st.lists(NUMBERS, min_size=1, max_size=3)}),
    *(st.fixed_dictionaries({op: NUMBERS}) for op in ("gt", "gte", "lt", "lte")),
    st.tuples(NUMBERS, NUMBERS).map(lambda pair: {"between": sorted(pair)}),
)
QUESTIONS: dict[str, st.SearchStrategy[Any]] = {
    "geo.city": st.one_of(
        st.fixed_dictionaries({"eq": WORDS}),
        st.fixed_dictionaries({"ne": WORDS}),
        *(st.fixed_dictionaries({op: st.lists(WORDS, min_size=1, max_size=3)}) for op in ("in", "not_in")),
        *(
            st.fixed_dictionaries({op: st.lists(WORDS, min_size=1, max_size=2)})
            for op in ("contains", "starts_with", "ends_with")
        ),
        st.fixed_dictionaries({"glob": st.lists(PATTERNS, min_size=1, max_size=2)}),
    ),
    "company.employees": NUMERIC,
    "visit.count": NUMERIC,
    "geo.eu": st.fixed_dictionaries({"eq": st.booleans()}) | st.fixed_dictionaries({"ne": st.booleans()}),
    "company.technologies": st.one_of(
        st.fixed_dictionaries({"has": WORDS}),
        *(st.fixed_dictionaries({op: st.lists(WORDS, min_size=1, max_size=3)}) for op in ("has_any", "has_all")),
    ),
}
KNOWN = st.fixed_dictionaries({"known": st.booleans()})


@st.composite
def pairs_of_conditions(draw: st.DrawFn) -> tuple[Any, Any]:
    """Two conditions about the same few facts, so that they often have to do with each other."""
    facts = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=FEW_FACTS, unique=True))
    leaves = st.one_of(*(_leaf(fact) for fact in facts))
    trees = st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
            st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
            st.fixed_dictionaries({"not": inner}),
        ),
        max_leaves=4,
    )
    return draw(trees), draw(trees)


def _leaf(fact: str) -> st.SearchStrategy[Any]:
    return st.one_of(QUESTIONS[fact], QUESTIONS[fact], KNOWN).map(lambda asked: {fact: asked})


def everybody(*conditions: Condition) -> list[dict[str, Any]]:
    """All visitors of the small world, as far as these conditions ask about them."""
    asked = sorted({leaf.fact for condition in conditions for leaf in condition.leaves})
    return [
        {fact: value for fact, value in zip(asked, values, strict=True) if value is not None}
        for values in itertools.product(*(VALUES[fact] for fact in asked))
    ]


def questions(fact: str, operators: tuple[str, ...], words: tuple[str, ...]) -> list[Any]:
    """Every comparison of a fact with one or two of the words, and its opposite."""
    lists = [list(some) for size in (1, 2) for some in itertools.combinations(words, size)]
    asked = [{fact: {"known": True}}, *({fact: {op: some}} for op in operators for some in lists)]
    return asked + [{"not": one} for one in asked]


@pytest.mark.parametrize(
    ("fact", "operators", "values"),
    [
        (
            "geo.city",
            ("in", "not_in", "contains", "starts_with", "ends_with", "glob"),
            [None, *("".join(word) for size in range(5) for word in itertools.product("abc", repeat=size))],
        ),
        (
            "company.technologies",
            ("has_any", "has_all"),
            [None, *(some for size in range(4) for some in itertools.combinations(("a", "b", "ab", "c"), size))],
        ),
    ],
)
def test_no_value_contradicts_what_is_proven_of_two_comparisons(
    fact: str, operators: tuple[str, ...], values: list[Any]
) -> None:
    conditions = [compiled(data) for data in questions(fact, operators, ("a", "b", "ab"))]
    people = [{fact: value} if value is not None else {} for value in values]
    true_of = [frozenset(n for n, facts in enumerate(people) if one.test(facts) is True) for one in conditions]
    rules = [Rule(one.node) for one in conditions]
    for one, first in zip(true_of, rules, strict=True):
        assert one or first.never
        for other, second in zip(true_of, rules, strict=True):
            assert not implies(first, second) or one <= other
            assert not disjoint(first, second) or not one & other


@given(pairs_of_conditions())
@settings(max_examples=300)
def test_no_visitor_contradicts_a_proof(pair: tuple[Any, Any]) -> None:
    one, other = (compiled(data) for data in pair)
    first, second = Rule(one.node), Rule(other.node)
    never, implied, apart = first.never, implies(first, second), disjoint(first, second)
    if not (never or implied or apart):
        return
    for facts in everybody(one, other):
        if one.test(facts) is True:
            assert not never, facts
            assert not implied or other.test(facts) is True, facts
            assert not apart or other.test(facts) is not True, facts


@given(pairs_of_conditions())
@settings(max_examples=300)
def test_a_condition_implies_itself_and_excludes_its_opposite(pair: tuple[Any, Any]) -> None:
    """As far as it has few enough cases; these small ones do."""
    for data in pair:
        assert implies(rule(data), rule(data))
        assert disjoint(rule(data), rule({"not": data}))
        assert implies(rule({"all": list(pair)}), rule(data))
        assert implies(rule(data), rule({"any": list(pair)}))


# --- what is plain to people ---

EMPLOYEES, COUNTRY, TITLE, USES = "company.employees", "geo.country", "person.title", "company.technologies"


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ({EMPLOYEES: {"between": [50, 100]}}, {EMPLOYEES: {"between": [10, 1000]}}),
        ({EMPLOYEES: {"gt": 10}}, {EMPLOYEES: {"gte": 10}}),
        ({EMPLOYEES: 50}, {EMPLOYEES: {"in": [50, 60]}}),
        ({EMPLOYEES: {"gt": 10}}, {EMPLOYEES: {"not_in": [9, 10]}}),
        ({COUNTRY: "DE"}, {COUNTRY: {"in": ["AT", "de"]}}),
        ({COUNTRY: "DE"}, {COUNTRY: {"ne": "AT"}}),
        ({COUNTRY: "DE", TITLE: "CFO"}, {COUNTRY: {"known": True}}),
        ({TITLE: {"contains": "chief financial"}}, {TITLE: {"contains": ["cfo", "financial"]}}),
        ({TITLE: {"starts_with": "head of finance"}}, {TITLE: {"starts_with": ["head", "lead"]}}),
        ({TITLE: "head of finance"}, {TITLE: {"glob": "head *"}}),
        ({TITLE: {"ends_with": "finance"}}, {TITLE: {"contains": "fin"}}),
        ({"not": {TITLE: {"contains": "fin"}}}, {"not": {TITLE: {"contains": ["finance", "fin "]}}}),
        ({USES: {"has_all": ["sap", "datev"]}}, {USES: {"has": "sap"}}),
        ({USES: {"has": "sap"}}, {USES: {"has_any": ["sap", "datev"]}}),
        ({"not": {USES: {"has_any": ["sap", "datev"]}}}, {"not": {USES: {"has": "sap"}}}),
        ({"any": [{COUNTRY: "DE"}, {COUNTRY: "AT"}]}, {COUNTRY: {"in": ["DE", "AT", "CH"]}}),
        ({COUNTRY: {"known": False}}, {"any": [{COUNTRY: {"known": False}}, {COUNTRY: "DE"}]}),
        ({"not": {"any": [{COUNTRY: "DE"}, {TITLE: "CFO"}]}}, {COUNTRY: {"ne": "DE"}}),
    ],
)
def test_the_narrow_implies_the_wide_and_not_the_other_way_round(narrow: Any, wide: Any) -> None:
    assert implies(rule(narrow), rule(wide))
    assert not implies(rule(wide), rule(narrow))
    assert not disjoint(rule(narrow), rule(wide))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({EMPLOYEES: {"lt": 10}}, {EMPLOYEES: {"gte": 10}}),
        ({EMPLOYEES: {"between": [1, 9]}}, {EMPLOYEES: {"between": [10, 99]}}),
        ({EMPLOYEES: {"not_in": [1]}}, {EMPLOYEES: 1}),
        ({COUNTRY: "DE"}, {COUNTRY: {"in": ["AT", "CH"]}}),
        ({COUNTRY: "DE"}, {"not": {COUNTRY: "de"}}),
        ({COUNTRY: "DE"}, {COUNTRY: {"known": False}}),
        ({"geo.eu": True}, {"geo.eu": False}),
        ({TITLE: {"starts_with": "head"}}, {TITLE: {"starts_with": ["lead", "vp"]}}),
        ({TITLE: {"contains": "finance"}}, {"not": {TITLE: {"contains": "fin"}}}),
        ({TITLE: {"contains": "cfo"}}, {TITLE: {"in": ["it lead", "payroll manager"]}}),
        ({USES: {"has": "sap"}}, {"not": {USES: {"has_any": ["sap", "datev"]}}}),
        ({USES: {"has_all": ["sap", "datev"]}}, {"not": {USES: {"has_all": ["sap", "datev"]}}}),
        ({"any": [{COUNTRY: "DE"}, {COUNTRY: "AT"}]}, {COUNTRY: {"not_in": ["DE", "AT"]}}),
    ],
)
def test_what_excludes_each_other_is_known_to(one: Any, other: Any) -> None:
    assert disjoint(rule(one), rule(other)) and disjoint(rule(other), rule(one))
    assert rule({"all": [one, other]}).never


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({EMPLOYEES: {"between": [10, 1000]}}, {EMPLOYEES: {"gte": 1000}}),
        ({COUNTRY: "DE"}, {TITLE: "CFO"}),
        ({TITLE: {"contains": "a"}}, {TITLE: {"contains": "b"}}),
        ({TITLE: {"starts_with": "head"}}, {TITLE: {"starts_with": "head of"}}),
        ({USES: {"has": "sap"}}, {USES: {"has": "datev"}}),
    ],
)
def test_near_misses_are_not_apart(one: Any, other: Any) -> None:
    assert not disjoint(rule(one), rule(other))


def test_a_range_that_straddles_two_bands_is_in_neither() -> None:
    """With 51 to 1,000 people both comparisons are unknown, so `any` of them is."""
    halves = {"any": [{EMPLOYEES: {"lt": 100}}, {EMPLOYEES: {"gte": 100}}]}
    assert not implies(rule({EMPLOYEES: {"between": [51, 1000]}}), rule(halves))


def test_nothing_is_proven_of_a_condition_with_too_many_cases() -> None:
    facts = ["utm.source", "utm.medium", "utm.campaign", "utm.term", "utm.content", "utm.id", "geo.city"]
    many = {"all": [{"any": [{fact: {"contains": "a"}}, {fact: {"contains": "b"}}]} for fact in facts]}
    assert 2 ** len(facts) > MOST_CASES
    assert rule(many).cases is None
    assert not implies(rule(many), rule(many)) and not disjoint(rule(many), rule({"geo.city": "c"}))


# --- pairs ---


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=40))
def test_pairs_leave_out_only_rules_that_exclude_each_other(shapes: list[tuple[int, int, bool]]) -> None:
    rules = [
        rule({"geo.region": {"in": [f"c{a}", f"c{a + 1}"]}, "geo.city": f"b{b}"} if both else {"geo.region": f"c{a}"})
        for a, b, both in shapes
    ]
    pairs = Pairs(rules, 10_000)
    found = list(pairs)
    assert len(found) == len(set(found)) and not pairs.more
    assert all(one < other for one, other in found)
    for one, other in set(itertools.combinations(range(len(rules)), 2)) - set(found):
        assert disjoint(rules[one], rules[other])


def test_pairs_are_few_where_values_tell_rules_apart_and_bounded_where_not() -> None:
    apart = [rule({"geo.region": f"c{number // 2}", "geo.city": {"contains": "a"}}) for number in range(2_000)]
    assert len(list(Pairs(apart, 10_000))) == 1_000
    alike = Pairs([rule({"geo.city": {"contains": f"c{number}"}}) for number in range(200)], 500)
    assert len(list(alike)) == 500 and alike.more
