"""Recognizing an ad from the link that it sent: by its `pz=` reference, or by its campaign's UTM values.

What enters: every campaign's links, compiled; a link's facts. What leaves: what the ad tells. Must not: guess; a
campaign is recognized by all of the values that it declares, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from personalizer.cache import Cache
from personalizer.decision.index import LONGEST
from personalizer.model import Facts

_REMEMBERED: Final = 16_384  # links
_NOTHING: Final[Facts] = {}

UtmIndex = dict[tuple[str, ...], dict[tuple[str, ...], str]]  # names of UTM facts → folded values → campaign


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign and what its ads tell: `ad.*`, `audience.*` and what their targeting declares.

    `ads` by the folded `utm_content`, `ad_ids` by the folded `utm_id`; `common` is what all ad sets agree on.
    """

    key: str
    page: str
    ads: Mapping[str, Facts]
    ad_ids: Mapping[str, Facts]
    common: Facts


class AdIndex:
    """All campaigns by key, every ad by `campaign.ad_set.ad`, and campaigns by the UTM values that they declare."""

    __slots__ = ("_asked", "_known", "_shapes", "_utm", "campaigns", "refs")

    def __init__(self, campaigns: Mapping[str, Campaign], refs: Mapping[str, Facts], utm: UtmIndex) -> None:
        self.campaigns = campaigns
        self.refs = refs
        self._utm = utm
        self._shapes = tuple(sorted(utm, key=lambda shape: (-len(shape), shape)))  # most facts first
        self._asked = tuple(sorted({"utm.content", "utm.id", *(fact for shape in utm for fact in shape)}))
        self._known: Cache[tuple[object, ...], Facts] = Cache(_REMEMBERED)  # links repeat

    def find(self, ad_ref: str | None, facts: Facts) -> Facts:
        """The ad that `pz=` names; else the campaign whose every UTM value is there, and in it the ad by `utm_content`
        or `utm_id`; else what all ad sets of that campaign agree on. Nothing when no campaign is recognized."""
        if not self.campaigns:
            return _NOTHING
        asked: list[object] = [ad_ref]
        for name in self._asked:
            asked.append(facts.get(name))
        for value in asked:
            if isinstance(value, str) and len(value) > LONGEST:
                return self._find(ad_ref, facts)
        question = tuple(asked)
        found = self._known.get(question)
        return self._known.put(question, self._find(ad_ref, facts)) if found is None else found

    def _find(self, ad_ref: str | None, facts: Facts) -> Facts:
        named = self.refs.get(ad_ref.casefold()) if ad_ref is not None else None
        if named is not None:
            return named
        for shape in self._shapes:
            known = all(name in facts for name in shape)
            key = self._utm[shape].get(tuple(_folded(facts, name) for name in shape)) if known else None
            if key is not None:
                campaign = self.campaigns[key]
                ad = campaign.ads.get(_folded(facts, "utm.content"))
                return ad or campaign.ad_ids.get(_folded(facts, "utm.id")) or campaign.common
        return _NOTHING


def _folded(facts: Facts, name: str) -> str:
    return str(facts.get(name, "")).casefold()
