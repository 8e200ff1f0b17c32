"""From YAML to a condition's tree: every mistake at once, with its place and what to write instead.

What enters: plain data and the schema of facts it may ask about. What leaves: a `Condition`, or `Mistake`s. Must not:
know a file or a line (the caller does), or let anything through that a predicate could stumble over.
"""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from personalizer.decision.conditions import All, Any_, Compare, Condition, Node, Not, build_condition
from personalizer.model import FactType

MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class FactSchema:
    """What rules may ask about: the type of each fact, the values of closed ones, the codes of coded ones, and what is
    to be said of a value that a fact can never have."""

    types: Mapping[str, FactType]
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    codes: Mapping[str, Collection[str]] = field(default_factory=dict)
    checks: Mapping[str, Callable[[object], tuple[str, str] | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake in a condition: the path of keys to it, what is wrong, what to write instead."""

    path: tuple[str | int, ...]
    message: str
    remedy: str = ""


def compile_condition(data: Any, schema: FactSchema) -> tuple[Condition | None, list[Mistake]]:
    """The condition that `data` writes, or every mistake in it. An empty mapping is always true."""
    mistakes: list[Mistake] = []
    node = _parse_mapping(data, schema, (), 1, mistakes)
    if mistakes:
        return None, mistakes
    return build_condition(node), []


_TEXT_OPS = ("eq", "ne", "in", "not_in", "contains", "starts_with", "ends_with", "glob", "known")
_NUMBER_OPS = ("eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "between", "known")
OPERATORS: dict[FactType, tuple[str, ...]] = {
    FactType.TEXT: _TEXT_OPS,
    FactType.NUMBER: _NUMBER_OPS,
    FactType.RANGE: _NUMBER_OPS,
    FactType.FLAG: ("eq", "ne", "known"),
    FactType.LIST: ("has", "has_any", "has_all", "known"),
}
_ALL_OPERATORS = tuple(dict.fromkeys(op for ops in OPERATORS.values() for op in ops))
_EXACT = ("eq", "ne", "in", "not_in")  # operators whose operands are whole values of the fact
_LIST_OPERANDS = {"in", "not_in", "has_any", "has_all"}
_OF_SEVERAL = {"eq": "in", "ne": "not_in", "has": "has_any"}
_ONE_OR_MANY = {"contains", "starts_with", "ends_with", "glob"}
_KIND_WORD = {
    FactType.TEXT: "a text",
    FactType.NUMBER: "a number",
    FactType.RANGE: "a number",
    FactType.FLAG: "true or false",
    FactType.LIST: "a list of texts",
}

Path = tuple[str | int, ...]


def _parse_mapping(data: Any, schema: FactSchema, path: Path, depth: int, mistakes: list[Mistake]) -> Node:
    if depth > MAX_DEPTH:
        mistakes.append(Mistake(path, f"is nested deeper than {MAX_DEPTH} levels.", "Split it into two rules."))
        return All(())
    if not isinstance(data, Mapping):
        mistakes.append(Mistake(path, "is not a condition.", "Write `fact: value`, or `any:`, `all:`, `not:`."))
        return All(())
    children = tuple(
        _parse_entry(str(key), value, schema, (*path, key), depth, mistakes) for key, value in data.items()
    )
    return children[0] if len(children) == 1 else All(children)


def _parse_entry(key: str, value: Any, schema: FactSchema, path: Path, depth: int, mistakes: list[Mistake]) -> Node:
    if key in ("any", "all"):
        if not isinstance(value, list) or not value:
            mistakes.append(Mistake(path, f"`{key}` needs a list of conditions.", f"Write `{key}: [{{…}}, {{…}}]`."))
            return All(())
        children = tuple(_parse_mapping(v, schema, (*path, i), depth + 1, mistakes) for i, v in enumerate(value))
        return Any_(children) if key == "any" else All(children)
    if key == "not":
        return Not(_parse_mapping(value, schema, path, depth + 1, mistakes))
    if key not in schema.types:
        remedy = _nearest(key, schema.types)
        if key in _ALL_OPERATORS:
            remedy = f"`{key}` is an operator: write `fact: {{{key}: …}}`."
        elif key in _GROUPS:
            remedy = f"Write `{_GROUPS[key]}: [{{…}}, {{…}}]`."
        mistakes.append(Mistake(path, f"there is no fact `{key}`.", remedy))
        return All(())
    return _parse_fact(key, value, schema, path, mistakes)


def _parse_fact(fact: str, value: Any, schema: FactSchema, path: Path, mistakes: list[Mistake]) -> Node:
    kind = schema.types[fact]
    if isinstance(value, list):
        word = "has_any" if kind is FactType.LIST else "in"
        mistakes.append(Mistake(path, "is compared with a list.", f"Write `{fact}: {{{word}: […]}}`."))
        return All(())
    short = not isinstance(value, Mapping)
    if short:
        value = {"has" if kind is FactType.LIST else "eq": value}
    if not value:
        mistakes.append(Mistake(path, "asks nothing.", f"Write a value or one of {' '.join(OPERATORS[kind])}."))
    leaves = []
    for op, operand in value.items():
        if op not in OPERATORS[kind]:
            mistakes.append(Mistake((*path, op), *_wrong_operator(str(op), fact, kind)))
            continue
        problem, checked = _check_operand(str(op), operand, kind)
        problem = problem or _check_closed(str(op), checked, schema.values.get(fact, ()))
        if not problem and fact in schema.checks and op in _EXACT:
            problem = _check_values(checked, schema.checks[fact])
        if not problem and fact in schema.codes:
            problem, checked = _check_code(str(op), checked, schema.codes[fact])
        if problem:
            mistakes.append(Mistake(path if short else (*path, op), *problem))
            continue
        leaves.append(Compare(fact, kind, str(op), checked))
    return leaves[0] if len(leaves) == 1 else All(tuple(leaves))


Complaint = tuple[str, str]

_BAND = re.compile(r"\s*(\d+)\s*[-–]\s*(\d+)\s*")  # as people write it in a table
_GROUPS = {"or": "any", "and": "all"}


def _wrong_operator(op: str, fact: str, kind: FactType) -> Complaint:
    takes = f"It takes {' '.join(OPERATORS[kind])}."
    if op in _ALL_OPERATORS:
        return f"`{op}` does not fit `{fact}`, which is {_KIND_WORD[kind]}.", takes
    return f"there is no operator `{op}`.", _nearest(op, OPERATORS[kind]) or takes


def _check_operand(op: str, operand: Any, kind: FactType) -> tuple[Complaint | None, Any]:
    if op == "known":
        return (None, operand) if isinstance(operand, bool) else (("`known` takes true or false.", ""), None)
    if op == "between":
        return _check_between(operand)
    many = op in _LIST_OPERANDS or (op in _ONE_OR_MANY and isinstance(operand, list))
    if op in _LIST_OPERANDS and (not isinstance(operand, list) or not operand):
        return (f"`{op}` needs a list.", f"Write `{op}: [a, b]`."), None
    if isinstance(operand, list) and not many:
        remedy = f"Write `{_OF_SEVERAL[op]}: […]`." if op in _OF_SEVERAL else ""
        return (f"`{op}` takes one value, not a list.", remedy), None
    values = operand if many else [operand]
    if not values:
        return (f"`{op}` has an empty list, so it is never true.", "Name at least one value."), None
    checked = []
    for value in values:
        complaint, one = _check_scalar(value, kind)
        if complaint:
            return complaint, None
        checked.append(one)
    if op in _ONE_OR_MANY or many:
        return None, tuple(checked)
    return None, checked[0]


def _check_scalar(value: Any, kind: FactType) -> tuple[Complaint | None, Any]:
    if value is None or value == "":
        return ("is compared with nothing.", "Write a value; `known: false` asks whether a fact is missing."), None
    if kind is FactType.FLAG:
        return (None, value) if isinstance(value, bool) else ((f"{value!r} is not true or false.", ""), None)
    if kind in (FactType.NUMBER, FactType.RANGE):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            remedy = "Write the number without quotes and without separators."
            if isinstance(value, str) and (band := _BAND.fullmatch(value)):
                remedy = f"Write `{{between: [{band[1]}, {band[2]}]}}`."
            return (f"{value!r} is not a number.", remedy), None
        return None, value
    if isinstance(value, str):
        # Facts arrive in NFKC, which takes e.g. Thai SARA AM apart: a rule must say it in the same letters.
        return None, unicodedata.normalize("NFKC", value).casefold()
    return (f"`{value}` is not a text.", f'Write it in quotes: "{value}".'), None


def _check_between(operand: Any) -> tuple[Complaint | None, Any]:
    if not isinstance(operand, list) or len(operand) != 2:
        return ("`between` needs two numbers.", "Write `between: [10, 1000]`; both ends belong to it."), None
    for value in operand:
        complaint, _ = _check_scalar(value, FactType.NUMBER)
        if complaint:
            return complaint, None
    if operand[0] > operand[1]:
        return ("`between` has its ends the wrong way round.", f"Write `between: [{operand[1]}, {operand[0]}]`."), None
    return None, (operand[0], operand[1])


def _check_closed(op: str, checked: Any, values: tuple[str, ...]) -> Complaint | None:
    if not values or op not in _EXACT:
        return None
    for value in checked if isinstance(checked, tuple) else (checked,):
        if value not in values:
            return f"it can never be `{value}`; it is one of {' '.join(values)}.", _nearest(value, values)
    return None


def _check_values(checked: Any, check: Callable[[object], Complaint | None]) -> Complaint | None:
    for value in checked if isinstance(checked, tuple) else (checked,):
        complaint = check(value)
        if complaint:
            return complaint
    return None


def _check_code(op: str, checked: Any, codes: Collection[str]) -> tuple[Complaint | None, Any]:
    """A code must exist, and a beginning begin one. A sector of several numbers (`31-33`) is the beginnings of all."""
    if op == "starts_with":
        for value in checked:
            if not any(code.startswith(value) for code in codes):
                return (f"no code starts with `{value}`.", _around(value, codes)), None
        return None, tuple(one for value in checked for one in (value, *_numbers_of(value)))
    if op in _EXACT:
        for value in checked if isinstance(checked, tuple) else (checked,):
            if value not in codes:
                return (f"there is no code `{value}`.", _around(value, codes)), None
            if _numbers_of(value):
                return (f"`{value}` are several codes.", f'Write `{{starts_with: "{value}"}}`.'), None
    return None, checked


def _around(value: str, codes: Collection[str]) -> str:
    """The longest beginning of `value` that is a code, as a remedy."""
    known = (value[:length] for length in range(len(value) - 1, 1, -1) if value[:length] in codes)
    code = next(known, "")
    return f"Did you mean `{code}`?" if code else ""


def _numbers_of(sector: str) -> list[str]:
    first, dash, last = sector.partition("-")
    return [str(number) for number in range(int(first), int(last) + 1)] if dash else []


def _nearest(word: str, words: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f"Did you mean `{near[0]}`?" if near else ""
