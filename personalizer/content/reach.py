"""ICPs, personas and rows that nobody comes to, whatever the visitor: for want of a page, an ad, an audience.

What enters: documents and the registry made of them. What leaves: problems, noted in the documents: a mistake where the
document contradicts itself, a warning where another document may still be to come. Must not: look into conditions
(`rules.py` and `overlap.py` do).
"""

from __future__ import annotations

from personalizer.content.load import Documents
from personalizer.content.rules import is_right
from personalizer.decision.registry import Page, Persona, Registry


def lint_contradictions(documents: Documents, registry: Registry) -> None:
    """Report rows whose parts the engine never brings together."""
    for page in registry.pages.values():
        considered = {key for key, _ in page.icps.rules}
        for name, row in page.rows.items():
            variant = documents.variants[(page.key, name)]
            icp, persona = registry.icps.get(row.icp or ""), registry.personas.get(row.persona or "")
            if not is_right(variant) or icp is None or icp.kind != "ideal":
                continue
            if persona is not None and documents.personas[persona.key].whole and icp.key not in persona.icps:
                what = f"persona {persona.key} does not belong to ICP {icp.key}, so nobody is both."
                variant.report(("for", "icp"), what, "Add the ICP to the persona's `icps`, or leave one of them out.")
            elif icp.key not in considered and documents.icps[icp.key].whole:
                what = f"page {page.key} is for product {page.product}, and ICP {icp.key} for {icp.product}."
                variant.report(("for", "icp"), what, "Name an ICP of the page's product.")


def lint_reach(documents: Documents, registry: Registry) -> None:
    """Warn of what no visitor reaches as things stand."""
    declared = _declared_personas(documents)
    for key, icp in registry.icps.items():
        if (
            registry.pages
            and is_right(documents.icps[key])
            and not any(page.doc.considers(icp.product) for page in documents.pages.values())
        ):
            what = f"no page is for product {icp.product}, so nobody is matched with it."
            documents.icps[key].warn(("product",), what, "Write the page, or leave `product` out.")
    for key, persona in registry.personas.items():
        if persona.match is None and key not in declared and is_right(documents.personas[key]):
            what = "has no `match`, and no ad set names it, so nobody is ever taken for it."
            documents.personas[key].warn((), what, "Write a `match`, or name it in an ad set: `persona: …`.")
    for page in registry.pages.values():
        _lint_rows(documents, registry, page, declared)


def _lint_rows(documents: Documents, registry: Registry, page: Page, declared: set[str]) -> None:
    audiences = {campaign.doc.audience for campaign in documents.campaigns.values()}
    considered = {key for key, _ in page.icps.rules}
    for name, row in page.rows.items():
        variant = documents.variants[(page.key, name)]
        if not is_right(variant):
            continue
        if row.audience is not None and row.audience not in audiences:
            what = f"no campaign has the audience {row.audience}, so nobody comes to this row."
            variant.warn(("for", "audience"), what, "Name it in a campaign: `audience: …`.")
        persona = registry.personas.get(row.persona or "")
        if (
            persona is not None
            and persona.key not in declared
            and _is_found(persona)
            and not considered & {*persona.icps}
        ):
            what = f"persona {persona.key} belongs to no ICP that page {page.key} considers, and no ad set names it."
            variant.warn(("for", "persona"), what, "Add one to the persona's `icps`, or name it in an ad set.")
        if row.accounts is not None and documents.accounts.get(row.accounts) == []:
            what = f"account list {row.accounts} has no company, so nobody comes to this row."
            variant.warn(("for", "accounts"), what, "Write a company into it.")


def _is_found(persona: Persona) -> bool:
    """Whether there is a rule that finds it; of one without, the persona's own warning says it."""
    return persona.match is not None


def _declared_personas(documents: Documents) -> set[str]:
    named = (ad_set.persona for campaign in documents.campaigns.values() for ad_set in campaign.doc.ad_sets)
    return {persona for persona in named if persona is not None}
