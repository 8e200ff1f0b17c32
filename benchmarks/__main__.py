"""`python -m benchmarks`: compares, prints, and exits with 1 when a gate fails.

What enters: options. What leaves: tables on the terminal, files if asked, an exit status. Must not: leave a process or
a file behind that was not asked for.
"""

from __future__ import annotations

import json
import secrets
import signal
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console

from benchmarks import BenchError, inside
from benchmarks.figures import Findings, Say
from benchmarks.machine import describe_machine
from benchmarks.report import as_markdown, print_findings, print_sheet
from benchmarks.results import steps_sheet
from benchmarks.rows import ROWS, measure_rows
from benchmarks.sizes import FULL, QUICK, Size
from benchmarks.traffic import let_them_visit, make_requests
from benchmarks.workspace import Bench, generate
from personalizer.app import create_edge_app
from personalizer.errors import PersonalizerError

_WIDTH = 140  # characters, where no terminal says otherwise
_FILE = click.Path(dir_okay=False, path_type=Path)


def _read_rows(context: click.Context, option: click.Parameter, text: str) -> frozenset[str]:
    rows = frozenset(row.strip() for row in text.split(",")) if text else frozenset(ROWS)
    if unknown := rows - ROWS.keys():
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: there is no such row. Choose of {', '.join(ROWS)}.")
    return rows


@click.command()
@click.option("--rows", default="", metavar="1,3,…", callback=_read_rows, help=f"Only these: {', '.join(ROWS)}.")
@click.option("--quick", is_flag=True, help="A short run that shows that it works; judges nothing.")
@click.option("--profile", is_flag=True, help="Only our engine, in process: the cost of each step and function.")
@click.option("--json", "json_file", type=_FILE, help="Write every round there, too.")
@click.option(
    "--markdown", "markdown_file", type=_FILE, help="Write the tables there, as docs/performance.md has them."
)
@click.option("--plot", "plot_file", type=_FILE, help="Draw the growth curves there, as SVG.")
def main(
    rows: frozenset[str],
    quick: bool,
    profile: bool,
    json_file: Path | None,
    markdown_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Measure the engine side by side with its peers.

    Takes half an hour or less for all rows, and wants a machine that does nothing else.
    """
    size = QUICK if quick else FULL
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by the same way out as Ctrl-C: everything is ended
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    machine = describe_machine()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="personalizer-bench-") as folder,
            Console(stderr=True).status("rules, pages and addresses") as status,
        ):
            bench = generate(Path(folder), size.visitors)
            if profile:
                _profile(bench, size, status.update, console)
                return
            findings = measure_rows(bench, size, rows, status.update)
    except (BenchError, PersonalizerError) as error:
        raise click.ClickException(str(error)) from error
    print_findings(findings, machine, str(size), console)
    if json_file:
        json_file.write_text(json.dumps({"machine": machine, **findings.as_json()}, indent=1) + "\n", "utf-8")
    if markdown_file:
        markdown_file.write_text(as_markdown(findings, machine, str(size)), "utf-8")
    if plot_file and "growth" in findings.rounds:
        from benchmarks.plot import draw_growth  # here, so that only pictures need what draws them

        draw_growth(findings.rounds["growth"], plot_file)
    if quick:
        console.print("A quick run shows that the comparison works; it judges nothing.")
    sys.exit(0 if quick or _holds(findings) else 1)


def _holds(findings: Findings) -> bool:
    return all(figure.holds for figure in findings.figures)


def _profile(bench: Bench, size: Size, say: Say, console: Console) -> None:
    with inside.open_ours(bench, bench.folder / "data", secrets.token_hex(32)) as edge:
        app = create_edge_app(edge).wsgi_app
        say("visitors")
        requests = let_them_visit(make_requests(size.visitors), inside.visit_inside(app))
        environs = [request.environ() for request in requests]
        inside.forget_setup()
        say("steps and functions")
        steps = inside.measure_steps(edge, environs, size.seconds)
        functions = inside.profile_functions(app, environs, size.seconds)
    print_sheet(steps_sheet(steps), console)
    console.print(functions, highlight=False, markup=False)


if __name__ == "__main__":
    main()
