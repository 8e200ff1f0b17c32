"""Step 0: what the registry adds to the raw facts: the ad, the account lists, derived facts.

What enters: a visitor's facts and their sources, to be added to. What leaves: the same two, richer. Must not: replace a
fact that is already known; what an ad's targeting claims is worth less than what is known.
"""

from __future__ import annotations

from collections.abc import Mapping

from personalizer.decision.registry import AdFacts, Registry
from personalizer.model import Source, Value


def recognize(registry: Registry, ad_ref: str | None, facts: dict[str, Value], sources: dict[str, Source]) -> None:
    """Add `ad.*`, `audience.*` and declared facts, then account list facts, then derived facts."""
    ad = find_ad(registry, ad_ref, facts)
    if ad is not None:
        _add(ad.facts, Source.AD, facts, sources)
    _add_account(registry, facts, sources)
    for fact, rules in registry.derive:
        if fact in facts:
            continue
        for condition, value in rules:
            if condition.test(facts) is True:
                facts[fact] = value
                sources[fact] = Source.DERIVED
                break


def _add(new: Mapping[str, Value], source: Source, facts: dict[str, Value], sources: dict[str, Source]) -> None:
    for name, value in new.items():
        if name not in facts:
            facts[name] = value
            sources[name] = source


def find_ad(registry: Registry, ad_ref: str | None, facts: Mapping[str, Value]) -> AdFacts | None:
    """The ad that `pz=` names; else the campaign whose every UTM value is there, and in it the ad by `utm_content`
    or `utm_id`; else what all ad sets of that campaign agree on."""
    if ad_ref is not None:
        named = registry.refs.get(ad_ref.casefold())
        if named is not None:
            return named
    for shape in registry.utm_shapes:
        values = []
        for fact in shape:
            value = facts.get(fact)
            if value is None:
                break
            values.append(str(value).casefold())
        else:
            key = registry.utm_index[shape].get(tuple(values))
            if key is not None:
                campaign = registry.campaigns[key]
                content = str(facts.get("utm.content", "")).casefold()
                ad_id = str(facts.get("utm.id", "")).casefold()
                return campaign.ads.get(content) or campaign.ad_ids.get(ad_id) or campaign.common
    return None


def _add_account(registry: Registry, facts: dict[str, Value], sources: dict[str, Source]) -> None:
    domain = facts.get("company.domain")
    if not registry.accounts or domain is None:
        return
    account = registry.accounts.get(str(domain).casefold().removeprefix("www."))
    if account is None:
        return
    _add(account.facts, Source.LIST, facts, sources)
    if account.name:
        _add({"company.name": account.name}, Source.LIST, facts, sources)
