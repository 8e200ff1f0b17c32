"""An ordered list of rules that finds those a visitor can satisfy without trying each one.

What enters: named, compiled conditions in order. What leaves: the first, or all, that are true. Must not: ever skip a
rule that would be true; the index only leaves out rules whose required equality the facts do not meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from personalizer.decision.conditions import All, Any_, Compare, Condition, Node
from personalizer.model import Facts, FactType

FEW = 16  # so many rules are tried faster one by one than found by their values

Required = tuple[str, frozenset[object]]  # a fact, and the folded values of which it must have one


class RuleIndex:
    """Rules in order. `first(facts)` costs one dictionary look-up per indexed fact plus the rules it finds."""

    __slots__ = ("_always", "_tables", "facts", "rules")

    def __init__(self, rules: Sequence[tuple[str, Condition]]) -> None:
        self.rules = tuple(rules)
        self.facts = frozenset(leaf.fact for _, condition in rules for leaf in condition.leaves)
        always: list[int] = []
        tables: dict[str, dict[object, list[int]]] = {}
        for place, (_, condition) in enumerate(self.rules):
            required = _required(condition.node) if len(self.rules) > FEW else None
            if required is None:
                always.append(place)
                continue
            for fact, values in required:
                for value in values:
                    tables.setdefault(fact, {}).setdefault(value, []).append(place)
        self._always = tuple(always)
        self._tables: Mapping[str, Mapping[object, list[int]]] = tables

    def __len__(self) -> int:
        return len(self.rules)

    def candidates(self, facts: Facts) -> Sequence[int]:
        """Places of all rules that can be true, in order."""
        hits: list[Sequence[int]] = []
        for fact, table in self._tables.items():
            value = facts.get(fact)
            if value is None:
                continue
            for key in value if type(value) is tuple else (value,):
                places = table.get(key.casefold() if type(key) is str else key)
                if places:
                    hits.append(places)
        if not hits:
            return self._always
        if len(hits) == 1 and not self._always:
            return hits[0]
        return sorted(set(self._always).union(*hits))

    def true_rules(self, facts: Facts) -> Iterator[str]:
        """Keys of the rules that are true, in order."""
        rules = self.rules
        for place in self.candidates(facts):
            key, condition = rules[place]
            if condition.test(facts) is True:
                yield key

    def first(self, facts: Facts) -> str | None:
        """Key of the first rule that is true."""
        rules = self.rules
        for place in self.candidates(facts):
            key, condition = rules[place]
            if condition.test(facts) is True:
                return key
        return None


def _required(node: Node) -> list[Required] | None:
    """Facts of which at least one must have one of the values for the condition to be true; None if there are none."""
    if isinstance(node, Compare):
        return _required_leaf(node)
    if isinstance(node, All):
        found = [required for child in node.children if (required := _required(child)) is not None]
        # The branch with the fewest values finds the fewest rules.
        return min(found, key=lambda required: sum(len(values) for _, values in required), default=None)
    if isinstance(node, Any_):
        branches = [_required(child) for child in node.children]
        if any(branch is None for branch in branches):
            return None
        return [required for branch in branches if branch for required in branch]
    return None


def _required_leaf(leaf: Compare) -> list[Required] | None:
    if leaf.type in (FactType.TEXT, FactType.LIST) and leaf.op in ("eq", "in", "has", "has_any"):
        return [(leaf.fact, frozenset(leaf.operand if isinstance(leaf.operand, tuple) else (leaf.operand,)))]
    if leaf.type is FactType.NUMBER and leaf.op in ("eq", "in"):
        return [(leaf.fact, frozenset(leaf.operand if isinstance(leaf.operand, tuple) else (leaf.operand,)))]
    return None
