"""The workspace that is measured: 1,000 rules, one page with 34 variants, an experiment, two look-up files; or of
another scale.

What enters: a directory, a number of addresses, a scale. What leaves: a workspace as `personalizer serve` reads it,
the look-up files, and the same rules as plain JSON for the naive version. Must not: differ between two runs.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

from benchmarks import market, page

HOST = "www.bench.example"
PATH = "/offer"


_COMPANY_SHARE = 0.4  # of the addresses; look-ups know a minority of business visits
_WORDS = (
    "North",
    "Bright",
    "Iron",
    "Silver",
    "River",
    "Cedar",
    "Falcon",
    "Harbor",
    "Summit",
    "Maple",
    "Stone",
    "Clear",
)


@dataclass(frozen=True, slots=True)
class Bench:
    """Where everything lies that was generated."""

    folder: Path

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def city(self) -> Path:
        return self.folder / "city.mmdb"

    @property
    def companies(self) -> Path:
        return self.folder / "companies.mmdb"

    @property
    def rules(self) -> Path:
        """The naive version's JSON."""
        return self.folder / "rules.json"


def address_of(number: int, host: int = 1) -> str:
    """The address of visitor `number`, from the documentation range (RFC 3849); each has a /64 of its own, in which
    `host` is one of many."""
    return f"2001:db8:{number >> 8:x}:{number & 255:x}::{host:x}"


def generate(folder: Path, addresses: int, scale: market.Scale = market.USUAL) -> Bench:
    """Write it all into `folder`."""
    bench = Bench(folder)
    documents = _documents(scale)
    for name, document in documents.items():
        _write(bench.workspace / "variants" / f"{name}.yaml", json.dumps(document))  # JSON is YAML 1.2
    _write(bench.workspace / "templates" / "offer.html", page.TEMPLATE_FILE.read_text("utf-8"))
    _write(bench.workspace / "templates" / "unavailable.html", "<!doctype html><title>Not here</title>")
    _write(bench.rules, json.dumps(_naive_rules(documents)))
    _write_lookups(bench, addresses, market.industries(scale.industries))
    return bench


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


# --- rules and copy ---


def _documents(scale: market.Scale) -> dict[str, Any]:
    icps, personas = market.icp_rules(scale), market.persona_rules(scale)
    known = {rule.key for rule in personas}
    documents: dict[str, Any] = {"workspace": _workspace()}
    documents |= {f"icps/{rule.key}": {"name": rule.key, "match": rule.match} for rule in icps}
    documents["icps/too-small"] = {
        "name": "Too small", "kind": "negative", "evidence": "lookup", "match": {"company.employees": {"lt": 10}},
    }  # fmt: skip
    documents["icps/not-served"] = {"name": "Not served", "kind": "excluded", "match": {"geo.country": "BR"}}
    documents |= {
        f"personas/{rule.key}": {"name": rule.key, "match": rule.match, "icps": list(rule.icps)} for rule in personas
    }
    documents |= {f"campaigns/{campaign.key}": _campaign(campaign, known) for campaign in market.CAMPAIGNS}
    documents["pages/offer/page"] = {"path": PATH, "template": "offer.html", "copy": page.COPY}
    documents |= _variants(icps, personas, scale.variants)
    documents["experiments/first"] = {"page": "offer", "arms": ["campaign-0", "campaign-0-b"], "goal": "cta_click"}
    return documents


def _workspace() -> dict[str, Any]:
    return {
        "site": {"name": "Stockwise", "hosts": [HOST], "timezone": "Europe/Berlin"},
        "audiences": {"growing": {"name": "Growing companies"}},
        "holdout": 0.2,
        "internal": ["2001:db8:ffff::/48"],
    }


def _campaign(campaign: market.Campaign, personas: set[str]) -> dict[str, Any]:
    ads = [{"key": ad, "headlines": [f"Stockwise {ad}"]} for ad in campaign.ads]
    declares = {"declares": {"company.employees": {"between": [50, 1000]}}}
    persona = {"persona": campaign.persona, **declares} if campaign.persona in personas else {}
    return {
        "platform": campaign.platform,
        "page": "offer",
        "audience": "growing",
        "utm": {"source": campaign.source, "medium": campaign.medium, "campaign": campaign.key},
        "ad_sets": [{"key": "all", "ads": ads, **persona}],
    }


def _variants(icps: list[market.Rule], personas: list[market.Rule], count: int) -> dict[str, Any]:
    """Rows, the usual 34 of them so that three visitors of five get one; and an arm of an experiment."""
    whom: dict[str, Any] = {key: {"campaign": key} for key in (one.key for one in market.CAMPAIGNS[:8])}
    whom |= {rule.key: {"persona": rule.key} for rule in personas[::40]}
    whom |= {rule.key: {"icp": rule.key} for rule in icps[::50]}
    groups = [market.INDUSTRIES[start : start + 8] for start in range(0, 24, 8)]
    whom |= {
        f"industries-{number}": {"when": {"company.industry": {"in": list(group)}}}
        for number, group in enumerate(groups)
    }
    pairs = (
        (f"{rule.key}--{icp}", {"persona": rule.key, "icp": icp})
        for place in range(max(len(rule.icps) for rule in personas))
        for rule in personas
        for icp in rule.icps[place : place + 1]
    )
    rows = dict(islice(chain(whom.items(), pairs), count))
    documents = {
        f"pages/offer/{key}": {"for": rule, "copy": page.variant_copy(number)}
        for number, (key, rule) in enumerate(rows.items())
    }
    documents["pages/offer/campaign-0-b"] = {"copy": page.variant_copy(len(rows))}
    return documents


def _naive_rules(documents: dict[str, Any]) -> dict[str, Any]:
    """The same rules, rows and copy as plain data."""
    rooms: dict[str, dict[str, Any]] = {"icps": {}, "personas": {}, "campaigns": {}, "pages/offer": {}}
    for name, document in documents.items():
        room, _, key = name.rpartition("/")
        if room in rooms:
            rooms[room][key] = document
    variants = rooms.pop("pages/offer")
    original = variants.pop("page")["copy"]
    return {**rooms, "original": original, "variants": variants}


# --- look-up files ---


def _write_lookups(bench: Bench, addresses: int, industries: tuple[str, ...]) -> None:
    draw = random.Random(2)
    places = [_place(city) for city in market.CITIES]
    cities = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Bench-City", languages=["en", "de"])
    companies = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Bench-Company")
    for number in range(addresses):
        network = IPSet([f"{address_of(number)}/64"])
        cities.insert_network(network, draw.choice(places))
        if draw.random() < _COMPANY_SHARE:
            companies.insert_network(network, {"company": _company(number, draw, industries)})
    cities.to_db_file(str(bench.city))
    companies.to_db_file(str(bench.companies))


def _place(city: market.City) -> dict[str, Any]:
    country = {
        "geoname_id": 2_000_000 + market.CITIES.index(city),
        "iso_code": city.country,
        "names": {"en": city.country_name, "de": city.country_name},
    }
    continent = {"code": "NA" if city.country in market.REGIONS["america"] else "EU", "names": {"en": "Continent"}}
    return {
        "city": {"geoname_id": 3_000_000 + market.CITIES.index(city), "names": {"en": city.name, "de": city.name}},
        "continent": {**continent, "geoname_id": 6_255_148},
        "country": country,
        "registered_country": country,
        "subdivisions": [{"geoname_id": 4_000_000, "iso_code": city.region, "names": {"en": city.region}}],
        "postal": {"code": city.postal},
        "location": {
            "latitude": city.latitude,
            "longitude": city.longitude,
            "accuracy_radius": 20,
            "time_zone": city.timezone,
        },
    }


def _company(number: int, draw: random.Random, industries: tuple[str, ...]) -> dict[str, Any]:
    low, high = draw.choice(market.SIZES)
    return {
        "name": f"{draw.choice(_WORDS)} {draw.choice(_WORDS)} {number}",
        "domain": f"company-{number}.example",
        "industry": draw.choice(industries),
        "employees": draw.randint(low, high),
        "revenue": draw.randint(1, 900) * 100_000,
        "country": "DE",
        "technologies": ["sap", "shopify"],
    }
