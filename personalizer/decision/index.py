"""An ordered list of rules that finds those a visitor can satisfy without trying each one.

What enters: named, compiled conditions in order. What leaves: the first, or all, that are true. Must not: ever skip a
rule that would be true; the index only leaves out rules whose required equality the facts do not meet.

What the first rule was for the same values of the facts that the rules ask about is remembered: it cannot be another.
Of a number only its place among the rules' bounds counts, so that 240 and 241 employees are one question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from personalizer.cache import Cache
from personalizer.decision.conditions import All, Any_, Compare, Condition, Node, walk_leaves
from personalizer.model import Facts, FactType, Range

FEW: Final = 16  # so many rules are tried faster one by one than found by their values
PAIRS: Final = 64  # so many pairs of values at most are listed for one rule

FEWEST: Final = 2  # so many rules are tried as fast as an answer is found
MOST_FACTS: Final = 8  # rules that ask about more are seldom asked the same question twice, and remember nothing
LONGEST: Final = 64  # characters of a text by which an answer is remembered; longer ones are rare, and fill the memory
REMEMBERED = 65_536  # answers of all indexes of a registry together, about 15 MB; 50 where every text is new and long

Key = tuple[object, ...]
Required = tuple[tuple[str, ...], frozenset[Key]]  # one or two facts, and the folded values of which they must have one
Answers = Cache[Key, str]  # an index and the values of its facts, raw → the first rule's key, or ""


class RuleIndex:
    """Rules in order. `first(facts)` costs one look-up when it was asked the same before; else one for each indexed
    fact, plus the rules that this finds.

    `keys` are its rules' names. `answers` is where it remembers, shared by the indexes of a registry. With `or_unknown`
    it finds rules that are not false: true, or unknown for want of a fact.
    """

    __slots__ = ("_always", "_answers", "_asked", "_or_unknown", "_tables", "facts", "keys", "rules")

    def __init__(
        self, rules: Sequence[tuple[str, Condition]], answers: Answers | None = None, *, or_unknown: bool = False
    ) -> None:
        self.rules = tuple(rules)
        self.keys = frozenset(key for key, _ in self.rules)
        asked: dict[str, list[Compare]] = {}
        for _, condition in self.rules:
            for leaf in condition.leaves:
                asked.setdefault(leaf.fact, []).append(leaf)
        self.facts = frozenset(asked)
        self._asked = tuple((name, _bounds(asked[name])) for name in sorted(asked))
        self._answers = answers if len(rules) > FEWEST and len(self._asked) <= MOST_FACTS else None
        self._or_unknown = or_unknown
        always: list[int] = []
        tables: dict[tuple[str, ...], dict[Key, list[int]]] = {}
        for place, (_, condition) in enumerate(self.rules):
            # A fact that is not known meets no equality, and yet does not make its rule false.
            required = _required(condition.node) if len(self.rules) > FEW and not or_unknown else None
            if required is None:
                always.append(place)
                continue
            for names, key in {(names, key) for names, keys in required for key in keys}:
                tables.setdefault(names, {}).setdefault(key, []).append(place)
        self._always = tuple(always)
        self._tables: Mapping[tuple[str, ...], Mapping[Key, list[int]]] = tables

    def __len__(self) -> int:
        return len(self.rules)

    def candidates(self, facts: Facts) -> Sequence[int]:
        """Places of all rules that can be true, in order."""
        hits: list[Sequence[int]] = []
        for names, table in self._tables.items():
            for key in _keys(names, facts):
                places = table.get(key)
                if places:
                    hits.append(places)
        if not hits:
            return self._always
        if len(hits) == 1 and not self._always:
            return hits[0]
        return sorted(set(self._always).union(*hits))

    def true_rules(self, facts: Facts) -> list[str]:
        """Keys of the rules that hold, in order."""
        rules = [self.rules[place] for place in self.candidates(facts)]
        return [key for key, condition in rules if self._holds(condition.test(facts))]

    def first(self, facts: Facts) -> str | None:
        """Key of the first rule that holds."""
        answers = self._answers
        if answers is None:
            return self._find(facts) or None
        asked: list[object] = [id(self)]
        for name, bounds in self._asked:
            value = facts.get(name)
            if isinstance(value, str) and len(value) > LONGEST:
                return self._find(facts) or None
            asked.append(value if value is None or not bounds else _place(value, bounds))
        question = tuple(asked)
        known = answers.get(question)
        if known is None:
            known = answers.put(question, self._find(facts))
        return known or None

    def _find(self, facts: Facts) -> str:
        for place in self.candidates(facts):
            key, condition = self.rules[place]
            if self._holds(condition.test(facts)):
                return key
        return ""

    def _holds(self, verdict: bool | None) -> bool:
        return verdict is True or (verdict is None and self._or_unknown)


def _bounds(asked: Sequence[Compare]) -> list[float]:
    """The numbers with which rules compare a fact, in order; none for a fact that is no number."""
    leaves = [leaf for leaf in asked if leaf.op != "known"]
    if any(leaf.type not in (FactType.NUMBER, FactType.RANGE) for leaf in leaves):
        return []
    return sorted({bound for leaf in leaves for bound in _operands(leaf)})


def _operands(leaf: Compare) -> tuple[Any, ...]:
    return leaf.operand if isinstance(leaf.operand, tuple) else (leaf.operand,)


def _place(value: Any, bounds: list[float]) -> object:
    """Where a number, or both ends of a range, lie among the bounds: below, at, or between which of them."""
    if type(value) is not Range:
        return _step(value, bounds)
    low = _step(value.low, bounds)
    return low if value.low == value.high else (low, _step(value.high, bounds))


def _step(number: float, bounds: list[float]) -> int:
    """Even between two bounds, odd at one."""
    below, above = 0, len(bounds)
    while below < above:  # as `bisect_left`, which compiled code would have to call with objects
        middle = (below + above) >> 1
        if bounds[middle] < number:
            below = middle + 1
        else:
            above = middle
    return 2 * below + 1 if below < len(bounds) and bounds[below] == number else 2 * below


def _keys(names: tuple[str, ...], facts: Facts) -> Sequence[Key]:
    """What a visitor's facts are looked up by: one key, or for a list one for each item; none if a fact is unknown."""
    value = facts.get(names[0])
    if value is None:
        return ()
    if len(names) == 1:
        return [(_fold(item),) for item in value] if type(value) is tuple else ((_fold(value),),)
    second = facts.get(names[1])
    return () if second is None else ((_fold(value), _fold(second)),)


def _fold(value: object) -> object:
    return value.casefold() if isinstance(value, str) else value


def _required(node: Node) -> list[Required] | None:
    """Facts of which at least one must have one of the values for the condition to be true; None if there are none."""
    if isinstance(node, Compare):
        return _required_leaf(node)
    if isinstance(node, All):
        found = [required for child in node.children if (required := _required(child)) is not None]
        return _pair(node, found) or min(found, key=_count, default=None)  # the fewest values find the fewest rules
    if isinstance(node, Any_):
        branches = [_required(child) for child in node.children]
        if any(branch is None for branch in branches):
            return None
        return [required for branch in branches if branch for required in branch]
    return None


def _count(required: list[Required]) -> int:
    return sum(len(keys) for _, keys in required)


def _pair(node: All, found: list[list[Required]]) -> list[Required] | None:
    """Two facts of which both are required: together they find far fewer rules than each of them."""
    lists = {leaf.fact for leaf in walk_leaves(node) if leaf.type is FactType.LIST}
    single = [one[0] for one in found if len(one) == 1 and len(one[0][0]) == 1 and one[0][0][0] not in lists]
    single.sort(key=lambda required: (len(required[1]), required[0]))
    if len(single) < 2 or single[0][0] == single[1][0]:
        return None
    (first, ones), (second, others) = sorted(single[:2])
    if len(ones) * len(others) > PAIRS:
        return None
    return [((*first, *second), frozenset((*one, *other) for one in ones for other in others))]


def _required_leaf(leaf: Compare) -> list[Required] | None:
    if leaf.op not in ("eq", "in", "has", "has_any") or leaf.type in (FactType.RANGE, FactType.FLAG):
        return None
    return [((leaf.fact,), frozenset((value,) for value in _operands(leaf)))]
