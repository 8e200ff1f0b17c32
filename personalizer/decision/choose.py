"""Steps 1 to 5: what facts alone decide on a page: whom it refuses, the ICP, the persona, the row.

What enters: a registry, a page, the facts of a visit. What leaves: a `Choice`. Must not: know who the visitor is; what
takes an id, or the sources of facts, is decided afterwards.

A choice is remembered by the values of the facts that the page's rules ask about: it cannot be another. Visitors come
with few industries, countries and keywords.
"""

from __future__ import annotations

from personalizer.decision.registry import Choice, Page, Registry
from personalizer.model import Facts, Reason

ASKED_BY_STEPS = ("ad.persona", "company.relation", "visit.persona")  # what the steps themselves ask about


def choose(registry: Registry, page: Page, facts: Facts) -> Choice:
    """What the page's rules say of these facts."""
    if page.asked is None:
        return _choose(registry, page, facts)
    question: list[object] = [page.key]
    for name in page.asked:
        question.append(facts.get(name))
    key = tuple(question)
    known = registry.choices.get(key)
    return registry.choices.put(key, _choose(registry, page, facts)) if known is None else known


def _choose(registry: Registry, page: Page, facts: Facts) -> Choice:
    excluded = page.excluded.first(facts)
    if excluded is not None:
        return Choice(excluded, (), None, None, None, ())
    who = _Who(page.icps.first(facts))
    declared = facts.get("ad.persona")
    remembered = facts.get("visit.persona")
    if declared in registry.personas:
        _declare(registry, page, facts, str(declared), who)
    elif not (remembered in registry.personas and _remember(registry, page, facts, str(remembered), who)):
        _match(registry, facts, who)
    row = _choose_row(page, facts, who)
    return Choice(None, _find_negatives(page, facts), who.icp, who.persona, row, tuple(who.reasons))


def _find_negatives(page: Page, facts: Facts) -> tuple[str, ...]:
    """The negative ICPs that match. None acts against a persona that an ad declares or against a target account."""
    if not page.negative or "ad.persona" in facts or facts.get("company.relation") == "target":
        return ()
    return tuple(page.negative.true_rules(facts))


# --- steps 3 and 4: who it is ---


class _Who:
    """The ICP and the persona as far as they are known, and why."""

    __slots__ = ("icp", "persona", "reasons")

    def __init__(self, icp: str | None) -> None:
        self.icp = icp
        self.persona: str | None = None
        self.reasons: list[Reason] = []


def _declare(registry: Registry, page: Page, facts: Facts, persona: str, who: _Who) -> None:
    """An ad's promise is kept: its persona is served, inside the matched ICP or with one that is not ruled out."""
    who.persona = persona
    if who.icp in registry.personas[persona].icps:
        who.reasons.append(Reason.MATCHED)
    else:
        matched = who.icp
        who.icp = page.presumed[persona].first(facts)
        if matched:
            who.reasons.append(Reason.OUTSIDE_ICP)
        else:
            who.reasons.append(Reason.PRESUMED if who.icp else Reason.NO_ICP)
    who.reasons.append(Reason.DECLARED_BY_AD)


def _remember(registry: Registry, page: Page, facts: Facts, persona: str, who: _Who) -> bool:
    """Whether the remembered persona still fits: it belongs to the matched ICP, or to one that is not ruled out."""
    if who.icp:
        if who.icp not in registry.personas[persona].icps:
            return False
        who.reasons.append(Reason.MATCHED)
    else:
        presumed = page.presumed[persona].first(facts)
        if presumed is None:
            return False
        who.icp = presumed
        who.reasons.append(Reason.PRESUMED)
    who.persona = persona
    who.reasons.append(Reason.REMEMBERED)
    return True


def _match(registry: Registry, facts: Facts, who: _Who) -> None:
    who.reasons.append(Reason.MATCHED if who.icp else Reason.NO_ICP)
    index = registry.personas_of.get(who.icp) if who.icp else None
    who.persona = index.first(facts) if index else None
    who.reasons.append(Reason.MATCHED if who.persona else Reason.NO_PERSONA)


# --- step 5: what is written for them ---


def _choose_row(page: Page, facts: Facts, who: _Who) -> str | None:
    known = facts.copy()
    if who.icp:
        known["icp"] = who.icp
    if who.persona:
        known["persona"] = who.persona
    row = page.row_index.first(known)
    who.reasons.append(Reason.ROW if row else Reason.NO_ROW)
    return row
