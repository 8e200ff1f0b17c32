"""Where an address is, and what kind of network it is in.

What enters: an address, and MaxMind-format files of these kinds: City or Country, Enterprise, ASN, ISP,
Connection-Type, Anonymous-IP. What leaves: `geo.*` and `network.*` facts. Must not: raise at a look-up, keep an
address, or guess; what no file says is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from personalizer.cache import Cache
from personalizer.config import Settings
from personalizer.model import Facts, Value
from personalizer.visitor.cleaning import clean_text
from personalizer.visitor.mmdb import Mmdb, Record, open_mmdb
from personalizer.visitor.place_names import name_place

_NOTHING: Facts = {}
_PLACE_KEYS = ("country", "city", "continent", "location", "registered_country")
_PLACES = ("GEO_ENTERPRISE", "GEO_CITY")
_NETWORKS = ("GEO_ASN", "GEO_ISP", "GEO_CONNECTION")
_ANONYMOUS = "GEO_ANONYMOUS"
_ANONYMOUS_KEYS = ("is_anonymous", "is_anonymous_vpn", "is_public_proxy", "is_residential_proxy", "is_tor_exit_node")
_HOSTING = "is_hosting_provider"
_KINDS: dict[str, tuple[tuple[str, ...], str]] = {  # setting → keys that tell its file from others, what it is called
    "GEO_ENTERPRISE": (_PLACE_KEYS, "City, Country or Enterprise"),
    "GEO_CITY": (_PLACE_KEYS, "City, Country or Enterprise"),
    "GEO_ASN": (("autonomous_system_number",), "ASN"),
    "GEO_ISP": (("isp", "autonomous_system_number"), "ISP"),
    "GEO_CONNECTION": (("connection_type",), "Connection-Type"),
    _ANONYMOUS: ((*_ANONYMOUS_KEYS, _HOSTING), "Anonymous-IP"),
}
GEO_SETTINGS = tuple(_KINDS)
# `connection_type` of Connection-Type files and `user_type` of Enterprise ones; what is missing here tells nothing.
_CONNECTION_KINDS = {
    "Cable/DSL": "residential",
    "Dialup": "residential",
    "Satellite": "residential",
    "Corporate": "business",
    "Cellular": "mobile",
}
_USER_KINDS = {
    "residential": "residential",
    "dialup": "residential",
    "business": "business",
    "government": "business",
    "college": "business",
    "school": "business",
    "library": "business",
    "military": "business",
    "cellular": "mobile",
    "hosting": "hosting",
    "content_delivery_network": "hosting",
    "consumer_privacy_network": "hosting",
    "search_engine_spider": "hosting",
}


class Geo:
    """The open files. Immutable: new files are a new `Geo`.

    `places` are asked in order until one knows the address; the records of `networks` are put together.
    """

    def __init__(
        self, places: tuple[Mmdb, ...] = (), networks: tuple[Mmdb, ...] = (), anonymous: Mmdb | None = None
    ) -> None:
        self._places = places
        self._networks = networks
        self._anonymous = anonymous
        self._regions: Cache[tuple[Value, Value], str] = Cache(8192)  # many places are in one

    def lookup(self, address: str) -> Facts:
        """`geo.*` and `network.*` facts of an address, as far as the files know them."""
        place: Record = next((record for file in self._places if (record := file.get(address))), _NOTHING)
        network: dict[str, Any] = dict(_mapping(place.get("traits")))
        for file in self._networks:
            network |= file.get(address) or _NOTHING
        facts = self._place_facts(place) | _network_facts(network)
        if self._anonymous:
            facts |= _anonymous_facts(self._anonymous.get(address))
        return facts

    def _place_facts(self, record: Record) -> Facts:
        country, location = _mapping(record.get("country")), _mapping(record.get("location"))
        subdivisions = record.get("subdivisions")
        region = _mapping(subdivisions[0]) if isinstance(subdivisions, list) and subdivisions else _NOTHING
        texts = {
            "geo.continent": _mapping(record.get("continent")).get("code"),
            "geo.country": country.get("iso_code"),
            "geo.region": region.get("iso_code"),
            "geo.city": _mapping(_mapping(record.get("city")).get("names")).get("en"),
            "geo.postal": _mapping(record.get("postal")).get("code"),
            "geo.timezone": location.get("time_zone"),
        }
        facts = _known_texts(texts)
        if "geo.region" in facts:
            facts["geo.region"] = self._name_region(facts, region.get("names"))
        if "geo.city" in facts:
            facts["geo.city"] = name_place(str(facts["geo.city"]), _mapping(record.get("city")).get("names"))
        if "geo.country" in facts:  # the files only flag members
            facts["geo.eu"] = country.get("is_in_european_union") is True
        return facts

    def _name_region(self, facts: Facts, names: object) -> str:
        code, country = facts["geo.region"], facts.get("geo.country")
        if country is None:  # the same code is another region elsewhere
            return name_place(str(code), names)
        key = (country, code)
        return self._regions.get(key) or self._regions.put(key, name_place(str(code), names))


def open_geo(settings: Settings) -> Geo:
    """Open the files that the settings name; facts of settings left out stay unknown.

    Raises DataError for a file that cannot be read or is of another kind.
    """
    paths = {name: getattr(settings, name.lower()) for name in GEO_SETTINGS}
    return make_geo({name: open_geo_file(name, path) for name, path in paths.items() if path})


def open_geo_file(setting: str, path: Path) -> Mmdb:
    """Open the file of one of `GEO_SETTINGS`. Raises DataError as `open_geo` does."""
    keys, called = _KINDS[setting]
    return open_mmdb(setting, path, keys, called)


def make_geo(files: Mapping[str, Mmdb]) -> Geo:
    """A `Geo` of open files, by their settings."""
    places = tuple(files[name] for name in _PLACES if name in files)
    networks = tuple(files[name] for name in _NETWORKS if name in files)
    return Geo(places, networks, files.get(_ANONYMOUS))


def _network_facts(record: Record) -> Facts:
    facts = _known_texts({"network.org": record.get("autonomous_system_organization")})
    number = record.get("autonomous_system_number")
    if isinstance(number, int):
        facts["network.asn"] = number
    kind = _USER_KINDS.get(str(record.get("user_type"))) or _CONNECTION_KINDS.get(str(record.get("connection_type")))
    if kind:
        facts["network.kind"] = kind
    return facts


def _anonymous_facts(record: Record | None) -> Facts:
    if record is None:
        return {}
    # The file lists every anonymous network, so an address that is not in it is known not to be in one.
    facts: Facts = {"network.anonymous": any(record.get(key) is True for key in _ANONYMOUS_KEYS)}
    if record.get(_HOSTING) is True:
        facts["network.kind"] = "hosting"
    return facts


def _known_texts(texts: Mapping[str, object]) -> Facts:
    # Interned, because thousands of cached addresses share a few hundred names.
    cleaned = {name: clean_text(text) for name, text in texts.items() if isinstance(text, str)}
    return {name: text for name, text in cleaned.items() if text}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else _NOTHING
