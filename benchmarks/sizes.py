"""How long a run takes.

What enters: nothing. What leaves: `FULL`, by which rows are judged, and `QUICK`, which shows that they can be measured.
Must not: differ in anything but size.
"""

from __future__ import annotations

from typing import NamedTuple

from benchmarks import large
from benchmarks.market import USUAL, Scale


class Size(NamedTuple):
    """Visitors, rounds, seconds of a round of load, of what leads into it, and of one in process; how far the growth
    curves go; and what is published, how often, after how many seconds of quiet, and how large a workspace is checked.

    The naive version and GrowthBook remember nothing of visitors, so that they need fewer; but more than there are user
    agents, of which the naive version's library remembers 200.
    """

    visitors: int
    naive_visitors: int
    rounds: int
    seconds: int
    lead_in: int
    inside_seconds: float
    growth: tuple[Scale, ...]  # the first is where both curves begin
    growth_visitors: int
    growth_rounds: int
    growth_seconds: int
    published: large.Scale
    publishes: int
    publish_seconds: int
    checked: large.Scale

    def __str__(self) -> str:
        return f"{self.visitors:,} visitors, {self.rounds} rounds of {self.seconds} s"


_RULES = (
    Scale(25, 1, 1, 1),
    Scale(25, 2, 2, 6),
    USUAL,
    Scale(100),
    Scale(250),
)
_VARIANTS = tuple(USUAL._replace(variants=count) for count in (10, 34, 200, 1000, 5000))

FULL = Size(
    20_000, 2_000, 11, 5, 2, 1.5,
    (*_RULES, *_VARIANTS), 2_000, 3, 3,
    large.Scale(icps=10_000, variants=200, pages=4), 3, 8, large.Scale(icps=10_000, variants=5_000, pages=20),
)  # fmt: skip
QUICK = Size(
    1_000, 600, 1, 1, 1, 0.5,
    (_RULES[0], USUAL, _VARIANTS[0]), 200, 1, 1,
    large.Scale(icps=200, variants=40, pages=4), 1, 1, large.Scale(icps=200, variants=100, pages=4),
)  # fmt: skip
