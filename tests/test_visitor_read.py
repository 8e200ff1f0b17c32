"""One request read whole: who it is, what is known, and what is remembered from view to view."""

from __future__ import annotations

from pathlib import Path

import pytest
from browsers import (
    DAY,
    HALDEN,
    HOST,
    HOSTING,
    LINK,
    MUNICH,
    NORDLICHT,
    NOW,
    SAMPLES,
    SITE,
    Browser,
    facts_of,
    make_reader,
)

from personalizer.config import load_settings
from personalizer.errors import DataError
from personalizer.model import Mode, Range, Source
from personalizer.visitor.cookie import MAX_AGE, write_cookie
from personalizer.visitor.facts import FACT_TYPES, FACTS
from personalizer.visitor.place_names import PlaceName
from personalizer.visitor.read import VisitorReader, open_visitor_reader
from personalizer.visitor.visit import VISIT_GAP


@pytest.fixture
def reader(tmp_path: Path) -> VisitorReader:
    return make_reader(tmp_path)


# --- a visitor --------------------------------------------------------------------------------------------------------


def test_a_new_visitor(reader: VisitorReader) -> None:
    browser = Browser(reader, headers={"HTTP_ACCEPT_LANGUAGE": "de-DE,de;q=0.9", "wsgi.url_scheme": "https"})
    reading = browser.view(query=LINK + "&gclid=AbC-1&pz=q4-cfo.cfo.roi", referer="https://www.linkedin.com/")
    visitor = reading.visitor
    assert (visitor.id, visitor.unit, visitor.visit) == ("00000001-visitor", "00000001-visitor", "00000001")
    assert (visitor.mode, visitor.not_counted, dict(visitor.arms), visitor.ad_ref) == (
        Mode.PERSISTENT,
        None,
        {},
        "q4-cfo.cfo.roi",
    )
    assert (reading.new, reading.https, reading.address, reading.duplicated) == (True, True, NORDLICHT, False)
    assert visitor.facts == {
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
        "company.domain": "nordlicht.example",
        "company.name": "Nordlicht Software",
        "company.industry": "software",
        "company.sic": "7372",
        "company.naics": "513210",
        "company.employees": Range(240, 240),
        "company.revenue": Range(31_000_000, 31_000_000),
        "company.country": "DE",
        "company.technologies": ("salesforce", "personio"),
        "device.type": "desktop",
        "device.os": "Windows",
        "device.browser": "Chrome",
        "device.bot": False,
        "language": "de",
        "referrer.domain": "www.linkedin.com",
        "referrer.kind": "social",
        "utm.source": "linkedin",
        "utm.medium": "paid_social",
        "utm.campaign": "q4-cfo",
        "utm.term": "close the books",
        "utm.content": "roi",
        "utm.id": "7",
        "click.kind": "gclid",
        "click.id": "AbC-1",
        "first.source": "linkedin",
        "first.medium": "paid_social",
        "first.campaign": "q4-cfo",
        "visit.count": 1,
        "visit.pages": (),
        "visit.goals": (),
        "time.hour": 13,
        "time.weekday": "sat",
        "time.date": "2026-11-21",
    }


def test_a_returning_visitor(reader: VisitorReader) -> None:
    browser = Browser(reader)
    first = browser.view(query=LINK, page="payroll").memory
    assert first
    first.add_view("payroll", "cfo", "saas")
    first.add_arm("payroll-cfo:1", "roi")
    first.add_goal("demo_request")
    browser.cookie = write_cookie(first, reader.keys)
    reading = browser.view(NOW + 5 * DAY + 60, page="pricing")
    visitor = reading.visitor
    assert (visitor.id, visitor.unit, reading.new) == (first.id, first.id, False)
    assert visitor.arms == {"payroll-cfo:1": "roi"}
    assert facts_of(reading, "visit", "first") == {
        "visit.count": 2,
        "visit.days_since_last": 5,
        "visit.pages": ("payroll",),
        "visit.goals": ("demo_request",),
        "visit.persona": "cfo",
        "visit.icp": "saas",
        "first.source": "linkedin",
        "first.medium": "paid_social",
        "first.campaign": "q4-cfo",
    }


def test_every_fact_is_of_the_table_and_has_a_source(reader: VisitorReader) -> None:
    browser = Browser(reader)
    types = {"text": str, "number": int, "range": Range, "flag": bool, "list": tuple}
    for query in (LINK + "&gclid=x", "", "pz=a.b.c"):
        visitor = browser.view(query=query).visitor
        assert set(visitor.facts) <= set(FACTS) and set(visitor.facts) <= set(visitor.sources)
        assert all(
            type(value) is types[FACT_TYPES[name]] or isinstance(value, PlaceName)
            for name, value in visitor.facts.items()
        )


@pytest.mark.parametrize(
    "query, name, source",
    [
        (LINK, "utm.source", Source.URL),
        ("", "utm.source", Source.COOKIE),
        (LINK + "&gclid=x", "click.id", Source.URL),
        ("", "geo.country", Source.LOOKUP),
        ("", "network.kind", Source.LOOKUP),
        ("", "company.name", Source.LOOKUP),
        ("", "device.type", Source.DERIVED),
        ("", "referrer.kind", Source.DERIVED),
        ("", "time.hour", Source.DERIVED),
        ("", "visit.count", Source.COOKIE),
        ("", "first.source", Source.COOKIE),
    ],
)
def test_sources(reader: VisitorReader, query: str, name: str, source: Source) -> None:
    browser = Browser(reader)
    browser.view(query=LINK)
    visitor = browser.view(query=query).visitor
    assert name in visitor.facts and visitor.sources[name] is source


def test_time_is_the_visitors_else_the_sites(reader: VisitorReader) -> None:
    assert Browser(reader, address="192.0.2.200").view().visitor.facts["time.hour"] == 19  # Jakarta
    assert Browser(reader, address="8.8.8.8").view().visitor.facts["time.hour"] == 13  # Berlin


def test_duplicates_are_flagged(reader: VisitorReader) -> None:
    reading = Browser(reader).view(query="utm_source=a&utm_source=b")
    assert reading.duplicated and facts_of(reading, "utm") == {"utm.source": "a"}


# --- visits and touches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "gap, visits", [(0, 1), (60, 1), (VISIT_GAP - 1, 1), (VISIT_GAP, 2), (VISIT_GAP + 1, 2), (DAY, 2), (-DAY, 1)]
)
def test_a_visit_ends_after_thirty_minutes_without_a_view(reader: VisitorReader, gap: int, visits: int) -> None:
    browser, start = Browser(reader), float(int(NOW))
    first = browser.view(start)
    second = browser.view(start + gap)
    assert second.visitor.facts["visit.count"] == visits
    assert (second.visitor.visit == first.visitor.visit) is (visits == 1)
    assert second.visitor.id == first.visitor.id


def test_each_view_prolongs_a_visit(reader: VisitorReader) -> None:
    browser = Browser(reader)
    visits = {browser.view(NOW + minute * 60).visitor.visit for minute in range(0, 200, 25)}
    assert len(visits) == 1


def test_days_since_last_stay_through_the_visit(reader: VisitorReader) -> None:
    browser = Browser(reader)
    assert "visit.days_since_last" not in browser.view().visitor.facts
    assert "visit.days_since_last" not in browser.view(NOW + 60).visitor.facts
    days = [browser.view(NOW + 3 * DAY + gap).visitor.facts["visit.days_since_last"] for gap in (60, 120, 180)]
    assert days == [3, 3, 3]
    assert browser.view(NOW + 3 * DAY + VISIT_GAP + 300).visitor.facts["visit.days_since_last"] == 0


def test_a_cookie_of_last_year_is_a_new_visitor(reader: VisitorReader) -> None:
    browser = Browser(reader)
    first = browser.view().visitor.id
    reading = browser.view(NOW + MAX_AGE + DAY)
    assert reading.new and reading.visitor.id != first and reading.visitor.facts["visit.count"] == 1


UTM = {"utm.source": "linkedin", "utm.medium": "paid_social", "utm.campaign": "q4-cfo", "utm.term": "close the books",
       "utm.content": "roi", "utm.id": "7"}  # fmt: skip
SEARCH, OWN = "https://www.google.com/", f"https://{HOST}/payroll"


@pytest.mark.parametrize(
    "why, gap, query, referer, expected",
    [
        ("the next page keeps the touch", 60, "", OWN, UTM),
        ("also when it was reached from elsewhere", 60, "", SEARCH, UTM),
        ("another link replaces it whole", 60, "utm_source=news", "", {"utm.source": "news"}),
        ("a click id alone is a link too", 60, "fbclid=f", "", {"click.kind": "fbclid", "click.id": "f"}),
        ("an ad reference alone too", 60, "pz=a.b.c", "", {}),
        ("a later visit that came directly keeps it", DAY, "", "", UTM),
        ("a later visit from a search does not", DAY, "", SEARCH, {}),
        ("nor one from any other site", DAY, "", "https://blog.example/", {}),
        ("a later visit by a link from a search has that link", DAY, "utm_source=g", SEARCH, {"utm.source": "g"}),
        ("a later visit from our own page keeps it", DAY, "", OWN, UTM),
    ],
)
def test_the_last_touch(
    reader: VisitorReader, why: str, gap: int, query: str, referer: str, expected: dict[str, str]
) -> None:
    browser = Browser(reader)
    browser.view(query=LINK)
    assert facts_of(browser.view(NOW + gap, query, referer), "utm", "click") == expected, why
    assert facts_of(browser.view(NOW + gap + 60), "utm", "click") == expected, why


def test_an_ad_reference_and_a_click_id_are_remembered_with_their_touch(reader: VisitorReader) -> None:
    browser = Browser(reader)
    browser.view(query="pz=a.b.c&gclid=Xy")
    reading = browser.view(NOW + 60)
    assert reading.visitor.ad_ref == "a.b.c" and reading.visitor.facts["click.id"] == "Xy"
    assert reading.visitor.sources["click.id"] is Source.COOKIE
    assert browser.view(NOW + 120, "utm_source=x").visitor.ad_ref is None


def test_the_first_touch_stays(reader: VisitorReader) -> None:
    browser = Browser(reader)
    assert facts_of(browser.view(), "first") == {}
    assert facts_of(browser.view(NOW + 60, "fbclid=x"), "first") == {}
    expected = {"first.source": "linkedin", "first.medium": "paid_social", "first.campaign": "q4-cfo"}
    assert facts_of(browser.view(NOW + 120, LINK), "first") == expected
    assert facts_of(browser.view(NOW + DAY, "utm_source=other&utm_medium=cpc"), "first") == expected


# --- the company is frozen at the visit's first view ------------------------------------------------------------------


def test_the_company_stays_through_the_visit(reader: VisitorReader) -> None:
    browser = Browser(reader)
    assert browser.view().visitor.facts["company.name"] == "Nordlicht Software"
    assert browser.view(NOW + 60).visitor.facts["company.name"] == "Nordlicht Software"
    for address in (HALDEN, MUNICH, HOSTING):
        browser.address = address
        reading = browser.view(NOW + 120)
        assert facts_of(reading, "company") == {"company.domain": "nordlicht.example"}
        assert reading.visitor.sources["company.domain"] is Source.COOKIE
    browser.address = HALDEN
    assert browser.view(NOW + DAY).visitor.facts["company.domain"] == "halden.example"


def test_a_visit_that_began_without_a_company_has_none(reader: VisitorReader) -> None:
    browser = Browser(reader, address=MUNICH)
    assert facts_of(browser.view(), "company") == {}
    browser.address = NORDLICHT
    assert facts_of(browser.view(NOW + 60), "company") == {}
    assert browser.view(NOW + DAY).visitor.facts["company.domain"] == "nordlicht.example"


# --- start, and anything that may be sent -----------------------------------------------------------------------------


def test_opening_from_settings(tmp_path: Path) -> None:
    given = {**SAMPLES, "data": str(tmp_path / "data"), "trusted_proxies": "127.0.0.0/8"}
    reader = open_visitor_reader(load_settings(given, {}))
    environ = {**Browser(reader, address="127.0.0.1").environ(), "HTTP_X_FORWARDED_FOR": NORDLICHT}
    reading = reader.read(environ, SITE, NOW)
    assert reading.visitor.facts["company.name"] == "Nordlicht Software"
    assert len(reading.visitor.id) == 16 and len(reading.visitor.visit) == 8
    assert (tmp_path / "data" / "secret").exists()


def test_opening_tells_of_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "city.mmdb").write_bytes(b"not this")
    settings = load_settings({"geo_city": str(tmp_path / "city.mmdb"), "data": str(tmp_path / "data")}, {})
    with pytest.raises(DataError, match="PERSONALIZER_GEO_CITY"):
        open_visitor_reader(settings)


def test_an_empty_environ_is_read(reader: VisitorReader) -> None:
    reading = reader.read({}, SITE, NOW)
    assert reading.address == "" and reading.visitor.not_counted == "bot"
    assert facts_of(reading, "geo", "network", "company") == {}


def test_client_hints_come_with_the_request(reader: VisitorReader) -> None:
    hints = {"HTTP_SEC_CH_UA": '"Chromium";v="126", "Brave";v="126"', "HTTP_SEC_CH_UA_MOBILE": "?0"}
    assert facts_of(Browser(reader, headers=hints).view(), "device")["device.browser"] == "Brave"
    assert facts_of(Browser(reader).view(), "device")["device.browser"] == "Chrome"
