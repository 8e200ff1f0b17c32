"""The one query: from the lake's events to sufficient statistics. Every table of a report is a roll-up of its rows.

What enters: the lake's files, the goals, and which part is asked for. What leaves: counts and sums, nothing per person.
Must not: decide what a report says; use SQL that only DuckDB has where other engines have a common form.

It reads two tables: `events` (the column table) and `goals`. Views (exposures that count) are numbered in the one order
there is, (ts, writer, generation, ordinal). A *contest* is what a unit can enter once: an experiment's phase, a row's
holdout, the holdout of a whole page, a page. A unit's first view of a contest is its least number, and everything else
that is said about the unit, arm and segment alike, is read from that one view: so a segment is frozen, and a later
visit moves nobody. A minimum does not mind repeated views, so only conversions need a dedupe.

A unit is a person; in an experiment that deals to companies, a company with all of its people. Each person belongs to
one unit of an experiment's phase for good: to whom the arm of their first view of it was dealt.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import duckdb

from personalizer.decision.registry import Goal
from personalizer.errors import DataError
from personalizer.reports.dimensions import LABEL, Dimension, say_value

EARLIEST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LATEST = dt.datetime(9999, 12, 31, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which part of the lake is asked for: first views from `since` up to but without `until`; None is no bound.

    `raw` also takes views that no beacon confirmed. `experiment` leaves out every contest but its own and the pages.
    """

    since: dt.datetime | None
    until: dt.datetime | None
    raw: bool
    experiment: str | None
    by: tuple[Dimension, ...]
    currency: str

    @property
    def main(self) -> str:
        """The contest that the waterfall follows."""
        return "experiment" if self.experiment else "page"


class Group(NamedTuple):
    """One group of units: those of a contest with the same arm, segment, exposure day and weight epoch.

    `goal` None carries the units and views, `fresh` of them dealt at that view rather than by their cookie; one group
    more a goal carries what they did: n converters, their conversions, Σy and Σy² over units. `multiple` units were
    seen in two arms; nothing they did is counted. `company` units are companies, all others are people. `values` are
    those of the scope's dimensions, in words.
    """

    contest: str
    multiple: bool
    company: bool
    arm: str
    experiment: str | None
    phase: int | None
    weight_epoch: int | None
    page: str
    row: str | None
    icp: str | None
    persona: str | None
    day: dt.date
    goal: str | None
    units: int
    fresh: int
    views: int
    converters: int
    conversions: int
    value: int
    value_squares: float
    values: tuple[str, ...]


class Received(NamedTuple):
    """How many views, or refused events, came in with the same fate."""

    kind: str
    refused_reason: str | None
    not_counted: str | None
    events: int


class Fate(NamedTuple):
    """How many conversions of a goal ended the same way; `foreign` of them have a value in another currency."""

    goal: str
    fate: str
    reason: str | None
    conversions: int
    foreign: int


_IN_RANGE = "ts >= $since AND ts < $until"

_CONVERSIONS = """
sent AS (  -- conversions as they came; an id counts once for ever, the first time that it may count at all
    SELECT
        event_id, kind, goal, ts, writer, generation, ordinal, not_counted, value, currency, conversion_id,
        visitor AS person,
        conversion_id IS NOT NULL AND 1 < row_number() OVER (
            PARTITION BY conversion_id, not_counted IS NULL ORDER BY ts, writer, generation, ordinal
        ) AS copy
    FROM events
    WHERE kind IN ('conversion', 'lead') OR (kind IN ('click', 'engaged') AND goal IS NOT NULL)
),
goals_sent AS (  -- a lead reaches its form's goal and the goal `lead`
    SELECT *, goal AS reached FROM sent WHERE goal IS NOT NULL OR kind <> 'lead'
    UNION ALL
    SELECT *, 'lead' AS reached FROM sent WHERE kind = 'lead' AND goal IS DISTINCT FROM 'lead'
),
done AS (  -- with the goal's rules, as far as the report's time can reach; money is never converted
    SELECT
        s.event_id, s.ts, s.writer, s.generation, s.ordinal, s.not_counted, s.conversion_id, s.person, s.copy,
        coalesce(s.reached, '(none)') AS goal, g.span, g.once,
        s.value IS NOT NULL AND s.currency <> $currency AS other_money,
        CASE
            WHEN s.value IS NULL THEN coalesce(g.worth, 0)
            WHEN s.currency <> $currency THEN 0
            ELSE s.value
        END AS worth
    FROM goals_sent s LEFT JOIN goals g ON g.goal = s.reached
    WHERE s.ts >= $since AND s.ts < $until + coalesce(g.span, INTERVAL 0 SECOND)
)"""

_VIEWS = """
views AS (  -- every exposure that counts, in order
    SELECT
        row_number() OVER (ORDER BY ts, writer, generation, ordinal) AS number,
        visitor AS person, coalesce(unit, visitor) AS dealt_to,
        ts, page, "row", icp, persona, experiment, phase, weight_epoch, sticky,
        CASE WHEN holdout IS DISTINCT FROM 'in' THEN arm END AS dealt,
        CASE holdout WHEN 'in' THEN 'holdout' WHEN 'out' THEN 'personalized' END AS side,
        {label} AS label,
        {by_1} AS by_1,
        {by_2} AS by_2
    FROM events
    WHERE kind = 'exposure' AND not_counted IS NULL AND {in_range} {only}
),
colleagues AS (SELECT DISTINCT person FROM views WHERE dealt IS NOT NULL AND dealt_to <> person),
members AS (  -- of an experiment's units, for colleagues: which they belong to; a line for each they were seen in
    SELECT *, first_value(dealt_to) OVER (PARTITION BY experiment, phase, person ORDER BY number) AS unit
    FROM (
        SELECT experiment, phase, person, dealt_to, min(number) AS number, min(ts) AS seen, count(*) AS views,
            min(dealt) AS low, max(dealt) AS high
        FROM views WHERE dealt IS NOT NULL {which} AND person IN (SELECT person FROM colleagues)
        GROUP BY experiment, phase, person, dealt_to
    ) AS deals
),
firsts AS (  -- who entered which contest, when they did and when their unit did, and by which view it did
    {contests}
),
credited AS (  -- conversions to each contest of the person, inside the unit's window; without an id, once per unit
    SELECT
        f.contest, f.number, d.goal, d.event_id, d.worth,
        row_number() OVER (
            PARTITION BY f.contest, f.number, d.goal, CASE WHEN d.once = 'id' THEN d.conversion_id END
            ORDER BY d.ts, d.writer, d.generation, d.ordinal
        ) AS turn
    FROM done d JOIN firsts f ON f.person = d.person
    WHERE d.ts >= f.seen AND d.ts < f.exposed + d.span
        AND NOT f.multiple AND NOT d.copy AND d.not_counted IS NULL
)"""

_CONFIRMED = "AND decision_id IN (SELECT decision_id FROM events WHERE kind = 'seen')"

# Whose views can matter to conversions: those who converted, and everybody who is of a unit with others.
_WHO_CONVERTED = """AND visitor IN (
        SELECT person FROM done UNION SELECT visitor FROM events WHERE kind = 'exposure' AND unit <> visitor
    )"""

# What a unit itself was dealt decides whether it saw two arms; not what one of its people saw elsewhere.
_TOGETHER = """SELECT 'experiment' AS contest, person, min(number) OVER same AS number, seen,
        min(seen) OVER same AS exposed, views, CASE WHEN number = min(number) OVER same THEN 1 ELSE 0 END AS units,
        min(CASE WHEN dealt_to = unit THEN low END) OVER same
            <> max(CASE WHEN dealt_to = unit THEN high END) OVER same AS multiple
    FROM members WINDOW same AS (PARTITION BY experiment, phase, unit)"""

_CONTEST = """SELECT '{name}' AS contest, person, min(number) AS number, min(ts) AS seen, min(ts) AS exposed,
        count(*) AS views, 1 AS units, {several} AS multiple
    FROM views WHERE {taking_part} GROUP BY {key}, person"""

_ALONE = "dealt IS NOT NULL {which} AND person NOT IN (SELECT person FROM colleagues)"


class _Contest(NamedTuple):
    name: str
    key: str
    taking_part: str
    several: str  # a unit seen in two arms is in none; of a page its first view decides


_CONTESTS = (
    _Contest("experiment", "experiment, phase", _ALONE, "min(dealt) <> max(dealt)"),
    _Contest("row", 'page, "row"', "side IS NOT NULL", "min(side) <> max(side)"),
    _Contest("holdout", "page", "side IS NOT NULL", "min(side) <> max(side)"),
    _Contest("page", "page", "TRUE", "FALSE"),
)

_STATISTICS = f"""
WITH {_CONVERSIONS}, {{views}},
outcomes AS (  -- y of each unit that converted
    SELECT contest, number, goal, count(*) AS conversions, sum(worth) AS y
    FROM credited WHERE turn = 1 GROUP BY contest, number, goal
),
counted AS (  -- each unit, a line for each of its people, and one for each goal that it reached
    SELECT contest, number, multiple, NULL AS goal, units, views,
        0 AS converters, 0 AS conversions, 0 AS y, 0.0 AS y_squares
    FROM firsts
    UNION ALL
    SELECT contest, number, FALSE, goal, 0, 0, 1, conversions, y, CAST(y AS DOUBLE) * y FROM outcomes
)
SELECT  -- with what was true at the first view
    c.contest, c.multiple, c.contest = 'experiment' AND v.dealt_to <> v.person AS company,
    CASE c.contest WHEN 'experiment' THEN v.dealt WHEN 'page' THEN v.label ELSE v.side END AS arm,
    CASE WHEN c.contest = 'experiment' THEN v.experiment END AS experiment,
    CASE WHEN c.contest = 'experiment' THEN v.phase END AS phase,
    CASE WHEN c.contest = 'experiment' THEN v.weight_epoch END AS weight_epoch,
    v.page, v."row", v.icp, v.persona, CAST(v.ts AS DATE) AS day, v.by_1, v.by_2,
    c.goal, sum(c.units), sum(CASE WHEN v.sticky THEN 0 ELSE c.units END), sum(c.views),
    sum(c.converters), sum(c.conversions), sum(c.y), sum(c.y_squares)
FROM counted c JOIN views v ON v.number = c.number
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
"""  # noqa: S608 (constants of this file)

_RECEIVED = f"""
SELECT kind, refused_reason, not_counted, count(*) FROM events
WHERE kind IN ('exposure', 'refused') AND {_IN_RANGE}
GROUP BY kind, refused_reason, not_counted
"""  # noqa: S608

_FATES = f"""
WITH {_CONVERSIONS}, {{views}},
best AS (SELECT event_id, goal, min(turn) AS turn FROM credited GROUP BY event_id, goal),
people AS (SELECT person, min(seen) AS seen FROM firsts WHERE NOT multiple GROUP BY person),
fates AS (
    SELECT
        d.goal, d.not_counted, d.other_money,
        CASE
            WHEN d.not_counted IS NOT NULL THEN 'not_counted'
            WHEN d.span IS NULL THEN 'unknown_goal'
            WHEN d.copy THEN 'duplicate'
            WHEN b.turn = 1 THEN 'counted'
            WHEN b.turn > 1 THEN 'repeat'
            ELSE 'orphan'
        END AS fate,
        CASE
            WHEN p.person IS NULL THEN 'no analysed view'
            WHEN d.ts < p.seen THEN 'before the first view'
            ELSE 'after the window'
        END AS why_orphan
    FROM done d
    LEFT JOIN best b ON b.event_id = d.event_id AND b.goal = d.goal
    LEFT JOIN people p ON p.person = d.person
)
SELECT goal, fate, CASE fate WHEN 'orphan' THEN why_orphan WHEN 'not_counted' THEN not_counted END,
    count(*), sum(CASE WHEN other_money AND fate = 'counted' THEN 1 ELSE 0 END)
FROM fates GROUP BY 1, 2, 3
"""  # noqa: S608


@contextmanager
def open_events(files: Sequence[str], goals: Iterable[Goal]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection with the two tables. Raises DataError when the files cannot be read or do not fit."""
    with duckdb.connect() as connection:
        try:
            connection.execute("SET TimeZone = 'UTC'")  # days are UTC days, wherever this runs
            connection.read_parquet(list(files), union_by_name=True, hive_partitioning=False).create_view("events")
            connection.execute("CREATE TABLE goals (goal VARCHAR, span INTERVAL, once VARCHAR, worth BIGINT)")
            for goal in goals:
                row = (goal.key, goal.window, goal.once, goal.value)
                connection.execute("INSERT INTO goals VALUES (?, to_seconds(?), ?, ?)", row)
            yield connection
        except duckdb.Error as error:
            raise DataError(f"The lake cannot be read: {error}. Run `personalizer doctor`.") from error


def read_statistics(connection: duckdb.DuckDBPyConnection, scope: Scope) -> list[Group]:
    """All groups of the scope's contests."""
    names = ("experiment", "page") if scope.experiment else tuple(contest.name for contest in _CONTESTS)
    text = _STATISTICS.format(views=_views_sql(scope, names))
    return [_group(scope.by, *line) for line in connection.execute(text, _parameters(scope)).fetchall()]


def count_received(connection: duckdb.DuckDBPyConnection, scope: Scope) -> list[Received]:
    """Views and refused events of the time range, by what spoke against them."""
    times = {name: _parameters(scope)[name] for name in ("since", "until")}
    return [Received(*line) for line in connection.execute(_RECEIVED, times).fetchall()]


def count_fates(connection: duckdb.DuckDBPyConnection, scope: Scope) -> list[Fate]:
    """Conversions that could belong to the time range, by how they ended in the main contest."""
    text = _FATES.format(views=_views_sql(scope, (scope.main,), _WHO_CONVERTED))
    return [Fate(*line) for line in connection.execute(text, _parameters(scope)).fetchall()]


def _views_sql(scope: Scope, names: Sequence[str], only: str = "") -> str:
    columns = [dimension.sql for dimension in scope.by] + ["NULL", "NULL"]
    which = "AND experiment = $experiment" if scope.experiment else ""
    contests = [_CONTEST.format_map(contest._asdict()) for contest in _CONTESTS if contest.name in names]
    if "experiment" in names:
        contests.append(_TOGETHER)
    return _VIEWS.format(
        label=LABEL,
        by_1=columns[0],
        by_2=columns[1],
        in_range=_IN_RANGE,
        only=only if scope.raw else f"{only} {_CONFIRMED}",
        which=which,
        contests="\n    UNION ALL\n    ".join(contests).format(which=which),
    )


def _parameters(scope: Scope) -> dict[str, Any]:
    values = {"since": scope.since or EARLIEST, "until": scope.until or LATEST, "currency": scope.currency}
    return values | ({"experiment": scope.experiment} if scope.experiment else {})


def _group(by: tuple[Dimension, ...], *columns: Any) -> Group:
    *group, by_1, by_2 = columns[:14]
    values = tuple(say_value(dimension, value) for dimension, value in zip(by, (by_1, by_2), strict=False))
    return Group._make((*group, *columns[14:], values))
