"""Reports against a brute-force oracle over random lakes, and one test for each rule that the oracle follows."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from rich.console import Console

from personalizer.decision.ads import AdIndex
from personalizer.decision.conditions import All, build_condition
from personalizer.decision.index import RuleIndex
from personalizer.decision.registry import Experiment, Goal, Page, Registry, Row
from personalizer.errors import DataError, PersonalizerError
from personalizer.events.columns import COLUMNS, ColumnType
from personalizer.model import SiteRules
from personalizer.reports.export import render_csv, render_json
from personalizer.reports.report import run_report
from personalizer.reports.result import Cell, Comparison, Report, Stage
from personalizer.reports.table import _cells, _table, render_table

HOUR, DAY = 3600, 86_400
START = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
NOW = START + dt.timedelta(days=90)
GOALS = {
    "demo": Goal("demo", "binary", 2 * DAY, 12_000, "unit"),
    "order": Goal("order", "revenue", 3 * DAY, None, "id"),
    "lead": Goal("lead", "binary", DAY, None, "unit"),
}
EVENT = dict[str, Any]


# --- a small workspace ---


def _row(key: str, holdout: float, experiment: str | None = None) -> Row:
    always = build_condition(All(()))
    return Row(key, always, None, None, key, None, None, None, None, holdout, experiment)


def _page(key: str, rows: Sequence[Row], goals: tuple[str, ...]) -> Page:
    empty = RuleIndex([])
    table = {row.key: row for row in rows}
    return Page(key, f"/{key}", None, "en", table, empty, frozenset(table), goals, empty, {}, empty, empty)


def _registry(**changes: Any) -> Registry:
    split = Experiment(
        "split", "payroll", "cfo", ("cfo", "roi"), (0.5, 0.5), 1.0, ((0, 0.5), (0.5, 1)), None, True, "demo"
    )
    registry = Registry(
        revision="0123456789abcdef",
        site=SiteRules(("example.com",), "en", "UTC", (), ()),
        site_name="Paydesk",
        currency="EUR",
        icps={},
        personas={},
        personas_of={},
        ads=AdIndex({}, {}, {}),
        accounts={},
        pages={
            "payroll": _page("payroll", [_row("cfo", 0.2, "split"), _row("hr", 0.2)], ("demo", "order")),
            "time": _page("time", [_row("ops", 0.5)], ("lead",)),
        },
        paths={},
        retired={},
        experiments={"split": split},
        goals=GOALS,
        derive=(),
        unavailable={},
    )
    return replace(registry, **changes)


# --- a lake of events ---

TYPES = {
    ColumnType.TEXT: pa.string(),
    ColumnType.INT: pa.int64(),
    ColumnType.NUMBER: pa.float64(),
    ColumnType.FLAG: pa.bool_(),
    ColumnType.TIME: pa.timestamp("us", tz="UTC"),
    ColumnType.DAY: pa.date32(),
    ColumnType.LIST: pa.list_(pa.string()),
    ColumnType.RANGE: pa.struct([("low", pa.float64()), ("high", pa.float64())]),
}
SCHEMA = pa.schema([(column.name, TYPES[column.type]) for column in COLUMNS])


@dataclass
class Lake:
    """Events in the order they are told; `write` makes a Delta table of them as the collector does."""

    path: Path
    events: list[EVENT] = field(default_factory=list)

    def add(self, kind: str, at: float, **columns: Any) -> EVENT:
        """One event `at` seconds after START."""
        ordinal = len(self.events) + 1
        event = {"kind": kind, "ts": _micros(at), "writer": "n1-0", "generation": 1, "ordinal": ordinal, **columns}
        event["event_id"] = f"{event['writer']}-{event['generation']}-{event['ordinal']}"
        self.events.append(event)
        return event

    def view(self, at: float, who: str, *, seen: bool = True, **columns: Any) -> EVENT:
        """An exposure on page `payroll`, confirmed by its beacon."""
        decision = f"d{len(self.events)}"
        columns = {"page": "payroll", "visitor": who, "unit": who, "decision_id": decision, **columns}
        event = self.add("exposure", at, **columns)
        if seen:
            self.add("seen", at + 1, decision_id=decision, visitor=who)
        return event

    def convert(
        self, at: float, who: str, goal: str | None = "demo", kind: str = "conversion", **columns: Any
    ) -> EVENT:
        return self.add(kind, at, visitor=who, goal=goal, **columns)

    def write(self) -> None:
        if self.events:
            rows = [{name: _stored(name, value) for name, value in event.items()} for event in self.events]
            for row in rows:
                row["day"] = dt.datetime.fromtimestamp(row["ts"] // 1_000_000, dt.UTC).date()
            write_deltalake(self.path / "events", pa.Table.from_pylist(rows, SCHEMA), partition_by=["day"])

    def report(self, registry: Registry | None = None, **changes: Any) -> Report:
        self.write()
        return _report(self.path, registry or _registry(), **changes)


def _stored(name: str, value: Any) -> Any:
    return dict(zip(("low", "high"), value, strict=True)) if name == "company_employees" else value


def _micros(at: float) -> int:
    return round((START.timestamp() + at) * 1_000_000)


def _report(path: Path, registry: Registry, **changes: Any) -> Report:
    asked: dict[str, Any] = {
        "experiment": None, "by": (), "goal": None, "since": None, "until": None,
        "raw": False, "confidence": 0.95, "as_of": NOW,
    }  # fmt: skip
    return run_report(path, registry, **(asked | changes))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "a lake")


def _cell(report: Report, **wanted: str | None) -> Cell:
    (cell,) = [c for c in report.cells if all(getattr(c, name) == value for name, value in wanted.items())]
    return cell


def _comparison(report: Report, kind: str, row: str | None = None) -> Comparison:
    (found,) = [c for c in report.comparisons if c.kind == kind and (row is None or c.row == row)]
    return found


def _units(comparison: Comparison) -> dict[str, tuple[int, int]]:
    return {arm.arm: (arm.units, arm.converters) for arm in comparison.arms}


def _left(stages: Sequence[Stage]) -> dict[str, int]:
    return {stage.name: stage.dropped for stage in stages[1:]} | {"left": stages[-1].left}


# --- the oracle: the same rules, written for one person at a time ---


@dataclass
class Oracle:
    """Everything a report should say about `events`, by loops over lists."""

    events: list[EVENT]
    raw: bool
    since: int
    until: int

    def __post_init__(self) -> None:
        self.events = sorted(self.events, key=_order)
        seen = {event.get("decision_id") for event in self.events if event["kind"] == "seen"}
        self.views = [
            event
            for event in self.events
            if event["kind"] == "exposure"
            and self.since <= event["ts"] < self.until
            and not event.get("not_counted")
            and (self.raw or event["decision_id"] in seen)
        ]

    def entries(self, contest: str) -> dict[Any, list[EVENT]]:
        """Views by (contest key, unit), in order. A person stays with the unit that they were first seen in."""
        found: dict[Any, list[EVENT]] = {}
        homes: dict[Any, Any] = {}
        for view in self.views:
            key = _key(contest, view)
            if key is not None:
                unit = _unit(view) if contest == "experiment" else view["visitor"]
                home = homes.setdefault((key, view["visitor"]), unit)
                found.setdefault((key, home), []).append(view)
        return found

    def multiple(self, contest: str, views: Sequence[EVENT]) -> bool:
        """Whether the unit of these views was dealt two arms, whatever its people saw as another unit."""
        own = [view for view in views if contest != "experiment" or _unit(view) == _unit(views[0])]
        return contest != "page" and len({_arm(contest, view) for view in own}) > 1

    def conversions(self) -> Iterator[tuple[EVENT, str, str]]:
        """(event, goal, fate so far), in order; one event may reach two goals."""
        ids: set[str] = set()
        for event in self.events:
            if event["kind"] not in ("conversion", "lead"):
                continue
            fate = "not_counted" if event.get("not_counted") else ""
            given = event.get("conversion_id")
            copy = not fate and given is not None and given in ids
            if not fate and given is not None:
                ids.add(given)
            goals = [event["goal"]] if event.get("goal") else []
            if event["kind"] == "lead" and "lead" not in goals:
                goals.append("lead")
            for goal in goals:
                span = GOALS[goal].window * 1_000_000 if goal in GOALS else 0
                if self.since <= event["ts"] < self.until + span:
                    yield event, goal, fate or ("unknown_goal" if goal not in GOALS else "duplicate" if copy else "")

    def outcomes(self, views: Sequence[EVENT]) -> dict[str, list[tuple[EVENT, int]]]:
        """What counts for the unit of these views: by goal, (event, worth). Its window opens with its first view, and
        each of its people counts from their own."""
        found: dict[str, list[tuple[EVENT, int]]] = {}
        taken: set[tuple[str, str | None]] = set()
        for event, goal, fate in self.conversions():
            if fate or not _inside(event, goal, views):
                continue
            once = (goal, event.get("conversion_id") if GOALS[goal].once == "id" else None)
            if once not in taken:
                taken.add(once)
                found.setdefault(goal, []).append((event, _worth(event, goal)))
        return found

    def cells(self) -> dict[Any, dict[str, Any]]:
        cells: dict[Any, dict[str, Any]] = {}
        for views in self.entries("page").values():
            first = views[0]
            key = (first["page"], first.get("row"), _arm("page", first), first.get("icp"), first.get("persona"))
            cell = cells.setdefault(
                key, {"units": 0, "views": 0, "converters": Counter(), "conversions": Counter(), "value": Counter()}
            )
            cell["units"] += 1
            cell["views"] += len(views)
            for goal, done in self.outcomes(views).items():
                cell["converters"][goal] += 1
                cell["conversions"][goal] += len(done)
                cell["value"][goal] += sum(worth for _, worth in done)
        return cells

    def comparisons(self, contest: str, goal_of: Callable[[EVENT], str]) -> dict[Any, dict[str, Any]]:
        """By contest key: `multiple` units, how many of the others are `companies`, and by arm (units, converters,
        conversions, Σy, Σy²)."""
        found: dict[Any, dict[str, Any]] = {}
        for (key, _), views in self.entries(contest).items():
            sides = found.setdefault(key, {"multiple": 0, "companies": 0})
            if self.multiple(contest, views):
                sides["multiple"] += 1
                continue
            done = self.outcomes(views).get(goal_of(views[0]), [])
            sides["companies"] += contest == "experiment" and "." in _unit(views[0])
            y = sum(worth for _, worth in done)
            part = (1, bool(done), len(done), y, y * y)
            before = sides.get(_arm(contest, views[0]), (0,) * 5)
            sides[_arm(contest, views[0])] = tuple(a + b for a, b in zip(before, part, strict=True))
        return found

    def fates(self, contest: str) -> dict[str, Counter[str]]:
        """How every conversion ends, by goal."""
        entered = [v for v in self.entries(contest).values() if not self.multiple(contest, v)]
        counted = {
            (event["event_id"], goal)
            for views in entered
            for goal, done in self.outcomes(views).items()
            for event, _ in done
        }
        ends: dict[str, Counter[str]] = {}
        for event, goal, fate in self.conversions():
            if not fate:
                inside = any(_inside(event, goal, views) for views in entered)
                fate = "counted" if (event["event_id"], goal) in counted else "repeat" if inside else "orphan"
            ends.setdefault(goal, Counter())[fate] += 1
        return ends


def _order(event: EVENT) -> Any:
    return event["ts"], event["writer"], event["generation"], event["ordinal"]


def _unit(view: EVENT) -> str:
    return str(view.get("unit") or view["visitor"])


def _inside(event: EVENT, goal: str, views: Sequence[EVENT]) -> bool:
    """Whether the event is of somebody of these views, after their own first one, in the window of the first of all."""
    mine = [view["ts"] for view in views if view["visitor"] == event["visitor"]]
    if goal not in GOALS or not mine:
        return False
    return bool(min(mine) <= event["ts"] < views[0]["ts"] + GOALS[goal].window * 1_000_000)


def _key(contest: str, view: EVENT) -> Any:
    if contest == "page":
        return view["page"]
    if contest == "experiment":
        return (view["experiment"], view["phase"]) if view.get("arm") and view.get("holdout") != "in" else None
    if not view.get("holdout"):
        return None
    return (view["page"], view["row"]) if contest == "row" else view["page"]


def _arm(contest: str, view: EVENT) -> str:
    held_out = view.get("holdout") == "in"
    if contest == "experiment":
        return str(view["arm"])
    if contest == "page" and not held_out:
        return view.get("arm") or ("personalized" if view.get("row") else "original")
    return "holdout" if held_out else "personalized"


def _worth(event: EVENT, goal: str) -> int:
    if event.get("value") is None:
        return GOALS[goal].value or 0
    return event["value"] if event.get("currency", "EUR") == "EUR" else 0


def _random_lake(lake: Lake, dice: random.Random, deal: Callable[[str, random.Random], EVENT] | None = None) -> None:
    """Few people and few moments, so that ties, repeats, copies and window ends happen all the time."""
    people = [f"v{n}" for n in range(dice.randint(5, 40))]
    moments = [n * 8 * HOUR for n in range(12)]
    identities = [(w, g, o) for w in ("n1-0", "n1-1") for g in (1, 2) for o in range(1, 300)]
    dice.shuffle(identities)
    decisions: list[str] = []

    def add(kind: str, **columns: Any) -> None:
        writer, generation, ordinal = identities.pop()
        at = dice.choice(moments) + dice.choice([0, 0, 0, HOUR])
        lake.add(kind, at, writer=writer, generation=generation, ordinal=ordinal, **columns)

    for _ in range(dice.randint(20, 260)):
        who = dice.choice(people)
        known = {"visitor": who, "unit": who if dice.random() < 0.8 else None}
        flag = {"not_counted": dice.choice(["bot", "internal"])} if dice.random() < 0.1 else {}
        kind = dice.choices(["exposure", "conversion", "lead", "refused", "scroll"], [6, 4, 2, 0.5, 0.5])[0]
        if kind == "exposure":
            decisions.append(f"d{len(decisions)}")
            told = known | _random_exposure(dice)
            add("exposure", decision_id=decisions[-1], **(told | deal(who, dice) if deal else told), **flag)
        elif kind in ("conversion", "lead"):
            goal = dice.choice(["demo", "order", "lead", "gone"] + ([None] if kind == "lead" else []))
            given = {"conversion_id": f"c{dice.randint(0, 20)}"} if dice.random() < 0.5 else {}
            money = {"value": dice.randint(0, 900), "currency": dice.choice(["EUR", "EUR", "USD"])}
            if dice.random() < 0.1:
                known = {"visitor": "stranger", "unit": None}
            add(kind, goal=goal, **known, **flag, **given, **(money if dice.random() < 0.5 else {}))
        else:
            add(kind, refused_reason=dice.choice(["too large", "malformed"]), visitor=who)
    for decision in decisions:
        for _ in range(dice.choice([0, 1, 1, 2])):
            add("seen", decision_id=decision)


def _random_exposure(dice: random.Random) -> EVENT:
    page = dice.choice(["payroll", "payroll", "time"])
    row = dice.choice([None, "cfo", "hr"] if page == "payroll" else [None, "ops"])
    holdout = dice.choice([None, "in", "out", "out"]) if row else None
    split = row == "cfo" and dice.random() < 0.7
    return {
        "page": page,
        "row": row,
        "holdout": holdout,
        "icp": dice.choice([None, "smb", "mid"]),
        "persona": row,
        "geo_country": dice.choice([None, "DE", "TH"]),
        **(
            {
                "experiment": "split",
                "phase": dice.choice([1, 1, 2]),
                "weight_epoch": dice.choice([1, 2]),
                "arm": dice.choice(["cfo", "roi"]),
                "sticky": dice.random() < 0.3,
            }
            if split
            else {}
        ),
    }


def _deal_to_companies(who: str, dice: random.Random) -> EVENT:
    """An exposure of an experiment of companies: people are at work, now and then at home, or at another company."""
    number = int(who[1:])
    company = f"c{(number if dice.random() < 0.9 else dice.randint(0, 40)) % 9}.example"
    unit = company if dice.random() < 0.7 else who
    arm = "roi" if int(unit.removesuffix(".example")[1:]) % 2 or dice.random() < 0.03 else "cfo"
    split = {"experiment": "split", "phase": dice.choice([1, 1, 1, 2]), "weight_epoch": 1, "arm": arm}
    return {"page": "payroll", "row": "cfo", "holdout": "out", "unit": unit, "sticky": unit == who, **split}


SIDES = {"payroll": "demo", "time": "lead"}


@pytest.mark.parametrize("deal", [None, _deal_to_companies])
@pytest.mark.parametrize("seed", range(8))
def test_report_is_the_oracle(lake: Lake, seed: int, deal: Callable[[str, random.Random], EVENT] | None) -> None:
    dice = random.Random(seed)
    _random_lake(lake, dice, deal)
    raw = dice.random() < 0.3
    since = START + dt.timedelta(hours=16) if dice.random() < 0.4 else None
    until = START + dt.timedelta(hours=56) if dice.random() < 0.4 else None
    by = dice.choice([(), ("country",), ("day", "icp")])
    report = lake.report(raw=raw, since=since, until=until, by=by)
    oracle = Oracle(
        lake.events,
        raw,
        round(since.timestamp() * 1_000_000) if since else 0,
        round(until.timestamp() * 1_000_000) if until else 2**60,
    )

    _check_cells(report, oracle)
    _check_comparisons(report, oracle)
    _check_waterfall(report, oracle, "page")
    _check_waterfall(
        _report(lake.path, _registry(), raw=raw, since=since, until=until, experiment="split"), oracle, "experiment"
    )


def _check_cells(report: Report, oracle: Oracle) -> None:
    cells = oracle.cells()
    assert len(report.cells) == len(cells)
    for cell in report.cells:
        expected = cells[cell.page, cell.row, cell.arm, cell.icp, cell.persona]
        for name, value in expected.items():
            assert getattr(cell, name) == value, (cell, name)
    # The table by segment is another roll-up of the same rows.
    for page, goal in report.goals.items():
        lines = [line for line in report.lines if (line.page, line.goal) == (page, goal)]
        mine = [cell for key, cell in cells.items() if key[0] == page]
        for name in ("units", "views"):
            assert sum(getattr(line, name) for line in lines) == sum(cell[name] for cell in mine)
        for name in ("converters", "conversions", "value"):
            assert sum(getattr(line, name) for line in lines) == sum(cell[name][goal] for cell in mine)


def _check_comparisons(report: Report, oracle: Oracle) -> None:
    expected = {
        ("experiment", *key): value for key, value in oracle.comparisons("experiment", lambda _: "demo").items()
    }
    expected |= {("row", *key): v for key, v in oracle.comparisons("row", lambda view: SIDES[view["page"]]).items()}
    expected |= {("holdout", key): v for key, v in oracle.comparisons("holdout", lambda v: SIDES[v["page"]]).items()}
    assert len(report.comparisons) == len(expected)
    for comparison in report.comparisons:
        kind = comparison.kind
        named = {
            "experiment": (comparison.experiment, comparison.phase),
            "row": (comparison.page, comparison.row),
            "holdout": (comparison.page,),
        }[kind]
        sides = expected[kind, *named]
        assert comparison.multiple == sides["multiple"]
        assert (comparison.companies or 0) == sides["companies"]
        for arms in [comparison.arms, *_summed(comparison)]:
            for arm in arms:
                counts = (arm.units, arm.converters, arm.conversions, arm.value, arm.value_squares)
                assert counts == sides.get(arm.arm, (0,) * 5), (comparison, arm)


def _summed(comparison: Comparison) -> Iterator[list[Any]]:
    """The segments of a comparison, added up again."""
    if not comparison.segments:
        return
    names = ("units", "converters", "conversions", "value", "value_squares")
    parts = zip(*(segment.arms for segment in comparison.segments), strict=True)
    yield [replace(arms[0], **{name: sum(getattr(arm, name) for arm in arms) for name in names}) for arms in parts]


def _check_waterfall(report: Report, oracle: Oracle, contest: str) -> None:
    for stages in (report.waterfall.views, *report.waterfall.conversions.values()):
        assert stages[0].name == "received"
        for before, stage in zip(stages, stages[1:], strict=False):
            assert stage.left == before.left - stage.dropped
            assert stage.dropped >= 0 and stage.left >= 0
            assert not stage.reasons or sum(stage.reasons.values()) == stage.dropped
    entries = list(oracle.entries(contest).values())
    analysed = [views for views in entries if not oracle.multiple(contest, views)]
    dropped = _left(report.waterfall.views)
    in_time = [e for e in oracle.events if oracle.since <= e["ts"] < oracle.until]
    assert report.waterfall.views[0].left == sum(event["kind"] in ("exposure", "refused") for event in in_time)
    assert dropped["refused"] == sum(event["kind"] == "refused" for event in in_time)
    assert dropped["not_counted"] == sum(e["kind"] == "exposure" and bool(e.get("not_counted")) for e in in_time)
    assert dropped["repeat"] == sum(len(views) - 1 for views in entries)
    assert dropped.get("outside", 0) == len(oracle.views) - sum(map(len, entries))
    assert dropped.get("multiple", 0) == len(entries) - len(analysed)
    assert dropped["left"] == len(analysed) == report.waterfall.units

    fates = oracle.fates(contest)
    assert set(report.waterfall.conversions) == set(fates)
    for goal, stages in report.waterfall.conversions.items():
        losses = _left(stages)
        assert stages[0].left == fates[goal].total()
        assert losses.pop("left") == fates[goal].pop("counted", 0)
        assert {name: count for name, count in losses.items() if count} == dict(fates[goal])


# --- one rule at a time ---


def test_segment_is_frozen_at_the_first_view_also_where_it_is_unknown(lake: Lake) -> None:
    lake.view(0, "ann", icp=None, row="hr", holdout="out")
    lake.view(HOUR, "ann", icp="smb", persona="cfo", row="hr", holdout="out")
    lake.convert(2 * HOUR, "ann")
    cell = _cell(lake.report())
    assert (cell.icp, cell.persona, cell.units, cell.views, cell.converters) == (None, None, 1, 2, {"demo": 1})


@pytest.mark.parametrize("first", [("n1-0", 2, 9), ("n1-1", 1, 9), ("n1-1", 2, 3)])
def test_views_of_the_same_microsecond_have_one_order(lake: Lake, first: tuple[str, int, int]) -> None:
    for icp, (writer, generation, ordinal) in (("late", ("n1-1", 2, 10)), ("early", first)):
        lake.view(0, "ann", icp=icp, writer=writer, generation=generation, ordinal=ordinal)
    assert _cell(lake.report()).icp == "early"


@pytest.mark.parametrize(("at", "fate"), [(-1, "orphan"), (0, "left"), (2 * DAY - 1e-6, "left"), (2 * DAY, "orphan")])
def test_window_is_half_open(lake: Lake, at: float, fate: str) -> None:
    lake.view(10, "ann")
    lake.convert(10 + at, "ann")
    losses = _left(lake.report().waterfall.conversions["demo"])
    assert losses == dict.fromkeys(losses, 0) | {fate: 1}


def test_orphans_say_why(lake: Lake) -> None:
    lake.view(DAY, "ann")
    lake.convert(0, "ann")
    lake.convert(9 * DAY, "ann")
    lake.convert(DAY, "stranger")
    orphan = next(stage for stage in lake.report().waterfall.conversions["demo"] if stage.name == "orphan")
    assert orphan.reasons == {"no analysed view": 1, "before the first view": 1, "after the window": 1}


def test_id_counts_once_for_ever_even_if_its_first_use_counted_for_nobody(lake: Lake) -> None:
    lake.view(DAY, "ann")
    lake.convert(DAY + 5, "ann", conversion_id="x", not_counted="bot")  # not a first use: it may never count
    lake.convert(DAY + 6, "stranger", conversion_id="x")
    lake.convert(DAY + 7, "ann", conversion_id="x")
    report = lake.report(since=START + dt.timedelta(days=1))
    assert _left(report.waterfall.conversions["demo"]) == {
        "not_counted": 1, "unknown_goal": 0, "duplicate": 1, "orphan": 1, "repeat": 0, "left": 0,
    }  # fmt: skip


def test_once_per_unit_or_per_id(lake: Lake) -> None:
    lake.view(0, "ann")
    for goal in ("demo", "order"):
        for n, given in enumerate(["a", "b", "b", None, None]):
            lake.convert(10 + n, "ann", goal, conversion_id=given and goal + given, value=100, currency="EUR")
    cell = _cell(lake.report())
    assert cell.converters == {"demo": 1, "order": 1}
    assert cell.conversions == {"demo": 1, "order": 3}  # a, b, and once without an id
    assert cell.value == {"demo": 100, "order": 300}


def test_lead_counts_for_lead_and_for_its_own_goal(lake: Lake) -> None:
    lake.view(0, "ann")
    lake.view(0, "bob")
    lake.convert(5, "ann", "demo", kind="lead")
    lake.convert(5, "bob", None, kind="lead")
    report = lake.report()
    assert _cell(report).converters == {"demo": 1, "lead": 2}
    assert _cell(report).value == {"demo": 12_000, "lead": 0}


def test_click_counts_when_it_names_a_goal(lake: Lake) -> None:
    lake.view(0, "ann")
    lake.add("click", 5, visitor="ann", goal="demo")
    lake.add("click", 6, visitor="ann")
    assert _left(lake.report().waterfall.conversions["demo"])["left"] == 1


def test_conversion_counts_on_every_page_that_was_seen_before(lake: Lake) -> None:
    lake.view(0, "ann", page="payroll")
    lake.view(0, "ann", page="time")
    lake.convert(5, "ann")
    report = lake.report()
    assert [cell.converters for cell in report.cells] == [{"demo": 1}, {"demo": 1}]
    assert report.waterfall.conversions["demo"][-1].left == 1


def test_other_money_counts_and_is_worth_nothing(lake: Lake) -> None:
    lake.view(0, "ann")
    lake.convert(5, "ann", value=999, currency="USD")
    report = lake.report()
    assert _cell(report).value == {"demo": 0} and _cell(report).converters == {"demo": 1}
    assert any("1 conversions have a value in a currency other than EUR" in note for note in report.notes)


def test_unit_of_two_arms_is_left_out_visibly(lake: Lake) -> None:
    dealt: EVENT = {"experiment": "split", "phase": 1, "weight_epoch": 1, "row": "cfo", "holdout": "out"}
    lake.view(0, "ann", arm="cfo", **dealt)
    lake.view(9, "ann", arm="roi", **dealt)
    lake.view(0, "bob", arm="roi", **dealt)
    lake.view(9, "bob", arm="roi", **dealt)
    lake.view(0, "eve", row="cfo", holdout="in")
    report = lake.report()
    split = _comparison(report, "experiment")
    assert split.multiple == 1 and _units(split) == {"cfo": (0, 0), "roi": (1, 0)}
    assert _units(_comparison(report, "row")) == {"holdout": (1, 0), "personalized": (2, 0)}
    losses = _left(_report(lake.path, _registry(), experiment="split").waterfall.views)
    assert (losses["outside"], losses["repeat"], losses["multiple"], losses["left"]) == (1, 2, 1, 1)
    assert "1 units were seen in two arms" in render_table(report, 120)


def test_arms_of_another_phase_are_another_deal(lake: Lake) -> None:
    for phase, arm in ((1, "cfo"), (2, "roi")):
        lake.view(phase, "ann", experiment="split", phase=phase, weight_epoch=1, arm=arm, row="cfo")
    new, old = lake.report().comparisons
    assert (new.phase, old.phase) == (2, 1)
    assert _units(new) == {"roi": (1, 0)} and _units(old) == {"cfo": (1, 0), "roi": (0, 0)}


def test_without_storage_a_visitor_is_a_unit_of_the_page_and_of_nothing_else(lake: Lake) -> None:
    lake.view(0, "today", unit=None, row="cfo", variant="cfo")
    lake.convert(5, "today")
    report = lake.report()
    assert report.comparisons == ()
    assert (_cell(report).arm, _cell(report).converters) == ("personalized", {"demo": 1})


def test_only_confirmed_views_count_unless_raw(lake: Lake) -> None:
    lake.view(0, "ann", seen=False)
    lake.convert(5, "ann")  # a conversion does not confirm
    report = lake.report()
    assert report.cells == () and any("--raw" in note for note in report.notes)
    assert _left(report.waterfall.views) == {"refused": 0, "not_counted": 0, "unconfirmed": 1, "repeat": 0, "left": 0}
    assert _cell(_report(lake.path, _registry(), raw=True)).converters == {"demo": 1}


def test_a_unit_has_matured_when_the_window_has_passed_for_its_whole_day(lake: Lake) -> None:
    lake.view(0, "ann", row="cfo", holdout="in")
    lake.view(DAY, "bob", row="cfo", holdout="out")
    matured = START + dt.timedelta(seconds=DAY + GOALS["demo"].window)
    report = lake.report(as_of=matured)
    assert report.waterfall.unmatured == _comparison(report, "row").unmatured == 1
    assert any("1 units are still inside" in note and "--until 2026-11-02" in note for note in report.notes)
    only = _report(lake.path, _registry(), as_of=matured, until=START + dt.timedelta(days=1))
    assert (only.waterfall.units, only.waterfall.unmatured) == (1, 0)
    assert _report(lake.path, _registry(), as_of=matured - dt.timedelta(seconds=1)).waterfall.unmatured == 2


# --- shares and verdicts ---


def _crowd(lake: Lake, sizes: dict[str, tuple[int, int]], **columns: Any) -> None:
    """For each arm so many units, of whom so many convert."""
    for arm, (units, converters) in sizes.items():
        for n in range(units):
            who = f"{arm}{n}{columns.get('weight_epoch', '')}"
            lake.view(n, who, row="cfo", **(columns | _dealt(arm)))
            if n < converters:
                lake.convert(n + 5, who)


def _dealt(arm: str) -> EVENT:
    if arm in ("in", "out"):
        return {"holdout": arm}
    return {"experiment": "split", "phase": 1, "arm": arm, "holdout": "out"}


def test_verdict_better(lake: Lake) -> None:
    _crowd(lake, {"cfo": (300, 30), "roi": (300, 60)}, weight_epoch=1)
    split = _comparison(report := lake.report(), "experiment")
    (difference,) = split.differences
    assert difference.finding == "better" and difference.low > 0
    assert difference.lift == pytest.approx(1.0) and difference.lift_low is not None and difference.lift_low > 0
    assert split.verdict[0].startswith(
        "`roi` does better than `cfo`: 20.0 % (60/300) against 10.0 % (30/300), a lift of"
    )
    assert split.verdict[1].startswith("What to do: make `roi`")
    assert any("planned beforehand" in note for note in report.notes)


@pytest.mark.parametrize(
    ("held", "personalized", "beginning"),
    [
        ((100, 40), (400, 80), "`personalized` does worse than `holdout`"),
        ((100, 25), (400, 102), "No difference shown between `personalized` and `holdout`"),
        ((100, 24), (400, 200), "Not enough data for a verdict on `personalized`"),
        ((0, 0), (3, 1), "No verdict: there are no visitors to compare yet on `holdout`"),
    ],
)
def test_verdicts(lake: Lake, held: tuple[int, int], personalized: tuple[int, int], beginning: str) -> None:
    _crowd(lake, {"in": held, "out": personalized})
    report = lake.report()
    for kind in ("row", "holdout"):
        assert _comparison(report, kind).verdict[0].startswith(beginning)
    if beginning.startswith("Not enough"):
        assert "`holdout` needs 1 more converter." in _comparison(report, "row").verdict[0]


def test_wrong_shares_hide_the_verdict_and_every_difference(lake: Lake) -> None:
    _crowd(lake, {"in": (300, 30), "out": (300, 90)})
    row = _comparison(report := lake.report(), "row")
    assert row.srm.failed and row.srm.observed == {"holdout": 300, "personalized": 300}
    assert row.srm.expected == {"holdout": 0.2, "personalized": 0.8} and row.srm.imbalance == pytest.approx(0.3)
    assert row.verdict[0].startswith("No verdict: visitors did not fall on the arms as configured")
    assert "Usual causes" in row.verdict[1] and len(row.verdict) == 2
    assert row.differences == () and "+20.00" not in render_table(report, 160)
    (segment,) = _comparison(_report(lake.path, _registry(), by=("country",)), "row").segments
    assert segment.differences == () and [arm.units for arm in segment.arms] == [300, 300]


def test_shares_are_those_of_the_current_epoch_and_of_units_dealt_in_it(lake: Lake) -> None:
    _crowd(lake, {"cfo": (90, 1), "roi": (10, 1)}, weight_epoch=1)
    _crowd(lake, {"cfo": (52, 1), "roi": (48, 1)}, weight_epoch=2)
    for n in range(60):  # dealt by the weights of epoch 1, met again in epoch 2
        lake.view(n, f"old{n}", row="cfo", weight_epoch=2, sticky=True, **_dealt("cfo"))
    registry = _registry()
    split = replace(registry.experiments["split"], weight_epoch=2)
    comparison = _comparison(lake.report(replace(registry, experiments={"split": split})), "experiment")
    assert comparison.srm.observed == {"cfo": 52, "roi": 48} and not comparison.srm.failed
    assert "160 units" in comparison.srm.note
    assert any("weights or the coverage changed" in sentence for sentence in comparison.verdict)


def test_shares_of_rows_that_differ_are_not_tested_together(lake: Lake) -> None:
    lake.view(0, "ann", row="cfo", holdout="in")
    lake.view(0, "bob", row="hr", holdout="out")
    registry = _registry()
    page = _page("payroll", [_row("cfo", 0.2), _row("hr", 0.5)], ("demo",))
    report = lake.report(replace(registry, pages={"payroll": page}, experiments={}))
    assert _comparison(report, "holdout").srm.note == "the rows have different holdouts; each is tested by itself"


def test_what_is_gone_from_the_workspace_is_still_reported(lake: Lake) -> None:
    _crowd(lake, {"cfo": (3, 1), "roi": (2, 1)}, weight_epoch=1)
    report = lake.report(_registry(pages={}, experiments={}), experiment="split")
    split = _comparison(report, "experiment")
    assert split.goal == "lead" and split.srm.p is None and "not in the workspace any more" in split.srm.note


# --- dimensions ---


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (
            ("company_size", "company.employees"),
            [("<10", "9"), ("10–49", "10–49"), ("unknown", "51–1,000"), ("1000+", "1,000 or more")],
        ),
        (
            ("new_returning", "account_list"),
            [("new", "tier-1"), ("returning", "tier-2"), ("unknown", "none"), ("unknown", "none")],
        ),
        (
            ("geo.eu", "company.technologies"),
            [("yes", "sap, jira"), ("no", "unknown"), ("unknown", "unknown"), ("unknown", "unknown")],
        ),
        (
            ("day", "utm.source"),
            [("2026-11-01", "google"), ("2026-11-02", "bing"), ("2026-11-03", "unknown"), ("2026-11-03", "unknown")],
        ),
        (("icp", "country"), [("smb", "DE"), ("none", "TH"), ("none", "unknown"), ("none", "unknown")]),
    ],
)
def test_dimensions(lake: Lake, by: tuple[str, str], said: list[tuple[str, str]]) -> None:
    lake.view(
        0, "ann", icp="smb", company_employees=[9, 9], visit_count=1, company_lists=["tier-1", "tier-2"], geo_eu=True,
        company_technologies=["sap", "jira"], utm_source="google", geo_country="DE",
    )  # fmt: skip
    lake.view(
        DAY, "bob", company_employees=[10, 49], visit_count=2, company_lists=["tier-2"], geo_eu=False,
        utm_source="bing", geo_country="TH",
    )  # fmt: skip
    lake.view(2 * DAY, "eve", company_employees=[51, 1000])
    lake.view(2 * DAY, "zoe", company_employees=[1000, None])
    report = lake.report(by=by)
    assert report.by == by
    lines = {line.values: line.units for line in report.lines if line.goal == "demo"}
    assert lines == Counter(said)


def test_page_and_arm_are_columns_of_every_table(lake: Lake) -> None:
    lake.view(0, "ann", row="hr", holdout="out")
    report = lake.report(by=("arm", "page"))
    assert report.by == () and {(line.page, line.arm, line.values) for line in report.lines} == {
        ("payroll", "personalized", ())
    }


def test_segments_of_a_comparison(lake: Lake) -> None:
    _crowd(lake, {"in": (3, 1), "out": (9, 2)}, geo_country="DE")
    lake.view(0, "zoe", row="cfo", holdout="out")
    segments = _comparison(report := lake.report(by=("country",)), "row").segments
    assert [(segment.values, [(a.units, a.converters) for a in segment.arms]) for segment in segments] == [
        (("DE",), [(3, 1), (9, 2)]),
        (("unknown",), [(0, 0), (1, 0)]),
    ]
    assert any("some differ by chance" in note for note in report.notes)


# --- what is asked wrongly, and nothing to report ---


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"by": ("contry",)}, "Did you mean country?"),
        ({"by": ("geo_city",)}, "Did you mean geo.city?"),
        ({"by": ("icp", "persona", "day")}, "at most 2 dimensions"),
        ({"goal": "dmo"}, "Did you mean demo?"),
        ({"experiment": "spilt"}, "Did you mean split?"),
        ({"since": NOW, "until": START}, "is not before"),
        ({"confidence": 95.0}, "write a share"),
    ],
)
def test_wrong_question(lake: Lake, asked: EVENT, sentence: str) -> None:
    with pytest.raises(PersonalizerError, match=sentence.replace("?", r"\?")):
        lake.report(**asked)


def test_lake_that_cannot_be_read(lake: Lake) -> None:
    lake.view(0, "ann")
    lake.write()
    for file in (lake.path / "events").rglob("*.parquet"):
        file.write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match="personalizer doctor"):
        _report(lake.path, _registry())


@pytest.mark.parametrize("empty", ["no lake", "no view in the time"])
def test_nothing_yet(lake: Lake, empty: str) -> None:
    if empty != "no lake":
        lake.view(0, "ann")
    report = lake.report(since=NOW, by=("icp",), experiment="split")
    assert (report.waterfall.units, report.comparisons, report.cells) == (0, (), ())
    assert report.notes[0].startswith("Nothing yet") and "personalizer simulate" in report.notes[0]
    assert "Nothing yet" in render_table(report, 80)
    assert json.loads(render_json(report))["cells"] == []
    assert len(render_csv(report).splitlines()) == 1


# --- formats ---


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Report:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    _random_lake(lake, random.Random(3))
    lake.view(0, "ann", utm_source="=cmd|' /C calc'!A0", icp="smb")
    lake.view(0, "bob", utm_source="[red]\x1b[31mbold\x07", icp="smb")
    return lake.report(by=("utm.source", "icp"))


def test_json_is_the_report(full: Report) -> None:
    document = json.loads(render_json(full))
    assert document["as_of"] == "2027-01-30T00:00:00+00:00"
    cell = document["cells"][0]
    assert list(cell) == [
        "page", "row", "arm", "icp", "persona", "units", "views", "converters", "conversions", "value",
    ]  # fmt: skip
    assert sum(c["units"] for c in document["cells"]) == document["waterfall"]["views"][-1]["left"]
    assert document["comparisons"][0]["verdict"]


def test_csv_is_safe_to_open(full: Report) -> None:
    lines = list(csv.DictReader(io.StringIO(render_csv(full), newline="")))
    assert len(lines) == len(full.lines)
    assert {line["utm.source"] for line in lines} >= {"'=cmd|' /C calc'!A0", "unknown"}
    for line, expected in zip(lines, full.lines, strict=True):
        assert (int(line["units"]), int(line["converters"])) == (expected.units, expected.converters)
        assert float(line["rate"]) == expected.rate.share
    for start in ("+1", "-1", "@x", "\tx", "\rx"):
        odd = replace(full, lines=(replace(full.lines[0], values=(start, "x")),))
        assert next(csv.DictReader(io.StringIO(render_csv(odd), newline="")))["utm.source"] == f"'{start}"


@pytest.mark.parametrize("width", [80, 100, 120])
def test_words_and_figures_stay_whole_where_there_is_room(width: int) -> None:
    table = _table("Title", ("row", "icp", "arm", "units", "converted"), numbers=2)
    table.add_row(*_cells("finance-dach", "enterprise-operations", "personalized", "12,345", "10.5 % (1,234/12,345)"))
    table.add_row(*_cells("none", "none", "holdout", "1", "0.0 % (0/1)"))
    page = Console(file=io.StringIO(), width=width, color_system=None)
    page.print(table)
    assert isinstance(page.file, io.StringIO)
    said = page.file.getvalue().split()
    assert {"finance-dach", "enterprise-operations", "personalized", "12,345", "(1,234/12,345)", "(0/1)"} <= {*said}


@pytest.mark.parametrize("width", [40, 80, 160])
def test_table_fits_and_nothing_in_it_is_markup(full: Report, width: int) -> None:
    text = render_table(full, width)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text and "\x07" not in text
    if width == 160:
        assert "[red]\ufffd[31mbold\ufffd" in text
        assert "analysed units" in text and "repeat views" in text
