"""A report for programs: JSON with everything, CSV with the table by segment.

What enters: a `Report`. What leaves: bytes, text. Must not: compute figures, or let a cell run in a spreadsheet.
"""

from __future__ import annotations

import csv
import io

import orjson

from personalizer.reports.result import Report

_RUNS = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the start of a formula


def render_json(report: Report) -> bytes:
    """The report as one JSON object: the fields of `result.Report` and of what it holds, under those names.

    Times are RFC 3339, days and windows as documented there, values in minor units of `currency`.
    """
    return orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def render_csv(report: Report) -> str:
    """The table by segment, one line a page, segment, arm and goal; a header line; CRLF, as RFC 4180 has it.

    Rates are shares from 0 to 1 and empty without units; `value` is in minor units. Text that a spreadsheet would take
    for a formula begins with an apostrophe.
    """
    text = io.StringIO()
    table = csv.writer(text)
    measures = ("units", "views", "converters", "conversions", "value", "rate", "rate_low", "rate_high")
    table.writerow(("page", *report.by, "arm", "goal", *measures))
    for line in report.lines:
        names = (line.page, *line.values, line.arm, line.goal)
        counts = (line.units, line.views, line.converters, line.conversions, line.value)
        table.writerow((*map(_inert, names), *counts, line.rate.share, line.rate.low, line.rate.high))
    return text.getvalue()


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(_RUNS) else text
