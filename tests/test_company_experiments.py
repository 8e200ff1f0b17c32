"""Experiments that deal to companies, from the file to the report; cases of the decision are in decisions.json."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Files, write_workspace
from servers import AT_HOME, SOFTWARE_COMPANY, WORKSPACE, Client, decision_of, demo_links, run_server
from test_check_sources import ALL, WITHOUT_COMPANIES
from test_decide import EVERYTHING, SITE, read_visitor
from test_reports import DAY, GOALS, HOUR, START, Lake, _comparison, _left, _registry, _report, _units

from personalizer.config import load_settings
from personalizer.content.compile import check_workspace, load_content
from personalizer.content.counters import Counter, Deal, raise_counters
from personalizer.decision.decide import decide
from personalizer.decision.registry import Registry
from personalizer.decision.trace import trace_decision
from personalizer.reports.table import render_table

Write = Callable[[Files], Path]
NORDLICHT = "nordlicht.example"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def by_company() -> Registry:
    registry = _registry()
    return replace(registry, experiments={"split": replace(registry.experiments["split"], by_company=True)})


def see(lake: Lake, at: float, who: str, unit: str, arm: str) -> None:
    dealt = {"experiment": "split", "phase": 1, "weight_epoch": 1, "row": "cfo", "holdout": "out"}
    lake.view(at, who, unit=unit, arm=arm, **dealt)


# --- the report ---


def test_a_company_is_one_unit_and_its_people_are_units_of_everything_else(lake: Lake) -> None:
    for who in ("ann", "bob", "eve"):
        see(lake, 0, who, NORDLICHT, "cfo")
    see(lake, 0, "zoe", "zoe", "roi")
    for who in ("ann", "bob", "zoe"):
        lake.convert(5, who)
    report = lake.report(by_company())
    split = _comparison(report, "experiment")
    assert (_units(split), split.companies) == ({"cfo": (1, 1), "roi": (1, 1)}, 1)
    assert _units(_comparison(report, "row")) == {"holdout": (0, 0), "personalized": (4, 3)}
    assert _comparison(report, "row").companies is None
    assert sum(cell.units for cell in report.cells) == 4
    assert report.waterfall.conversions["demo"][-1].left == 3
    alone = _report(lake.path, by_company(), experiment="split").waterfall
    assert (alone.units, _left(alone.views)["repeat"]) == (2, 2)
    assert _left(alone.conversions["demo"])["repeat"] == 1  # once per unit
    table = render_table(report, 200)
    assert "Units are companies where the company is known (1), else people (1)." in table
    assert "more units" in table and "99 more visitors" not in split.verdict[0]


def test_once_per_id_counts_each_of_a_companys_orders(lake: Lake) -> None:
    for who in ("ann", "bob"):
        see(lake, 0, who, NORDLICHT, "cfo")
        lake.convert(5, who, "order", conversion_id=f"order of {who}", value=100, currency="EUR")
    (arm, _) = _comparison(lake.report(by_company(), goal="order"), "experiment").arms
    assert (arm.units, arm.converters, arm.conversions, arm.value, arm.value_squares) == (1, 1, 2, 200, 40_000)


@pytest.mark.parametrize(
    ("at", "counts"),
    [(HOUR - 1, False), (HOUR, True), (2 * DAY - 1, True), (2 * DAY, False)],
)
def test_a_person_counts_from_their_own_view_on_and_in_the_companys_window(lake: Lake, at: float, counts: bool) -> None:
    assert GOALS["demo"].window == 2 * DAY
    see(lake, 0, "ann", NORDLICHT, "cfo")
    see(lake, HOUR, "bob", NORDLICHT, "cfo")
    lake.convert(at, "bob")
    assert _units(_comparison(lake.report(by_company()), "experiment")) == {"cfo": (1, counts), "roi": (0, 0)}


def test_a_person_belongs_to_the_unit_of_their_first_view(lake: Lake) -> None:
    see(lake, 0, "ann", "ann", "roi")  # at home
    see(lake, 1, "ann", NORDLICHT, "cfo")  # at work the company's arm is shown
    see(lake, 2, "bob", NORDLICHT, "cfo")
    see(lake, 3, "bob", "tal.example", "roi")  # on a visit to another company
    see(lake, 4, "bob", "bob", "roi")
    lake.convert(9, "ann")
    lake.convert(9, "bob")
    split = _comparison(lake.report(by_company()), "experiment")
    assert (_units(split), split.multiple, split.companies) == ({"cfo": (1, 1), "roi": (1, 1)}, 0, 1)


def test_a_company_that_was_dealt_two_arms_is_left_out_visibly(lake: Lake) -> None:
    see(lake, 0, "ann", NORDLICHT, "cfo")
    see(lake, 1, "bob", NORDLICHT, "roi")
    see(lake, 0, "zoe", "tal.example", "roi")
    lake.convert(9, "ann")
    split = _comparison(lake.report(by_company()), "experiment")
    assert (split.multiple, _units(split)) == (1, {"cfo": (0, 0), "roi": (1, 0)})


def test_companies_and_visitors_can_be_told_apart(lake: Lake) -> None:
    see(lake, 0, "ann", NORDLICHT, "cfo")
    see(lake, 0, "zoe", "zoe", "cfo")
    see(lake, 0, "eve", "eve", "roi")
    segments = _comparison(lake.report(by_company(), by=("unit",)), "experiment").segments
    assert {s.values: [arm.units for arm in s.arms] for s in segments} == {("visitor",): [1, 1], ("company",): [1, 0]}


def test_who_asks_from_later_on_counts_people_from_their_first_view_since_then(lake: Lake) -> None:
    see(lake, 0, "ann", NORDLICHT, "cfo")
    see(lake, DAY, "bob", NORDLICHT, "cfo")
    lake.convert(DAY + 5, "bob")
    report = lake.report(by_company(), since=START + dt.timedelta(days=1), experiment="split")
    assert _units(_comparison(report, "experiment")) == {"cfo": (1, 1), "roi": (0, 0)}


# --- dealing ---


def test_all_of_a_company_see_one_arm_and_companies_fall_on_the_weights(tmp_path: Path) -> None:
    experiment = {"page": "home", "arms": ["a", "b"], "goal": "lead", "unit": "company", "weights": [0.7, 0.3]}
    files = {**EVERYTHING, "variants/workspace.yaml": SITE, "variants/experiments/exp.yaml": experiment}
    registry = load_content(write_workspace(tmp_path, files)).registry
    arms: dict[str, set[str | None]] = {}
    for number in range(3000):
        company = f"company-{number % 1000}.example"
        told = {"facts": {"lookup": {"geo.city": "Ulm", "company.domain": company}}, "unit": f"person-{number}"}
        cookie = {"exp:1": ("a", "b")[number % 2]} if number % 3 else {}
        decision = decide(registry, "home", read_visitor({**told, "arms": cookie}))
        assert decision.unit == company
        arms.setdefault(company, set()).add(decision.arm)
    assert all(len(seen) == 1 for seen in arms.values())
    assert 640 < sum(seen == {"a"} for seen in arms.values()) < 760


DEAL = Deal(("a", "b"), (0.5, 0.5), 1.0, "company")
COUNTER = Counter(3, 7, ("a", "b"), (0.5, 0.5), 1.0, "company")


@pytest.mark.parametrize(
    ("old", "new", "raised", "said"),
    [
        (COUNTER, replace(DEAL, weights=(0.9, 0.1)), (4, 8), "weights changed, so phase 4"),
        (COUNTER, replace(DEAL, coverage=0.5), (3, 8), "weight epoch 8"),
        (COUNTER, replace(DEAL, unit="visitor"), (4, 8), "the unit changed, so phase 4"),
        (replace(COUNTER, unit="visitor"), DEAL, (4, 8), "the unit changed, so phase 4"),
    ],
)
def test_what_could_show_a_company_two_arms_begins_a_phase(
    old: Counter, new: Deal, raised: tuple[int, int], said: str
) -> None:
    counters, [sentence] = raise_counters({"exp": old}, {"exp": new})
    assert counters["exp"] == Counter(*raised, new.arms, new.weights, new.coverage, new.unit)
    assert said in sentence


def test_the_trace_says_who_is_dealt_to_and_a_companys_arm_is_no_chance(tmp_path: Path) -> None:
    experiment = {**EVERYTHING["variants/experiments/exp.yaml"], "unit": "company"}
    files = {**EVERYTHING, "variants/experiments/exp.yaml": experiment}
    registry = load_content(write_workspace(tmp_path, files)).registry

    def trace(unit: str | None, domain: str) -> tuple[str, Any]:
        visitor = read_visitor({"facts": {"lookup": {"geo.city": "Ulm", "company.domain": domain}}, "unit": unit})
        decision = decide(registry, "home", visitor)
        told = trace_decision(registry, visitor, decision)
        return told.steps[7].outcome, told.chances

    told, chances = trace("unit-1", NORDLICHT)
    assert told == "exp, phase 1, unit company nordlicht.example: a (ASSIGNED)"
    assert chances == {"holdout": 0.2, "a": 0.8} == trace(None, NORDLICHT)[1]
    assert trace("unit-1", "c1.example")[1] == {"holdout": 0.2, "a": 0.8}
    outside, chances = trace("unit-1", "b.example")
    assert "baseline a, outside the experiment (NOT_IN_NAMESPACE)" in outside
    assert chances == {"holdout": 0.2, "personalized": 0.8}


# --- the file ---


def company_experiment(**more: Any) -> dict[str, Any]:
    return {**EVERYTHING, "variants/experiments/exp.yaml": {"page": "home", "arms": ["a", "b"], "goal": "lead"} | more}


def test_check_warns_where_no_company_is_known_and_where_a_namespace_mixes_units(workspace: Write) -> None:
    root = workspace(company_experiment(unit="company", namespace={"key": "space", "range": [0, 0.5]}))

    def warned(settings: dict[str, str]) -> list[str]:
        problems = check_workspace(root, load_settings(settings, environ={})).problems
        return [str(one) for one in problems if "unit: " in str(one)]

    assert warned(ALL) == []
    [said] = warned(WITHOUT_COMPANIES)
    assert "no company is ever known here" in said and "PERSONALIZER_COMPANIES" in said
    other = {"page": "home", "arms": ["c", "b"], "goal": "lead", "namespace": {"key": "space", "range": [0.5, 1]}}
    (root / "variants/experiments/other.yaml").write_text(json.dumps(other))
    (root / "variants/pages/home/c.yaml").write_text("for: {when: {geo.city: Bonn}}\ncopy: {}\n")
    [said] = warned(ALL)
    assert "exp shares the namespace space and deals to another unit (company)" in said


# --- over HTTP ---


def test_colleagues_are_served_one_arm_and_their_company_is_logged(tmp_path: Path) -> None:
    root = tmp_path / "site"
    for folder in ("variants", "templates"):
        shutil.copytree(WORKSPACE / folder, root / folder)
    file = root / "variants/experiments/payroll-cfo.yaml"
    file.write_text(f"{file.read_text()}\nunit: company\n")
    link = demo_links()["cfo"]
    with run_server(tmp_path / "data", workspace=root) as server:
        shown = [decision_of(Client(server, SOFTWARE_COMPANY).get(link).token) for _ in range(12)]
        at_home = decision_of(Client(server, AT_HOME).get(link).token)
        exposures = server.exposures()
        rows, home = [exposures[one] for one in shown], exposures[at_home]
        dealt = [row for row in rows if row.get("arm")]
        assert len(dealt) > 3 and len({row["visitor"] for row in rows}) == 12
        assert {row["unit"] for row in dealt} == {NORDLICHT} and len({row["arm"] for row in dealt}) == 1
        assert all(row["unit"] == row["visitor"] for row in rows if not row.get("arm"))
        assert home["unit"] == home["visitor"]
