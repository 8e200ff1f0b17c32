"""Step 0: what the registry adds to the raw facts: the ad, the account lists, derived facts.

What enters: a visitor. What leaves: what is known of them. Must not: replace a fact that is already known; what an ad's
targeting claims is worth less than what is known.
"""

from __future__ import annotations

from typing import Final

from personalizer.decision.registry import Registry
from personalizer.model import Facts, Source, Visitor

_NONE: Final[Facts] = {}


class Known:
    """All facts of a visit, and where each comes from: in this order, for the first that knows it counts, from the
    request, from an account list, from the ad, or derived from those. `promised`: a link or an ad names a persona."""

    __slots__ = ("_account", "_ad", "_visitor", "facts", "promised")

    def __init__(self, visitor: Visitor, account: Facts, ad: Facts) -> None:
        facts = visitor.facts.copy()
        for told in (account, ad):
            for name, value in told.items():
                facts.setdefault(name, value)
        self.facts = facts
        self._visitor = visitor
        self._account = account
        self._ad = ad
        self.promised = visitor.persona is not None or "ad.persona" in facts

    def source(self, name: str) -> Source:
        """Where the known fact `name` comes from."""
        if name in self._visitor.facts:
            return self._visitor.sources[name]
        if name in self._account:
            return Source.LIST
        return Source.AD if name in self._ad else Source.DERIVED


def recognize(registry: Registry, visitor: Visitor) -> Known:
    """The visitor's facts with what account lists know, `ad.*`, `audience.*` and declared facts, and derived facts."""
    account = _find_account(registry, visitor.facts)
    ad = registry.ads.find(visitor.ad_ref, visitor.facts)
    if "company.domain" in ad and "company.domain" not in visitor.facts:
        # An ad aimed at one company: what the lists say of it is no better than the ad's claim.
        ad = {**_find_account(registry, ad), **ad}
    known = Known(visitor, account, ad)
    facts = known.facts
    for fact, rules in registry.derive:
        for condition, value in rules if fact not in facts else ():
            if condition.test(facts) is True:
                facts[fact] = value
                break
    return known


def _find_account(registry: Registry, facts: Facts) -> Facts:
    domain = facts.get("company.domain")
    if domain is None or not registry.accounts:
        return _NONE
    return registry.accounts.get(str(domain).casefold().removeprefix("www."), _NONE)
