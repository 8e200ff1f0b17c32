"""The invented market that rules and visitors are drawn from: industries, sizes, places, roles, campaigns, links.

What enters: nothing. What leaves: the tables below, the same at every run. Must not: know the engine or any peer.
"""

from __future__ import annotations

import itertools
from itertools import islice, product
from typing import NamedTuple

INDUSTRIES = (
    "software", "internet", "retail", "wholesale", "logistics", "machinery", "automotive", "electronics", "chemicals",
    "pharmacy", "medical devices", "hospitals", "insurance", "banking", "consulting", "construction", "real estate",
    "energy", "water supply", "food production", "restaurants", "hotels", "textiles", "furniture", "education",
)  # fmt: skip
SIZES = ((10, 49), (50, 249), (250, 999), (1000, 4999), (5000, 50_000))  # employees, both inclusive
REGIONS = {"dach": ("DE", "AT", "CH"), "america": ("US", "CA"), "isles": ("GB", "IE"), "nordics": ("SE", "DK", "FI")}

ROLES = {  # a persona in every industry: the words of keywords that speak for it
    "store-manager": ("store inventory", "shelf labels", "out of stock"),
    "warehouse-lead": ("warehouse layout", "pick list", "pallet"),
    "buyer": ("purchase order", "supplier price", "reorder point"),
    "cfo": ("cash in stock", "working capital", "stock valuation"),
    "controller": ("stock report", "margin by item", "write-off"),
    "owner": ("inventory for small", "simple stock", "start inventory"),
    "it-lead": ("inventory api", "single sign-on stock", "erp interface"),
    "planner": ("demand forecast", "seasonal stock", "safety stock"),
    "returns-lead": ("returns process", "refund handling", "reverse logistics"),
    "quality-lead": ("batch tracking", "serial numbers", "expiry dates"),
    "sales-lead": ("available to promise", "delivery date", "backorder"),
    "e-commerce-lead": ("shop stock sync", "marketplace stock", "oversold"),
    "production-lead": ("bill of materials", "work in progress", "parts shortage"),
    "service-lead": ("spare parts", "van stock", "technician stock"),
    "auditor": ("stock audit", "inventory proof", "year end count"),
    "franchise-lead": ("many branches", "franchise stock", "branch transfer"),
    "import-lead": ("customs stock", "container tracking", "landed cost"),
    "lab-lead": ("sample tracking", "reagent stock", "cold chain"),
    "kitchen-lead": ("recipe cost", "food waste", "kitchen stock"),
    "energy-lead": ("spare turbine parts", "field stock", "maintenance stock"),
}
_KEYWORD_ENDS = ("", " software", " tool", " for teams", " app", " best", " price")


class City(NamedTuple):
    name: str
    country: str
    country_name: str
    region: str
    postal: str
    timezone: str
    latitude: float
    longitude: float


CITIES = (
    City("Berlin", "DE", "Germany", "BE", "10115", "Europe/Berlin", 52.53, 13.38),
    City("Hamburg", "DE", "Germany", "HH", "20095", "Europe/Berlin", 53.55, 10.0),
    City("Munich", "DE", "Germany", "BY", "80331", "Europe/Berlin", 48.14, 11.57),
    City("Vienna", "AT", "Austria", "9", "1010", "Europe/Vienna", 48.21, 16.37),
    City("Zurich", "CH", "Switzerland", "ZH", "8001", "Europe/Zurich", 47.37, 8.54),
    City("Austin", "US", "United States", "TX", "78701", "America/Chicago", 30.27, -97.74),
    City("Denver", "US", "United States", "CO", "80202", "America/Denver", 39.75, -104.99),
    City("Boston", "US", "United States", "MA", "02108", "America/New_York", 42.36, -71.06),
    City("Seattle", "US", "United States", "WA", "98101", "America/Los_Angeles", 47.61, -122.33),
    City("Toronto", "CA", "Canada", "ON", "M5H", "America/Toronto", 43.65, -79.38),
    City("London", "GB", "United Kingdom", "ENG", "EC1A", "Europe/London", 51.52, -0.09),
    City("Leeds", "GB", "United Kingdom", "ENG", "LS1", "Europe/London", 53.8, -1.55),
    City("Dublin", "IE", "Ireland", "L", "D01", "Europe/Dublin", 53.35, -6.26),
    City("Stockholm", "SE", "Sweden", "AB", "111 20", "Europe/Stockholm", 59.33, 18.06),
    City("Copenhagen", "DK", "Denmark", "84", "1050", "Europe/Copenhagen", 55.68, 12.57),
    City("Helsinki", "FI", "Finland", "18", "00100", "Europe/Helsinki", 60.17, 24.94),
)


class Campaign(NamedTuple):
    """One campaign. Every second one's targeting names a persona."""

    key: str
    platform: str
    source: str
    medium: str
    persona: str | None
    ads: tuple[str, ...]


_CHANNELS = (
    ("google", "google", "cpc"),
    ("linkedin", "linkedin", "paid_social"),
    ("microsoft", "bing", "cpc"),
    ("meta", "facebook", "paid_social"),
)


def _campaign(number: int) -> Campaign:
    platform, source, medium = _CHANNELS[number % len(_CHANNELS)]
    persona = f"{tuple(ROLES)[number]}-{_key(INDUSTRIES[number])}" if number % 2 else None
    ads = tuple(f"{platform}-{number}-{ad}" for ad in range(10))
    return Campaign(f"campaign-{number}", platform, source, medium, persona, ads)


def _key(text: str) -> str:
    return text.replace(" ", "-")


CAMPAIGNS = tuple(_campaign(number) for number in range(20))


class Link(NamedTuple):
    """What an ad's link says: the six UTM values, in the order source, medium, campaign, term, content, id."""

    source: str
    medium: str
    campaign: str
    term: str
    content: str
    id: str


KEYWORDS = tuple(word + end for words in ROLES.values() for word, end in product(words, _KEYWORD_ENDS))


def _links() -> tuple[Link, ...]:
    links = []
    for place, (campaign, ad) in enumerate((one, ad) for one in CAMPAIGNS for ad in one.ads):
        for step in range(20):  # each ad is bid on 20 keywords
            term = KEYWORDS[(place * 7 + step * 21) % len(KEYWORDS)]
            number = str(7_100_000 + place * 20 + step)
            links.append(Link(campaign.source, campaign.medium, campaign.key, term, ad, number))
    return tuple(links)


LINKS = _links()  # 4,000


class Rule(NamedTuple):
    """One rule as its author wrote it: its key, its condition, and for a persona the ICPs it belongs to."""

    key: str
    match: dict[str, object]
    icps: tuple[str, ...] = ()


class Scale(NamedTuple):
    """How large a market is: industries, sizes, regions and roles that rules are written for, and a page's variants."""

    industries: int = 25
    sizes: int = 5
    regions: int = 4
    roles: int = 20
    variants: int = 34

    @property
    def rules(self) -> int:
        return self.industries * (self.sizes * self.regions + self.roles)


USUAL = Scale()  # 1,000 rules


def industries(count: int) -> tuple[str, ...]:
    """So many industries: those of the table, then branches of them."""
    named = (f"{name} {branch}" if branch > 1 else name for branch in itertools.count(1) for name in INDUSTRIES)
    return tuple(islice(named, count))


def icp_rules(scale: Scale) -> list[Rule]:
    """ICPs: an industry, a size and a region; 500 of them in a market of the usual size."""
    regions = tuple(REGIONS.items())[: scale.regions]
    return [
        Rule(
            f"{_key(industry)}-{low}-{region}",
            {
                "company.industry": industry,
                "company.employees": {"between": [low, high]},
                "geo.country": {"in": list(countries)},
            },
        )
        for industry, (low, high), (region, countries) in product(
            industries(scale.industries), SIZES[: scale.sizes], regions
        )
    ]


def persona_rules(scale: Scale) -> list[Rule]:
    """Personas: a role in an industry, told by the keyword or the job title; 500 in a market of the usual size."""
    regions = tuple(REGIONS)[: scale.regions]
    return [
        Rule(
            f"{role}-{_key(industry)}",
            {
                "any": [
                    {"utm.term": {"contains": list(words)}},
                    {"person.title": {"contains": [role.replace("-", " ")]}},
                ]
            },
            tuple(f"{_key(industry)}-{low}-{region}" for (low, _), region in product(SIZES[: scale.sizes], regions)),
        )
        for industry, (role, words) in product(industries(scale.industries), tuple(ROLES.items())[: scale.roles])
    ]
