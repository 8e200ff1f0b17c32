"""Findings on the terminal and as Markdown.

What enters: findings, the machine, the method. What leaves: tables. Must not: judge; the figures do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.figures import Figure, Findings, Sheet, number
from benchmarks.load import CONNECTIONS
from benchmarks.machine import PACKAGES
from benchmarks.serve import THREADS


def print_findings(findings: Findings, machine: Mapping[str, Any], method: str, console: Console) -> None:
    """Everything a reader needs to believe the figures, or not to."""
    console.print(f"\n{_machine(machine)}, load before {machine['load']}", highlight=False)
    console.print(_versions(machine), style="dim", highlight=False)
    console.print(f"{_method(method)}\n", highlight=False)
    for sheet in findings.sheets:
        print_sheet(sheet, console)
    if findings.figures:
        print_sheet(_figure_sheet(findings.figures), console)
    for row, why in findings.missing.items():
        console.print(f"[bold]Row {row}: not measured:[/] {escape(why)}", highlight=False)
    for note in findings.notes:
        console.print(escape(note), highlight=False)


def print_sheet(sheet: Sheet, console: Console) -> None:
    table = Table(title=sheet.title, title_justify="left", title_style="bold")
    table.add_column(sheet.columns[0])
    for name in sheet.columns[1:]:
        table.add_column(name, justify="right")
    for line in sheet.lines:
        table.add_row(*line)
    console.print(table)


def as_markdown(findings: Findings, machine: Mapping[str, Any], method: str) -> str:
    """The same for docs/performance.md: where and how, the figures, then what they are made of."""
    today = date.today()  # noqa: DTZ011 - a date for people, where they are
    parts = [f"{today.day} {today:%B %Y}, {_machine(machine)}. {_method(method)}.", f"Versions: {_versions(machine)}."]
    sheets = [_figure_sheet(findings.figures), *findings.sheets]
    parts += ["\n".join(_markdown_table(sheet)) for sheet in sheets if sheet.lines]
    parts += [f"Row {row} was not measured: {why}" for row, why in findings.missing.items()]
    parts += findings.notes
    return "\n\n".join(parts) + "\n"


def _markdown_table(sheet: Sheet) -> Iterator[str]:
    yield f"**{sheet.title}**\n"
    yield f"| {' | '.join(sheet.columns)} |"
    yield "|" + "---|" * len(sheet.columns)
    for line in sheet.lines:
        yield f"| {' | '.join(text.replace('|', chr(92) + '|') for text in line)} |"


def _figure_sheet(figures: list[Figure]) -> Sheet:
    lines = []
    for figure in sorted(figures, key=lambda figure: (len(figure.row), figure.row)):
        gate = figure.say_bound(figure.gate)
        if figure.gate is not None:
            gate += ": holds" if figure.holds else ": fails"
        goal = figure.say_bound(figure.goal) + (": reached" if figure.reached else "")
        low, high = min(figure.values), max(figure.values)
        value = number(figure.value) + (f" ({number(low)}–{number(high)})" if len(figure.values) > 1 else "")
        lines.append((figure.row, figure.name, value, gate, goal))
    return Sheet("Figures, median of rounds (lowest–highest)", ("row", "figure", "value", "gate", "goal"), lines)


def _machine(machine: Mapping[str, Any]) -> str:
    return f"{machine['cores']} × {machine['cpu']}, {machine['system']}"


def _versions(machine: Mapping[str, Any]) -> str:
    names = ("python", *PACKAGES)
    return f"engine {machine['engine']}, " + ", ".join(f"{name} {machine[name]}" for name in names)


def _method(method: str) -> str:
    return f"{method}; every Python server with 1 worker and {THREADS} thread, {CONNECTIONS} connections"
