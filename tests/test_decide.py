"""The decision: cases as data, purity, a trace that agrees, and propensities that are the frequencies they claim."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from conftest import write_workspace
from growthbook.core import gbhash

from personalizer.content.compile import Content, apply_counters, load_content
from personalizer.content.counters import Counter as Counters
from personalizer.decision.ads import AdIndex, Campaign
from personalizer.decision.decide import decide
from personalizer.decision.registry import Registry
from personalizer.decision.trace import trace_decision
from personalizer.edge.record import record_exposure
from personalizer.events.columns import COLUMNS
from personalizer.model import Decision, Facts, Mode, Range, Reason, Source, Visitor

CASES = json.loads((Path(__file__).parent / "cases/decisions.json").read_text())
GROUPS = CASES["groups"]
ALL = [
    pytest.param(number, case, id=f"{number}-{case['why'].replace(' ', '-')}")
    for number, group in enumerate(GROUPS)
    for case in group["cases"]
]

Registries = Callable[[int], Registry]


@pytest.fixture(scope="module")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Registries:
    """The compiled workspace of each group of cases."""
    made: dict[int, Registry] = {}

    def registry(number: int) -> Registry:
        if number not in made:
            documents = {**CASES["workspace"], **GROUPS[number].get("workspace", {})}
            files = {f"variants/{key}{'' if key.endswith('.csv') else '.yaml'}": doc for key, doc in documents.items()}
            root = write_workspace(tmp_path_factory.mktemp("group"), files)
            made[number] = load_content(root).registry
        return made[number]

    return registry


def read_value(value: Any) -> Any:
    if isinstance(value, dict):
        return Range(float(value["low"]), float(value["high"]))
    return tuple(value) if isinstance(value, list) else value


def read_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: read_value(value) for name, value in facts.items()}


def read_visitor(told: Mapping[str, Any]) -> Visitor:
    facts: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for source, some in told.get("facts", {}).items():
        facts |= read_facts(some)
        sources |= dict.fromkeys(some, Source(source))
    return Visitor(
        facts=facts,
        sources=sources,
        id="visitor-00000000",
        visit="visit-00",
        unit=told.get("unit", "unit-1"),
        mode=Mode.PERSISTENT,
        arms=told.get("arms", {}),
        ad_ref=told.get("ad_ref"),
        not_counted=told.get("not_counted"),
    )


def check_expected(decision: Decision, visitor: Visitor, expect: Mapping[str, Any]) -> None:
    for name, value in expect.items():
        if name == "added":
            added = {fact: known for fact, known in decision.facts.items() if fact not in visitor.facts}
            assert added == read_facts(value)
        elif name == "facts":
            assert decision.facts.items() >= read_facts(value).items()
        elif name == "reasons":
            assert list(decision.reasons) == value
        elif name == "propensity":
            assert decision.propensity == pytest.approx(value)
        else:
            assert getattr(decision, name) == value, name


@pytest.mark.parametrize(("group", "case"), ALL)
def test_case(registries: Registries, group: int, case: dict[str, Any]) -> None:
    visitor = read_visitor(case["visitor"])
    before = read_visitor(case["visitor"])
    page = case.get("page", "home")
    decision = decide(registries(group), page, visitor)
    check_expected(decision, visitor, {"page": page, **case["expect"]})
    assert decide(registries(group), page, visitor) == decision
    assert visitor == before
    assert decision.revision == registries(group).revision[:12]
    assert not {"icp", "persona"} & decision.facts.keys()


@pytest.mark.parametrize(("group", "case"), ALL)
def test_the_row_of_the_journal_says_all_of_it(registries: Registries, group: int, case: dict[str, Any]) -> None:
    """What is null may be missing, and nothing else."""
    visitor = read_visitor(case["visitor"])
    decision = decide(registries(group), case.get("page", "home"), visitor)
    row = record_exposure(decision, visitor, "visitor-00000000.1", 1.0)
    columns = {column.name for column in COLUMNS} | {"facts"}
    said = {one.name: getattr(decision, one.name) for one in fields(decision) if one.name in columns}
    assert {name: row.get(name) for name in said} == said


def test_a_link_with_a_long_text_is_recognized_and_not_remembered() -> None:
    ads = AdIndex({"c": Campaign("c", "home", {}, {}, {"ad.campaign": "c"})}, {}, {("utm.source",): {("x",): "c"}})
    for text, remembered in (("y" * 64, True), ("y" * 65, False)):
        for ad_ref, content in ((text, "z"), (None, text)):
            facts: Facts = {"utm.source": "x", "utm.content": content}
            assert ads.find(ad_ref, facts) == {"ad.campaign": "c"}
            assert (ads._known.get((ad_ref, content, None, "x")) is not None) is remembered


def test_a_missing_value_is_not_an_empty_one() -> None:
    told = {"ad.campaign": "c"}
    ads = AdIndex({"c": Campaign("c", "home", {}, {}, told)}, {}, {("utm.source",): {("",): "c"}})
    assert ads.find(None, {"utm.medium": "cpc"}) == {}


@pytest.mark.parametrize(("group", "case"), ALL)
def test_the_trace_agrees_with_the_decision(registries: Registries, group: int, case: dict[str, Any]) -> None:
    registry, visitor = registries(group), read_visitor(case["visitor"])
    decision = decide(registry, case.get("page", "home"), visitor)
    trace = trace_decision(registry, visitor, decision)
    assert [step.number for step in trace.steps] == list(range(10))
    assert sum(trace.chances.values()) == pytest.approx(1)
    chosen = {step.name: [rule for rule in step.rules if rule.chosen] for step in trace.steps}
    assert [rule.key for rule in chosen["row"]] == ([decision.row] if decision.row else [])
    for step in ("excluded", "negative", "row"):
        assert all(rule.verdict is True for rule in chosen[step])
    protected = "ad.persona" in decision.facts or decision.facts.get("company.relation") == "target"
    if not (protected or decision.explored or Reason.EXCLUDED in decision.reasons):
        true = [rule.key for rule in trace.steps[2].rules if rule.verdict is True]
        assert true[:1] == [rule.key for rule in chosen["negative"]]
    assert decision.shown in trace.steps[9].outcome
    assert all(str(reason) in trace.steps[9].outcome for reason in decision.reasons)
    assert all(name in trace.sources for name in decision.facts)


def test_every_reason_that_this_version_gives_has_a_case() -> None:
    given = {reason for group in GROUPS for case in group["cases"] for reason in case["expect"].get("reasons", ())}
    later = {Reason.DECLARED_BY_LINK, Reason.CONSENT}
    assert set(Reason) - later == given


def test_the_order_of_rows_is_as_the_cases_say(registries: Registries) -> None:
    asked = [(number, group["rows"]) for number, group in enumerate(GROUPS) if "rows" in group]
    assert asked
    for number, rows in asked:
        for page, keys in rows.items():
            assert list(registries(number).pages[page].rows) == keys


def test_the_units_of_the_cases_stand_where_the_file_says() -> None:
    """GrowthBook's own hash, so that the expected arms do not come from the code under test."""
    places = {
        ("holdout", "unit-3"): 0.0063, ("holdout", "unit-6"): 0.1379, ("holdout", "unit-1"): 0.5757,
        ("exp:1", "unit-7"): 0.2282, ("exp:1", "unit-1"): 0.6403, ("exp:1", "unit-4"): 0.8088,
        ("exp:1", "halden.example"): 0.1809, ("exp:1", "okapi.example"): 0.5913, ("exp:1", "c1.example"): 0.4755,
        ("explore:small", "unit-2"): 0.1171, ("explore:small", "unit-1"): 0.5739,
    }  # fmt: skip
    assert {(seed, unit): gbhash(seed, unit, 2) for seed, unit in places} == places
    assert (gbhash("__space", "unit-2", 1), gbhash("__space", "unit-1", 1)) == (0.004, 0.647)
    assert (gbhash("__space", "halden.example", 1), gbhash("__space", "okapi.example", 1)) == (0.243, 0.879)


def test_deciding_changes_nothing_in_the_registry(registries: Registries) -> None:
    before = {number: repr(registries(number)) for number in range(len(GROUPS))}
    for number, group in enumerate(GROUPS):
        for case in group["cases"]:
            decide(registries(number), case.get("page", "home"), read_visitor(case["visitor"]))
    assert {number: repr(registries(number)) for number in range(len(GROUPS))} == before


def test_phase_and_weight_epoch_come_from_the_counters(tmp_path: Path) -> None:
    content = load_content(write_workspace(tmp_path, {**EVERYTHING, "variants/workspace.yaml": SITE}))
    counters = {"exp": Counters(2, 5, ("a", "b"), (0.6, 0.4), 0.8), "gone": Counters(1, 1, ("x", "y"), (0.5, 0.5), 1)}
    raised: Content = apply_counters(content, counters)
    visitor = read_visitor({"facts": {"lookup": {"geo.city": "Ulm"}}, "arms": {"exp:1": "a", "exp:2": "b"}})
    decision = decide(raised.registry, "home", visitor)
    assert (decision.phase, decision.weight_epoch, decision.arm, decision.sticky) == (2, 5, "b", True)
    assert decide(content.registry, "home", visitor).arm == "a"
    assert raised.registry.revision == content.registry.revision


def test_a_change_of_weights_moves_nobody_who_saw_an_arm(tmp_path: Path) -> None:
    def registry(name: str, weights: list[float]) -> Registry:
        experiment = {"page": "home", "arms": ["a", "b"], "goal": "lead", "weights": weights}
        files = {**EVERYTHING, "variants/workspace.yaml": SITE, "variants/experiments/exp.yaml": experiment}
        return load_content(write_workspace(tmp_path / name, files)).registry

    even, uneven = registry("even", [0.5, 0.5]), registry("uneven", [0.9, 0.1])
    told = {"facts": {"lookup": {"geo.city": "Ulm"}}}
    moved = 0
    for number in range(300):
        new = read_visitor({**told, "unit": f"person-{number}"})
        seen = decide(even, "home", new).arm
        back = read_visitor({**told, "unit": f"person-{number}", "arms": {"exp:1": seen}})
        assert decide(uneven, "home", back).arm == seen
        moved += decide(uneven, "home", new).arm != seen
    assert 80 < moved < 160  # without the cookie four in ten would have moved


# Exploration, holdout, namespace, coverage and weights at once.
SITE = {"site": {"name": "Shop", "hosts": ["a.example"]}, "holdout": 0}
EVERYTHING: dict[str, Any] = {
    "variants/workspace.yaml": {**SITE, "holdout": 0.2},
    "variants/icps/small.yaml": {
        "name": "S",
        "kind": "negative",
        "evidence": "lookup",
        "exploration": 0.4,
        "match": {"company.employees": {"lt": 10}},
    },
    "variants/pages/home/a.yaml": {"for": {"when": {"geo.city": "Ulm"}}, "copy": {}},
    "variants/pages/home/b.yaml": {"copy": {}},
    "variants/experiments/exp.yaml": {
        "page": "home",
        "arms": ["a", "b"],
        "goal": "lead",
        "weights": [0.6, 0.4],
        "coverage": 0.8,
        "namespace": {"key": "space", "range": [0.2, 0.9]},
    },
}


@pytest.mark.parametrize("unit", ["visitor", "company"])
def test_a_propensity_is_the_frequency_of_what_is_shown(tmp_path: Path, unit: str) -> None:
    """Of 12,000 units with the same facts each outcome comes up as often as its logged propensity says; also of as many
    companies, one visitor of each."""
    experiment = {**EVERYTHING["variants/experiments/exp.yaml"], "unit": unit}
    files = {**EVERYTHING, "variants/experiments/exp.yaml": experiment}
    registry = load_content(write_workspace(tmp_path, files)).registry
    told: dict[str, Any] = {"facts": {"lookup": {"company.employees": 5, "geo.city": "Ulm"}}}
    seen: Counter[tuple[Any, ...]] = Counter()
    claimed: dict[tuple[Any, ...], set[float]] = {}
    units = 12_000
    for number in range(units):
        told["facts"]["lookup"]["company.domain"] = f"company-{number}.example"
        decision = decide(registry, "home", read_visitor({**told, "unit": f"person-{number}"}))
        outcome = (decision.shown, decision.explored, decision.holdout, decision.arm)
        seen[outcome] += 1
        claimed.setdefault(outcome, set()).add(round(decision.propensity, 12))
    assert len(seen) == 5  # refused, held out, two arms, outside the experiment
    assert all(len(propensities) == 1 for propensities in claimed.values())
    chances = {outcome: propensities.pop() for outcome, propensities in claimed.items()}
    assert sum(chances.values()) == pytest.approx(1)
    for outcome, chance in chances.items():
        deviation = math.sqrt(units * chance * (1 - chance))
        assert abs(seen[outcome] - units * chance) < 4.5 * deviation, outcome
