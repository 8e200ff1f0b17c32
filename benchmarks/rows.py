"""Which rows of the design's speed table are measured, and by what.

What enters: the rows that are asked for. What leaves: `Findings` of all of them. Must not: let a row that cannot be
measured keep the others from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from benchmarks import BenchError, compare
from benchmarks.browser import measure_browser
from benchmarks.figures import Findings, Say
from benchmarks.growth import measure_growth
from benchmarks.matching import measure_matching
from benchmarks.publishing import measure_publishing
from benchmarks.sizes import Size
from benchmarks.workspace import Bench

Measure = Callable[[Bench, Size, Say], Findings]


class _Row(NamedTuple):
    what: str
    measure: Measure | None  # None: with others, side by side, in `compare`


ROWS: Mapping[str, _Row] = {
    "1": _Row("an empty Flask view", None),
    "2": _Row("nginx sending a file", None),
    "3": _Row("the naive version", None),
    "4": _Row("wagtail-personalisation", None),
    "5": _Row("matching, against GrowthBook's SDK", measure_matching),
    "6": _Row("a cold visitor, against a warm one", None),
    "7": _Row("gzip, against uncompressed", None),
    "8": _Row("publishing under load", measure_publishing),
    "11": _Row("the page in Chromium", measure_browser),
    "growth": _Row("rules, variants, workers", measure_growth),
}


def measure_rows(bench: Bench, size: Size, rows: frozenset[str], say: Say) -> Findings:
    """Raises BenchError only when our own server did not answer as it should."""
    findings = Findings()
    side_by_side = rows & compare.ROWS
    if side_by_side:
        findings.add(compare.compare(bench, size, side_by_side, say))
    for name, row in ROWS.items():
        if name in rows and row.measure is not None:
            try:
                findings.add(row.measure(bench, size, say))
            except BenchError as error:
                findings.missing[name] = str(error)
    return findings
