"""Which ICPs a page considers and which personas an ICP has, as indexes shared by all that have the same.

What enters: compiled ICPs and personas. What leaves: indexes. Must not: make an index for each page or ICP: there are
thousands of them that differ in nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from personalizer.content import models
from personalizer.decision.conditions import Condition
from personalizer.decision.index import Answers, RuleIndex
from personalizer.decision.registry import Icp, Persona


@dataclass(slots=True)
class Considered:
    """The ICPs that pages of one product consider, by kind; `presumed` are by persona those that it belongs to."""

    ideal: RuleIndex
    negative: RuleIndex
    excluded: RuleIndex
    presumed: dict[str, RuleIndex] = field(default_factory=dict)


class Considering:
    """Makes the indexes of one registry. `everywhere` is the very tuple that personas have who name no ICPs."""

    def __init__(
        self, icps: Mapping[str, Icp], personas: Mapping[str, Persona], everywhere: tuple[str, ...], answers: Answers
    ) -> None:
        self._icps = icps
        self._personas = personas
        self._everywhere = everywhere
        self._answers = answers
        self._by_product: dict[str | None, Considered] = {}

    def of_page(self, page: models.Page) -> Considered:
        """What a page considers: the same as every other page of its product."""
        if page.product not in self._by_product:
            kinds: dict[str, list[tuple[str, Condition]]] = {"ideal": [], "negative": [], "excluded": []}
            for icp in self._icps.values():
                if page.considers(icp.product):
                    kinds[icp.kind].append((icp.key, icp.match))
            ideal, negative, excluded = (RuleIndex(rules, self._answers) for rules in kinds.values())
            self._by_product[page.product] = Considered(ideal, negative, excluded, self._presumed(kinds["ideal"]))
        return self._by_product[page.product]

    def _presumed(self, rules: list[tuple[str, Condition]]) -> dict[str, RuleIndex]:
        """By persona, those of these ICPs that it belongs to."""
        ideal = dict(rules)
        indexes: dict[tuple[str, ...] | None, RuleIndex] = {}
        presumed = {}
        for persona in self._personas.values():
            icps = None if persona.icps is self._everywhere else persona.icps
            if icps not in indexes:
                own = [(key, ideal[key]) for key in persona.icps if key in ideal]
                indexes[icps] = RuleIndex(own, self._answers, or_unknown=True)
            presumed[persona.key] = indexes[icps]
        return presumed

    def personas_by_icp(self) -> dict[str, RuleIndex]:
        """Of each ICP the personas that have a match, in order."""
        told = {key: persona.match for key, persona in self._personas.items() if persona.match is not None}
        general = tuple(key for key in told if self._personas[key].icps is self._everywhere)
        special: dict[str, list[str]] = {}
        for key in told:
            for icp in () if self._personas[key].icps is self._everywhere else dict.fromkeys(self._personas[key].icps):
                special.setdefault(icp, []).append(key)
        indexes: dict[tuple[str, ...], RuleIndex] = {}
        result = {}
        for one in self._icps.values():
            keys = (*(general if one.kind == "ideal" else ()), *special.get(one.key, ()))
            if keys not in indexes:
                ordered = sorted(keys, key=lambda key: self._personas[key].order)
                indexes[keys] = RuleIndex([(key, told[key]) for key in ordered], self._answers)
            result[one.key] = indexes[keys]
        return result
