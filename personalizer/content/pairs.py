"""Pairs of rules that could be true together, found without trying each with each.

What enters: rules in order. What leaves: pairs of their places, the earlier first. Must not: leave out a pair that
could be true together, but for the last ones beyond the limit, which the caller is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from personalizer.content.proof import Rule

FEW = 12  # so many rules are compared each with each


class Pairs:
    """An iterator over pairs; `more` says, afterwards, that it stopped at `most`."""

    def __init__(self, rules: Sequence[Rule], most: int) -> None:
        self._named = [_named_values(rule) for rule in rules]
        self._most = most
        self.more = False

    def __iter__(self) -> Iterator[tuple[int, int]]:
        seen: set[tuple[int, int]] = set()
        found = self._pairs(list(range(len(self._named))), frozenset())
        for tried, (one, other) in enumerate(found):  # some come twice, as rules may have two values in common
            if tried == self._most:
                self.more = True
                return
            pair = (one, other) if one < other else (other, one)
            if pair not in seen:
                seen.add(pair)
                yield pair

    def _pairs(self, places: list[int], used: frozenset[str]) -> Iterator[tuple[int, int]]:
        fact = self._dividing(places, used) if len(places) > FEW else None
        if fact is None:
            yield from ((one, other) for number, one in enumerate(places) for other in places[number + 1 :])
            return
        groups: dict[object, list[int]] = {}
        loose = []
        for place in places:
            if fact not in self._named[place]:
                loose.append(place)
                continue
            for value in self._named[place][fact]:
                groups.setdefault(value, []).append(place)
        for group in groups.values():
            yield from self._pairs(group, used | {fact})
        anchored = [place for place in places if fact in self._named[place]]
        yield from ((one, other) for one in loose for other in anchored)
        yield from self._pairs(loose, used | {fact})

    def _dividing(self, places: Sequence[int], used: frozenset[str]) -> str | None:
        """The fact of which most of these rules name the values; rules without a value in common exclude each other."""
        counts = Counter(fact for place in places for fact in self._named[place] if fact not in used)
        return max(sorted(counts), key=lambda fact: counts[fact]) if counts else None


def _named_values(rule: Rule) -> dict[str, frozenset[object]]:
    """Facts that must have one of a few values for the rule to be true, whatever its case."""
    if not rule.cases:
        return {}
    first, *others = rule.cases
    named = {}
    for fact, demand in first.items():
        demands = [demand, *(case[fact] for case in others if fact in case)]
        values = [one.values for one in demands]
        if len(demands) == len(rule.cases) and all(one is not None for one in values):
            named[fact] = frozenset(value for one in values if one for value in one)
    return named
