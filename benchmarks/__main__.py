"""`python -m benchmarks`: compares, prints, and exits with 1 when a gate fails.

What enters: options. What leaves: tables on the terminal, JSON if asked, an exit status. Must not: leave a process or a
file behind.
"""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks import BenchError, inside
from benchmarks.compare import FULL, QUICK, Say, Size, compare
from benchmarks.results import print_results, print_steps
from benchmarks.traffic import let_them_visit, make_requests
from benchmarks.workspace import Bench, generate
from personalizer.app import create_edge_app
from personalizer.errors import PersonalizerError

_WIDTH = 140  # characters, where no terminal says otherwise


@click.command()
@click.option("--quick", is_flag=True, help="A short run that shows that it works; judges nothing.")
@click.option("--profile", is_flag=True, help="Only our engine, in process: the cost of each step and function.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the results there, too.")
def main(quick: bool, profile: bool, file: Path | None) -> None:
    """Measure the engine side by side with an empty Flask view and with the naive version.

    Takes about four minutes, and wants a machine that does nothing else.
    """
    size = QUICK if quick else FULL
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by the same way out as Ctrl-C: everything is ended
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    try:
        _require("wrk", "redis-server")
        with (
            tempfile.TemporaryDirectory(prefix="personalizer-bench-") as folder,
            Console(stderr=True).status("rules, pages and addresses") as status,
        ):
            bench = generate(Path(folder), size.visitors)
            found, passed = (_profile if profile else _compare)(bench, size, status.update, console)
    except (BenchError, PersonalizerError) as error:
        raise click.ClickException(str(error)) from error
    if file:
        file.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if quick:
        console.print("A quick run shows that the comparison works; it judges nothing.")
    sys.exit(0 if passed or quick else 1)


def _require(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        names = " ".join(missing)
        raise BenchError(f"{names}: not installed. On Debian or Ubuntu: sudo apt-get install {names}")


def _compare(bench: Bench, size: Size, say: Say, console: Console) -> tuple[dict[str, Any], bool]:
    results = compare(bench, size, say)
    print_results(results, console)
    return results.as_json(), all(figure.holds for figure in results.figures())


def _profile(bench: Bench, size: Size, say: Say, console: Console) -> tuple[dict[str, Any], bool]:
    with inside.open_ours(bench, bench.folder / "data", secrets.token_hex(32)) as edge:
        app = create_edge_app(edge).wsgi_app
        say("visitors")
        requests = let_them_visit(make_requests(size.visitors), inside.visit_inside(app))
        environs = [request.environ() for request in requests]
        inside.forget_setup()
        say("steps and functions")
        steps = inside.measure_steps(edge, environs, size.seconds)
        functions = inside.profile_functions(app, environs, size.seconds)
    print_steps(steps, console)
    console.print(functions, highlight=False, markup=False)
    return {"steps": steps}, True


if __name__ == "__main__":
    main()
