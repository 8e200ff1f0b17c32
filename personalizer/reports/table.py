"""A report for a terminal: waterfall, comparisons with their verdicts, the table by segment, notes.

What enters: a `Report` and a width. What leaves: plain text, read the same with and without colour. Must not: compute
figures, or let a value that came with a request be markup or control the terminal.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from babel.numbers import format_currency, get_currency_precision
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from personalizer.reports.result import Arm, Comparison, Difference, Line, Rate, Report, Srm, Stage
from personalizer.reports.verdict import percent, points
from personalizer.visitor.industry import say_code

_LIMITS = range(40, 3, -1)  # characters of a key that are kept together, as many as there is room for
_GAP = 3  # characters between two columns
MOST_LINES = 40  # of a table by segment; the rest is named, and is in CSV and JSON

_STAGES = {
    "received": "received",
    "refused": "refused",
    "not_counted": "bots and not counted",
    "unconfirmed": "unconfirmed by the page's beacon",
    "outside": "not in this experiment",
    "repeat": "repeat views",
    "multiple": "seen in two arms",
}
_CONVERSION_STAGES = {
    "not_counted": "not counted",
    "unknown_goal": "unknown goal",
    "duplicate": "same id",
    "orphan": "orphans",
    "repeat": "repeats",
}


def render_table(report: Report, width: int) -> str:
    """The report as lines of at most `width` characters."""
    page = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    for block in _blocks(report):
        page.print(block)
        page.print()
    assert isinstance(page.file, io.StringIO)
    return "\n".join(line.rstrip() for line in page.file.getvalue().splitlines()).rstrip() + "\n"


def _blocks(report: Report) -> Iterable[RenderableType]:
    yield _heading(report)
    if report.waterfall.views[0].left or report.waterfall.conversions:
        yield _views(report)
    if report.waterfall.conversions:
        yield _conversions(report)
    for comparison in report.comparisons:
        yield _comparison(comparison, report)
    for page, goal in report.goals.items():
        yield _lines([line for line in report.lines if line.page == page and line.goal == goal], report)
    if report.notes:
        yield Group(*(Padding(_text(note), (0, 0, 0, 2)) for note in report.notes))


def _heading(report: Report) -> RenderableType:
    since = f"from {report.since:%Y-%m-%d %H:%M %Z}" if report.since else "from the start"
    until = f"until {report.until:%Y-%m-%d %H:%M %Z}" if report.until else "until now"
    what = report.experiment or "everything"
    which = "all views, confirmed or not" if report.raw else "confirmed views"
    return Group(
        _text(f"{report.site}: {what}"),
        _text(
            f"As of {report.as_of:%Y-%m-%d %H:%M:%S %Z}. First views {since} {until}, {which}. "
            f"Intervals at {100 * report.confidence:.4g} %. Workspace {report.revision}."
        ),
    )


def _views(report: Report) -> Table:
    table = _table("From views received to units analysed", ("", "dropped", "left"), numbers=2)
    for stage in report.waterfall.views:
        table.add_row(*_cells(_STAGES[stage.name], _dropped(stage), f"{stage.left:,}"))
        for reason, count in stage.reasons.items():
            table.add_row(*_cells(f"  {reason}", f"{count:,}", ""))
    table.add_row(*_cells("analysed units", "", f"{report.waterfall.units:,}"))
    if report.waterfall.unmatured:
        table.add_row(*_cells("  not yet matured (included)", "", f"{report.waterfall.unmatured:,}"))
    return table


def _dropped(stage: Stage) -> str:
    return f"-{stage.dropped:,}" if stage.dropped else "0" if stage.name != "received" else ""


def _conversions(report: Report) -> RenderableType:
    heads = ("goal", "received", *_CONVERSION_STAGES.values(), "counted")
    table = _table("From conversions received to conversions counted", heads, numbers=len(heads) - 1)
    orphans: dict[str, int] = {}
    for goal, stages in report.waterfall.conversions.items():
        dropped = [_dropped(stage) for stage in stages[1:]]
        table.add_row(*_cells(goal, f"{stages[0].left:,}", *dropped, f"{stages[-1].left:,}"))
        for reason, count in next(stage for stage in stages if stage.name == "orphan").reasons.items():
            orphans[reason] = orphans.get(reason, 0) + count
    if not orphans:
        return table
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in orphans.items())
    return Group(table, Padding(_text(f"Orphans: {reasons}."), (0, 0, 0, 2)))


# --- comparisons ---


def _comparison(comparison: Comparison, report: Report) -> RenderableType:
    days = comparison.window / 86_400
    goal = f"goal {comparison.goal}" + (f" within {days:.4g} days of the first view" if days else "")
    blocks: list[RenderableType] = [_arms(f"{_title(comparison)}, {goal}", comparison, report)]
    blocks += [Padding(_text(sentence), (0, 0, 0, 2)) for sentence in (*comparison.verdict, *_health(comparison))]
    if comparison.segments:
        blocks += [Text(), _segments(comparison, report)]
    return Group(*blocks)


def _title(comparison: Comparison) -> str:
    if comparison.kind == "experiment":
        return f"Experiment {comparison.experiment}, phase {comparison.phase}, on page {comparison.page}"
    if comparison.kind == "row":
        return f"Page {comparison.page}, row {comparison.row}: personalized against held out"
    return f"Page {comparison.page}, all rows: personalized against held out"


def _arms(title: str, comparison: Comparison, report: Report) -> Table:
    heads = ("arm", "units", "converted", "interval", "value a unit", "points apart", "lift")
    table = _table(title, heads, numbers=len(heads) - 1)
    differences = {difference.arm: difference for difference in comparison.differences}
    for arm in comparison.arms:
        table.add_row(*_cells(arm.arm, f"{arm.units:,}", *_arm(arm, report), *_difference(differences.get(arm.arm))))
    return table


def _arm(arm: Arm, report: Report) -> tuple[str, str, str]:
    return _fraction(arm.converters, arm.units), _interval(arm.rate), _money(arm.value, arm.units, report)


def _difference(difference: Difference | None) -> tuple[str, str]:
    if difference is None:
        return "", ""
    gap = f"{points(difference.difference)} ({points(difference.low)} to {points(difference.high)})"
    if difference.lift is None or difference.lift_low is None or difference.lift_high is None:
        return gap, "not defined"
    interval = percent(difference.lift_low, difference.lift_high, sign="+")
    return gap, f"{percent(difference.lift, sign='+')} ({interval})"


def _health(comparison: Comparison) -> Iterable[str]:
    yield _shares(comparison.srm)
    if comparison.multiple:
        yield f"{comparison.multiple:,} units were seen in two arms and are left out."
    if comparison.companies is not None:
        people = sum(arm.units for arm in comparison.arms) - comparison.companies
        yield (
            f"Units are companies where the company is known ({comparison.companies:,}), else people ({people:,}). "
            "Each is dealt to and counted once, so the intervals hold although people of one company are alike."
        )


def _shares(srm: Srm) -> str:
    note = f" ({srm.note})" if srm.note else ""
    if srm.p is None or srm.imbalance is None:
        return f"Shares not tested{note}."
    result = "do NOT fit" if srm.failed else "fit"
    return f"Shares {result} what was configured: p = {srm.p:.3g}, off by {percent(srm.imbalance)} at most{note}."


def _segments(comparison: Comparison, report: Report) -> RenderableType:
    heads = (*report.by, "arm", "units", "converted", "interval", "points apart", "finding")
    table = _table(f"The same by {' and '.join(report.by)}", heads, numbers=4, texts_after=1)
    rows = [
        (segment.values, arm, next((d for d in segment.differences if d.arm == arm.arm), None))
        for segment in comparison.segments
        for arm in segment.arms
    ]
    for values, arm, difference in rows[:MOST_LINES]:
        figures = (f"{arm.units:,}", _fraction(arm.converters, arm.units), _interval(arm.rate))
        table.add_row(
            *_cells(
                *map(say_code, report.by, values),
                arm.arm,
                *figures,
                _difference(difference)[0],
                difference.finding if difference else "",
            )
        )
    return Group(table, *_left_off(len(rows)))


# --- the table by segment ---


def _lines(lines: Sequence[Line], report: Report) -> RenderableType:
    first = lines[0]
    heads = (*report.by, "arm", "units", "views", "converted", "interval", "value a unit")
    by = f", by {' and '.join(report.by)}" if report.by else ""
    table = _table(f"Page {first.page}, goal {first.goal}{by}", heads, numbers=5)
    for line in lines[:MOST_LINES]:
        converted, interval = _fraction(line.converters, line.units), _interval(line.rate)
        money = _money(line.value, line.units, report)
        counts = (f"{line.units:,}", f"{line.views:,}")
        table.add_row(*_cells(*map(say_code, report.by, line.values), line.arm, *counts, converted, interval, money))
    return Group(table, *_left_off(len(lines)))


def _left_off(lines: int) -> Iterable[Text]:
    if lines > MOST_LINES:
        yield _text(f"  … and {lines - MOST_LINES:,} more lines: see `--format csv` or `--format json`.")


# --- cells ---


class _Table(Table):
    """A table in which figures stay whole while there is room, and then keys; cells go on in the next line between."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        texts = [[str(cell) for cell in (column.header, *column.cells)] for column in self.columns]
        whole = [max(map(cell_len, cells)) for cells in texts]
        words = [max(cell_len(word) for cell in cells for word in (cell.split() or [""])) for cells in texts]
        is_key = [column.justify == "left" for column in self.columns]
        room = options.max_width - _GAP * len(words)
        for limit in _LIMITS:
            widths = [min(limit, word) if key else word for word, key in zip(words, is_key, strict=True)]
            if sum(widths) <= room:
                for _ in range(min(room, sum(whole)) - sum(widths)):  # what is left goes to whoever lacks most
                    most = max(range(len(widths)), key=lambda place: whole[place] - widths[place])
                    widths[most] += 1
                for column, width in zip(self.columns, widths, strict=True):
                    column.width = width
                break
        return super().__rich_console__(console, options)


def _table(title: str, heads: Sequence[str], *, numbers: int, texts_after: int = 0) -> Table:
    table = _Table(box=box.SIMPLE_HEAD, title=_text(title), title_justify="left", pad_edge=False)
    first_number = len(heads) - numbers - texts_after
    for place, head in enumerate(heads):
        number = first_number <= place < first_number + numbers
        table.add_column(_text(head), justify="right" if number else "left", overflow="fold")
    return table


def _cells(*values: str) -> list[Text]:
    return [_text(value) for value in values]


def _text(value: str) -> Text:
    """Literal text: no markup, and nothing that a terminal would obey."""
    return Text("".join(char if char.isprintable() else "\ufffd" for char in value))


def _fraction(converters: int, units: int) -> str:
    return f"{percent(converters / units)} ({converters:,}/{units:,})" if units else "0/0"


def _interval(rate: Rate) -> str:
    return percent(rate.low, rate.high) if rate.share is not None else ""


def _money(value: int, units: int, report: Report) -> str:
    if not value or not units:
        return ""
    return format_currency(value / units / 10 ** get_currency_precision(report.currency), report.currency, locale="en")
