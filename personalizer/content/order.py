"""Which rule goes first: among ICPs, among personas, among the rows of a page.

What enters: documents and their conditions. What leaves: tuples that sort. Must not: leave two of them equal, or what
visitors get would depend on the order of files.
"""

from __future__ import annotations

from typing import Any

from personalizer.content import models
from personalizer.decision.conditions import Condition


def row_rank(name: str, variant: models.Variant) -> tuple[Any, ...]:
    """The place of a row: explicit `order` first; then by what it is for, the nearest first; more before fewer; then
    the visitor's language before none; then, last in the tuple, the key."""
    whom = variant.for_ or models.For()
    given = [
        getattr(whom, dimension) is not None
        for dimension in ("accounts", "campaign", "persona", "icp", "audience", "when")
    ]
    order = variant.order if variant.order is not None else float("inf")
    return order, [not one for one in given], -sum(given), whom.language is None, name


def precedence(priority: int | None, match: Condition | None, key: str) -> tuple[Any, ...]:
    """The place of an ICP or a persona: explicit `priority` first, then more comparisons before fewer, then, last in
    the tuple, the key."""
    conditions = len(match.leaves) if match else 0
    return priority is None, priority or 0, -conditions, key
