"""Look-ups by address: the sample files, other files of the same kinds, and damaged ones."""

from __future__ import annotations

import importlib.util
import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from personalizer.config import Settings, load_settings, shipped
from personalizer.errors import DataError
from personalizer.model import Range, Value
from personalizer.visitor.company import Companies, company_facts, open_companies, parse_band, parse_domain
from personalizer.visitor.facts import FACTS
from personalizer.visitor.geo import Geo, open_geo
from personalizer.visitor.place_names import PlaceNames

SAMPLES = shipped("samples/city.mmdb").parent
ALL_SAMPLES = {name: "sample" for name in ("geo_city", "geo_asn", "geo_connection", "geo_anonymous", "companies")}
GEO_SETTINGS = ("geo_city", "geo_enterprise", "geo_asn", "geo_isp", "geo_connection", "geo_anonymous")


def settings(**given: str | Path) -> Settings:
    return load_settings({name: str(value) for name, value in given.items()}, environ={})


def write_mmdb(path: Path, records: dict[str, Any], ip_version: int = 6, kind: str = "Test") -> Path:
    writer = MMDBWriter(ip_version=ip_version, ipv4_compatible=ip_version == 6, database_type=kind)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))
    return path


@pytest.fixture(scope="module")
def geo() -> Geo:
    return open_geo(settings(**ALL_SAMPLES))


@pytest.fixture(scope="module")
def companies() -> Companies:
    return open_companies(settings(**ALL_SAMPLES))


# --- the sample files -------------------------------------------------------------------------------------------------

PLAN = [  # addresses, country, region, city, zone, network, company, employees
    ("198.51.100.0/26 2001:db8:1::/48", "DE BE", "Berlin", "Europe/Berlin", "business", "nordlicht.example", 240),
    ("198.51.100.64/26 2001:db8:2::/48", "US TX", "Austin", "America/Chicago", "business", "brightloop.example", 420),
    ("198.51.100.128/26 2001:db8:3::/48", "GB ENG", "London", "Europe/London", "business", "halden.example", 5200),
    ("198.51.100.192/26", "US CA", "San Francisco", "America/Los_Angeles", "business", "tinyforge.example", 6),
    ("2001:db8:4::/48", "US CA", "San Francisco", "America/Los_Angeles", "business", "tinyforge.example", 6),
    ("203.0.113.0/26 2001:db8:5::/48", "BR SP", "São Paulo", "America/Sao_Paulo", "residential", None, None),
    ("203.0.113.64/26 2001:db8:6::/48", "DE BY", "Munich", "Europe/Berlin", "residential", None, None),
    ("203.0.113.128/26", "US VA", "Ashburn", "America/New_York", "hosting", None, None),
    ("203.0.113.192/28", "FR IDF", "Paris", "Europe/Paris", "business", None, None),
    ("203.0.113.208/28 203.0.113.224/27", "FR IDF", "Paris", "Europe/Paris", "mobile", None, None),
    ("192.0.2.0/25 2001:db8:b::/48", "US NY", "New York", "America/New_York", "residential", None, None),
    ("192.0.2.128/25 2001:db8:c::/48", "ID JK", "Jakarta", "Asia/Jakarta", "residential", None, None),
]  # fmt: skip


@pytest.mark.parametrize("networks, region, city, zone, kind, domain, employees", PLAN)
def test_sample_address_plan(
    geo: Geo,
    companies: Companies,
    networks: str,
    region: str,
    city: str,
    zone: str,
    kind: str,
    domain: str | None,
    employees: int | None,
) -> None:
    for network in map(ipaddress.ip_network, networks.split()):
        for address in (network[0], network[1], network[-1]):
            facts = geo.lookup(str(address))
            assert [facts["geo.country"], facts["geo.region"]] == region.split()
            assert [facts["geo.city"], facts["geo.timezone"], facts["network.kind"]] == [city, zone, kind]
            assert facts["network.anonymous"] is (kind == "hosting")
            assert facts["geo.eu"] is (region[:2] in ("DE", "FR"))
            assert 64496 <= facts["network.asn"] <= 64511
            company = companies.lookup(str(address), facts)
            size = None if employees is None else Range(employees, employees)
            assert (company.get("company.domain"), company.get("company.employees")) == (domain, size)


def test_a_whole_sample_record(geo: Geo, companies: Companies) -> None:
    facts = geo.lookup("198.51.100.7")
    assert facts == {
        "geo.continent": "EU",
        "geo.country": "DE",
        "geo.region": "BE",
        "geo.city": "Berlin",
        "geo.postal": "10115",
        "geo.timezone": "Europe/Berlin",
        "geo.eu": True,
        "network.asn": 64496,
        "network.org": "Nordlicht Software GmbH",
        "network.kind": "business",
        "network.anonymous": False,
    }
    assert companies.lookup("198.51.100.7", facts) == {
        "company.domain": "nordlicht.example",
        "company.name": "Nordlicht Software",
        "company.industry": "software",
        "company.sic": "7372",
        "company.naics": "513210",
        "company.employees": Range(240, 240),
        "company.revenue": Range(31_000_000, 31_000_000),
        "company.country": "DE",
        "company.technologies": ("salesforce", "personio"),
    }


def test_addresses_outside_the_files_are_unknown(geo: Geo, companies: Companies) -> None:
    for address in ("8.8.8.8", "10.0.0.1", "2001:db8:ffff::1", "::1"):
        facts = geo.lookup(address)
        assert facts == {"network.anonymous": False}  # the anonymous file lists all there are
        assert companies.lookup(address, facts) == {}
    assert geo.lookup("") == {}


def load_build_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build", SAMPLES / "build.py")
    assert spec and spec.loader
    module = sys.modules["build"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_writes_the_committed_bytes(tmp_path: Path) -> None:
    load_build_script().write_samples(tmp_path)
    for name in ("city.mmdb", "network.mmdb", "companies.mmdb"):
        assert (tmp_path / name).read_bytes() == (SAMPLES / name).read_bytes(), name


# --- settings left out, other kinds of file ---------------------------------------------------------------------------


def test_without_files_nothing_is_known() -> None:
    assert open_geo(settings()).lookup("198.51.100.7") == {}
    assert open_companies(settings()).lookup("198.51.100.7", {}) == {}


@pytest.mark.parametrize(
    "setting, known",
    [
        ("geo_asn", {"network.asn", "network.org"}),
        ("geo_connection", {"network.kind"}),
        ("geo_anonymous", {"network.anonymous"}),
    ],
)
def test_each_network_setting_is_read_alone(setting: str, known: set[str]) -> None:
    # The sample file has the records of all three kinds, so an ASN setting may also learn the connection from it.
    facts = open_geo(settings(**{setting: "sample"})).lookup("198.51.100.7")
    assert known <= set(facts) <= {name for name in FACTS if name.startswith("network.")}


def test_a_country_file(tmp_path: Path) -> None:
    path = write_mmdb(
        tmp_path / "country.mmdb", {"192.0.2.0/24": {"country": {"iso_code": "CH"}, "continent": {"code": "EU"}}}
    )
    assert open_geo(settings(geo_city=path)).lookup("192.0.2.1") == {
        "geo.country": "CH",
        "geo.continent": "EU",
        "geo.eu": False,
    }


def test_the_names_of_a_region_are_its_own_and_those_of_the_file_in_use(tmp_path: Path) -> None:
    def place(name: str, **country: Any) -> dict[str, Any]:
        return {**country, "subdivisions": [{"iso_code": "BE", "names": {"de": name}}]}

    germany = {"country": {"iso_code": "DE"}}
    records = {"192.0.2.0/25": place("Berlin", **germany), "192.0.2.128/25": place("Bern")}
    for name in ("Berlino", "Berlin an der Spree"):  # a file that is replaced
        records["192.0.2.0/25"] = place(name, **germany)
        records["198.51.100.0/24"] = place(f"not {name}")
        geo = open_geo(settings(geo_city=write_mmdb(tmp_path / "c.mmdb", records)))
        found = {address: geo.lookup(address)["geo.region"] for address in ("192.0.2.1", "192.0.2.129", "198.51.100.1")}
        assert set(found.values()) == {"BE"}
        assert [PlaceNames("de").get(str(region), "") for region in found.values()] == [name, "Bern", f"not {name}"]


def test_enterprise_goes_before_city(tmp_path: Path) -> None:
    traits = {"user_type": "business", "autonomous_system_number": 64510, "autonomous_system_organization": "Org"}
    enterprise = write_mmdb(tmp_path / "e.mmdb", {"192.0.2.0/25": {"country": {"iso_code": "AT"}, "traits": traits}})
    city = write_mmdb(tmp_path / "c.mmdb", {"192.0.2.0/24": {"country": {"iso_code": "CH"}}})
    geo = open_geo(settings(geo_enterprise=enterprise, geo_city=city))
    assert geo.lookup("192.0.2.1") == {
        "geo.country": "AT",
        "geo.eu": False,
        "network.asn": 64510,
        "network.org": "Org",
        "network.kind": "business",
    }
    assert geo.lookup("192.0.2.200") == {"geo.country": "CH", "geo.eu": False}


@pytest.mark.parametrize(
    "record, kind",
    [
        ({"connection_type": "Cable/DSL"}, "residential"),
        ({"connection_type": "Dialup"}, "residential"),
        ({"connection_type": "Corporate"}, "business"),
        ({"connection_type": "Cellular"}, "mobile"),
        ({"connection_type": "Carrier pigeon"}, None),
        ({"connection_type": 7}, None),
        ({"connection_type": "Corporate", "user_type": "hosting"}, "hosting"),
        ({"connection_type": "Corporate", "user_type": "cafe"}, "business"),
        ({"connection_type": "Corporate", "is_hosting_provider": True}, "hosting"),
    ],
)
def test_network_kind(tmp_path: Path, record: dict[str, Any], kind: str | None) -> None:
    other = {"connection_type": "Cable/DSL", "is_anonymous": True}
    path = write_mmdb(tmp_path / "n.mmdb", {"192.0.2.0/25": record, "198.51.100.0/24": other})
    facts = open_geo(settings(geo_connection=path, geo_anonymous=path)).lookup("192.0.2.1")
    assert facts.get("network.kind") == kind


def test_records_of_unexpected_shapes_are_unknown(tmp_path: Path) -> None:
    odd: dict[str, Any] = {
        "country": {"iso_code": 7, "is_in_european_union": "yes"},
        "city": {"names": ["Berlin"]},
        "subdivisions": {"iso_code": "BE"},
        "continent": "EU",
        "location": {"time_zone": "\u202e"},
        "postal": [],
        "traits": "none",
        "autonomous_system_number": "AS1",
        "autonomous_system_organization": 9,
        "is_anonymous": "true",
    }
    whole = {"country": {"iso_code": "DE"}, "autonomous_system_number": 64500}
    path = write_mmdb(tmp_path / "odd.mmdb", {"192.0.2.0/25": odd, "198.51.100.0/24": whole})
    geo = open_geo(settings(geo_city=path, geo_asn=path, geo_anonymous=path))
    assert geo.lookup("192.0.2.1") == {"network.anonymous": False}


def test_a_file_of_ipv4_only_knows_nothing_of_ipv6(tmp_path: Path) -> None:
    record = {"country": {"iso_code": "DE"}, "is_anonymous": True, "domain": "a.example"}
    path = write_mmdb(tmp_path / "v4.mmdb", {"192.0.2.0/24": record}, ip_version=4)
    geo = open_geo(settings(geo_city=path, geo_anonymous=path))
    assert geo.lookup("192.0.2.1")["network.anonymous"] is True
    assert geo.lookup("2001:db8::1") == {}
    assert open_companies(settings(companies=path)).lookup("2001:db8::1", {}) == {}


# --- files that cannot be used ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting, sample",
    [
        ("geo_city", "network.mmdb"),
        ("geo_city", "companies.mmdb"),
        ("geo_enterprise", "network.mmdb"),
        ("geo_asn", "city.mmdb"),
        ("geo_isp", "companies.mmdb"),
        ("geo_connection", "city.mmdb"),
        ("geo_anonymous", "city.mmdb"),
        ("companies", "city.mmdb"),
        ("companies", "network.mmdb"),
    ],
)
def test_a_file_of_another_kind_is_refused(setting: str, sample: str) -> None:
    path = SAMPLES / sample
    given = settings(**{setting: path})
    with pytest.raises(
        DataError, match=rf"^PERSONALIZER_{setting.upper()}: {path} is a Personalizer-Sample-.* without .* records\. "
    ):
        open_companies(given) if setting == "companies" else open_geo(given)


def damaged(whole: bytes) -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    yield "garbage", bytes(range(256)) * 40
    yield "text", b"<html>404 Not Found</html>"
    yield "cut short", whole[: len(whole) // 2]
    yield "metadata lost", whole[: whole.rindex(b"MaxMind.com") - 3]
    yield "only metadata", whole[whole.rindex(b"MaxMind.com") - 3 :]
    yield "middle cut out", whole[: len(whole) // 3] + whole[len(whole) // 2 :]


@pytest.mark.parametrize("setting", [*GEO_SETTINGS, "companies"])
@pytest.mark.parametrize("how", [name for name, _ in damaged(b"MaxMind.com")])
def test_a_damaged_file_stops_the_start(tmp_path: Path, setting: str, how: str) -> None:
    sample = {"geo_city": "city", "geo_enterprise": "city", "companies": "companies"}.get(setting, "network")
    path = tmp_path / "damaged.mmdb"
    path.write_bytes(dict(damaged((SAMPLES / f"{sample}.mmdb").read_bytes()))[how])
    given = settings(**{setting: path})
    with pytest.raises(DataError, match=rf"^PERSONALIZER_{setting.upper()}: {path} .*leave the setting out\.$"):
        open_companies(given) if setting == "companies" else open_geo(given)


@pytest.mark.parametrize("sample", ["city", "network", "companies"])
def test_a_flipped_byte_stops_the_start_or_costs_a_fact(tmp_path: Path, sample: str) -> None:
    """Every byte of the data is flipped in turn; a file that still opens must answer every address."""
    whole = (SAMPLES / f"{sample}.mmdb").read_bytes()
    path = tmp_path / "flipped.mmdb"
    opened = refused = 0
    for at in range(len(whole)):
        path.unlink(missing_ok=True)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            if sample == "companies":
                companies = open_companies(settings(companies=path))
            else:
                geo = open_geo(settings(**{"geo_city" if sample == "city" else "geo_anonymous": path}))
        except DataError:
            refused += 1
            continue
        opened += 1
        for address in ("198.51.100.7", "203.0.113.130", "192.0.2.200", "2001:db8:1::1", "8.8.8.8"):
            facts = companies.lookup(address, {}) if sample == "companies" else geo.lookup(address)
            assert set(facts) <= set(FACTS)
    assert opened and refused


# --- companies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "network",
    [
        {"network.kind": "residential"},
        {"network.kind": "hosting"},
        {"network.kind": "mobile"},
        {"network.anonymous": True},
        {"network.kind": "business", "network.anonymous": True},
    ],
)
def test_no_company_where_nobody_is_at_work(companies: Companies, network: dict[str, Value]) -> None:
    assert companies.lookup("198.51.100.7", network) == {}


@pytest.mark.parametrize("network", [{}, {"network.kind": "business"}, {"network.anonymous": False}])
def test_a_company_where_somebody_may_be(companies: Companies, network: dict[str, Value]) -> None:
    assert companies.lookup("198.51.100.7", network)["company.domain"] == "nordlicht.example"


def test_flat_and_domain_records(tmp_path: Path) -> None:
    flat = {
        "domain": "WWW.Flat.Example.",
        "name": " Flat\u202e Ltd ",
        "sic": 7372,
        "employees": "51-200",
        "revenue": {"low": 10},
    }
    path = write_mmdb(tmp_path / "c.mmdb", {"192.0.2.0/25": flat, "192.0.2.128/25": {"domain": "only.example"}})
    companies = open_companies(settings(companies=path))
    assert companies.lookup("192.0.2.1", {}) == {
        "company.domain": "flat.example",
        "company.name": "Flat Ltd",
        "company.sic": "7372",
        "company.employees": Range(51, 200),
        "company.revenue": Range(10, float("inf")),
    }
    assert companies.lookup("192.0.2.200", {}) == {"company.domain": "only.example"}


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"company": {"name": "No domain"}},
        {"company": "acme.example"},
        {"company": None, "domain": "a.example"},
        {"domain": ["a.example"]},
        {"domain": "not a domain"},
        {"domain": "localhost"},
        {"domain": "192.0.2.1"},
        {"domain": "-a.example"},
        {"domain": "a..example"},
        {"domain": "x" * 64 + ".example"},
        {"domain": "javascript:alert(1)"},
    ],
)
def test_without_a_valid_domain_there_is_no_company(record: dict[str, Any]) -> None:
    assert company_facts(record) == {}


def test_hostile_fields_are_cleaned_or_unknown() -> None:
    record = {
        "domain": "a.example",
        "name": "\x00",
        "industry": ["software"],
        "employees": True,
        "revenue": float("nan"),
        "country": "de",
        "technologies": ["x", 7, "", "y\r\n", *["z"] * 1000],
    }
    facts = company_facts(record)
    assert {name: facts[name] for name in facts if name != "company.technologies"} == {
        "company.domain": "a.example",
        "company.country": "DE",
    }
    technologies = facts["company.technologies"]
    assert isinstance(technologies, tuple) and technologies[:3] == ("x", "y", "z") and len(technologies) < 60


def test_what_many_companies_say_is_in_memory_once() -> None:
    one, other = (
        company_facts({"domain": f"{name}.example", "country": "de", "industry": "".join(("soft", "ware"))})
        for name in ("a", "b")
    )
    assert one["company.industry"] is other["company.industry"]
    assert one["company.country"] is other["company.country"]


@pytest.mark.parametrize(
    "text, domain",
    [
        ("acme.example", "acme.example"),
        (" Acme.Example ", "acme.example"),
        ("www.acme.example", "acme.example"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("a.co.th", "a.co.th"),
        ("", None),
        (".", None),
        ("a.b" * 100, None),
        (7, None),
        (None, None),
    ],
)
def test_domains(text: object, domain: str | None) -> None:
    assert parse_domain(text) == domain


@pytest.mark.parametrize(
    "value, band",
    [
        (240, 240),
        (0, 0),
        (12.5, 12.5),
        ("240", 240),
        ("1,200", 1200),
        ("1 200", 1200),
        ("1'200", 1200),
        ("51-200", Range(51, 200)),
        ("51 – 200", Range(51, 200)),
        ("51 to 200", Range(51, 200)),
        ("1,001-5,000", Range(1001, 5000)),
        ("10,001+", Range(10_001, float("inf"))),
        ("$1M-$10M", Range(1_000_000, 10_000_000)),
        ("€1.5m", 1_500_000),
        ("2k - 1B", Range(2_000, 1_000_000_000)),
        ({"low": 51, "high": 200}, Range(51, 200)),
        ({"high": 50}, Range(0, 50)),
        ({"low": 51}, Range(51, float("inf"))),
        ("200-51", None),
        ({"low": 200, "high": 51}, None),
        ({"low": "51", "high": 200}, None),
        ({"low": 51, "high": None}, None),
        ("many", None),
        ("", None),
        ("-5", None),
        (-5, None),
        (True, None),
        (None, None),
        (float("nan"), None),
        (float("inf"), None),
        ([51, 200], None),
        ("9" * 500, None),
        ("1" + " " * 5000 + "x", None),
    ],
)
def test_bands(value: object, band: object) -> None:
    assert parse_band(value) == (Range(band, band) if isinstance(band, int | float) else band)
