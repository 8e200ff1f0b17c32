"""What a report can be broken down by: names a person types, and the SQL that reads each from an exposure.

What enters: a name. What leaves: a `Dimension`. Must not: put anything that was typed into SQL.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from personalizer.decision.conditions import say
from personalizer.errors import PersonalizerError
from personalizer.model import Range
from personalizer.visitor.facts import FACTS

MOST = 2  # dimensions at a time

LABEL = """CASE
            WHEN holdout = 'in' THEN 'holdout'
            WHEN arm IS NOT NULL THEN arm
            WHEN "row" IS NOT NULL THEN 'personalized'
            ELSE 'original'
        END"""
"""What a view of a page shows, as an arm: the experiment's arm, else what the page's table made of it."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One way to break down: its name, the SQL over the columns of an exposure, and what to call its absence."""

    name: str
    sql: str
    absent: str = "unknown"


_SIZE = """CASE
            WHEN company_employees.high < 10 THEN '<10'
            WHEN company_employees.low >= 10 AND company_employees.high < 50 THEN '10–49'
            WHEN company_employees.low >= 50 AND company_employees.high < 250 THEN '50–249'
            WHEN company_employees.low >= 250 AND company_employees.high < 1000 THEN '250–999'
            WHEN company_employees.low >= 1000 THEN '1000+'
        END"""  # a range that spans two bands is unknown, as in conditions

_OWN = (
    Dimension("icp", "icp", "none"),
    Dimension("persona", "persona", "none"),
    Dimension("page", "page"),
    Dimension("row", '"row"', "none"),
    Dimension("arm", LABEL),
    Dimension("campaign", "ad_campaign", "none"),
    Dimension("ad", "ad_ad", "none"),
    Dimension("country", "geo_country"),
    Dimension("industry", "company_industry"),
    Dimension("device", "device_type"),
    Dimension("audience", "audience_key", "none"),
    Dimension("account_list", "company_lists[1]", "none"),
    Dimension("new_returning", "CASE WHEN visit_count > 1 THEN 'returning' WHEN visit_count <= 1 THEN 'new' END"),
    Dimension("company_size", _SIZE),
    Dimension("unit", "CASE WHEN unit <> visitor THEN 'company' ELSE 'visitor' END"),
    Dimension("day", "CAST(ts AS DATE)"),
)

DIMENSIONS: dict[str, Dimension] = {dimension.name: dimension for dimension in _OWN} | {
    fact.name: Dimension(fact.name, fact.column) for fact in FACTS.values()
}


_CUSTOM = re.compile(r"custom\.([a-z0-9][a-z0-9_-]{0,63})")  # a key, which may stand in SQL


def lookup_dimensions(names: Iterable[str]) -> tuple[Dimension, ...]:
    """The dimensions of these names. Raises PersonalizerError for an unknown name, or more than two."""
    found = tuple(_lookup(name) for name in names)
    if len(found) > MOST:
        raise PersonalizerError(f"--by {','.join(d.name for d in found)}: at most {MOST} dimensions at a time.")
    return found


def _lookup(name: str) -> Dimension:
    if name in DIMENSIONS:
        return DIMENSIONS[name]
    custom = _CUSTOM.fullmatch(name)
    if custom:
        return Dimension(name, f"""json_extract_string(custom, '$."{custom[1]}"')""")
    raise PersonalizerError(
        f"--by {name}: there is no such dimension.{nearest(name, DIMENSIONS)} "
        f"The dimensions are {', '.join(dimension.name for dimension in _OWN)}, and every fact, as geo.city or "
        "custom.budget."
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence with the known name that is most like a mistaken one, or nothing."""
    like = difflib.get_close_matches(name.replace(" ", "_").casefold(), list(known), n=1)
    return f" Did you mean {like[0]}?" if like else ""


def say_value(dimension: Dimension, value: object) -> str:
    """A value that DuckDB read, in words: text as it is, a range as 51–1,000, a list with commas."""
    if value is None:
        return dimension.absent
    if isinstance(value, dict):
        low, high = value["low"], value["high"]
        value = Range(float("-inf") if low is None else low, float("inf") if high is None else high)
        return say(low) if low is not None and low == high else say(value)
    if isinstance(value, list):
        return ", ".join(value)
    return say(value) if isinstance(value, bool | int | float) else str(value)
