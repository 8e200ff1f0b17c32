"""Fit: points with reasons, failed criteria, teams' weights; decision makers by title; affordability."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Files
from hypothesis import given
from hypothesis import strategies as st
from servers import SOFTWARE_COMPANY, Client, decision_of, run_server

from personalizer.cache import Cache
from personalizer.content.compile import check_workspace, load_content
from personalizer.content.store import finish, read_content, save_content
from personalizer.decision.decide import decide
from personalizer.decision.fit import DIMENSIONS, FitModel, Judgements, affordability, authority
from personalizer.decision.registry import Registry
from personalizer.decision.titles import leads_as, read_title
from personalizer.decision.trace import trace_decision
from personalizer.model import Facts, Mode, Range, Source, Visitor
from personalizer.visitor.cleaning import clean_text

Write = Callable[[Files], Path]

ICP = {
    "name": "Software",
    "match": {"company.industry": "software"},
    "business": {"price_floor": 6000, "points": 7},
    "decision_maker": {"titles": ["CFO", "Head of finance"], "points": 11},
    "fit": {
        "ready": [{"when": {"visit.goals": {"has": "cta_click"}}, "points": 20, "why": "looked at prices"}],
        "willing": [{"when": {"utm.term": {"contains": "cheap"}}, "points": -5, "why": "wants it cheap"}],
        "able": [{"when": {"company.employees": {"gte": 50}}, "points": 10, "why": "size"}],
        "advocacy_potential": [{"when": {"company.tier": "A"}, "points": 1.5, "why": "well known"}],
    },
    "teams": {"sales": {"ready": 3, "advocacy_potential": 0}, "marketing": {"willing": 2}},
}


def model_of(root: Path) -> FitModel:
    icp = load_content(root).registry.icps["soft"]
    assert icp.fit is not None
    return icp.fit


@pytest.fixture
def fit(workspace: Write) -> FitModel:
    return model_of(workspace({"variants/icps/soft.yaml": ICP}))


# --- the judgement ---


def test_true_criteria_add_their_points_and_the_unknown_does_nothing(fit: FitModel) -> None:
    judged = fit.judge({})
    assert (judged.score, judged.failed, set(judged.verdicts)) == (0, (), {None})
    full = fit.judge(
        {
            "visit.goals": ("cta_click",),
            "utm.term": "payroll",
            "company.employees": Range(51, 200),
            "company.tier": "A",
            "person.title": "Finanzvorstand",
            "company.revenue": 20_000_000,
        }
    )
    assert full.failed == ()
    assert full.score == fit.best == 20 + 10 + 1.5 + 11 + 7
    assert full.teams == {"sales": 3 * 20 + 10 + 11 + 7, "marketing": fit.best}


def test_failed_criteria_are_named_by_dimension_and_reason(fit: FitModel) -> None:
    judged = fit.judge(
        {
            "visit.goals": (),
            "utm.term": "cheap payroll",
            "company.employees": Range(2, 8),
            "company.revenue": Range(50_000, 90_000),
            "person.title": "Assistant to the CFO",
        }
    )
    assert judged.score == -5
    assert judged.failed == (
        "ready: looked at prices",
        "willing: wants it cheap",
        "able: size",
        "able: decision maker",
        "able: can pay the price floor",
    )
    assert judged.teams == {"sales": -5, "marketing": -10}


def test_a_band_that_overlaps_fails_nothing(fit: FitModel) -> None:
    judged = fit.judge({"company.employees": Range(11, 200)})
    assert judged.failed == ()
    assert judged.score == 0


FACTS: dict[str, list[Any]] = {
    "visit.goals": [(), ("cta_click",), None],
    "utm.term": ["cheap", "x", None],
    "company.employees": [Range(1, 9), Range(9, 90), Range(90, 900), None],
    "company.revenue": [1_000.0, Range(500_000, 700_000), None],
    "person.title": ["CFO", "gardener", None],
    "geo.country": ["DE", None],
}


@given(st.lists(st.fixed_dictionaries({name: st.sampled_from(values) for name, values in FACTS.items()}), max_size=40))
def test_what_is_remembered_is_what_would_be_judged(asked: list[dict[str, Any]]) -> None:
    criteria = [authority(["CFO"], None, 10), affordability(6000, None, 5)]
    known: Judgements = Cache(8)
    others = [authority(["gardener"], None, 3), affordability(60, None, 4)]
    remembering = [FitModel(written, {"sales": {"able": 2}}, known) for written in (criteria, others)]
    for some in asked:
        facts = {name: value for name, value in some.items() if value is not None}
        for model in remembering:  # they ask about the same facts
            assert model.judge(facts) == FitModel(model.criteria, model.teams).judge(facts)


def test_all_icps_of_a_content_remember_in_one_place_and_no_long_texts(workspace: Write, tmp_path: Path) -> None:
    others = {f"variants/icps/soft{number}.yaml": {**ICP, "name": f"Soft {number}"} for number in range(40)}
    compiled = load_content(workspace({"variants/icps/soft.yaml": ICP, **others}))
    for content in (compiled, finish(read_content(save_content(tmp_path / "data", compiled)))):
        models = [icp.fit for icp in content.registry.icps.values() if icp.fit]
        assert len(models) == 41
        (known,) = {id(model._known): model._known for model in models}.values()
        assert known is not None
        title = {"person.title": "CFO " * 20}
        assert {id(model.judge({})) for model in models} == {id(model.judge({})) for model in models}
        assert models[0].judge(title) is not models[0].judge(title)
        assert models[0].judge(title).score == 11


# --- titles ---

SAME = [  # each line means the same job, in English, German, French, Spanish, Indonesian, Thai
    ["CFO", "C.F.O.", "Chief Financial Officer", "Group CFO", "Finanzvorstand", "Finanzvorständin", "Vorstand Finanzen",
     "kaufmännischer Leiter", "Kaufmännische Leitung", "Directeur financier", "Directrice administrative et financière",
     "DAF", "Director financiero", "Directora Financiera", "Direktur Keuangan", "ประธานเจ้าหน้าที่ฝ่ายการเงิน",
     "Finance Director"],
    ["Head of Finance", "Director of Finance", "Leiterin Finanzen", "Leiter Finanzen und Controlling", "Finanzleiter",
     "Kepala Keuangan", "ผู้อำนวยการฝ่ายการเงิน", "หัวหน้าฝ่ายการเงิน"],
    ["Finance Manager", "Manajer Keuangan", "Gerente de finanzas", "ผู้จัดการฝ่ายการเงิน", "Responsable financier"],
    ["HR Director", "Head of People", "Personalleiterin", "Leitung Personal", "Directora de Recursos Humanos",
     "Kepala SDM", "ผู้อำนวยการฝ่ายทรัพยากรบุคคล"],
    ["CHRO", "Chief People Officer", "Personalvorstand", "DRH", "Direktur SDM", "ประธานเจ้าหน้าที่ฝ่ายทรัพยากรบุคคล"],
    ["CEO", "Managing Director", "Geschäftsführerin", "Directeur général", "Director general", "Direktur Utama",
     "กรรมการผู้จัดการ", "Founder", "Inhaber"],
    ["IT Manager", "Manajer TI", "ผู้จัดการฝ่ายไอที", "Gerente de TI"],
    ["Payroll Manager", "Manajer Penggajian", "ผู้จัดการฝ่ายเงินเดือน"],
    ["VP Finance", "Vice President, Finance", "รองประธานฝ่ายการเงิน", "Wakil Direktur Keuangan", "Deputy CFO"],
]  # fmt: skip


@pytest.mark.parametrize("titles", SAME, ids=lambda titles: titles[0])
def test_titles_that_mean_the_same_are_read_the_same(titles: list[str]) -> None:
    roles = {title: read_title(clean_text(title)) for title in titles}  # as facts arrive
    assert set(roles.values()) == {roles[titles[0]]}, roles
    assert all(department and rank for role in roles.values() for department, rank in role)


def test_no_two_of_those_jobs_are_the_same() -> None:
    assert len({read_title(titles[0]) for titles in SAME}) == len(SAME)


@pytest.mark.parametrize(
    ("title", "verdict"),
    [
        ("CFO & COO", True),
        ("CEO", True),
        ("Gründerin", True),
        ("ผู้อำนวยการฝ่ายการเงิน", True),
        ("ผู้อำนวยการฝ่ายการตลาด", False),
        ("Head of Finance", True),
        ("VP Finance", True),
        ("Finance Manager", False),
        ("Stellvertretende Leiterin Finanzen", False),
        ("Assistentin der Geschäftsführung", False),
        ("ผู้ช่วยผู้อำนวยการฝ่ายการเงิน", False),
        ("CHRO", False),
        ("Head of Accounting", False),
        ("Lohnbuchhalter", False),
        ("Interim finance lead for the head of finance", True),
        ("Finance Business Partner", None),
        ("Director", None),
        ("Manager", False),
        ("Gardener", None),
        ("", None),
        ("{{ 7*7 }}", None),
    ],
)
def test_who_decides(title: str, verdict: bool | None) -> None:
    assert authority(["Head of finance"], None, 10).test({"person.title": clean_text(title)}) is verdict


def test_a_title_is_read_however_its_letters_are_spelled() -> None:
    for title in (title for titles in SAME for title in titles):
        forms = {unicodedata.normalize(form, title) for form in ("NFC", "NFD", "NFKC", "NFKD")}
        assert {read_title(form) for form in forms} == {read_title(title)}, title


def test_a_word_is_not_found_inside_another() -> None:
    for title in ("Italian chef", "Titan lead", "Hrvatska office", "Coordinator", "Profile editor", "Chief cook"):
        departments = {role.department for role in read_title(title)}
        assert departments <= {""}, title


def test_without_a_title_seniority_and_department_tell() -> None:
    test = authority(["CFO"], None, 10).test
    assert test({"person.seniority": "c-level", "person.department": "finance"}) is True
    assert test({"person.seniority": "manager", "person.department": "finance"}) is False
    assert test({"person.seniority": "c-level", "person.department": "human resources"}) is False
    assert test({"person.department": "finance"}) is None
    assert test({}) is None


def test_years_in_the_job_count_where_they_are_known() -> None:
    test = authority(["CFO"], 5, 10).test
    assert test({"person.title": "CFO"}) is True
    assert test({"person.title": "CFO", "person.years": Range(6, 9)}) is True
    assert test({"person.title": "CFO", "person.years": Range(1, 4)}) is False
    assert test({"person.title": "CFO", "person.years": Range(1, 9)}) is None
    assert test({"person.title": "HR lead", "person.years": Range(1, 9)}) is False


def test_a_title_that_the_tables_do_not_know_is_compared_as_it_is_written() -> None:
    test = authority(["Head of shared services"], None, 10).test
    assert test({"person.title": "Deputy head of Shared Services, EMEA"}) is True
    assert test({"person.title": "Head of something"}) is None
    thai = authority(["ผู้นำกลุ่มธุรกิจ"], None, 10).test
    assert thai({"person.title": clean_text("ผู้นำกลุ่มธุรกิจอาวุโส")}) is True


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_title_can_be_read(one: str, other: str) -> None:
    for role, wanted in itertools.product((one, other), repeat=2):
        assert leads_as(read_title(role), read_title(wanted)) in (True, False, None)


# --- affordability ---


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        ({}, None),
        ({"custom.budget": 6000.0}, True),
        ({"custom.budget": 5999.0}, False),
        ({"custom.budget": 100.0, "company.revenue": 1e9}, False),
        ({"company.revenue": Range(600_000, 800_000)}, True),
        ({"company.revenue": Range(100_000, 119_000)}, False),
        ({"company.revenue": Range(100_000, 700_000)}, None),
        ({"company.revenue": Range(120_000, 500_000), "company.employees": Range(200, 300)}, True),
        ({"company.employees": Range(12, 20)}, True),
        ({"company.employees": Range(6, 6)}, None),
        ({"company.employees": Range(0, 0)}, False),
    ],
)
def test_what_an_account_can_pay(facts: Facts, verdict: bool | None) -> None:
    assert affordability(6000, "custom.budget", 10).test(facts) is verdict


def test_a_budget_that_nobody_declares_is_not_asked_for() -> None:
    one = affordability(6000, None, 10)
    assert one.facts == ("company.revenue", "company.employees")
    assert one.test({"custom.budget": 1.0}) is None


# --- where it shows ---


def visitor_with(facts: Facts) -> Visitor:
    return Visitor(facts, dict.fromkeys(facts, Source.LOOKUP), "v", "v", "unit-1", Mode.PERSISTENT, {})


@pytest.fixture
def registry(workspace: Write) -> Registry:
    plain = {"name": "Plain", "match": {"company.industry": "retail"}, "decision_maker": {"titles": ["CEO"]}}
    return load_content(workspace({"variants/icps/soft.yaml": ICP, "variants/icps/plain.yaml": plain})).registry


def test_the_decision_carries_it_and_the_trace_says_each_criterion(registry: Registry) -> None:
    visitor = visitor_with({"company.industry": "software", "visit.goals": (), "company.employees": Range(60, 60)})
    decision = decide(registry, "home", visitor)
    assert (decision.icp, decision.fit, decision.failed) == ("soft", 17.0, ("ready: looked at prices",))
    step = trace_decision(registry, visitor, decision).steps[8]
    assert step.outcome == "17 of 49.5 points; sales 17; marketing 17; fails ready: looked at prices"
    assert {rule.key: (rule.verdict, rule.chosen) for rule in step.rules} == {
        "ready: looked at prices (+20)": (False, False),
        "willing: wants it cheap (-5)": (None, False),
        "able: size (+10)": (True, True),
        "advocacy_potential: well known (+1.5)": (None, False),
        "able: decision maker (+11)": (None, False),
        "able: can pay the price floor (+7)": (True, True),
    }


def test_an_icp_without_criteria_has_no_fit(registry: Registry) -> None:
    visitor = visitor_with({"company.industry": "retail"})
    decision = decide(registry, "home", visitor)
    assert (decision.icp, decision.fit, decision.failed) == ("plain", None, None)
    assert trace_decision(registry, visitor, decision).steps[8].outcome == "no criteria"


def test_fit_never_decides_what_is_served(registry: Registry, workspace: Write) -> None:
    for facts in ({"utm.term": "cheap"}, {"visit.goals": ("cta_click",)}):
        known: Facts = {"company.industry": "software", **facts}
        decision = decide(registry, "home", visitor_with(known))
        assert (decision.shown, decision.status, decision.icp) == ("home/original", 200, "soft")


def test_page_views_and_leads_are_journaled_with_it(tmp_path: Path) -> None:
    with run_server(tmp_path / "data") as server:
        visitor = Client(server, SOFTWARE_COMPANY)
        page = visitor.get("/payroll?pz=q4-cfo.cfo-51-1000.roi-calc")
        seen = server.exposures()[decision_of(page.token)]
        assert (seen["icp"], seen["fit"]) == ("mid-market-saas", 40.0)
        assert seen["failed"] == ["ready: asked for a demo before", "willing: came back twice"]
        form = {"name": "Ada", "email": "a@nordlicht.example", "company": "Nordlicht", "employees": "51 to 250"}
        assert visitor.post_form("/_pz/form/payroll/form", form).status == 303
        (lead,) = server.events(kind="lead")
        assert (lead["fit"], lead["failed"]) == (40.0, seen["failed"])
        other = Client(server, "203.0.113.70").get("/payroll")
        assert not server.exposures()[decision_of(other.token)].keys() & {"fit", "failed"}


# --- what is written ---


def test_all_seven_dimensions_are_there(workspace: Write) -> None:
    one = [{"when": {"geo.eu": True}, "points": 1, "why": "near"}]
    fit = model_of(workspace({"variants/icps/soft.yaml": {**ICP, "fit": dict.fromkeys(DIMENSIONS, one), "teams": {}}}))
    judged = fit.judge({"geo.eu": True})
    assert judged.score == 7
    assert [criterion.dimension for criterion in fit.criteria] == [*DIMENSIONS, "able", "able"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fit": {"ready": [{"when": {"visit.goal": "x"}, "points": 1, "why": "x"}]}}, "there is no fact `visit.goal`"),
        ({"fit": {"redy": []}}, "there is no key `redy` here"),
        ({"fit": {"ready": [{"when": {"geo.eu": True}, "points": 1}]}}, "is missing"),
        ({"teams": {"sales": {"redy": 1}}}, "'redy'"),
        ({"fit": None}, "weigh nothing"),
    ],
)
def test_mistakes_are_named(workspace: Write, change: dict[str, Any], said: str) -> None:
    problems = check_workspace(workspace({"variants/icps/soft.yaml": {**ICP, **change}})).problems
    assert [said in problem.message for problem in problems] == [True], problems
