"""Every ad's link, ready to paste into its platform.

What enters: campaign documents. What leaves: `AdLink`s. Must not: be read at request time; that is step 0's work.

Macros are each platform's documented names for values that it fills in when the ad is clicked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from personalizer.content import models
from personalizer.content.load import Documents

_MACROS: dict[str, dict[str, str]] = {
    "google": {"utm_term": "{keyword}", "utm_id": "{campaignid}"},
    "microsoft": {"utm_term": "{keyword:default}", "utm_id": "{CampaignId}"},
    "meta": {"utm_id": "{{campaign.id}}"},
    "tiktok": {"utm_id": "__CAMPAIGN_ID__"},
    "linkedin": {},
    "x": {},
    "email": {},
    "other": {},
}


@dataclass(frozen=True, slots=True)
class AdLink:
    """One ad's link. `suffix` is the query alone, for Google's final URL suffix; `try_url` has no macros to fill in."""

    campaign: str
    ad_set: str
    ad: str
    platform: str
    persona: str | None
    page: str
    url: str
    suffix: str
    try_url: str

    @property
    def ref(self) -> str:
        """What `pz=` names it by."""
        return f"{self.campaign}.{self.ad_set}.{self.ad}"


def ad_links(documents: Documents, base: str | None = None) -> Iterator[AdLink]:
    """The links of every ad, in the order of files. `base` replaces the site's own address."""
    root = base or f"https://{documents.workspace.doc.site.hosts[0]}"
    for key, loaded in documents.campaigns.items():
        page = documents.pages[loaded.doc.page].doc
        for ad_set in loaded.doc.ad_sets:
            for ad in ad_set.ads:
                plain = _parameters(key, loaded.doc, ad_set, ad)
                macros = _MACROS[loaded.doc.platform]
                full = plain + [(name, value) for name, value in macros.items() if name not in dict(plain)]
                query = _query(full)
                yield AdLink(
                    campaign=key,
                    ad_set=ad_set.key,
                    ad=ad.key,
                    platform=loaded.doc.platform,
                    persona=ad_set.persona,
                    page=loaded.doc.page,
                    url=f"{root}{page.path}?{query}",
                    suffix=query,
                    try_url=f"{root}{page.path}?{_query(plain)}",
                )


def _parameters(key: str, campaign: models.Campaign, ad_set: models.AdSet, ad: models.Ad) -> list[tuple[str, str]]:
    utm = campaign.utm.model_dump(exclude_none=True)
    named = [(f"utm_{name}", str(value)) for name, value in utm.items()]
    content = [("utm_content", ad.content or ad.key)]
    ad_id = [("utm_id", ad.id)] if ad.id else []
    return [("pz", f"{key}.{ad_set.key}.{ad.key}"), *named, *content, *ad_id]


def _query(parameters: list[tuple[str, str]]) -> str:
    """The query string; a platform's braces stay as they are, or it would not see its macros."""
    return "&".join(f"{name}={quote(value, safe='{}:_.-~')}" for name, value in parameters)
