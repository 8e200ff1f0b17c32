"""What was measured, judged and shown.

What enters: rounds of every peer. What leaves: ratios with their spread, tables, JSON. Must not: measure.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.inside import Inside
from benchmarks.load import CONNECTIONS, Round
from benchmarks.peers import OURS
from benchmarks.serve import THREADS
from personalizer.decision import decide

BARE, EMPTY, NAIVE = "bare WSGI function", "empty Flask view", "naive version"

_PACKAGES = (
    "granian",
    "flask",
    "werkzeug",
    "jinja2",
    "user-agents",
    "ua-parser",
    "geoip2",
    "maxminddb",
    "redis",
    "orjson",
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One ratio: how many times better we are, a value for each round; `gate` fails the run, `goal` is the design's."""

    row: int
    name: str
    values: tuple[float, ...]
    gate: float | None
    goal: float

    @property
    def ratio(self) -> float:
        return median(self.values)

    @property
    def holds(self) -> bool:
        return self.gate is None or self.ratio >= self.gate


@dataclass(slots=True)
class Results:
    """Rounds by peer, in the order in which they were made: round `n` of every peer stood side by side."""

    machine: Mapping[str, Any]
    method: Mapping[str, Any]
    served: dict[str, list[Round]] = field(default_factory=lambda: {name: [] for name in (OURS, BARE, EMPTY, NAIVE)})
    inside: dict[str, list[Inside]] = field(default_factory=lambda: {name: [] for name in (OURS, NAIVE)})
    exposures: int = 0  # in the lake, of those that our rounds and visits asked for

    def figures(self) -> tuple[Figure, ...]:
        """Rows 1 and 3 of the design's speed table."""
        served, inside = self.served, self.inside
        return (
            Figure(1, "requests/s, × empty Flask view", _ratios(served, OURS, EMPTY, lambda one: one.rate), 1.5, 2.5),
            Figure(1, "requests per CPU second, × empty Flask view", _ratios(served, OURS, EMPTY, _thrift), 1.5, 2.5),
            Figure(3, "in process, CPU, × naive version", _ratios(inside, OURS, NAIVE, _thrift), 25, 50),
            Figure(3, "served, CPU, × naive version", _ratios(served, OURS, NAIVE, _thrift), None, 20),
        )

    def as_json(self) -> dict[str, Any]:
        figures = [
            {**asdict(figure), "ratio": figure.ratio, "holds": figure.holds, "reached": figure.ratio >= figure.goal}
            for figure in self.figures()
        ]
        return {
            "machine": dict(self.machine),
            "method": dict(self.method),
            "served": {name: [asdict(one) for one in rounds] for name, rounds in self.served.items()},
            "inside": {name: [asdict(one) for one in rounds] for name, rounds in self.inside.items()},
            "exposures": self.exposures,
            "figures": figures,
        }


def _thrift(one: Round | Inside) -> float:
    return 1 / one.cpu


def _ratios(
    rounds: Mapping[str, Sequence[Any]], ours: str, peer: str, value: Callable[[Any], float]
) -> tuple[float, ...]:
    """Ours by theirs, of each pair of rounds that stood side by side."""
    pairs = zip(rounds[ours], rounds[peer], strict=True)
    return tuple(value(one) / value(other) for one, other in pairs)


def describe_machine() -> dict[str, Any]:
    """Where and on what is measured; `load` is what else the machine did in the minute before."""
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "load": round(os.getloadavg()[0], 2),
        "engine": "compiled" if decide.__file__.endswith(".so") else "uncompiled",
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []


# --- on the terminal ---


def print_results(results: Results, console: Console) -> None:
    """Everything a reader needs to believe the figures, or not to."""
    machine = results.machine
    versions = f"engine {machine['engine']}, " + ", ".join(f"{name} {machine[name]}" for name in ("python", *_PACKAGES))
    console.print(f"\n{machine['cores']} × {machine['cpu']}, {machine['system']}, load before {machine['load']}")
    console.print(versions, style="dim", highlight=False)
    method = ", ".join(f"{value} {name}" for name, value in results.method.items())
    console.print(f"{method}; every server with 1 worker and {THREADS} thread, {CONNECTIONS} connections\n")
    console.print(_served_table(results.served))
    console.print(_inside_table(results.inside))
    console.print(_figure_table(results.figures()))
    console.print(f"{results.exposures:,} exposures were journaled and are in the lake: every page that was answered.")


def _served_table(served: Mapping[str, Sequence[Round]]) -> Table:
    table = _table(
        "Served, median of rounds (lowest–highest)", "peer", "requests/s", "CPU µs a request", "beside it, µs"
    )
    table.add_column("p50 ms", justify="right")
    table.add_column("p99 ms", justify="right")
    table.add_column("bytes", justify="right")
    for name, rounds in served.items():
        helpers = rounds[0].others
        table.add_row(
            name,
            _spread([one.rate for one in rounds], "{:,.0f}"),
            _spread([one.cpu for one in rounds], "{:,.0f}"),
            ", ".join(f"{helper} {median(one.others[helper] for one in rounds):,.0f}" for helper in helpers) or "–",
            f"{median(one.p50 for one in rounds):.1f}",
            f"{median(one.p99 for one in rounds):.1f}",
            f"{median(one.bytes_each for one in rounds):,.0f}",
        )
    return table


def _inside_table(inside: Mapping[str, Sequence[Inside]]) -> Table:
    table = _table("In process, without server or socket", "app", "CPU µs a request", "elapsed µs a request")
    for name, rounds in inside.items():
        table.add_row(
            name, _spread([one.cpu for one in rounds], "{:,.1f}"), _spread([one.elapsed for one in rounds], "{:,.1f}")
        )
    return table


def _figure_table(figures: Sequence[Figure]) -> Table:
    table = _table("Figures", "row", "ours is better by", "ratio", "gate", "goal")
    table.add_column("")
    for figure in figures:
        verdict = "holds" if figure.holds else "[bold red]FAILS[/]"
        reached = "" if figure.ratio >= figure.goal else ", below the goal"
        gate = f"≥ {figure.gate:g}" if figure.gate else "–"
        table.add_row(
            str(figure.row),
            figure.name,
            _spread(figure.values, "{:.2f}"),
            gate,
            f"≥ {figure.goal:g}",
            (verdict if figure.gate else "") + (reached if figure.gate else reached.lstrip(", ")),
        )
    return table


def print_steps(steps: Mapping[str, float], console: Console) -> None:
    """Where a page view's time goes."""
    whole = steps["whole view"]
    table = _table("A page view in process, CPU", "step", "µs", "share")
    for name, cost in steps.items():
        table.add_row(name, f"{cost:.1f}", f"{cost / whole:.0%}")
    console.print(table)


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _spread(values: Sequence[float], form: str) -> str:
    low, middle, high = (form.format(value) for value in (min(values), median(values), max(values)))
    return f"{middle} ({low}–{high})"
