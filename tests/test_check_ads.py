"""What `check` and `links` say of ads: where they land, whether the page keeps their promise, whom it may not serve."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Files
from hypothesis import given
from hypothesis import strategies as st
from test_check_rules import SPOKEN, icp, persona, row, said_of

from personalizer.cli import cli
from personalizer.content.compile import Content, check_workspace
from personalizer.content.landing import ALIKE, find_landings
from personalizer.content.likeness import likeness

Write = Callable[[Files], Path]

SITE = "site: {name: Shop, hosts: [www.shop.example]}\naudiences: {finance: {name: Finance}}\n"


def ads(*headlines: str, campaign: Any = None, **ad_set: Any) -> dict[str, Any]:
    """A campaign `c` with one ad set and one ad."""
    one = {"key": "s", "ads": [{"key": "a", "headlines": list(headlines)}], **ad_set}
    return {"platform": "google", "page": "home", "ad_sets": [one], **(campaign or {})}


# --- landing on the original ---


@pytest.mark.parametrize(
    ("campaign", "remedy"),
    [
        (ads(persona="cfo"), "`for: {persona: cfo}`"),
        (ads(campaign={"audience": "finance"}), "`for: {campaign: c}`"),
        (ads(), "`for: {campaign: c}`"),
    ],
)
def test_an_ad_that_lands_on_the_original_is_named(workspace: Write, campaign: Any, remedy: str) -> None:
    files = {
        "variants/workspace.yaml": SITE,
        "variants/personas/cfo.yaml": persona({"person.title": "CFO"}),
        "variants/campaigns/c.yaml": campaign,
        "variants/pages/home/german.yaml": row({"language": "de"}),  # for some of them, and not because of the ad
        **SPOKEN,
    }
    [said] = said_of(workspace(files))
    assert said.startswith("campaigns/c.yaml:1: warning: ad_sets.0.key: its ads land on the original of page home")
    assert remedy in said


@pytest.mark.parametrize(
    ("whom", "campaign"),
    [
        ({"persona": "cfo"}, ads(persona="cfo")),
        ({"persona": "cfo", "language": "de"}, ads(persona="cfo")),  # some of its visitors get it
        ({"campaign": "c"}, ads(persona="cfo")),
        ({"audience": "finance"}, ads(persona="cfo", campaign={"audience": "finance"})),
        ({"when": {"company.industry": "software"}}, ads(persona="cfo", declares={"company.industry": "Software"})),
        ({"icp": "big"}, ads(persona="cfo", declares={"company.employees": {"between": [2000, 5000]}})),
    ],
)
def test_an_ad_that_has_a_row_is_fine(workspace: Write, whom: Any, campaign: Any) -> None:
    files = {
        "variants/workspace.yaml": SITE,
        "variants/icps/big.yaml": icp({"company.employees": {"gte": 1000}}),
        "variants/personas/cfo.yaml": persona({"person.title": "CFO"}),
        "variants/campaigns/c.yaml": campaign,
        "variants/pages/home/a.yaml": row(whom),
    }
    assert [said for said in said_of(workspace(files)) if "land" in said] == []


# --- the promise ---

CLOSE = "Close payroll in one afternoon"


@pytest.mark.parametrize(
    ("told", "shown", "agrees"),
    [
        (CLOSE, "{{ company.name | Your company }} closes payroll in one afternoon", True),
        (CLOSE, "Payroll, closed in an afternoon", True),
        (CLOSE, "Payslips everyone understands", False),
        (CLOSE, "{{ ad.headline | Payslips everyone understands }}", True),  # filled with the ad's own words
        ("Lohnabrechnung in einem Nachmittag", "Ihre Lohnabrechnungen, an einem Nachmittag fertig", True),
        ("Lohnabrechnung in einem Nachmittag", CLOSE, False),
        ("ปิดเงินเดือนในบ่ายเดียว", "บริษัทของคุณปิดเงินเดือนได้ในบ่ายเดียว", True),
        ("ปิดเงินเดือนในบ่ายเดียว", "สลิปเงินเดือนที่ทุกคนเข้าใจ", False),
        ("Tutup penggajian dalam satu sore", "Penggajian ditutup dalam satu sore", True),
        ("Tutup penggajian dalam satu sore", "Slip gaji yang dimengerti semua orang", False),
    ],
)
def test_a_page_that_does_not_say_what_the_ad_said_is_named(
    workspace: Write, told: str, shown: str, agrees: bool
) -> None:
    files = {
        "variants/personas/cfo.yaml": persona(),
        "variants/campaigns/c.yaml": ads(told, "Something else", persona="cfo"),
        "variants/pages/home/cfo.yaml": {"for": {"persona": "cfo"}, "copy": {"headline": shown}},
    }
    said = said_of(workspace(files))
    if agrees:
        assert said == []
        return
    assert len(said) == 1 and said[0].startswith("campaigns/c.yaml:1: warning: ad_sets.0.ads.0.headlines: `")
    assert shown in said[0] and "home/cfo" in said[0] and f"{ALIKE} is enough" in said[0]


def test_an_ad_is_read_by_those_who_speak_its_language(workspace: Write) -> None:
    german = "Lohnabrechnung in einem Nachmittag"
    files = {
        "variants/personas/cfo.yaml": persona(),
        "variants/campaigns/c.yaml": ads(german, persona="cfo"),
        "variants/pages/home/cfo.yaml": {"for": {"persona": "cfo"}, "copy": {"headline": CLOSE}},
        "variants/pages/home/cfo-fr.yaml": {
            "for": {"persona": "cfo", "language": "fr"},
            "copy": {"headline": "La paie"},
        },
        **SPOKEN,
    }
    [said] = said_of(workspace(files))
    assert "home/cfo that its visitors" in said
    in_german = {"for": {"persona": "cfo", "language": "de"}, "copy": {"headline": german}}
    root = workspace({**files, "variants/pages/home/cfo-de.yaml": in_german})
    assert said_of(root) == []
    checked = check_workspace(root)
    assert checked.content is not None
    [landing] = find_landings(checked.documents, checked.content.registry)
    assert (landing.shown, landing.match) == ("home/cfo-de", 1.0)


def test_an_ad_that_no_headline_agrees_with_is_compared_with_the_row_for_any_language(workspace: Write) -> None:
    files = {
        "variants/personas/cfo.yaml": persona(),
        "variants/campaigns/c.yaml": ads("Payroll software for hotels", persona="cfo"),
        "variants/pages/home/cfo.yaml": {"for": {"persona": "cfo"}, "copy": {"headline": "Quiet month ends"}},
        "variants/pages/home/cfo-de.yaml": {
            "for": {"persona": "cfo", "language": "de"},
            "copy": {"headline": "Software ohne Ende"},  # nearer, and far off all the same
        },
        **SPOKEN,
    }
    [said] = said_of(workspace(files))
    assert "the headline of home/cfo that" in said


def test_what_follows_from_several_documents_waits_until_none_has_a_mistake(workspace: Write) -> None:
    files = {
        "variants/personas/cfo.yaml": {"name": "Robin", "icps": ["big"]},
        "variants/campaigns/c.yaml": ads("Payroll software for hotels", persona="cfo"),
    }
    said = said_of(workspace(files))
    assert [one.split(": ")[0] for one in said] == ["personas/cfo.yaml:1"] * 2
    assert "warning: evidence: is missing" in said[0] + said[1] and "there is no ICP `big`" in said[0] + said[1]
    big = icp({"company.employees": {"gte": 1000}})
    said = said_of(workspace({**files, "variants/icps/big.yaml": big}))
    assert any("land on the original" in one for one in said)


def test_an_ad_without_headlines_promises_nothing(workspace: Write) -> None:
    files = {
        "variants/personas/cfo.yaml": persona(),
        "variants/campaigns/c.yaml": ads(persona="cfo"),
        "variants/pages/home/cfo.yaml": row({"persona": "cfo"}),
    }
    assert said_of(workspace(files)) == []


@given(st.text(max_size=40), st.text(max_size=40))
def test_likeness_is_a_share_and_whole_for_what_is_said_again(told: str, shown: str) -> None:
    assert 0 <= likeness(told, shown) <= 1
    assert likeness(told, f"{shown} {told}") in (0, 1)  # 0 where there are no words


def test_the_likeness_of_the_shipped_ads_is_shown(sample_root: Path, sample_content: Content) -> None:
    landings = list(find_landings(check_workspace(sample_root).documents, sample_content.registry))
    shown = {landing.ref: landing.shown for landing in landings}
    assert shown["q4-cfo.cfo-51-1000.roi-calc"] == "payroll/cfo"
    assert shown["q4-cfo.finance-broad.datev"] == "payroll/finance-dach"
    assert all(landing.match is not None and landing.match >= 0.6 for landing in landings)
    ran = CliRunner().invoke(cli, ["links", str(sample_root), "--json"])
    told = {f"{one['campaign']}.{one['ad_set']}.{one['ad']}": one for one in json.loads(ran.output)}
    assert {ref: one["shown"] for ref, one in told.items()} == shown
    assert told["q4-cfo.cfo-51-1000.cash-need"]["match"] == 0.62
    plain = CliRunner().invoke(cli, ["links", str(sample_root)]).output
    assert "q4-cfo.cfo-51-1000.cash-need  (cfo) → payroll/cfo, headlines agree by 0.62" in plain
    table = CliRunner().invoke(cli, ["check", str(sample_root), "--table"]).output
    assert "What an ad's visitors see" in table and "0.62" in table


def test_links_to_try_on_a_server_have_its_address_and_no_macros(sample_root: Path) -> None:
    ran = CliRunner().invoke(cli, ["links", str(sample_root), "--json", "--base", "http://127.0.0.1:8080/"])
    urls = [one["url"] for one in json.loads(ran.output)]
    assert urls and all(url.startswith("http://127.0.0.1:8080/payroll?pz=") for url in urls)
    assert not any(mark in url for url in urls for mark in "{}")
    pasted = CliRunner().invoke(cli, ["links", str(sample_root), "--json"]).output
    assert any("{keyword}" in one["url"] for one in json.loads(pasted)), "ads have them"
    for wrong in ("127.0.0.1:8080", "http://127.0.0.1:8080/payroll"):
        ran = CliRunner().invoke(cli, ["links", str(sample_root), "--base", wrong])
        assert ran.exit_code == 2 and "write scheme and host alone" in ran.output


# --- regions ---

BRAZIL = icp({"any": [{"geo.country": "BR"}, {"company.country": "BR"}]}, kind="excluded")


@pytest.mark.parametrize(
    ("ad_set", "said"),
    [
        ({"countries": ["US", "BR"]}, "ad_sets.0.countries.1: ICP brazil excludes visitors from BR"),
        ({"countries": "BR"}, "ad_sets.0.countries.0: ICP brazil excludes visitors from BR"),
        ({"declares": {"company.country": "BR"}}, "ad_sets.0.declares: ICP brazil is excluded and matches"),
        ({"countries": ["US", "PT"], "declares": {"company.country": "US"}}, None),
        ({}, None),
    ],
)
def test_an_ad_set_that_is_aimed_at_an_excluded_region_is_named(
    workspace: Write, ad_set: dict[str, Any], said: str | None
) -> None:
    files = {
        "variants/icps/brazil.yaml": BRAZIL,
        "variants/personas/cfo.yaml": persona(icps=[]),
        "variants/campaigns/c.yaml": ads(persona="cfo", **ad_set),
        "variants/pages/home/cfo.yaml": row({"persona": "cfo"}),
    }
    expected = [] if said is None else [f"campaigns/c.yaml:1: warning: {said}"]
    found = said_of(workspace(files))
    assert len(found) == len(expected)
    for one, beginning in zip(found, expected, strict=True):
        assert one.startswith(beginning)


def test_a_region_of_another_product_does_not_matter(workspace: Write) -> None:
    files = {
        "variants/icps/brazil.yaml": {**BRAZIL, "product": "wages"},
        "variants/pages/wages/page.yaml": {"path": "/wages", "product": "wages", "copy": {"headline": "Hi"}},
        "variants/pages/home/page.yaml": {"path": "/home", "product": "payroll", "copy": {"headline": "Hi"}},
        "variants/personas/cfo.yaml": persona(icps=[]),
        "variants/campaigns/c.yaml": ads(persona="cfo", countries=["BR"]),
        "variants/pages/home/cfo.yaml": row({"persona": "cfo"}),
    }
    assert said_of(workspace(files)) == []


def test_countries_are_codes_and_no_facts(workspace: Write) -> None:
    files = {
        "variants/personas/cfo.yaml": persona(),
        "variants/pages/home/cfo.yaml": row({"persona": "cfo"}),
        "variants/campaigns/c.yaml": ads(persona="cfo", countries=["Brazil"]),
    }
    [said] = said_of(workspace(files))
    assert "'Brazil' cannot be used. Write a country as DE or US." in said
    checked = check_workspace(workspace({**files, "variants/campaigns/c.yaml": ads(persona="cfo", countries=["DE"])}))
    assert checked.content is not None
    assert "geo.country" not in checked.content.registry.ads.refs["c.s.a"]
