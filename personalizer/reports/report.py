"""A report from start to end: check what is asked, run the query, roll its groups up.

What enters: the lake's directory, the registry, what to report, the time. What leaves: a `Report`. Must not: write,
read a clock, or fail because there is nothing yet.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from personalizer.decision.registry import Registry
from personalizer.errors import PersonalizerError
from personalizer.events.lake import lake_files
from personalizer.reports.cells import build_cells, build_lines
from personalizer.reports.compare import compare
from personalizer.reports.dimensions import lookup_dimensions, nearest
from personalizer.reports.lens import Lens
from personalizer.reports.query import (
    Fate,
    Group,
    Received,
    Scope,
    count_fates,
    count_received,
    open_events,
    read_statistics,
)
from personalizer.reports.result import Comparison, Report
from personalizer.reports.verdict import PEEKING
from personalizer.reports.waterfall import build_waterfall

COLUMNS_ANYWAY = ("page", "arm")  # every table by segment has these columns, asked for or not
CELLS_BY = ("row", "icp", "persona")


def run_report(
    lake: Path,
    registry: Registry,
    *,
    experiment: str | None,
    by: tuple[str, ...],
    goal: str | None,
    since: dt.datetime | None,
    until: dt.datetime | None,
    raw: bool,
    confidence: float,
    as_of: dt.datetime,
) -> Report:
    """What the lake says about first views in `[since, until)` (aware times; None is no bound).

    `experiment` reports one experiment, else everything. `by` names up to two dimensions. `goal` judges everything by
    one goal, else each page by its primary and each experiment by its own. `raw` takes unconfirmed views too.
    `as_of` is when the lake was read: whose window is open then has not matured. An empty lake gives an empty report
    that says what to do. Raises PersonalizerError for an unknown experiment, goal or dimension, DataError for a lake
    that cannot be read.
    """
    dimensions = tuple(d for d in lookup_dimensions(by) if d.name not in COLUMNS_ANYWAY)
    _check(goal, registry.goals, "goal")
    _check_times(since, until, confidence)
    scope = Scope(since, until, raw, experiment, dimensions, registry.currency)
    found = _read(lake, registry, scope)
    if experiment and not any(group.contest == "experiment" for group in found.groups):
        _check(experiment, registry.experiments, "experiment")
    lens = Lens(registry, as_of, confidence, goal, segmented=bool(dimensions))
    comparisons = compare(found.groups, lens)
    waterfall = build_waterfall(found.received, found.groups, found.fates, scope.main, lens.unmatured)
    pages = _pages(found.groups, registry, experiment)
    cells = [group for group in found.groups if group.contest == "page" and group.page in pages]
    main = [group for group in found.groups if group.contest == scope.main]
    return Report(
        site=registry.site_name,
        revision=registry.revision[:12],
        currency=registry.currency,
        as_of=as_of,
        since=since,
        until=until,
        raw=raw,
        confidence=confidence,
        experiment=experiment,
        by=tuple(d.name for d in dimensions) if by else CELLS_BY,
        goals={page: lens.goal_of_page(page) for page in pages},
        waterfall=waterfall,
        comparisons=comparisons,
        cells=build_cells(cells),
        lines=build_lines(cells, lens, chosen=bool(by)),
        notes=tuple(_notes(found, scope, comparisons, waterfall.unmatured, _matured_until(main, lens))),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    received: Sequence[Received] = ()
    groups: Sequence[Group] = ()
    fates: Sequence[Fate] = ()


def _read(lake: Path, registry: Registry, scope: Scope) -> _Found:
    files = lake_files(lake, "events")
    if not files:
        return _Found()
    with open_events(files, registry.goals.values()) as events:
        return _Found(count_received(events, scope), read_statistics(events, scope), count_fates(events, scope))


def _check(name: str | None, known: Iterable[str], what: str) -> None:
    if name is not None and name not in known:
        names = ", ".join(sorted(known)) or "none"
        raise PersonalizerError(f"{name}: there is no such {what}.{nearest(name, known)} The workspace has: {names}.")


def _check_times(since: dt.datetime | None, until: dt.datetime | None, confidence: float) -> None:
    if since is not None and until is not None and since >= until:
        raise PersonalizerError(
            f"--since {since:%Y-%m-%d} is not before --until {until:%Y-%m-%d}: no view lies between."
        )
    if not 0 < confidence < 1:
        raise PersonalizerError(f"confidence {confidence}: write a share between 0 and 1, as 0.95.")


def _pages(groups: Iterable[Group], registry: Registry, experiment: str | None) -> tuple[str, ...]:
    """Pages that the report is about, in the workspace's order; those that are gone from it come last."""
    seen = {group.page for group in groups if group.contest == ("experiment" if experiment else "page")}
    return tuple(page for page in registry.pages if page in seen) + tuple(sorted(seen - set(registry.pages)))


# --- what a reader should know beside the figures ---


def _matured_until(groups: Iterable[Group], lens: Lens) -> dt.date:
    """The first day on which somebody's window is still open."""
    longest = max((lens.window(goal) for goal in {lens.goal_of(group) for group in groups}), default=0)
    return (lens.as_of - dt.timedelta(seconds=longest)).astimezone(dt.UTC).date()


def _notes(
    found: _Found, scope: Scope, comparisons: Iterable[Comparison], unmatured: int, matured_until: dt.date
) -> Iterable[str]:
    views = sum(line.events for line in found.received if line.kind == "exposure")
    if not views:
        where = " in this time" if scope.since or scope.until else ""
        yield (
            f"Nothing yet: the lake has no page view{where}. Open a page that `personalizer serve` shows, or send a "
            "population with `personalizer simulate`; then ask again with `--wait`, which waits for the last event."
        )
        return
    if not found.groups:
        yield (
            "No view counts: none was confirmed by the page's beacon, or all were bots or internal. "
            "The waterfall says which; `--raw` takes unconfirmed views too."
        )
    if any(comparison.differences for comparison in comparisons):
        yield PEEKING
    if found.groups:
        yield (
            "Only comparisons hold what chance has dealt side by side. The tables of a page describe: their lines show "
            "different people, who may convert differently whatever they see."
        )
    if scope.raw:
        yield "Raw: views that no beacon confirmed are in these figures, and so are programs that load no beacon."
    if unmatured:
        yield (
            f"{unmatured:,} units are still inside their goal's window and are included: their conversions may still "
            f"come. `--until {matured_until}` leaves them out."
        )
    foreign = sum(line.foreign for line in found.fates)
    if foreign:
        yield f"{foreign:,} conversions have a value in a currency other than {scope.currency}: they count as worth 0."
    if scope.by:
        yield "Among many segments some differ by chance: take a difference as a question for an experiment."
