"""What may be kept about whom: privacy modes, who is not counted, requests that are no page views, hostile ones."""

from __future__ import annotations

from dataclasses import asdict
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from browsers import (
    CHROME,
    DAY,
    GOOGLEBOT,
    HALDEN,
    HOST,
    LINK,
    MOBILE,
    NORDLICHT,
    NOW,
    OFFICE,
    SITE,
    Browser,
    facts_of,
    make_reader,
)
from hypothesis import given
from hypothesis import strategies as st

from personalizer.model import Facts, Mode, SiteRules
from personalizer.visitor.cookie import OPT_OUT, Memory, write_cookie
from personalizer.visitor.facts import FACTS
from personalizer.visitor.read import VisitorReader


@pytest.fixture
def reader(tmp_path: Path) -> VisitorReader:
    return make_reader(tmp_path)


# --- who is not counted -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "agent, address, reason",
    [
        (CHROME, NORDLICHT, None),
        (CHROME, MOBILE, None),
        (CHROME, OFFICE, "internal"),
        (GOOGLEBOT, NORDLICHT, "bot"),
        (GOOGLEBOT, OFFICE, "bot"),
        ("", NORDLICHT, "bot"),
    ],
)
def test_not_counted(reader: VisitorReader, agent: str, address: str, reason: str | None) -> None:
    visitor = Browser(reader, address, agent).view().visitor
    assert visitor.not_counted == reason
    assert (visitor.unit is None) is (reason == "bot")


def test_a_forged_proxy_header_changes_nothing(reader: VisitorReader) -> None:
    forged = {"HTTP_X_FORWARDED_FOR": HALDEN, "HTTP_X_FORWARDED_PROTO": "https"}
    reading = Browser(reader, headers=forged).view()
    assert (reading.address, reading.https) == (NORDLICHT, False)
    assert reading.visitor.facts["geo.city"] == "Berlin"


# --- beacons, conversions, forms --------------------------------------------------------------------------------------


def test_what_is_sent_changes_no_visit(reader: VisitorReader) -> None:
    browser = Browser(reader)
    view = browser.view(query=LINK)
    assert view.memory
    sent = browser.send(NOW + DAY, "utm_source=other")
    assert sent.memory and asdict(sent.memory) == asdict(view.memory)
    assert (sent.visitor.id, sent.visitor.visit, sent.visitor.unit) == (
        view.visitor.id,
        view.visitor.visit,
        view.visitor.unit,
    )
    assert not sent.new


def test_a_stranger_who_sends_is_not_remembered(reader: VisitorReader) -> None:
    sent = Browser(reader).send()
    assert (sent.memory, sent.visitor.unit, sent.new) == (None, None, True)
    assert len(sent.visitor.id) == 16 and len(sent.visitor.visit) == 8


# --- privacy ----------------------------------------------------------------------------------------------------------


def rules(*privacy: Any) -> SiteRules:
    return SiteRules((HOST,), "en", "Europe/Berlin", privacy, ())


def in_eu(facts: Facts) -> bool | None:
    value = facts.get("geo.eu")
    return None if value is None else bool(value)


def in_french(facts: Facts) -> bool | None:
    return facts.get("language") == "fr"


@pytest.mark.parametrize(
    "address, site, mode",
    [
        (NORDLICHT, rules((in_eu, Mode.STORAGE_FREE), (None, Mode.PERSISTENT)), Mode.STORAGE_FREE),
        (HALDEN, rules((in_eu, Mode.STORAGE_FREE), (None, Mode.PERSISTENT)), Mode.PERSISTENT),
        ("8.8.8.8", rules((in_eu, Mode.STORAGE_FREE), (None, Mode.PERSISTENT)), Mode.PERSISTENT),  # unknown is not true
        (NORDLICHT, rules((in_french, Mode.STORAGE_FREE), (in_eu, Mode.PERSISTENT)), Mode.PERSISTENT),
        (HALDEN, rules((in_eu, Mode.PERSISTENT)), Mode.STORAGE_FREE),  # no rule holds: the careful mode
        (NORDLICHT, rules(), Mode.STORAGE_FREE),
        (NORDLICHT, rules((None, Mode.PERSISTENT), (None, Mode.STORAGE_FREE)), Mode.PERSISTENT),
    ],
)
def test_the_first_rule_that_holds_gives_the_mode(
    reader: VisitorReader, address: str, site: SiteRules, mode: Mode
) -> None:
    assert Browser(reader, address).view(site=site).visitor.mode is mode


def test_rules_may_ask_for_headers(reader: VisitorReader) -> None:
    site = rules((in_french, Mode.STORAGE_FREE), (None, Mode.PERSISTENT))
    browser = Browser(reader, headers={"HTTP_ACCEPT_LANGUAGE": "fr-CA"})
    assert browser.view(site=site).visitor.mode is Mode.STORAGE_FREE


@pytest.mark.parametrize("refusal", [{"HTTP_SEC_GPC": "1"}, {"HTTP_DNT": "1"}, {"HTTP_COOKIE": f"a=b; pz={OPT_OUT}"}])
def test_a_refusal_is_storage_free(reader: VisitorReader, refusal: dict[str, str]) -> None:
    known = Browser(reader)
    before = known.view(query=LINK)
    known.headers = refusal
    if "HTTP_COOKIE" in refusal:
        known.cookie = ""
    for page_view in (True, False):
        reading = reader.read(known.environ("utm_source=now&gclid=g"), SITE, NOW, page_view=page_view)
        visitor = reading.visitor
        assert (visitor.mode, reading.memory, visitor.unit, dict(visitor.arms)) == (Mode.STORAGE_FREE, None, None, {})
        assert visitor.id != before.visitor.id and reading.new
        assert facts_of(reading, "company", "first") == {}
        assert facts_of(reading, "utm", "click") == {"utm.source": "now", "click.kind": "gclid", "click.id": "g"}
        assert facts_of(reading, "visit") == {"visit.count": 1, "visit.pages": (), "visit.goals": ()}
        assert visitor.facts["geo.city"] == "Berlin"


@pytest.mark.parametrize(
    "header", [{"HTTP_SEC_GPC": "0"}, {"HTTP_DNT": "0"}, {"HTTP_DNT": "unspecified"}, {"HTTP_SEC_GPC": ""}]
)
def test_other_values_refuse_nothing(reader: VisitorReader, header: dict[str, str]) -> None:
    assert Browser(reader, headers=header).view().visitor.mode is Mode.PERSISTENT


def test_a_storage_free_visitor_is_the_same_for_a_day(reader: VisitorReader) -> None:
    browser = Browser(reader, headers={"HTTP_DNT": "1"})
    first = browser.view().visitor
    again = browser.view(NOW + 3600, query="utm_source=x").visitor
    assert (again.id, again.visit) == (first.id, first.visit)
    assert len(first.id) == 16 and len(first.visit) == 8
    assert Browser(reader, address=HALDEN, headers={"HTTP_DNT": "1"}).view().visitor.id != first.id
    assert browser.view(NOW + DAY).visitor.id != first.id


def test_storage_free_bots_have_no_unit_either(reader: VisitorReader) -> None:
    visitor = Browser(reader, agent=GOOGLEBOT, headers={"HTTP_DNT": "1"}).view().visitor
    assert (visitor.unit, visitor.not_counted) == (None, "bot")


# --- anything that may be sent ----------------------------------------------------------------------------------------


NAMES = (
    "QUERY_STRING", "REMOTE_ADDR", "HTTP_COOKIE", "HTTP_USER_AGENT", "HTTP_REFERER", "HTTP_ACCEPT_LANGUAGE",
    "HTTP_HOST", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_DNT", "HTTP_SEC_GPC",
)  # fmt: skip
PARTS = st.sampled_from(
    ["pz=", "utm_source=", "gclid=", "https://", "%", "&", ";", ",", ";q=", "198.51.100.7", "1", "\r\n", "\0"]
)
TEXT = st.lists(st.one_of(st.text(), PARTS), max_size=3).map("".join)


@pytest.fixture(scope="module")
def shared_reader(tmp_path_factory: pytest.TempPathFactory) -> VisitorReader:
    proxies = [ip_network("198.51.100.0/24")]
    return make_reader(tmp_path_factory.mktemp("data"), proxies)


@given(environ=st.dictionaries(st.sampled_from(NAMES), TEXT), page_view=st.booleans())
def test_anything_is_read(shared_reader: VisitorReader, environ: dict[str, str], page_view: bool) -> None:
    reading = shared_reader.read(environ, SITE, NOW, page_view=page_view)
    visitor = reading.visitor
    assert len(visitor.id) == 16 and len(visitor.visit) == 8 and f"{visitor.id}.{visitor.visit}".isascii()
    assert set(visitor.facts) <= set(FACTS)
    for value in visitor.facts.values():
        str(value).encode()
    if reading.memory:
        cookie = write_cookie(reading.memory, shared_reader.keys)
        again = shared_reader.read({**environ, "HTTP_COOKIE": f"pz={cookie}"}, SITE, NOW, page_view=False)
        assert again.visitor.id == visitor.id and isinstance(again.memory, Memory)
