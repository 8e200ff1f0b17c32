"""`python -m benchmarks`: compares, prints, and exits with 1 when a gate fails.

What enters: options. What leaves: tables on the terminal, JSON if asked, an exit status. Must not: leave a process or a
file behind.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console

from benchmarks import inside
from benchmarks.load import CONNECTIONS, run_round
from benchmarks.naive import create_naive_app
from benchmarks.peers import BenchError, Peer, run_empty, run_naive, run_ours, run_redis
from benchmarks.results import NAIVE, OURS, Results, print_results, print_steps
from benchmarks.traffic import Request, let_them_visit, make_requests, write_requests
from benchmarks.workspace import Bench, generate
from personalizer.events.collector import wait_for_lake
from personalizer.events.lake import open_table


class Size(NamedTuple):
    """How long a run takes: visitors, rounds, seconds of a round of load and of one in process."""

    visitors: int
    rounds: int
    seconds: int
    inside_seconds: float


FULL = Size(20_000, 7, 5, 1.5)
QUICK = Size(1_000, 2, 1, 0.5)
NAIVE_VISITORS = 2_000  # it remembers nothing between requests, so that fewer are as dear

_console = Console(width=None if sys.stdout.isatty() else 140)
_progress = Console(stderr=True)


@click.command()
@click.option("--quick", is_flag=True, help="A short run that shows that it works; judges nothing.")
@click.option("--profile", is_flag=True, help="Only our engine, in process: the cost of each step and function.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the results there, too.")
def main(quick: bool, profile: bool, file: Path | None) -> None:
    """Measure the engine side by side with an empty Flask view and with the naive version.

    Takes about four minutes, and wants a machine that does nothing else.
    """
    size = QUICK if quick else FULL
    try:
        _require("wrk", "redis-server")
        with tempfile.TemporaryDirectory(prefix="personalizer-bench-") as folder, _progress.status("generating …"):
            bench = generate(Path(folder), size.visitors)
            found = _profile(bench, size) if profile else _compare(bench, size)
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    if file:
        file.write_text(json.dumps(found if isinstance(found, dict) else found.as_json(), indent=1) + "\n", "utf-8")
    if isinstance(found, Results):
        print_results(found, _console)
        sys.exit(0 if quick or all(figure.holds for figure in found.figures()) else 1)


def _require(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise BenchError(
            f"{' and '.join(missing)} missing. On Debian or Ubuntu: sudo apt-get install {' '.join(missing)}"
        )


# --- side by side ---


def _compare(bench: Bench, size: Size) -> Results:
    results = Results({"visitors": size.visitors, "rounds": size.rounds, "seconds a round": size.seconds})
    secret = secrets.token_hex(32)
    requests = make_requests(size.visitors)
    with run_redis(bench) as (redis_port, redis_pid):
        with run_ours(bench, bench.folder / "data", secret) as ours:
            ours_requests = let_them_visit(requests, ours.visit)
            body = ours.fetch(ours_requests[0])[1]
            with run_empty(bench, body) as empty, run_naive(bench, redis_port, redis_pid, secret) as naive:
                naive_requests = let_them_visit(requests[:NAIVE_VISITORS], naive.visit)
                file = write_requests(ours_requests, bench.folder / "requests")
                naive_file = write_requests(naive_requests, bench.folder / "naive-requests")
                answered = _run_served(results, [(ours, file), (empty, file), (naive, naive_file)], size)
            results.exposures = _count_exposures(bench, len(requests) + 1 + answered, size)
        _progress.print("in process …")
        naive_app = create_naive_app(bench, redis_port, secret)
        with inside.open_ours(bench, bench.folder / "data-inside", secret) as our_app:
            apps = {OURS: (our_app, ours_requests), NAIVE: (naive_app.wsgi_app, naive_requests)}
            _run_inside(results, apps, size)
    return results


def _run_served(results: Results, peers: Sequence[tuple[Peer, Path]], size: Size) -> int:
    """All rounds, the peers in turn, every second time the other way round. How many requests ours has answered."""
    answered = 0
    for number in range(size.rounds + 1):
        for peer, file in peers[:: 1 if number % 2 else -1]:
            _progress.print(f"round {number} of {size.rounds}: {peer.name}", highlight=False)
            found = run_round(peer, file, size.seconds, seed=number)
            answered += found.requests if peer.name == OURS else 0
            if number:  # the first one is for warming up
                results.served[peer.name].append(found)
    return answered


def _count_exposures(bench: Bench, answered: int, size: Size) -> int:
    """Rows in the lake, once all are there. Raises BenchError when a page was answered and is not among them."""
    data = bench.folder / "data"
    wait_for_lake(data, data / "lake", timeout=120)
    table = open_table(data / "lake" / "events")
    rows = int(table.count()) if table else 0
    unread = CONNECTIONS * (size.rounds + 1)  # answers on their way when wrk ended a round
    if not answered <= rows <= answered + unread:
        raise BenchError(f"{answered} pages were answered, and the lake has {rows} exposures.")
    return rows


def _run_inside(results: Results, apps: Mapping[str, tuple[inside.WsgiApp, Sequence[Request]]], size: Size) -> None:
    environs = {name: [request.environ() for request in requests] for name, (_, requests) in apps.items()}
    for number in range(size.rounds + 1):
        for name, (app, _) in apps.items():
            found = inside.run_inside(app, environs[name], size.inside_seconds, seed=number)
            if number:
                results.inside[name].append(found)


# --- one alone ---


def _profile(bench: Bench, size: Size) -> dict[str, float]:
    with inside.open_ours(bench, bench.folder / "data", secrets.token_hex(32)) as app:
        requests = let_them_visit(make_requests(size.visitors), inside.visit_inside(app))
        environs = [request.environ() for request in requests]
        inside.run_inside(app, environs, size.seconds, seed=0)
        steps = inside.measure_steps(app, environs, size.seconds)
        functions = inside.profile_functions(app, environs, size.seconds)
    print_steps(steps, _console)
    _console.print(functions, highlight=False, markup=False)
    return steps


if __name__ == "__main__":
    main()
