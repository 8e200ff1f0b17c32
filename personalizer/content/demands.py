"""What a comparison demands of one fact's value: being missing, or a known number, text, flag or list of some kind.

What enters: a comparison and the verdict it should have. What leaves: a `Demand`. Must not: allow fewer values than the
comparison does (else something false is proven), or ask about two facts at once.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from personalizer.decision.conditions import Compare
from personalizer.model import FactType


class Demand(Protocol):
    """What one fact must be like."""

    def meet(self, other: Demand) -> Demand | None:
        """Both demands in one; None if no value meets them."""

    def settles(self, leaf: Compare, verdict: bool) -> bool:
        """Whether every value that meets this gives `leaf` that verdict. No also means: not proven."""

    @property
    def known(self) -> bool:
        """Whether the fact must be known."""

    @property
    def values(self) -> frozenset[object] | None:
        """The only values that meet it; None if they are not so few."""


def demand_of(leaf: Compare, verdict: bool) -> Demand | None:
    """What `leaf` demands to have this verdict; None if no value does that."""
    if leaf.op == "known":
        return _known(leaf.type) if leaf.operand is verdict else Missing()
    positive = {"ne": "eq", "not_in": "in"}.get(leaf.op)
    if positive is not None:
        return demand_of(Compare(leaf.fact, leaf.type, positive, leaf.operand), not verdict)
    if leaf.type is FactType.TEXT:
        return _text_demand(leaf, verdict)
    if leaf.type is FactType.LIST:
        return _list_demand(leaf, verdict)
    if leaf.type is FactType.FLAG:
        return Flag(frozenset((leaf.operand is verdict,)))
    spans = _spans_of(leaf)
    return Number(spans if verdict else _outside(spans))


def _known(kind: FactType) -> Demand:
    if kind is FactType.TEXT:
        return Text()
    if kind is FactType.LIST:
        return Items()
    return Flag(frozenset((True, False))) if kind is FactType.FLAG else Number((_ALL,))


def _operands(leaf: Compare) -> tuple[str, ...]:
    return leaf.operand if isinstance(leaf.operand, tuple) else (leaf.operand,)


@dataclass(frozen=True, slots=True)
class Missing:
    """The fact must not be known."""

    known: ClassVar[bool] = False
    values: ClassVar[frozenset[object] | None] = None

    def meet(self, other: Demand) -> Demand | None:
        return self if isinstance(other, Missing) else None

    def settles(self, leaf: Compare, verdict: bool) -> bool:
        return leaf.op == "known" and leaf.operand is not verdict


# --- flags ---


@dataclass(frozen=True, slots=True)
class Flag:
    """Known, and one of these."""

    allowed: frozenset[bool]
    known: ClassVar[bool] = True

    @property
    def values(self) -> frozenset[object] | None:
        return frozenset(self.allowed) if len(self.allowed) == 1 else None

    def meet(self, other: Demand) -> Demand | None:
        both = self.allowed & other.allowed if isinstance(other, Flag) else frozenset()
        return Flag(both) if both else None

    def settles(self, leaf: Compare, verdict: bool) -> bool:
        demand = demand_of(leaf, verdict)
        return isinstance(demand, Flag) and self.allowed <= demand.allowed


# --- numbers ---

# An end is a number and a side: -1 just below it, 0 the number itself, 1 just above. A span holds both its ends.
End = tuple[float, int]
Span = tuple[End, End]
_LEAST: End = (float("-inf"), 0)
_MOST: End = (float("inf"), 0)
_ALL: Span = (_LEAST, _MOST)


@dataclass(frozen=True, slots=True)
class Number:
    """Known, and wholly inside one of these spans: a number, or a range of which every number is."""

    spans: tuple[Span, ...]
    known: ClassVar[bool] = True

    @property
    def values(self) -> frozenset[object] | None:
        return frozenset(low[0] for low, _ in self.spans) if all(low == high for low, high in self.spans) else None

    def meet(self, other: Demand) -> Demand | None:
        if not isinstance(other, Number):
            return None
        pairs = ((max(a[0], b[0]), min(a[1], b[1])) for a in self.spans for b in other.spans)
        spans = tuple((low, high) for low, high in pairs if low <= high)
        return Number(spans) if spans else None

    def settles(self, leaf: Compare, verdict: bool) -> bool:
        demand = demand_of(leaf, verdict)
        if not isinstance(demand, Number):
            return False
        return all(any(low <= a and b <= high for low, high in demand.spans) for a, b in self.spans)


def _spans_of(leaf: Compare) -> tuple[Span, ...]:
    operand = leaf.operand
    if leaf.op == "in":
        return tuple(((number, 0), (number, 0)) for number in sorted(set(operand)))
    if leaf.op == "between":
        return (((operand[0], 0), (operand[1], 0)),)
    if leaf.op in ("gt", "gte"):
        return (((operand, 1 if leaf.op == "gt" else 0), _MOST),)
    if leaf.op in ("lt", "lte"):
        return ((_LEAST, (operand, -1 if leaf.op == "lt" else 0)),)
    return (((operand, 0), (operand, 0)),)


def _outside(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The gaps between spans that are in order and apart."""
    gaps = []
    start = _LEAST
    for low, high in spans:
        end = (low[0], low[1] - 1)
        if start <= end:
            gaps.append((start, end))
        start = (high[0], high[1] + 1)
    if start <= _MOST:
        gaps.append((start, _MOST))
    return tuple(gaps)


# --- texts ---

Pattern = tuple[str, tuple[str, ...]]  # contains, starts_with, ends_with or glob, and the parts of which one must fit


@dataclass(frozen=True, slots=True)
class Text:
    """Known; one of `among`, if that is not None; none of `without`; like each pattern of `like`, and none of `unlike`.

    Values and parts are folded.
    """

    among: frozenset[str] | None = None
    without: frozenset[str] = frozenset()
    like: tuple[Pattern, ...] = ()
    unlike: tuple[Pattern, ...] = ()
    known: ClassVar[bool] = True

    @property
    def values(self) -> frozenset[object] | None:
        return None if self.among is None else frozenset(self.among)

    def meet(self, other: Demand) -> Demand | None:
        if not isinstance(other, Text):
            return None
        if self.among is not None and other.among is not None:
            both = self.among & other.among
            return Text(among=both) if both else None
        among = other.among if self.among is None else self.among
        return _consistent(
            Text(among, self.without | other.without, self.like + other.like, self.unlike + other.unlike)
        )

    def settles(self, leaf: Compare, verdict: bool) -> bool:
        if leaf.op == "known":
            return leaf.operand is verdict
        if leaf.op in ("ne", "not_in"):
            verdict = not verdict
        wanted = _operands(leaf)
        pattern = (leaf.op, wanted) if leaf.op in _FITS else None
        if self.among is not None:
            return all((_fits(pattern, text) if pattern else text in wanted) is verdict for text in self.among)
        if pattern is None:
            return not verdict and all(not self._may_be(text) for text in wanted)
        if verdict:
            return any(_entails(had, pattern) for had in self.like)
        return any(_entails(pattern, had) for had in self.unlike) or any(_exclude(had, pattern) for had in self.like)

    def _may_be(self, text: str) -> bool:
        if text in self.without or any(_fits(pattern, text) for pattern in self.unlike):
            return False
        return all(_fits(pattern, text) for pattern in self.like)


def _text_demand(leaf: Compare, verdict: bool) -> Demand | None:
    wanted = _operands(leaf)
    if leaf.op in _FITS:
        pattern = ((leaf.op, wanted),)
        return Text(like=pattern) if verdict else Text(unlike=pattern)
    return Text(among=frozenset(wanted)) if verdict else Text(without=frozenset(wanted))


def _consistent(demand: Text) -> Text | None:
    """The demand, with what it names checked against all of it; None if nothing is left."""
    if demand.among is not None:
        left = frozenset(text for text in demand.among if demand._may_be(text))
        return Text(among=left) if left else None
    for place, pattern in enumerate(demand.like):
        if any(_entails(pattern, unlike) for unlike in demand.unlike):
            return None
        if any(_exclude(pattern, other) for other in demand.like[:place]):
            return None
    return demand


_FITS = ("contains", "starts_with", "ends_with", "glob")


def _fits(pattern: Pattern, text: str) -> bool:
    op, parts = pattern
    if op == "contains":
        return any(part in text for part in parts)
    if op == "starts_with":
        return text.startswith(parts)
    return text.endswith(parts) if op == "ends_with" else any(fnmatch.fnmatchcase(text, part) for part in parts)


def _entails(one: Pattern, other: Pattern) -> bool:
    """Whether every text like `one` is like `other`: each part of the one has a part of the other inside it."""
    (op, parts), (wanted, others) = one, other
    if op == wanted:
        return all(
            part in others if op == "glob" else any(_holds(op, part, found) for found in others) for part in parts
        )
    if wanted == "contains" and op != "glob":
        return all(any(found in part for found in others) for part in parts)
    return False


def _holds(op: str, part: str, found: str) -> bool:
    """Whether a text that contains (begins, ends with) `part` does so with `found`."""
    if op == "contains":
        return found in part
    return part.startswith(found) if op == "starts_with" else part.endswith(found)


def _exclude(one: Pattern, other: Pattern) -> bool:
    """Whether no text is like both: they begin, or end, otherwise."""
    (op, parts), (wanted, others) = one, other
    if op != wanted or op not in ("starts_with", "ends_with"):
        return False
    return not any(_holds(op, a, b) or _holds(op, b, a) for a in parts for b in others)


# --- lists ---


@dataclass(frozen=True, slots=True)
class Items:
    """Known; has an item of each set of `has` and none of `without`, and lacks an item of each set of `lacks`."""

    has: frozenset[frozenset[str]] = frozenset()
    without: frozenset[str] = frozenset()
    lacks: frozenset[frozenset[str]] = frozenset()
    known: ClassVar[bool] = True

    @property
    def values(self) -> frozenset[object] | None:
        return None  # a list may have items beside the one that is demanded, so two such demands are seldom apart

    def meet(self, other: Demand) -> Demand | None:
        if not isinstance(other, Items):
            return None
        has, without = self.has | other.has, self.without | other.without
        lacks = self.lacks | other.lacks
        there = _single(has)
        if any(one <= without for one in has) or any(one <= there for one in lacks):
            return None
        return Items(has, without, lacks)

    def settles(self, leaf: Compare, verdict: bool) -> bool:
        if leaf.op == "known":
            return leaf.operand is verdict
        wanted = frozenset(_operands(leaf))
        if leaf.op == "has_all":
            if verdict:
                return wanted <= _single(self.has)
            return bool(wanted & self.without) or any(one <= wanted for one in self.lacks)
        return any(one <= wanted for one in self.has) if verdict else wanted <= self.without


def _list_demand(leaf: Compare, verdict: bool) -> Demand:
    wanted = frozenset(_operands(leaf))
    if leaf.op == "has_all":
        return (
            Items(has=frozenset(frozenset((one,)) for one in wanted)) if verdict else Items(lacks=frozenset((wanted,)))
        )
    return Items(has=frozenset((wanted,))) if verdict else Items(without=wanted)


def _single(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    """What each of the sets that hold one item demands."""
    return frozenset(item for one in sets if len(one) == 1 for item in one)
