"""Builds the sample look-up files over documentation addresses: `python personalizer/visitor/data/sample/build.py`.

What enters: the address plan below. What leaves: `city.mmdb`, `network.mmdb`, `companies.mmdb` beside this script, the
same bytes at every run. Must not: hold an address or a company of anybody (RFC 5737, RFC 3849, RFC 5398, RFC 2606).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

BUILT = 1_767_225_600  # 2026-01-01: the build time that the files carry, fixed so that the bytes are too

Record = dict[str, Any]


class _Writer(MMDBWriter):
    def _build_meta(self) -> Record:
        return {**super()._build_meta(), "build_epoch": BUILT}


def _named(geoname_id: int, names: dict[str, str], **rest: object) -> Record:
    return {"geoname_id": geoname_id, "names": names, **rest}


EUROPE = _named(6255148, {"en": "Europe", "de": "Europa"}, code="EU")
NORTH_AMERICA = _named(6255149, {"en": "North America", "de": "Nordamerika"}, code="NA")
SOUTH_AMERICA = _named(6255150, {"en": "South America", "de": "Südamerika"}, code="SA")
ASIA = _named(6255147, {"en": "Asia", "de": "Asien"}, code="AS")

GERMANY = _named(2921044, {"en": "Germany", "de": "Deutschland"}, iso_code="DE", is_in_european_union=True)
FRANCE = _named(3017382, {"en": "France", "de": "Frankreich", "fr": "France"}, iso_code="FR", is_in_european_union=True)
BRITAIN = _named(2635167, {"en": "United Kingdom", "de": "Vereinigtes Königreich"}, iso_code="GB")
AMERICA = _named(6252001, {"en": "United States", "de": "USA"}, iso_code="US")
BRAZIL = _named(3469034, {"en": "Brazil", "de": "Brasilien", "pt-BR": "Brasil"}, iso_code="BR")
INDONESIA = _named(1643084, {"en": "Indonesia", "de": "Indonesien"}, iso_code="ID")


def _place(
    continent: Record, country: Record, region: Record, city: Record, postal: str, zone: str, at: tuple[float, float]
) -> Record:
    return {
        "continent": continent,
        "country": country,
        "registered_country": country,
        "subdivisions": [region],
        "city": city,
        "postal": {"code": postal},
        "location": {"latitude": at[0], "longitude": at[1], "accuracy_radius": 20, "time_zone": zone},
    }


BERLIN = _place(
    EUROPE, GERMANY,
    _named(2950157, {"en": "State of Berlin", "de": "Land Berlin"}, iso_code="BE"),
    _named(2950159, {"en": "Berlin", "de": "Berlin"}), "10115", "Europe/Berlin", (52.53, 13.38),
)  # fmt: skip
MUNICH = _place(
    EUROPE, GERMANY,
    _named(2951839, {"en": "Bavaria", "de": "Bayern"}, iso_code="BY"),
    _named(2867714, {"en": "Munich", "de": "München"}), "80331", "Europe/Berlin", (48.14, 11.57),
)  # fmt: skip
PARIS = _place(
    EUROPE, FRANCE,
    _named(3012874, {"en": "Île-de-France", "de": "Île-de-France", "fr": "Île-de-France"}, iso_code="IDF"),
    _named(2988507, {"en": "Paris", "de": "Paris", "fr": "Paris"}), "75001", "Europe/Paris", (48.86, 2.34),
)  # fmt: skip
LONDON = _place(
    EUROPE, BRITAIN,
    _named(6269131, {"en": "England", "de": "England"}, iso_code="ENG"),
    _named(2643743, {"en": "London", "de": "London"}), "EC1A", "Europe/London", (51.52, -0.09),
)  # fmt: skip
AUSTIN = _place(
    NORTH_AMERICA, AMERICA,
    _named(4736286, {"en": "Texas", "de": "Texas"}, iso_code="TX"),
    _named(4671654, {"en": "Austin", "de": "Austin"}), "78701", "America/Chicago", (30.27, -97.74),
)  # fmt: skip
SAN_FRANCISCO = _place(
    NORTH_AMERICA, AMERICA,
    _named(5332921, {"en": "California", "de": "Kalifornien"}, iso_code="CA"),
    _named(5391959, {"en": "San Francisco", "de": "San Francisco"}), "94105", "America/Los_Angeles", (37.79, -122.39),
)  # fmt: skip
ASHBURN = _place(
    NORTH_AMERICA, AMERICA,
    _named(6254928, {"en": "Virginia", "de": "Virginia"}, iso_code="VA"),
    _named(4744870, {"en": "Ashburn", "de": "Ashburn"}), "20147", "America/New_York", (39.04, -77.49),
)  # fmt: skip
NEW_YORK = _place(
    NORTH_AMERICA, AMERICA,
    _named(5128638, {"en": "New York", "de": "New York"}, iso_code="NY"),
    _named(5128581, {"en": "New York", "de": "New York"}), "10001", "America/New_York", (40.75, -73.99),
)  # fmt: skip
SAO_PAULO = _place(
    SOUTH_AMERICA, BRAZIL,
    _named(3448433, {"en": "São Paulo", "de": "São Paulo", "pt-BR": "São Paulo"}, iso_code="SP"),
    _named(3448439, {"en": "São Paulo", "de": "São Paulo", "pt-BR": "São Paulo"}),
    "01000", "America/Sao_Paulo", (-23.55, -46.63),
)  # fmt: skip
JAKARTA = _place(
    ASIA, INDONESIA,
    _named(1642907, {"en": "Jakarta", "de": "Jakarta"}, iso_code="JK"),
    _named(1642911, {"en": "Jakarta", "de": "Jakarta"}), "10110", "Asia/Jakarta", (-6.18, 106.83),
)  # fmt: skip


@dataclass(frozen=True)
class Network:
    """Some addresses: where they are, how they are connected, through whom, and which company they belong to."""

    addresses: tuple[str, ...]
    place: Record
    connection: str
    asn: int
    carrier: str
    company: Record = field(default_factory=dict)
    anonymous: bool = False


NETWORKS = (
    Network(
        ("198.51.100.0/26", "2001:db8:1::/48"), BERLIN, "Corporate", 64496, "Nordlicht Software GmbH",
        {"name": "Nordlicht Software", "domain": "nordlicht.example", "industry": "software", "sic": "7372",
         "naics": "513210", "employees": 240, "revenue": 31_000_000, "country": "DE",
         "technologies": ["salesforce", "personio"]},
    ),
    Network(
        ("198.51.100.64/26", "2001:db8:2::/48"), AUSTIN, "Corporate", 64497, "Brightloop Inc.",
        {"name": "Brightloop", "domain": "brightloop.example", "industry": "internet", "sic": "7375",
         "naics": "519290", "employees": 420, "revenue": 58_000_000, "country": "US",
         "technologies": ["hubspot", "stripe"]},
    ),
    Network(
        ("198.51.100.128/26", "2001:db8:3::/48"), LONDON, "Corporate", 64498, "Halden Group plc",
        {"name": "Halden Group", "domain": "halden.example", "industry": "manufacturing", "sic": "3559",
         "naics": "333248", "employees": 5200, "revenue": 910_000_000, "country": "GB",
         "technologies": ["sap", "workday"]},
    ),
    Network(
        ("198.51.100.192/26", "2001:db8:4::/48"), SAN_FRANCISCO, "Corporate", 64499, "Tinyforge Labs LLC",
        {"name": "Tinyforge", "domain": "tinyforge.example", "industry": "software", "sic": "7372",
         "naics": "513210", "employees": 6, "revenue": 300_000, "country": "US", "technologies": ["stripe"]},
    ),
    Network(("203.0.113.0/26", "2001:db8:5::/48"), SAO_PAULO, "Cable/DSL", 64500, "Sample Broadband Brasil"),
    Network(("203.0.113.64/26", "2001:db8:6::/48"), MUNICH, "Cable/DSL", 64501, "Sample Broadband Bayern"),
    Network(("203.0.113.128/26",), ASHBURN, "Corporate", 64502, "Sample Cloud Hosting", anonymous=True),
    # The sample workspace's own office, which it lists as internal; what is left of the /26 is a mobile carrier's.
    Network(("203.0.113.192/28",), PARIS, "Corporate", 64503, "Sample Office Paris"),
    Network(
        ("203.0.113.208/28", "203.0.113.224/27"), PARIS, "Cellular", 64504, "Sample Mobile France"
    ),
    Network(("192.0.2.0/25", "2001:db8:b::/48"), NEW_YORK, "Cable/DSL", 64505, "Sample Broadband New York"),
    Network(("192.0.2.128/25", "2001:db8:c::/48"), JAKARTA, "Cable/DSL", 64506, "Sample Broadband Jakarta"),
)  # fmt: skip


def _network_record(network: Network) -> Record:
    record: Record = {
        "autonomous_system_number": network.asn,
        "autonomous_system_organization": network.carrier,
        "connection_type": network.connection,
    }
    if network.anonymous:  # as in Anonymous-IP files, flags are only written where they are true
        record |= {"is_anonymous": True, "is_anonymous_vpn": True, "is_hosting_provider": True}
    return record


def write_samples(folder: Path) -> None:
    """Write the three files into `folder`."""
    _write(folder / "city.mmdb", "Personalizer-Sample-City", [(n, n.place) for n in NETWORKS])
    _write(folder / "network.mmdb", "Personalizer-Sample-Network", [(n, _network_record(n)) for n in NETWORKS])
    companies = [(n, {"company": n.company}) for n in NETWORKS if n.company]
    _write(folder / "companies.mmdb", "Personalizer-Sample-Companies", companies)


def _write(path: Path, kind: str, records: list[tuple[Network, Record]]) -> None:
    description = "Sample data over documentation addresses; all companies are invented"
    writer = _Writer(ip_version=6, ipv4_compatible=True, database_type=kind, languages=["en"], description=description)
    for network, record in records:
        writer.insert_network(IPSet(network.addresses), record)
    writer.to_db_file(str(path))


if __name__ == "__main__":
    write_samples(Path(__file__).resolve().parent)
