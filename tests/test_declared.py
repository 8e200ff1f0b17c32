"""Custom facts: from parameters that the workspace allows, signed links and forms; what goes before what, and what is
never taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from browsers import CHROME, DAY, HALDEN, LINK, MUNICH, NOW, SITE, Browser, make_reader
from conftest import Files
from hypothesis import given
from hypothesis import strategies as st
from servers import Client, decision_of, lake_rows, run_command, run_server, until

from personalizer.cli.sign import sign_url
from personalizer.content.compile import check_workspace, load_content
from personalizer.decision.decide import decide, find_company
from personalizer.decision.registry import Experiment
from personalizer.errors import PersonalizerError
from personalizer.model import CustomFact, FactType, Range, Reason, SiteRules, Source
from personalizer.visitor.company import Companies, open_company_file
from personalizer.visitor.company_build import build_company_table
from personalizer.visitor.cookie import MAX_COOKIE, read_cookie, write_cookie
from personalizer.visitor.declared import MAX_KEPT, Claim, form_claims, keep_claims, parse_value, sign_claims
from personalizer.visitor.keys import Keys
from personalizer.visitor.query import SIGNED
from personalizer.visitor.read import VisitorReader

Write = Callable[[Files], Path]

CUSTOM = (
    CustomFact("custom.budget", FactType.NUMBER, ("budget",), ("budget",), ("budget",)),
    CustomFact("custom.trade", FactType.TEXT, ("trade", "t"), (), ("trade",)),
    CustomFact("custom.urgent", FactType.FLAG, ("urgent",), ("urgent",), ()),
)
OWN = replace(SITE, custom=CUSTOM)
KEYS = Keys([b"k" * 32])
BY_COMPANY = Experiment(
    key="one",
    page="home",
    row="a",
    arms=("a", "b"),
    weights=(0.5, 0.5),
    coverage=1,
    ranges=((0, 0.5), (0.5, 1)),
    namespace=None,
    running=True,
    goal="lead",
    by_company=True,
)


@pytest.fixture
def reader(tmp_path: Path) -> VisitorReader:
    return make_reader(tmp_path)


def signed(**told: str) -> str:
    return f"{SIGNED}={sign_claims({name.replace('__', '.'): text for name, text in told.items()}, KEYS)}"


def told(browser: Browser, query: str = "", now: float = NOW, site: SiteRules = OWN) -> dict[str, tuple[Any, Source]]:
    """What is declared of the visitor at a view: values and sources of facts of `custom`, `person` and the company."""
    visitor = browser.view(now, query, site=site).visitor
    assert set(visitor.facts) <= set(visitor.sources)
    return {
        name: (value, visitor.sources[name])
        for name, value in visitor.facts.items()
        if name.startswith(("custom.", "person.")) or name == "company.domain"
    }


# --- parameters of links ---


@pytest.mark.parametrize(
    ("query", "facts"),
    [
        ("budget=5000&trade=%EF%BC%A3af%C3%A9%00&urgent=YES", {"budget": 5000, "trade": "Café", "urgent": True}),
        ("budget=7,5&urgent=0", {"budget": 7.5, "urgent": False}),
        ("budget=much&urgent=perhaps&trade=%20", {}),
        ("budget=-1&budget=2", {"budget": -1}),
        ("budget=1e9", {}),
        ("budget=" + "9" * 13, {}),
        ("t=b&trade=a", {"trade": "a"}),
        ("t=b", {"trade": "b"}),
        ("trade=" + "x" * 300, {"trade": "x" * 60}),
        ("Budget=1&custom.budget=1&persona=cfo&person.title=CFO&company.domain=x.example", {}),
        (LINK, {}),
    ],
)
def test_allowed_parameters_are_cleaned_and_typed_and_the_rest_stays_unread(
    reader: VisitorReader, query: str, facts: dict[str, Any]
) -> None:
    found = told(Browser(reader, address=MUNICH), query)
    assert found == {f"custom.{name}": (value, Source.URL) for name, value in facts.items()}


def test_what_is_allowed_is_what_the_workspace_says_now(reader: VisitorReader) -> None:
    for site, names in ((SITE, set()), (OWN, {"custom.budget"}), (replace(SITE, custom=CUSTOM[1:]), set())):
        for _ in range(2):  # the second time it is remembered
            assert set(told(Browser(reader, address=MUNICH), "budget=5000", site=site)) == names


# --- signed links ---


def test_a_signed_link_declares_and_is_remembered(reader: VisitorReader) -> None:
    browser = Browser(reader)
    query = signed(company__domain="www.Halden.example", person__title="CFO", person__years="3-5", budget="9000")
    expected = {
        "company.domain": ("halden.example", Source.SIGNED),
        "person.title": ("CFO", Source.SIGNED),
        "person.years": (Range(3, 5), Source.SIGNED),
        "custom.budget": (9000, Source.SIGNED),
    }
    assert told(browser, query) == expected
    assert told(browser, now=NOW + 3 * DAY) == expected
    facts = browser.view(NOW + 3 * DAY).visitor.facts
    assert "company.industry" not in facts, "another company than the address's: what that tells is not this one's"


def test_a_company_that_is_declared_and_looked_up_keeps_what_is_known(reader: VisitorReader) -> None:
    visitor = Browser(reader).view(query=signed(company__domain="nordlicht.example"), site=SITE).visitor
    assert visitor.facts["company.industry"] == "software"
    assert (visitor.sources["company.domain"], visitor.sources["company.industry"]) == (Source.SIGNED, Source.LOOKUP)


def test_a_declared_company_is_looked_up_by_its_domain(tmp_path: Path) -> None:
    source = tmp_path / "companies.csv"
    source.write_text("domain,name,employees\nlumen.example lumen-group.example,Lumen,51-200\n")
    table = tmp_path / "companies.table"
    build_company_table(source, table, pytest.fail, lambda done: None)
    reader = make_reader(tmp_path)
    reader._companies = Companies(open_company_file(table))
    browser = Browser(reader, address=HALDEN)
    for query in (signed(company__domain="lumen-group.example"), ""):
        visitor = browser.view(query=query).visitor
        company = {name: value for name, value in visitor.facts.items() if name.startswith("company.")}
        assert company == {
            "company.domain": "lumen.example",
            "company.name": "Lumen",
            "company.employees": Range(51, 200),
        }
        assert visitor.sources["company.domain"] is Source.SIGNED
        assert visitor.sources["company.employees"] is Source.LOOKUP


def test_a_link_that_is_not_ours_declares_nothing(reader: VisitorReader) -> None:
    good = signed(person__title="CFO")
    assert told(Browser(reader, address=MUNICH), good)
    payload = good.removeprefix(f"{SIGNED}=").partition(".")[0]
    forged = f"{SIGNED}={sign_claims({'person.title': 'CFO'}, Keys([b'x' * 32]))}"
    other = f"{SIGNED}={payload}.{KEYS.sign(payload.encode(), b'cookie')}"
    flips = [good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :] for place in range(4, len(good))]
    long = signed(**{f"n{number}": "x" * 60 for number in range(20)}, person__title="CFO")
    assert len(long) > 1000
    for query in (forged, other, long, good[:-1], f"{good}0", f"{SIGNED}=", f"{SIGNED}=.", f"{good}%00", *flips):
        assert told(Browser(reader, address=MUNICH), query) == {}


@given(st.text(max_size=80), st.text(max_size=40))
def test_no_text_in_its_place_raises(tmp_path_factory: pytest.TempPathFactory, payload: str, signature: str) -> None:
    text = f"{SIGNED}={payload}.{signature}&budget={payload}".encode("utf-8", "replace").decode("latin-1")
    browser = Browser(make_reader(tmp_path_factory.getbasetemp()), address=MUNICH)
    assert not any(name.startswith("person.") for name in told(browser, text))


def test_a_signed_link_declares_only_what_it_may(reader: VisitorReader) -> None:
    query = signed(geo__country="DE", ad__persona="cfo", visit__count="9", urgent="yes", custom__budget="5")
    visitor = Browser(reader, address=MUNICH).view(query=query, site=OWN).visitor
    assert visitor.persona is None and "ad.persona" not in visitor.facts
    assert visitor.facts["visit.count"] == 1 and "custom.budget" not in visitor.facts
    assert "custom.urgent" not in visitor.facts, "the workspace takes it from links and forms, not signed"


def test_without_a_cookie_it_counts_for_the_view(reader: VisitorReader) -> None:
    browser = Browser(reader, address=MUNICH, headers={"HTTP_SEC_GPC": "1"})
    assert told(browser, signed(person__title="CFO") + "&budget=5")
    assert browser.cookie == "" and told(browser) == {}


def test_a_later_link_takes_the_promise_of_a_persona_back(reader: VisitorReader) -> None:
    browser = Browser(reader)
    for query, persona in (
        (signed(persona="cfo", person__title="CFO"), "cfo"),
        ("", "cfo"),
        (f"{LINK}&{signed(persona='hr')}", "hr"),
        (LINK, None),
        ("", None),
    ):
        visitor = browser.view(query=query).visitor
        assert visitor.persona == persona
        assert visitor.facts["person.title"] == "CFO"


# --- precedence and what is kept ---


def test_signed_before_form_before_link_and_the_latest_of_each() -> None:
    def kept(*claims: tuple[str, str]) -> str:
        text = ""
        for value, source in claims:
            text = keep_claims(text, [Claim("custom.budget", value, source)])
        return text

    assert kept(("1", "u"), ("2", "f")) == kept(("2", "f"))
    assert kept(("1", "f"), ("2", "u")) == kept(("1", "f"))
    assert kept(("1", "s"), ("2", "f"), ("3", "u")) == kept(("1", "s"))
    assert kept(("1", "s"), ("2", "s")) == kept(("2", "s"))
    assert kept(("1", "f"), ("2", "f")) == kept(("2", "f"))


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d", "e", "f", "g"]), st.text(max_size=60)), max_size=20))
def test_what_is_kept_is_bounded_and_the_latest_survive(pairs: list[tuple[str, str]]) -> None:
    kept = ""
    for name, text in pairs:
        text = text.encode("utf-8", "replace").decode()
        kept = keep_claims(kept, [Claim(f"custom.{name}", text, "f")])
        assert len(kept) <= MAX_KEPT
        assert keep_claims(kept, []) == kept
        assert keep_claims(kept, [Claim(f"custom.{name}", text, "f")]) == kept


def test_a_cookie_with_everything_declared_fits(reader: VisitorReader) -> None:
    browser = Browser(reader)
    browser.view(query=f"{LINK}&gclid={'x' * 300}&trade={'%E0%B8%81' * 60}&budget=5&urgent=1", site=OWN)
    assert 0 < len(browser.cookie) <= MAX_COOKIE
    memory = read_cookie(browser.cookie, KEYS, NOW)
    assert memory and write_cookie(memory, KEYS) == browser.cookie


def test_what_the_workspace_does_not_ask_for_any_more_is_forgotten(reader: VisitorReader) -> None:
    browser = Browser(reader, address=MUNICH)
    assert told(browser, "budget=5&trade=cars")
    only_signed = (CUSTOM[0]._replace(url=()), CUSTOM[1]._replace(type=FactType.NUMBER))
    assert told(browser, site=replace(SITE, custom=only_signed)) == {}


def test_a_declared_company_deals_nobody_anew(reader: VisitorReader) -> None:
    """An experiment of companies deals to the visit's own."""
    browser = Browser(reader)
    assert browser.view().visitor.company is None
    reading = browser.view(query=signed(company__domain="halden.example"))
    assert (reading.visitor.facts["company.domain"], reading.visitor.company) == ("halden.example", "nordlicht.example")
    reader.declare(reading.visitor, reading.memory, form_claims({}, "a@lumen.example", ()), SITE)
    assert find_company(BY_COMPANY, reading.visitor) == "nordlicht.example"
    stranger = Browser(reader, address=MUNICH).view(query=signed(company__domain="halden.example")).visitor
    assert find_company(BY_COMPANY, stranger) is None


# --- forms ---


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("ada@Lumen.example", "lumen.example"),
        ("ada@mail.lumen.example", "mail.lumen.example"),
        ("ada@gmail.com", None),
        ("ada@GMX.de", None),
        ("ada@mail.yahoo.co.uk", None),
        ("ada@xn--", None),
        ("", None),
    ],
)
def test_the_company_of_a_work_address(email: str, domain: str | None) -> None:
    expected = [Claim("company.domain", domain, "f")] if domain else []
    assert form_claims({}, email, ()) == expected


def test_only_answers_that_are_asked_for_become_claims() -> None:
    answers = {"budget": "5000", "urgent": "yes", "name": "Ada", "trade": "cars"}
    assert form_claims(answers, "", CUSTOM) == [
        Claim("custom.budget", "5000", "f"),
        Claim("custom.urgent", "yes", "f"),
    ]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (FactType.NUMBER, "12", 12),
        (FactType.NUMBER, "1.50", 1.5),
        (FactType.NUMBER, "٣", 3),
        (FactType.NUMBER, "nan", None),
        (FactType.RANGE, "51-200", Range(51, 200)),
        (FactType.FLAG, "2", None),
        (FactType.TEXT, "", None),
    ],
)
def test_typing(kind: FactType, text: str, value: Any) -> None:
    found = parse_value(kind, text)
    assert (found, type(found)) == (value, type(value))


# --- the workspace ---

SHOP: dict[str, Any] = {
    "variants/workspace.yaml": {
        "site": {"name": "Shop", "hosts": ["localhost"]},
        "holdout": 0,
        "custom": {
            "budget": {"type": "number", "from": ["form.budget", "url.budget", "signed.budget"]},
            "trade": {"type": "text", "from": "url.trade"},
            "class": {"type": "text"},
        },
        "derive": {
            "custom.class": [
                {"when": {"custom.budget": {"gte": 5000}}, "is": "large"},
                {"when": {"custom.budget": {"known": True}}, "is": "small"},
            ]
        },
    },
    "variants/icps/rich.yaml": {
        "name": "Rich",
        "match": {"custom.budget": {"gte": 1000}},
        "business": {"price_floor": 6000, "points": 7},
        "fit": {},
    },
    "variants/icps/poor.yaml": {
        "name": "Poor",
        "kind": "negative",
        "match": {"custom.budget": {"lt": 100}},
        "serve": {"redirect": "https://elsewhere.example/"},
    },
    "variants/personas/cfo.yaml": {"name": "CFO", "icps": ["rich"]},
    "variants/personas/owner.yaml": {"name": "Owner", "icps": ["rich"], "match": {"custom.class": "large"}},
    "variants/pages/home/page.yaml": {
        "path": "/home",
        "copy": {
            "headline": "Welcome, {{ custom.trade | friend }}",
            "form": {
                "fields": [
                    {"name": "name"},
                    {"name": "email", "type": "email"},
                    {"name": "budget", "type": "number"},
                ]
            },
        },
    },
    "variants/pages/home/for-cfo.yaml": {"for": {"persona": "cfo"}, "copy": {"headline": "Books"}},
    "variants/pages/home/for-owner.yaml": {"for": {"persona": "owner"}, "copy": {"headline": "Yours"}},
    "variants/pages/other/page.yaml": {"path": "/other", "copy": {"headline": "Other"}},
    "variants/pages/other/for-cfo.yaml": {"for": {"persona": "cfo"}, "copy": {"headline": "More books"}},
    "variants/campaigns/autumn.yaml": {
        "platform": "linkedin",
        "page": "home",
        "utm": {"campaign": "autumn"},
        "ad_sets": [{"key": "all", "persona": "owner", "declares": {"custom.budget": 2000}, "ads": [{"key": "one"}]}],
    },
}


def test_custom_facts_in_rules_ads_derived_facts_and_fit(workspace: Write, reader: VisitorReader) -> None:
    registry = load_content(workspace(SHOP)).registry
    cases: tuple[tuple[str, str | None, str | None, float | None], ...] = (
        ("", None, None, None),
        ("budget=5000", "rich", "owner", 0),
        ("budget=2000", "rich", None, 0),
        (signed(budget="7000"), "rich", "owner", 7),
        ("utm_campaign=autumn", "rich", "owner", 0),
        ("budget=50", None, None, None),  # anybody types a link: no evidence
        (signed(budget="50"), "poor", None, 0),
    )
    for query, icp, persona, fit in cases:
        visitor = Browser(reader, address=MUNICH).view(query=query, site=registry.site).visitor
        decision = decide(registry, "home", visitor)
        assert (decision.icp, decision.persona, decision.fit) == (icp, persona, fit if icp != "poor" else None), query
    assert decision.status == 302


def test_a_signed_persona_goes_before_the_ads(workspace: Write, reader: VisitorReader) -> None:
    registry = load_content(workspace(SHOP)).registry
    browser = Browser(reader, address=MUNICH)
    for query in (f"utm_campaign=autumn&{signed(persona='cfo', budget='50')}", ""):
        decision = decide(registry, "home", browser.view(query=query, site=registry.site).visitor)
        assert (decision.persona, decision.variant) == ("cfo", "for-cfo")
        assert Reason.DECLARED_BY_LINK in decision.reasons and Reason.NEGATIVE_ICP not in decision.reasons
    unknown = decide(registry, "home", browser.view(query=signed(persona="nobody"), site=registry.site).visitor)
    assert unknown.persona == "owner" and Reason.DECLARED_BY_AD in unknown.reasons


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"custom": {"budget": {"type": "number", "from": ["form.name"]}}}, "may hold personal data"),
        ({"custom": {"budget": {"type": "number", "from": ["form.email"]}}}, "may hold personal data"),
        (
            {"custom": {"budget": {"type": "number", "from": ["form.age"]}}},
            "warning: custom.budget.from.0: no form has",
        ),
        ({"custom": {"budget": {"type": "number"}}}, "warning: custom.budget: is told by nothing"),
        ({"custom": {"budget": {"type": "number", "from": ["url.pzs"]}}}, "engine's own"),
    ],
)
def test_check_says_what_cannot_tell_a_fact(workspace: Write, change: dict[str, Any], said: str) -> None:
    site = SHOP["variants/workspace.yaml"]["site"]
    page = SHOP["variants/pages/home/page.yaml"]
    page = page | {"copy": page["copy"] | {"headline": "Hi"}}
    files = {"variants/workspace.yaml": {"site": site, **change}, "variants/pages/home/page.yaml": page}
    (problem,) = check_workspace(workspace(files)).problems
    assert said in str(problem)


def test_only_texts_are_tokens(workspace: Write) -> None:
    page = {"path": "/home", "copy": {"headline": "For {{ custom.budget | you }}"}}
    files = {**SHOP, "variants/pages/home/page.yaml": page}
    problems = [one for one in check_workspace(workspace(files)).problems if not one.warning]
    assert ["`{{ custom.budget | you }}` is not a token." in str(problem) for problem in problems] == [True]


def test_an_ad_declares_a_number_as_one_value(workspace: Write) -> None:
    campaign = SHOP["variants/campaigns/autumn.yaml"]
    ad_sets = [campaign["ad_sets"][0] | {"declares": {"custom.budget": {"gte": 5}}}]
    root = workspace({**SHOP, "variants/campaigns/autumn.yaml": campaign | {"ad_sets": ad_sets}})
    assert any("is not one value" in str(problem) for problem in check_workspace(root).problems)


def test_only_what_the_server_takes_is_signed(workspace: Write) -> None:
    registry = load_content(workspace(SHOP)).registry
    url = sign_url("https://shop.example/home?utm_source=mail#top", ("persona=cfo", "budget=5"), registry, KEYS)
    assert url.startswith("https://shop.example/home?utm_source=mail&pzs=") and url.endswith("#top")
    for page, declaration in (
        ("/nowhere", "budget=5"),
        ("/home?pzs=x", "budget=5"),
        ("/home", "budget"),
        ("/home", "budget=much"),
        ("/home", "trade=cars"),
        ("/home", "persona=nobody"),
        ("/home", "company.domain=nothing"),
        ("/home", "geo.country=DE"),
        ("/home", "person.title=" + "x" * 61),
    ):
        with pytest.raises(PersonalizerError):
            sign_url(page, (declaration,), registry, KEYS)


# --- the whole way ---


def test_from_a_form_to_a_report(workspace: Write, tmp_path: Path) -> None:
    root, data = workspace(SHOP), tmp_path / "data"
    with run_server(data, workspace=root) as server:
        visitor = Client(server, agent=CHROME)
        page = visitor.get("/home?trade=%3Cb%3Ecars%3C/b%3E")
        assert "Welcome, &lt;b&gt;cars&lt;/b&gt;" in page.text
        form = {"name": "Ada Quill", "email": "ada.quill@lumen.example", "budget": "7000"}
        assert visitor.post_form("/_pz/form/home/form", form).status == 303
        (lead,) = server.events(kind="lead")
        assert (lead["fit"], lead["failed"]) == (7, [])
        token = visitor.get("/home").token
        after = server.exposures()[decision_of(token)]
        assert (after["custom.budget"], after["custom.class"]) == (7000, "large")
        assert (after["company_domain"], after["persona"]) == ("lumen.example", "owner")
        assert b"quill" not in b"".join(path.read_bytes() for path in (data / "journal" / "events").rglob("*.pz*"))
        wanted = {"budget": 7000, "trade": "<b>cars</b>", "class": "large"}
        found = until(lambda: [row for row in lake_rows(data, "events", "custom") if row[0] and "large" in row[0]])
        assert [orjson.loads(text) for (text,) in found] == [wanted]
        arguments = ("report", "--raw", "--by", "custom.trade", "--format", "csv")
        report = run_command(*arguments, WORKSPACE=str(root), DATA=str(data))
        assert report.returncode == 0 and "<b>cars</b>" in report.stdout, report.stderr


def test_persona_and_what_was_seen_go_on_from_page_to_page(workspace: Write, tmp_path: Path) -> None:
    root, data = workspace(SHOP), tmp_path / "data"
    with run_server(data, workspace=root) as server:
        visitor = Client(server, agent=CHROME)
        url = run_command(
            "sign", "/home", "persona=cfo", "budget=5000", WORKSPACE=str(root), DATA=str(data)
        ).stdout.strip()
        assert "Books" in visitor.get(url).text
        visitor.post_form("/_pz/form/home/form", {"name": "Ada", "email": "a@gmail.com", "budget": "1"})
        other = visitor.get("/other")
        assert "More books" in other.text
        seen = server.exposures()[decision_of(other.token)]
        assert (seen["icp"], seen["persona"], seen["custom.budget"]) == ("rich", "cfo", 5000)
        assert (seen["visit_pages"], seen["visit_goals"]) == (["home"], ["lead"])
        assert (seen["visit_icp"], seen["visit_persona"]) == ("rich", "cfo")
        assert "company_domain" not in seen
