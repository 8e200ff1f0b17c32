"""Is what people wrote about a persona evident, in the right place, and answered in the copy for it?

What enters: documents and the registry made of them. What leaves: warnings, noted in the documents. Must not: act on a
profile; it is for people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from personalizer.content import models
from personalizer.content.landing import fill_tokens
from personalizer.content.likeness import letter_groups
from personalizer.content.load import Documents, Loaded
from personalizer.content.rules import is_right
from personalizer.decision.registry import Registry

ANSWERED = 0.45  # of a phrase of the profile, said again in one block of the copy

_OF_CONSUMERS = ("person.age_band", "person.gender", "person.income_band", "person.marital_status")
_SAYS = "an ICP says who (the account), a persona says how to speak to them (the person)."


def lint_profiles(documents: Documents, registry: Registry) -> None:
    """Warn of facts in the wrong kind of rule, and of pains that no copy speaks of."""
    for key, icp in documents.icps.items():
        if is_right(icp):
            _lint_icp_facts(icp, [leaf.fact for leaf in registry.icps[key].match.leaves])
    for key, persona in documents.personas.items():
        if not is_right(persona):
            continue
        match = registry.personas[key].match
        _lint_persona_facts(persona, [leaf.fact for leaf in match.leaves] if match else [])
        _lint_answers(persona, [letter_groups(block) for block in _blocks_for(documents, registry, key)])


# --- evidence ---


def lint_evidence(documents: Documents) -> None:
    """Warn of personas without evidence."""
    for persona in documents.personas.values():
        _lint_evidence(persona)


def _lint_evidence(persona: Loaded[models.Persona]) -> None:
    evidence = persona.doc.evidence
    place = ("evidence",) if evidence is None else ("evidence", "sources")
    if not persona.whole and place in persona.source.lines:
        return  # it is there, and cannot be used; that is reported
    if evidence is None:
        remedy = "Write `evidence: {status: hypothesis}`, or `researched` with its sources."
        persona.warn(("evidence",), "is missing: nobody can tell what this persona rests on.", remedy)
    elif evidence.status == "researched" and not evidence.sources:
        persona.warn(
            ("evidence", "sources"),
            "is missing: the persona is said to be researched, and not how.",
            "Name interviews, tickets or figures, or write `status: hypothesis`.",
        )


# --- facts in the wrong kind of rule ---


def _lint_icp_facts(icp: Loaded[models.Icp], facts: Sequence[str]) -> None:
    for fact in dict.fromkeys(facts):
        if not fact.startswith("person.") or (icp.doc.market == "b2c" and fact in _OF_CONSUMERS):
            continue
        remedy = "Ask for it in a persona's `match`."
        if fact in _OF_CONSUMERS:
            remedy = "Write `market: b2c` if you sell to consumers."
        icp.warn(_place(icp, fact), f"`{fact}` belongs to a persona: {_SAYS}", remedy)


def _lint_persona_facts(persona: Loaded[models.Persona], facts: Sequence[str]) -> None:
    for fact in dict.fromkeys(facts):
        if fact.startswith("company."):
            remedy = "Ask for it in an ICP's `match`; a row may be for both: `for: {icp: …, persona: …}`."
            persona.warn(_place(persona, fact), f"`{fact}` belongs to an ICP: {_SAYS}", remedy)


def _place(loaded: Loaded[Any], fact: str) -> tuple[str | int, ...]:
    """Where the match asks about a fact first."""
    return next((path for path in loaded.source.lines if path[:1] == ("match",) and path[-1] == fact), ("match",))


# --- what the copy answers ---


def _lint_answers(persona: Loaded[models.Persona], blocks: Sequence[frozenset[str]]) -> None:
    """Name each pain, fear and goal of which no block of the copy speaks."""
    if not blocks:
        return
    profile = persona.doc.profile
    for path, phrases in (
        (("profile", "empathy", "pains"), profile.empathy.pains),
        (("profile", "empathy", "fears"), profile.empathy.fears),
        (("profile", "professional", "goals"), profile.professional.goals),
    ):
        for place, phrase in enumerate(phrases):
            groups = letter_groups(phrase)
            if groups and max(len(groups & block) for block in blocks) < ANSWERED * len(groups):
                what = f"`{phrase}` has no block in the copy of any variant for this persona."
                persona.warn((*path, place), what, "Answer it there, in these words or nearly so, or leave it out.")


def _blocks_for(documents: Documents, registry: Registry, persona: str) -> Iterator[str]:
    """Every text and every item of a list that visitors of a persona are shown, but in other languages."""
    for page in registry.pages.values():
        original = documents.pages[page.key].doc.copy_
        spoken = documents.workspace.doc.site.language.partition("-")[0]
        for row in page.rows.values():
            if row.persona != persona or (row.language or page.language).partition("-")[0] != spoken:
                continue
            experiment = registry.experiments.get(row.experiment or "")
            for name in experiment.arms if experiment is not None and experiment.running else (row.key,):
                variant = documents.variants.get((page.key, name))
                yield from _blocks({**original, **(variant.doc.copy_ if variant else {})})


def _blocks(copy: Any) -> Iterator[str]:
    if isinstance(copy, str):
        yield fill_tokens(copy, {})
    elif isinstance(copy, dict):
        for value in copy.values():
            yield from _blocks(value)
    elif isinstance(copy, list):
        yield from (" ".join(_blocks(item)) for item in copy)
