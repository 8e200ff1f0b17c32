"""The trusted-proxy rule: whose word is taken for the client's address and scheme."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalizer.model import SiteRules
from personalizer.visitor.address import MAX_FORWARDED, ClientRule, parse_address

CASES = json.loads((Path(__file__).parent / "cases" / "addresses.json").read_text())
PROXY = ip_network("10.0.0.0/8")


@pytest.mark.parametrize("case", [pytest.param(case, id=case["why"]) for case in CASES])
def test_client(case: dict[str, Any]) -> None:
    environ = {"REMOTE_ADDR": case["peer"], "wsgi.url_scheme": "http"}
    if case["forwarded"]:
        environ["HTTP_X_FORWARDED_FOR"] = case["forwarded"]
    if case["proto"]:
        environ["HTTP_X_FORWARDED_PROTO"] = case["proto"]
    client = ClientRule([ip_network(network) for network in case["trusted"]]).read(environ)
    assert (client.address, client.https) == (case["address"], case["https"])
    assert client.ip == (ip_address(case["address"]) if case["address"] else None)


def test_a_long_header_is_read_from_the_right() -> None:
    forged = ", ".join(["192.0.2.1"] * 50_000)
    environ = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": f"{forged}, 203.0.113.9"}
    assert ClientRule([PROXY]).read(environ).address == "203.0.113.9"


def test_the_cut_never_makes_another_address() -> None:
    hops = ", ".join(f"10.1.{n}.{n}" for n in range(100, 200))
    for length in range(16):
        environ = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": f"{' ' * length}{hops}"}
        assert len(environ["HTTP_X_FORWARDED_FOR"]) > MAX_FORWARDED
        assert ClientRule([PROXY]).read(environ).address in hops.split(", ")


def test_the_servers_own_scheme_counts_without_a_proxys() -> None:
    environ = {"REMOTE_ADDR": "192.0.2.1", "wsgi.url_scheme": "https", "HTTP_X_FORWARDED_PROTO": "http"}
    assert ClientRule([PROXY]).read(environ).https is True
    nobody = ClientRule([]).read({})
    assert (nobody.ip, nobody.address, nobody.https) == (None, "", False)


def test_who_is_internal_follows_the_site() -> None:
    client = ClientRule([]).read({"REMOTE_ADDR": "192.0.2.1"})
    sites = [SiteRules((), "en", "UTC", (), (ip_network(network),)) for network in ("192.0.2.0/24", "198.51.100.0/24")]
    assert [client.is_internal(site) for site in (*sites, *sites)] == [True, False, True, False]


def test_clients_are_remembered_but_not_for_headers_of_any_length() -> None:
    rule = ClientRule([PROXY])
    for forwarded, kept in (("203.0.113.9", True), (f"{' ' * 500}203.0.113.9", False)):
        environ = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": forwarded}
        assert (rule.read(environ) is rule.read(dict(environ))) is kept
        assert rule.read(environ).address == "203.0.113.9"


@given(st.text(), st.text(), st.text())
def test_any_headers_are_answered(peer: str, forwarded: str, proto: str) -> None:
    environ = {"HTTP_X_FORWARDED_FOR": forwarded, "HTTP_X_FORWARDED_PROTO": proto}
    assert ClientRule([PROXY]).read({**environ, "REMOTE_ADDR": "198.51.100.1"}).address == "198.51.100.1"
    for address in (peer, "10.0.0.1"):
        client = ClientRule([PROXY]).read({**environ, "REMOTE_ADDR": address})
        assert client.address == ("" if client.ip is None else str(client.ip))


@given(st.ip_addresses(), st.sampled_from(["{}", " {} ", "[{}]", "[{}]:80"]))
def test_written_addresses_are_read(address: Any, form: str) -> None:
    if address.version == 4 and "]:" in form:
        form = "{}:80"
    expected = getattr(address, "ipv4_mapped", None) or address
    assert parse_address(form.format(address)) == expected
