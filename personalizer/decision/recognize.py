"""Step 0: what the registry adds to the raw facts: the ad, the account lists, derived facts.

What enters: a visitor. What leaves: facts and their sources, richer. Must not: replace a fact that is already known;
what an ad's targeting claims is worth less than what is known.
"""

from __future__ import annotations

from collections.abc import Mapping

from personalizer.decision.registry import Account, AdFacts, Registry
from personalizer.model import Source, Value, Visitor

Added = dict[str, Source]


def recognize(registry: Registry, visitor: Visitor) -> tuple[dict[str, Value], Added]:
    """The visitor's facts with what account lists know, `ad.*`, `audience.*` and declared facts, and derived facts; and
    the source of each fact that was added (of the others it stays the visitor's)."""
    facts: dict[str, Value] = dict(visitor.facts)
    added: Added = {}
    account = _find_account(registry, facts)
    if account is not None:
        _add(account.facts, Source.LIST, facts, added)
    ad = find_ad(registry, visitor.ad_ref, facts)
    if ad is not None:
        _add(ad.facts, Source.AD, facts, added)
        if "company.domain" in ad.facts and account is None:
            # An ad aimed at one company: what the lists say of it is no better than the ad's claim.
            claimed = _find_account(registry, facts)
            _add(claimed.facts if claimed else {}, Source.AD, facts, added)
    for fact, rules in registry.derive:
        for condition, value in rules if fact not in facts else ():
            if condition.test(facts) is True:
                _add({fact: value}, Source.DERIVED, facts, added)
                break
    return facts, added


def _add(new: Mapping[str, Value], source: Source, facts: dict[str, Value], added: Added) -> None:
    for name, value in new.items():
        if name not in facts:
            facts[name] = value
            added[name] = source


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


def _find_account(registry: Registry, facts: Mapping[str, Value]) -> Account | None:
    domain = facts.get("company.domain")
    if domain is None or not registry.accounts:
        return None
    return registry.accounts.get(str(domain).casefold().removeprefix("www."))
