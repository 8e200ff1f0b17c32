"""What an ad's visitors find: the row that the ad alone leads to, and whether the page says what the ad said.

What enters: documents and the registry made of them. What leaves: `Landing`s, and warnings noted in the documents. Must
not: choose otherwise than `decide` does, which is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from personalizer.content import models
from personalizer.content.likeness import likeness
from personalizer.content.load import Documents, Loaded
from personalizer.content.rules import is_right
from personalizer.decision.conditions import say
from personalizer.decision.decide import ORIGINAL, decide
from personalizer.decision.registry import Page, Registry
from personalizer.model import Decision, Facts, Mode, Source, Visitor

ALIKE = 0.4  # below it, of all headlines of an ad, the page does not say again what the ad said

_HEADLINES = ("headline", "title")  # the slot that holds a page's headline: the first of these that its copy fills
_TOKEN = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Landing:
    """One ad and what its visitors see if nothing is known of them but the ad, and that they read its language.

    `shown` as in a decision (`payroll/cfo`); `headline` is the page's, tokens filled with what the ad tells; `match` is
    how much of the ad's headline it says again, from 0 to 1, None where one of them has none.
    """

    campaign: str
    ad_set: str
    ad: str
    shown: str
    headline: str
    match: float | None

    @property
    def ref(self) -> str:
        """What `pz=` names the ad by."""
        return f"{self.campaign}.{self.ad_set}.{self.ad}"


def find_landings(documents: Documents, registry: Registry) -> Iterator[Landing]:
    """Every ad of every campaign, in the order of files."""
    for key, loaded in documents.campaigns.items():
        page = registry.pages.get(loaded.doc.page)
        for ad_set in loaded.doc.ad_sets if page else ():
            for ad in ad_set.ads:
                ref = f"{key}.{ad_set.key}.{ad.key}"
                if page is not None and ref in registry.ads.refs:
                    shown, headline, match = _best_match(documents, registry, page, ref, ad.headlines)
                    yield Landing(key, ad_set.key, ad.key, shown, headline, match)


def lint_landings(documents: Documents, registry: Registry) -> None:
    """Warn of ads whose visitors get the original, read something else than they clicked, or may not be served."""
    landings = {one.ref: one for one in find_landings(documents, registry)}
    for key, campaign in documents.campaigns.items():
        page = registry.pages.get(campaign.doc.page)
        if page is None or not is_right(campaign):
            continue
        for place, ad_set in enumerate(campaign.doc.ad_sets):
            _lint_regions(registry, page, campaign, place)
            original = f"{page.key}/{ORIGINAL}"
            told = [landings.get(f"{key}.{ad_set.key}.{ad.key}") for ad in ad_set.ads]
            if told and all(one and one.shown == original for one in told) and not _has_row(page, campaign, ad_set):
                _report_original(campaign, page, place)
                continue
            for number, (ad, landing) in enumerate(zip(ad_set.ads, told, strict=True)):
                if landing is not None and landing.match is not None and landing.match < ALIKE:
                    _report_mismatch(campaign, landing, ad, ("ad_sets", place, "ads", number, "headlines"))


def _best_match(
    documents: Documents, registry: Registry, page: Page, ref: str, headlines: Sequence[str]
) -> tuple[str, str, float | None]:
    """What readers of the ad's language are shown, its headline, and how well that agrees. The ad's language is taken
    to be that of the page's rows whose headline agrees best; if none does, that of rows for any language."""
    found: list[tuple[str, str, float | None]] = []
    for language in (None, *sorted({row.language for row in page.rows.values() if row.language})):
        decision = _decide(registry, page, ref, {"language": language} if language else {})
        headline = _headline(documents, decision)
        match = max((likeness(told, headline) for told in headlines if headline), default=None)
        found.append((decision.shown, headline, match))
    best = max(found, key=lambda one: -1 if one[2] is None else one[2])
    plain = found[0]
    agrees = best[2] is None or best[2] >= ALIKE
    return best if agrees or plain[2] is None or plain[0] == f"{page.key}/{ORIGINAL}" else plain


def _decide(registry: Registry, page: Page, ref: str, facts: Facts) -> Decision:
    visitor = Visitor(facts, dict.fromkeys(facts, Source.LOOKUP), "", "", None, Mode.STORAGE_FREE, {}, ref)
    return decide(registry, page.key, visitor)


# --- ads and rows ---


def _has_row(page: Page, campaign: Loaded[models.Campaign], ad_set: models.AdSet) -> bool:
    """Whether a row names the campaign, its audience or the persona, whatever else it asks."""
    named = {("campaign", campaign.key), ("audience", campaign.doc.audience), ("persona", ad_set.persona)}
    return any(
        value is not None and getattr(row, dimension) == value
        for row in page.rows.values()
        for dimension, value in named
    )


def _report_original(campaign: Loaded[models.Campaign], page: Page, place: int) -> None:
    ad_set = campaign.doc.ad_sets[place]
    given = {"persona": ad_set.persona, "campaign": campaign.key, "audience": campaign.doc.audience}
    named = [f"{dimension} {value}" for dimension, value in given.items() if value is not None]
    what = f"its ads land on the original of page {page.key}: no row is for {' or '.join(named)}."
    campaign.warn(("ad_sets", place, "key"), what, f"Write a variant: `for: {{{named[0].replace(' ', ': ')}}}`.")


def _lint_regions(registry: Registry, page: Page, campaign: Loaded[models.Campaign], place: int) -> None:
    """Countries that the ad set is shown in and whose visitors may not be served; or what it declares is excluded."""
    ad_set = campaign.doc.ad_sets[place]
    if not ad_set.ads:
        return
    ref = f"{campaign.key}.{ad_set.key}.{ad_set.ads[0].key}"
    refused = _excluded(registry, page, ref, {})
    if refused is not None:
        what = f"ICP {refused} is excluded and matches what this declares, so its visitors may not be served."
        campaign.warn(("ad_sets", place, "declares"), what, "Aim it at others, or narrow that ICP.")
        return
    for number, country in enumerate(ad_set.countries):
        refused = _excluded(registry, page, ref, {"geo.country": country})
        if refused is not None:
            what = f"ICP {refused} excludes visitors from {country}: their clicks are paid for and not served."
            campaign.warn(("ad_sets", place, "countries", number), what, "Leave the country out of the targeting.")


def _excluded(registry: Registry, page: Page, ref: str, facts: Facts) -> str | None:
    decision = _decide(registry, page, ref, facts)
    return decision.icp if decision.icp and registry.icps[decision.icp].kind == "excluded" else None


# --- messages ---


def _report_mismatch(
    campaign: Loaded[models.Campaign], landing: Landing, ad: models.Ad, path: tuple[str | int, ...]
) -> None:
    told = max(ad.headlines, key=lambda told: likeness(told, landing.headline))
    what = (
        f"`{told}` promises something else than `{landing.headline}`, the headline of {landing.shown} that its visitors"
    )
    remedy = "Say again in one what the other says."
    campaign.warn(path, f"{what} read (they agree by {landing.match:.2f}; {ALIKE} is enough).", remedy)


def _headline(documents: Documents, decision: Decision) -> str:
    """The headline of what is shown, as its visitor reads it."""
    key, _, name = decision.shown.partition("/")
    page = documents.pages.get(key)
    variant = documents.variants.get((key, name))
    if page is None:
        return ""
    copy: Mapping[str, Any] = {**page.doc.copy_, **(variant.doc.copy_ if variant else {})}
    texts = (copy.get(slot) for slot in _HEADLINES)
    return next((fill_tokens(text, decision.facts) for text in texts if isinstance(text, str) and text), "")


def fill_tokens(text: str, facts: Facts) -> str:
    """The text with each token as somebody reads it of whom `facts` are known."""

    def filled(token: re.Match[str]) -> str:
        fact, _, fallback = (part.strip() for part in token[1].partition("|"))
        return say(facts[fact]) if fact in facts else fallback

    return _TOKEN.sub(filled, text)
