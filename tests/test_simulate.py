"""`simulate`: the sender's ledger against the engine's report, and what it refuses to send.

The server, its journal, its lake and its reports are real; the ledger is the other side of each comparison.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from servers import WORKSPACE, processes, run_command, running

from personalizer.cli.simulate import simulate
from personalizer.config import Settings, shipped
from personalizer.errors import SimulationError
from personalizer.events.collector import wait_for_lake
from personalizer.reports.export import render_json
from personalizer.reports.report import run_report
from personalizer.simulation.ledger import compare_ledger
from personalizer.simulation.plan import draw_plan
from personalizer.simulation.population import Population, load_population
from personalizer.simulation.run import Sent, send_population
from personalizer.simulation.server import own_settings, run_server

VISITORS = 600
SAMPLE = shipped("samples/rates.yaml")


@pytest.fixture(scope="module")
def population() -> Population:
    return load_population(SAMPLE, WORKSPACE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, str]]:
    settings = own_settings(WORKSPACE, tmp_path_factory.mktemp("data"), 2)
    with run_server(settings) as url:
        yield settings, url


@pytest.fixture(scope="module")
def sent(server: tuple[Settings, str], population: Population) -> Sent:
    return send_population(population, server[1], 1, VISITORS, lambda count: None)


@pytest.fixture(scope="module")
def report(server: tuple[Settings, str], sent: Sent, population: Population) -> Any:
    return read_report(server[0], sent, population)


def read_report(settings: Settings, sent: Sent, population: Population) -> Any:
    """What the engine says of everybody since this simulation began."""
    as_of = wait_for_lake(settings.data, settings.lake, 30)
    assert as_of is not None
    result = run_report(
        settings.lake,
        population.content.registry,
        experiment=None,
        by=(),
        goal=None,
        since=sent.started,
        until=None,
        raw=False,
        confidence=0.95,
        as_of=as_of,
    )
    return orjson.loads(render_json(result))


# --- the whole way, through real HTTP ---


def test_the_report_equals_the_ledger(sent: Sent, report: Any) -> None:
    assert compare_ledger(sent.ledger, report["cells"]) == []


def test_the_ledger_has_everybody(sent: Sent) -> None:
    cells, internal, unseen = sent.ledger["cells"], sent.ledger["internal"], sent.ledger["unseen"]
    assert sum(cell["visitors"] for cell in cells) + internal["visitors"] == VISITORS
    assert sum(cell["visitors"] - cell["units"] for cell in cells) == unseen["visitors"]
    assert {"cfo", "cfo-roi", "holdout", "personalized", "original"} == {cell["arm"] for cell in cells}
    assert all(sent.ledger[name]["visitors"] for name in ("unseen", "bots", "internal", "orphans"))
    assert dt.datetime.fromisoformat(sent.ledger["started"]) < dt.datetime.fromisoformat(sent.ledger["ended"])


def test_views_fall_out_of_the_waterfall_where_the_sender_put_them(sent: Sent, report: Any) -> None:
    stages = {stage["name"]: stage for stage in report["waterfall"]["views"]}
    ledger, cells = sent.ledger, sent.ledger["cells"]
    assert stages["received"]["left"] == ledger["sent"]["views"]
    assert stages["refused"]["dropped"] == 0
    assert stages["not_counted"]["reasons"] == {"bot": ledger["bots"]["views"], "internal": ledger["internal"]["views"]}
    assert stages["unconfirmed"]["dropped"] == ledger["unseen"]["views"]
    assert stages["repeat"]["left"] == sum(cell["units"] for cell in cells)
    assert stages["repeat"]["dropped"] == sum(cell["views"] - cell["units"] for cell in cells)


def test_conversions_are_received_as_sent_and_counted_once(sent: Sent, report: Any) -> None:
    counted: Counter[str] = Counter()
    for cell in sent.ledger["cells"]:
        counted.update(cell["conversions"])
    found = report["waterfall"]["conversions"]
    assert {goal: stages[0]["left"] for goal, stages in found.items()} == sent.ledger["sent"]["conversions"]
    assert {goal: stages[-1]["left"] for goal, stages in found.items() if stages[-1]["left"]} == counted
    assert counted["lead"] and counted["demo_request"] > 0


def test_the_same_people_again_are_other_people(
    server: tuple[Settings, str], sent: Sent, population: Population
) -> None:
    """The second run on the same data: its conversion ids and its storage-free visitors meet the first one's."""
    again = send_population(population, server[1], 1, 150, lambda count: None)
    report = read_report(server[0], again, population)
    assert compare_ledger(again.ledger, report["cells"]) == []
    assert again.ledger["sent"]["views"] == report["waterfall"]["views"][0]["left"]


def test_progress_reaches_everybody(server: tuple[Settings, str], population: Population) -> None:
    told: list[int] = []
    send_population(population, server[1], 3, 41, told.append)
    assert sum(told) == 41


def test_command_with_a_server_that_runs(server: tuple[Settings, str], tmp_path: Path) -> None:
    settings, url = server
    run = CliRunner().invoke(simulate, ["--url", url, "--data", str(settings.data), "--visitors", "40", "--check"])
    assert run.exit_code == 0, run.output
    ledger = orjson.loads((settings.data / "ledger.json").read_bytes())
    assert ledger["visitors"] == 40
    assert f"The report equals the ledger in all {len(ledger['cells'])} cells." in run.output


def test_command_on_its_own(tmp_path: Path) -> None:
    data, ledger = tmp_path / "data", tmp_path / "ledger.json"
    run = run_command(
        "simulate", "--visitors", "60", "--seed", "7", "--data", str(data), "--ledger", str(ledger), "--check"
    )
    assert run.returncode == 0, run.stderr
    written = orjson.loads(ledger.read_bytes())
    assert (written["seed"], written["visitors"]) == (7, 60)
    assert f"The report equals the ledger in all {len(written['cells'])} cells." in run.stdout
    assert f"personalizer report --data {data} --wait\n" in run.stdout
    again = run_command("simulate", "--visitors", "20", "--data", str(data), "--ledger", str(ledger))
    assert f"personalizer report --data {data} --wait --since 20" in again.stdout, "and not who came the time before"
    assert not (data / "server.lock").read_text() or not running([int((data / "server.lock").read_text())])


# --- what it refuses ---


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--url", "http://127.0.0.1:9"], "name that server's --data; or --ledger"),
        (["--url", "http://127.0.0.1:9", "--ledger", "x.json", "--check"], "name that server's --data"),
        (["--url", "http://127.0.0.1:9", "--data", "/nowhere"], "--data /nowhere: there is no such directory"),
        (["--ledger", "/nowhere/x.json"], "there is no directory /nowhere"),
        (["--visitors", "0"], "--visitors"),
    ],
)
def test_wrong_use_is_said_before_anybody_is_sent(arguments: list[str], said: str) -> None:
    run = CliRunner().invoke(simulate, arguments)
    assert run.exit_code == 2
    assert said in run.output


def test_a_server_that_ignores_the_proxy_header_is_refused(tmp_path: Path, population: Population) -> None:
    settings = replace(own_settings(WORKSPACE, tmp_path / "data", 1), trusted_proxies=())
    with (
        run_server(settings) as url,
        pytest.raises(SimulationError, match="ignores X-Forwarded-For.*PERSONALIZER_TRUSTED_PROXIES=127.0.0.0/8"),
    ):
        send_population(population, url, 1, 100, lambda count: pytest.fail("somebody was sent"))


def test_another_row_than_expected_is_named(server: tuple[Settings, str], tmp_path: Path) -> None:
    text = SAMPLE.read_text().replace("expect: {row: tier-1, icp: enterprise-operations}", "expect: {row: enterprise}")
    wrong = load_population(write(tmp_path, text), WORKSPACE)
    with pytest.raises(
        SimulationError, match="^target-account: from 2001:db8:3:.* shows row tier-1 .*expects row enterpr"
    ):
        send_population(wrong, server[1], 1, 100, lambda count: pytest.fail("somebody was sent"))


def test_a_cell_without_rates_is_named(server: tuple[Settings, str], tmp_path: Path) -> None:
    lines = SAMPLE.read_text().splitlines()
    text = "\n".join(line for line in lines if "arm: cfo-roi" not in line)
    incomplete = load_population(write(tmp_path, text), WORKSPACE)
    with pytest.raises(SimulationError, match="no rates for page payroll, row cfo, arm cfo-roi"):
        send_population(incomplete, server[1], 1, 100, lambda count: None)


def test_no_server_is_one_sentence(population: Population) -> None:
    with pytest.raises(SimulationError, match="http://127.0.0.1:9 does not answer"):
        send_population(population, "http://127.0.0.1:9", 1, 10, lambda count: None)
    with pytest.raises(SimulationError, match="write the server's address as http"):
        send_population(population, "127.0.0.1:8080", 1, 10, lambda count: None)
    with pytest.raises(SimulationError, match="write the server's address as http"):
        send_population(population, "http://127.0.0.1:80800", 1, 10, lambda count: None)


def test_an_own_server_that_cannot_start_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    before = children()
    (tmp_path / "data").write_text("not a directory")
    settings = own_settings(WORKSPACE, tmp_path / "data", 1)
    with pytest.raises(SimulationError, match="did not start"), run_server(settings):
        pass
    assert children() == before


def children() -> set[int]:
    return {pid for pid, parent in processes().items() if parent == os.getpid()}


# --- the rates file ---


def write(folder: Path, text: str) -> Path:
    path = folder / "rates.yaml"
    path.write_text(text)
    return path


SHAPE = {
    "mobile: 0.6": ("mobil: 0.6", "kinds.0.mobil: there is no key `mobil` here. Did you mean `mobile`?"),
    "share: 14": ("share: 0", "kinds.1.share: 0"),
    "headers: {Sec-GPC: '1'}": ("headers: 1", "kinds.2.headers"),
    "['2001:db8:3::/48']": ("['2001:db8:3::1/48']", "kinds.9.addresses.0: '2001:db8:3::1/48'"),
    "demo_request: 0.06,": ("demo_request: 1.5,", "rates.0.goals.demo_request"),
    "reload: 0.12": ("relod: 0.12", "behaviour.relod: there is no key `relod` here. Did you mean `reload`?"),
}
NAMES = {
    "ad: q4-cfo.cfo-51-1000.cash-need": ("ad: q4-cfo.cfo.cash", "kinds.1.ad: there is no ad q4-cfo.cfo.cash. There"),
    "expect: {row: hr-director,": ("expect: {row: hr,", "kinds.3.expect.row: there is no row hr."),
    "persona: it-lead}": ("persona: it}", "kinds.8.expect.persona: there is no persona it."),
    "path: /startup\n": ("path: /start\n", "kinds.13.path: /start is no page. The pages are /payroll, /startup."),
    "    path: /payroll\n    addresses: [203": ("    addresses: [203", "kinds.15: needs `ad` or `path`, and not both."),
    "key: passing-by": ("key: cfo-at-home", "kinds.11.key: cfo-at-home stands twice."),
    "{page: payroll, row: cfo, arm: cfo,": ("{page: pay, row: cfo, arm: cfo,", "rates.0.page: there is no page pay."),
    "goals: {nurture_signup: 0.1,": ("goals: {nurture: 0.1,", "rates.14.goals.nurture: there is no goal nurture."),
}


@pytest.mark.parametrize("mistakes", [SHAPE, NAMES])
def test_all_mistakes_in_a_rates_file_are_said_with_their_lines(
    tmp_path: Path, mistakes: dict[str, tuple[str, str]]
) -> None:
    text = SAMPLE.read_text()
    for old, (new, _) in mistakes.items():
        assert text.count(old) >= 1
        text = text.replace(old, new, 1)
    path = write(tmp_path, text)
    with pytest.raises(SimulationError) as raised:
        load_population(path, WORKSPACE)
    lines = str(raised.value).splitlines()
    for _, said in mistakes.values():
        assert any(re.match(rf"{path}:\d+: {re.escape(said)}", line) for line in lines), (said, lines)
    assert len(lines) == len(mistakes), lines


def test_a_missing_rates_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match="rates.yaml cannot be read"):
        load_population(tmp_path / "rates.yaml", WORKSPACE)


def test_the_rates_of_the_example_are_not_those_of_another_workspace(tmp_path: Path) -> None:
    assert run_command("init", str(tmp_path / "site")).returncode == 0
    campaigns = tmp_path / "site" / "variants" / "campaigns"
    (campaigns / "q4-cfo.yaml").rename(campaigns / "spring-cfo.yaml")
    result = run_command("simulate", "--workspace", str(tmp_path / "site"))
    assert result.returncode == 1
    first, misfit = result.stderr.splitlines()
    assert first.startswith(f"personalizer: The rates of the example do not fit {tmp_path / 'site'}. Copy {SAMPLE}, ")
    assert "name it with --rates" in first
    assert misfit.startswith(f"{SAMPLE}:11: kinds.0.ad: there is no ad q4-cfo.cfo-51-1000.roi-calc.")


# --- who comes ---


def test_a_seed_always_draws_the_same_people(population: Population) -> None:
    first = [draw_plan(population, 1, number) for number in range(200)]
    assert first == [draw_plan(population, 1, number) for number in range(200)]
    assert first != [draw_plan(population, 2, number) for number in range(200)]
    assert len({plan.address for plan in first}) > 150


def test_people_come_and_behave_in_the_declared_shares(population: Population) -> None:
    """Of 4,000 drawn with a fixed seed, every share is within five standard errors of what the file declares."""
    count = 4000
    plans = [draw_plan(population, 1, number) for number in range(count)]
    behaviour, kinds = population.rates.behaviour, population.rates.kinds
    total = sum(kind.share for kind in kinds)
    declared = {kind.key: kind.share / total for kind in kinds}
    declared |= {
        "replay": behaviour.replay,
        "unseen": behaviour.unseen,
        "form": behaviour.form,
        "reload": behaviour.reload,
    }
    declared |= {f"luck of {goal}": 0.1 for goal in population.goals}
    seen = Counter(plan.kind.key for plan in plans)
    seen.update(replay=sum(plan.replays for plan in plans), unseen=sum(plan.unseen for plan in plans))
    seen.update(form=sum(plan.by_form for plan in plans), reload=sum(plan.reloads > 0 for plan in plans))
    seen.update(f"luck of {goal}" for plan in plans for goal, luck in plan.luck.items() if luck < 0.1)
    for name, share in declared.items():
        assert seen[name] / count == pytest.approx(share, abs=5 * (share * (1 - share) / count) ** 0.5), name


# --- comparing ---


def cell(**counts: Any) -> dict[str, Any]:
    where = {"page": "payroll", "row": "cfo", "arm": "cfo", "icp": "saas", "persona": "cfo"}
    return {**where, "units": 10, "views": 12, "conversions": {"demo_request": 3}, **counts}


def test_equal_cells_have_no_differences() -> None:
    ledger = {"cells": [cell(visitors=11), cell(row=None, icp=None, arm="original", conversions={}, visitors=10)]}
    reported = [cell(row=None, icp=None, arm="original", conversions={}, converters={}), cell(value={})]
    assert compare_ledger(ledger, reported) == []


@pytest.mark.parametrize(
    ("reported", "said"),
    [
        ([cell(units=9)], ["has 10 units, the report 9."]),
        ([cell(views=13)], ["has 12 views, the report 13."]),
        ([cell(conversions={"demo_request": 4})], ["has 3 conversions of demo_request, the report 4."]),
        ([cell(conversions={})], ["has 3 conversions of demo_request, the report 0."]),
        ([cell(), cell(arm="holdout", units=1)], ["arm holdout, ICP saas, persona cfo: the ledger has 0 units, the "]),
        ([cell(persona=None)], ["persona none: the ledger has 0 units, the report 10.", "has 10 units, the report 0."]),
    ],
)  # fmt: skip
def test_every_difference_is_a_sentence(reported: list[dict[str, Any]], said: list[str]) -> None:
    differences = compare_ledger({"cells": [cell()]}, reported)
    assert differences
    for part in said:
        assert any(part in difference for difference in differences)


def test_a_cell_of_unseen_visitors_alone_is_no_difference() -> None:
    assert compare_ledger({"cells": [cell(visitors=2, units=0, views=0, conversions={})]}, []) == []
