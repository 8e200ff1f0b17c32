"""Conditions: a checked tree → a three-valued predicate and an English sentence.

What enters: a tree that `parse.py` made from YAML. What leaves: a `Condition`. Must not: look at a fact's origin, guess
a type, or raise at request time.

Logic is SQL's: a comparison with an unknown fact is unknown, `not` unknown is unknown, a rule admits only on true.
`known: false` is the one question about the unknown itself. Text compares case-folded.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from personalizer.model import Facts, FactType, Predicate, Range, Value

Test = Callable[[Any], bool | None]


@dataclass(frozen=True, slots=True)
class Compare:
    """A leaf: `fact op operand`. Text operands are folded, list operands are tuples."""

    fact: str
    type: FactType
    op: str
    operand: Any


@dataclass(frozen=True, slots=True)
class All:
    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Any_:
    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    child: Node


Node = Compare | All | Any_ | Not


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition. `test(facts)` gives true, false or None (unknown); `leaves` are its comparisons."""

    node: Node
    test: Predicate
    leaves: tuple[Compare, ...]

    @property
    def sentence(self) -> str:
        """The condition in words a marketer reads."""
        return say_condition(self.node)


def build_condition(node: Node) -> Condition:
    """A condition from a tree that is known to be right."""
    return Condition(node, _predicate(node), tuple(walk_leaves(node)))


def walk_leaves(node: Node) -> Iterator[Compare]:
    """Every comparison in the tree, from left to right."""
    if isinstance(node, Compare):
        yield node
    elif isinstance(node, Not):
        yield from walk_leaves(node.child)
    else:
        for child in node.children:
            yield from walk_leaves(child)


# --- the predicate ---


def _predicate(node: Node) -> Predicate:
    if isinstance(node, Compare):
        return _leaf_predicate(node)
    if isinstance(node, Not):
        return _not(_predicate(node.child))
    tests = tuple(_predicate(child) for child in node.children)
    return _all(tests) if isinstance(node, All) else _any(tests)


def _all(tests: tuple[Predicate, ...]) -> Predicate:
    def test(facts: Facts) -> bool | None:
        result: bool | None = True
        for one in tests:
            verdict = one(facts)
            if verdict is False:
                return False
            if verdict is None:
                result = None
        return result

    return test


def _any(tests: tuple[Predicate, ...]) -> Predicate:
    def test(facts: Facts) -> bool | None:
        result: bool | None = False
        for one in tests:
            verdict = one(facts)
            if verdict is True:
                return True
            if verdict is None:
                result = None
        return result

    return test


def _not(inner: Predicate) -> Predicate:
    def test(facts: Facts) -> bool | None:
        verdict = inner(facts)
        return None if verdict is None else not verdict

    return test


def _leaf_predicate(leaf: Compare) -> Predicate:
    fact = leaf.fact
    if leaf.op == "known":
        wanted = leaf.operand
        return lambda facts: (fact in facts) is wanted
    check = _value_test(leaf)

    def test(facts: Facts) -> bool | None:
        value = facts.get(fact)
        return None if value is None else check(value)

    return test


def _value_test(leaf: Compare) -> Test:
    if leaf.op in ("ne", "not_in"):
        positive = _value_test(Compare(leaf.fact, leaf.type, "eq" if leaf.op == "ne" else "in", leaf.operand))

        def negated(value: Any) -> bool | None:
            verdict = positive(value)
            return None if verdict is None else not verdict

        return negated
    if leaf.type is FactType.TEXT:
        return _text_test(leaf.op, leaf.operand)
    if leaf.type is FactType.LIST:
        return _list_test(leaf.op, leaf.operand)
    if leaf.type is FactType.FLAG:
        wanted = leaf.operand
        return lambda value: value is wanted
    return _number_test(leaf.op, leaf.operand)


def _text_test(op: str, operand: Any) -> Test:
    if op == "eq":
        return lambda value: value.casefold() == operand
    if op == "in":
        members = frozenset(operand)
        return lambda value: value.casefold() in members
    if op == "starts_with":
        return lambda value: value.casefold().startswith(operand)
    if op == "ends_with":
        return lambda value: value.casefold().endswith(operand)
    if op == "glob":
        # fnmatch's patterns cannot backtrack badly: each `*` becomes an atomic match.
        patterns = tuple(re.compile(fnmatch.translate(glob)).match for glob in operand)
        return lambda value: any(match(value.casefold()) for match in patterns)

    def contains(value: str) -> bool:
        folded = value.casefold()
        for part in operand:  # noqa: SIM110 - the generator of `any` costs more than what it goes through
            if part in folded:
                return True
        return False

    return contains


def _list_test(op: str, operand: Any) -> Test:
    wanted = frozenset(operand if isinstance(operand, tuple) else (operand,))
    if op == "has_all":
        return lambda value: wanted <= {item.casefold() for item in value}
    return lambda value: any(item.casefold() in wanted for item in value)


def _number_test(op: str, operand: Any) -> Test:
    if op == "in":
        tests = tuple(_number_test("between", (number, number)) for number in operand)

        def member(value: Any) -> bool | None:
            verdicts = [test(value) for test in tests]
            return True if True in verdicts else None if None in verdicts else False

        return member
    # Every comparison asks whether the value lies in [low, high]; a Range answers only if it lies wholly in or out.
    infinity = float("inf")
    if op in ("gt", "lt"):
        return _strict_test(op, operand)
    low, high = operand if op == "between" else (operand, operand)
    low = -infinity if op == "lte" else low
    high = infinity if op == "gte" else high

    def test(value: Any) -> bool | None:
        if type(value) is Range:
            if value.low >= low and value.high <= high:
                return True
            return False if value.high < low or value.low > high else None
        return bool(low <= value <= high)

    return test


def _strict_test(op: str, bound: float) -> Test:
    def above(value: Any) -> bool | None:
        if type(value) is Range:
            return True if value.low > bound else False if value.high <= bound else None
        return bool(value > bound)

    def below(value: Any) -> bool | None:
        if type(value) is Range:
            return True if value.high < bound else False if value.low >= bound else None
        return bool(value < bound)

    return above if op == "gt" else below


# --- the sentence ---

_PHRASES = {
    "eq": "is {}",
    "ne": "is not {}",
    "in": "is {}",
    "not_in": "is neither {}",
    "gt": "is more than {}",
    "gte": "is at least {}",
    "lt": "is less than {}",
    "lte": "is at most {}",
    "contains": "contains {}",
    "starts_with": "starts with {}",
    "ends_with": "ends with {}",
    "glob": "looks like {}",
    "has": "has {}",
    "has_any": "has {}",
    "has_all": "has {}",
}


def say_condition(node: Node) -> str:
    """The condition in words a marketer reads: `company.industry is software or internet and …`."""
    if isinstance(node, Compare):
        return _leaf_sentence(node)
    if isinstance(node, Not):
        return f"not ({say_condition(node.child)})"
    if not node.children:
        return "always"
    joiner = " and " if isinstance(node, All) else " or "
    parts = (say_condition(child) for child in node.children)
    return joiner.join(f"({part})" if (" and " in part or " or " in part) else part for part in parts)


def _leaf_sentence(leaf: Compare) -> str:
    if leaf.op == "known":
        return f"{leaf.fact} is {'known' if leaf.operand else 'unknown'}"
    if leaf.op == "between":
        return f"{leaf.fact} is from {say(leaf.operand[0])} to {say(leaf.operand[1])}"
    joiner = {"has_all": " and ", "not_in": " nor "}.get(leaf.op, " or ")
    words = joiner.join(say(v) for v in leaf.operand) if isinstance(leaf.operand, tuple) else say(leaf.operand)
    return f"{leaf.fact} {_PHRASES[leaf.op].format(words)}"


def say(value: Value) -> str:
    """A value as people write it: 1,000 · 51–1,000 · yes · a, b."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:,}"
    if isinstance(value, Range):
        return say_range(value)
    return ", ".join(value)


def say_range(value: Range) -> str:
    """A range as people write it: 51–1,000 · 51 or more · up to 10 · 240."""
    if value.low == value.high:
        return say(value.low)
    if value.high == float("inf"):
        return f"{say(value.low)} or more"
    if value.low == float("-inf"):
        return f"up to {say(value.high)}"
    return f"{say(value.low)}–{say(value.high)}"
