"""Rows 1 to 4, 6 and 7: what their rounds say.

What enters: rounds of every peer; round `n` of each stood side by side. What leaves: figures and tables. Must not:
measure, or take a ratio of rounds that did not stand side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median

from benchmarks.figures import Figure, Findings, Sheet, ratios, spread
from benchmarks.inside import Inside
from benchmarks.load import Round
from benchmarks.peers import EMPTY, GZIPPED, NAIVE, NGINX, OURS
from benchmarks.wagtail import SEGMENTS, WAGTAIL

COLD = "personalizer, cold"


def served_findings(rounds: Mapping[str, Sequence[Round]]) -> Findings:
    """What was measured through a server and a socket."""
    found = Findings(sheets=[_served_sheet(rounds)])
    found.rounds["served"] = {name: [asdict(one) for one in several] for name, several in rounds.items()}
    ours = rounds[OURS]
    if EMPTY in rounds:
        empty = rounds[EMPTY]
        found.figures += [
            Figure("1", "requests/s, × the empty Flask view", ratios(ours, empty, _rate), 2.5, 1.5),
            Figure("1", "requests per CPU second, × the empty Flask view", ratios(empty, ours, _cpu), 2.5, 1.5),
            Figure("1", "the same, with the collector's CPU", ratios(empty, ours, _cpu_in_all), 2.5),
        ]
    if NGINX in rounds:
        values = ratios(ours, rounds[NGINX], _cpu)
        found.figures.append(Figure("2", "CPU a page, × nginx sending a file", values, 4, at_most=True))
    if NAIVE in rounds:
        found.figures.append(
            Figure("3", "served: CPU of the naive version, × ours", ratios(rounds[NAIVE], ours, _cpu), 20)
        )
    if WAGTAIL in rounds:
        name = f"CPU a view of {WAGTAIL} with {SEGMENTS} segments, × ours"
        found.figures.append(Figure("4", name, ratios(rounds[WAGTAIL], ours, _cpu), 500))
    if GZIPPED in rounds:
        found.figures.append(
            Figure("7", "requests/s of the gzip page, × uncompressed", ratios(rounds[GZIPPED], ours, _rate), 0.8)
        )
    return found


def inside_findings(rounds: Mapping[str, Sequence[Inside]]) -> Findings:
    """What was measured by calling the apps."""
    found = Findings(sheets=[_inside_sheet(rounds)])
    found.rounds["inside"] = {name: [asdict(one) for one in several] for name, several in rounds.items()}
    ours = rounds[OURS]
    if NAIVE in rounds:
        values = ratios(rounds[NAIVE], ours, _cpu)
        found.figures.append(Figure("3", "in process: CPU of the naive version, × ours", values, 50, 25))
    if COLD in rounds:
        values = ratios(rounds[COLD], ours, _cpu)
        found.figures.append(Figure("6", "CPU of a page for a cold visitor, × a warm one", values, 5, at_most=True))
    return found


def steps_sheet(steps: Mapping[str, float]) -> Sheet:
    """Where a page view's time goes."""
    lines = [(name, f"{cost:.1f}", f"{cost / steps['whole view']:.0%}") for name, cost in steps.items()]
    return Sheet("A page view in process, CPU", ("step", "µs", "share"), lines)


def _rate(one: Round) -> float:
    return one.rate


def _cpu(one: Round | Inside) -> float:
    return one.cpu


def _cpu_in_all(one: Round) -> float:
    return one.cpu + sum(one.others.values())


def _served_sheet(rounds: Mapping[str, Sequence[Round]]) -> Sheet:
    columns = ("peer", "requests/s", "CPU µs a request", "beside it, µs", "p50 ms", "p99 ms", "bytes")
    lines = [
        (
            name,
            spread([one.rate for one in several], "{:,.0f}"),
            spread([one.cpu for one in several], "{:,.0f}"),
            ", ".join(f"{helper} {median(one.others[helper] for one in several):,.0f}" for helper in several[0].others)
            or "–",
            f"{median(one.p50 for one in several):.1f}",
            f"{median(one.p99 for one in several):.1f}",
            f"{median(one.bytes_each for one in several):,.0f}",
        )
        for name, several in rounds.items()
    ]
    return Sheet("Served, median of rounds (lowest–highest)", columns, lines)


def _inside_sheet(rounds: Mapping[str, Sequence[Inside]]) -> Sheet:
    columns = ("app", "CPU µs a request", "elapsed µs a request")
    lines = [
        (
            name,
            spread([one.cpu for one in several], "{:,.1f}"),
            spread([one.elapsed for one in several], "{:,.1f}"),
        )
        for name, several in rounds.items()
    ]
    return Sheet("In process, without server or socket", columns, lines)
