"""The shapes of a finished report. JSON has these fields under these names, in this order.

What enters and leaves: nothing; these are plain, immutable records. Must not: compute, format, or read anything.

Words: a *unit* is a person dealt to (without storage: a visitor), in an experiment of companies a company where it is
known; a *view* an exposure that counts. *Converters* are units that reached a goal, *conversions* how often they did,
`value` is their worth in minor units of the currency.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Finding = Literal["better", "worse", "no difference shown", "not enough data"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a waterfall: how many it drops, by reason where it has several, and how many are left after it."""

    name: str
    dropped: int
    left: int
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Waterfall:
    """From what was received to what was analysed. Each stage's `left` is the one before it minus its `dropped`.

    `views`: received, refused, not_counted, unconfirmed, repeat; for one experiment also outside (it) and multiple
    (seen in two of its arms). What the last leaves are the analysed units, `unmatured` of them inside their goal's
    window, as the whole of a day: the window must have passed for all that were first seen on it.
    `conversions`, by goal: received, not_counted, unknown_goal, duplicate, orphan, repeat; the last leaves the counted.
    A person who sees two pages is a unit of both; a conversion counts here once, also if it counts on both.
    """

    views: tuple[Stage, ...]
    unmatured: int
    conversions: Mapping[str, tuple[Stage, ...]]

    @property
    def units(self) -> int:
        return self.views[-1].left


@dataclass(frozen=True, slots=True)
class Rate:
    """Converters of units, as a share with its Wilson interval; the share is None without units."""

    share: float | None
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of a comparison, with its sufficient statistics: n, converters, Σy and Σy² in minor units."""

    arm: str
    units: int
    converters: int
    conversions: int
    value: int
    value_squares: float
    rate: Rate


@dataclass(frozen=True, slots=True)
class Difference:
    """An arm against the baseline: rate minus rate with Newcombe's interval, and the relative lift with its own.

    The lift and its ends are None where the baseline has no converters. `finding` is what the interval shows.
    """

    arm: str
    baseline: str
    difference: float
    low: float
    high: float
    lift: float | None
    lift_low: float | None
    lift_high: float | None
    finding: Finding


@dataclass(frozen=True, slots=True)
class Srm:
    """Sample ratio mismatch: did units fall on the arms as configured? `p` is None where that cannot be tested.

    `observed` counts the units that were tested, `expected` are their configured shares. `note` says what was not
    tested, and why.
    """

    observed: Mapping[str, int]
    expected: Mapping[str, float]
    p: float | None
    imbalance: float | None
    failed: bool
    note: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A comparison inside one segment; `values` are in the order of the report's `by`."""

    values: tuple[str, ...]
    arms: tuple[Arm, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Arms that chance has dealt, the baseline first.

    `kind` `experiment`: the arms of one phase. `row`: a row's holdout against everybody it personalized, whatever their
    arm. `holdout`: the same over all rows of the page. `multiple` units were seen in two arms and are in none of them.
    `companies` of the units in the arms are companies; None where nothing is dealt to companies.
    Where the shares do not fit (`srm.failed`) there are no differences: the sides are not alike.
    """

    kind: Literal["experiment", "row", "holdout"]
    page: str
    row: str | None
    experiment: str | None
    phase: int | None
    goal: str
    window: int  # seconds
    arms: tuple[Arm, ...]
    differences: tuple[Difference, ...]
    multiple: int
    companies: int | None
    unmatured: int
    srm: Srm
    verdict: tuple[str, ...]
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """Units of a page by what was true at their first view of it. A goal that is absent was not reached."""

    page: str
    row: str | None
    arm: str
    icp: str | None
    persona: str | None
    units: int
    views: int
    converters: Mapping[str, int]
    conversions: Mapping[str, int]
    value: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table by segment: a page's units with these `values` and this arm, and one goal."""

    page: str
    values: tuple[str, ...]
    arm: str
    goal: str
    units: int
    views: int
    converters: int
    conversions: int
    value: int
    rate: Rate


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report. `since` ≤ first view < `until`; `as_of` is the time up to which the lake was read.

    `goals` names the goal that each page is judged by. `by` names the dimensions of `lines` and of the segments;
    without a choice `lines` are by row, ICP and persona, and comparisons have no segments.
    """

    site: str
    revision: str
    currency: str
    as_of: dt.datetime
    since: dt.datetime | None
    until: dt.datetime | None
    raw: bool
    confidence: float
    experiment: str | None
    by: tuple[str, ...]
    goals: Mapping[str, str]
    waterfall: Waterfall
    comparisons: tuple[Comparison, ...]
    cells: tuple[Cell, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
