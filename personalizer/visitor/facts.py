"""The fact table: everything that can be known about a visit. One row a fact; docs, lake and rules follow from it.

What enters: nothing. What leaves: `FACTS`, by name. Must not: read a request or know any workspace.
"""

from __future__ import annotations

from dataclasses import dataclass

from personalizer.model import FactType
from personalizer.model import FactType as T


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: its name in rules, its type, where it comes from, and whether copy may show it as a token.

    `values` closes the set of values; `display` says what a page shows: the name of a `country`, a `place` or a `code`.
    `b2c` facts are declared by the visitor or the ad's targeting only, and never inferred.
    """

    name: str
    type: FactType
    origin: str
    meaning: str
    token: bool = False
    values: tuple[str, ...] = ()
    display: str = ""

    @property
    def column(self) -> str:
        """The fact's column in the lake."""
        return self.name.replace(".", "_")


CLICK_KINDS = (
    "gclid",
    "gbraid",
    "wbraid",
    "dclid",
    "msclkid",
    "fbclid",
    "li_fat_id",
    "ttclid",
    "twclid",
    "rdt_cid",
    "epik",
    "sccid",
)
RELATIONS = ("prospect", "target", "customer", "partner", "influencer", "competitor")
REFERRER_KINDS = ("search", "social", "email", "ads", "referral", "direct", "internal")
NETWORK_KINDS = ("business", "residential", "hosting", "mobile")
DEVICE_TYPES = ("desktop", "mobile", "tablet", "other")

_ROWS = (
    Fact("utm.source", T.TEXT, "url", "utm_source of the visit's last touch that was not direct", token=True),
    Fact("utm.medium", T.TEXT, "url", "utm_medium of that touch"),
    Fact("utm.campaign", T.TEXT, "url", "utm_campaign of that touch", token=True),
    Fact("utm.term", T.TEXT, "url", "utm_term: the keyword that was bid on", token=True),
    Fact("utm.content", T.TEXT, "url", "utm_content of that touch", token=True),
    Fact("utm.id", T.TEXT, "url", "utm_id of that touch"),
    Fact("first.source", T.TEXT, "cookie", "utm_source of the visitor's first touch"),
    Fact("first.medium", T.TEXT, "cookie", "utm_medium of the visitor's first touch"),
    Fact("first.campaign", T.TEXT, "cookie", "utm_campaign of the visitor's first touch"),
    Fact("ad.platform", T.TEXT, "ad", "platform of the recognized campaign"),
    Fact("ad.campaign", T.TEXT, "ad", "key of the recognized campaign"),
    Fact("ad.ad_set", T.TEXT, "ad", "key of the recognized ad set"),
    Fact("ad.ad", T.TEXT, "ad", "key of the recognized ad"),
    Fact("ad.persona", T.TEXT, "ad", "persona that the ad set is aimed at"),
    Fact("ad.headline", T.TEXT, "ad", "first headline of the recognized ad", token=True),
    Fact("ad.audience", T.TEXT, "ad", "audience of the recognized campaign"),
    Fact("audience.key", T.TEXT, "ad", "the audience this visitor belongs to"),
    Fact("audience.relation", T.TEXT, "ad", "what that audience is to us", values=RELATIONS),
    Fact("click.kind", T.TEXT, "url", "which click id came with the link", values=CLICK_KINDS),
    Fact("click.id", T.TEXT, "url", "the click id, verbatim (≤ 512 characters); never a rule's input"),
    Fact("referrer.domain", T.TEXT, "derived", "host of the Referer header"),
    Fact("referrer.kind", T.TEXT, "derived", "what kind of place the visitor came from", values=REFERRER_KINDS),
    Fact("geo.continent", T.TEXT, "lookup", "continent code: AF AN AS EU NA OC SA"),
    Fact("geo.country", T.TEXT, "lookup", "ISO 3166 country code", token=True, display="country"),
    Fact("geo.region", T.TEXT, "lookup", "ISO 3166-2 subdivision code without the country, as BY", token=True,
         display="place"),
    Fact("geo.city", T.TEXT, "lookup", "city name in English", token=True, display="place"),
    Fact("geo.postal", T.TEXT, "lookup", "postal code, as coarse as the file has it"),
    Fact("geo.timezone", T.TEXT, "lookup", "IANA time zone"),
    Fact("geo.eu", T.FLAG, "lookup", "whether the country is in the European Union"),
    Fact("network.asn", T.NUMBER, "lookup", "autonomous system number"),
    Fact("network.org", T.TEXT, "lookup", "name of that system's owner"),
    Fact("network.kind", T.TEXT, "lookup", "what kind of network the address is in", values=NETWORK_KINDS),
    Fact("network.anonymous", T.FLAG, "lookup", "whether the address is a VPN, proxy or Tor exit"),
    Fact("company.domain", T.TEXT, "list", "the company's domain", token=True),
    Fact("company.name", T.TEXT, "list", "the company's name", token=True),
    Fact("company.industry", T.TEXT, "lookup", "industry, as the workspace spells it", token=True),
    Fact("company.sic", T.TEXT, "lookup", "Standard Industrial Classification code", token=True, display="code"),
    Fact("company.naics", T.TEXT, "lookup", "NAICS code", token=True, display="code"),
    Fact("company.employees", T.RANGE, "lookup", "number of employees, or the band it lies in"),
    Fact("company.revenue", T.RANGE, "lookup", "yearly revenue in the workspace's currency, or the band it lies in"),
    Fact("company.country", T.TEXT, "lookup", "ISO country code of the head office", display="country"),
    Fact("company.technologies", T.LIST, "lookup", "products the company is known to use"),
    Fact("company.lists", T.LIST, "list", "account lists that name the company"),
    Fact("company.tier", T.TEXT, "list", "tier that the first of those lists gives it"),
    Fact("company.relation", T.TEXT, "list", "what the company is to us", values=RELATIONS),
    Fact("device.type", T.TEXT, "derived", "kind of device", values=DEVICE_TYPES),
    Fact("device.os", T.TEXT, "derived", "operating system family"),
    Fact("device.browser", T.TEXT, "derived", "browser family"),
    Fact("device.bot", T.FLAG, "derived", "whether the agent is a robot's or a program's, and no browser's"),
    Fact("language", T.TEXT, "derived", "primary tag of the first language the browser asks for"),
    Fact("person.title", T.TEXT, "ad", "job title", token=True),
    Fact("person.seniority", T.TEXT, "ad", "seniority, as c-level, vp, director, manager"),
    Fact("person.department", T.TEXT, "ad", "department", token=True),
    Fact("person.years", T.RANGE, "ad", "years in the job"),
    Fact("person.stage", T.TEXT, "derived", "buying stage"),
    Fact("person.awareness", T.TEXT, "derived", "awareness of the problem and of the product"),
    Fact("person.age_band", T.TEXT, "ad", "age band (b2c); declared only"),
    Fact("person.gender", T.TEXT, "ad", "gender (b2c); declared only"),
    Fact("person.income_band", T.TEXT, "ad", "income band (b2c); declared only"),
    Fact("person.marital_status", T.TEXT, "ad", "marital status (b2c); declared only"),
    Fact("visit.count", T.NUMBER, "cookie", "visits so far, this one included"),
    Fact("visit.days_since_last", T.NUMBER, "cookie", "whole days since the last visit; unknown on the first"),
    Fact("visit.pages", T.LIST, "cookie", "keys of the pages seen before this view, latest last"),
    Fact("visit.goals", T.LIST, "cookie", "goals reached so far"),
    Fact("visit.persona", T.TEXT, "cookie", "persona remembered from an earlier view"),
    Fact("visit.icp", T.TEXT, "cookie", "ICP remembered from an earlier view"),
    Fact("time.hour", T.NUMBER, "derived", "hour of the day, 0–23, in the visitor's zone, else the workspace's"),
    Fact("time.weekday", T.TEXT, "derived", "mon tue wed thu fri sat sun",
         values=("mon", "tue", "wed", "thu", "fri", "sat", "sun")),
    Fact("time.date", T.TEXT, "derived", "date there, as 2026-11-21"),
)  # fmt: skip

FACTS: dict[str, Fact] = {fact.name: fact for fact in _ROWS}
FACT_TYPES: dict[str, FactType] = {fact.name: fact.type for fact in _ROWS}
TOKENS: frozenset[str] = frozenset(fact.name for fact in _ROWS if fact.token)
