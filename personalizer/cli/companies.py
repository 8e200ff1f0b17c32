"""`companies build`: a CSV file of companies becomes a table that the server opens.

What enters: a CSV file. What leaves: a table file and what is in it, or every mistake with its line. Must not: write
anything while a row is wrong.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from personalizer.errors import PersonalizerError, Problem
from personalizer.visitor.company_build import build_company_table

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def companies() -> None:
    """Your own companies, known by their networks and domains.

    \b
    Example:
      personalizer companies build companies.csv
      PERSONALIZER_COMPANIES=companies.table personalizer serve
    """


@companies.command()
@click.argument("file", type=FILE)
@click.option("--out", type=FILE, help="The table to write. [default: FILE with the ending .table]")
def build(file: Path, out: Path | None) -> None:
    """Compile FILE, a CSV of companies, into a table for PERSONALIZER_COMPANIES.

    Columns, in any order: network, domain, name, industry, sic, naics, employees, revenue, country, technologies. Only
    domain is needed. Every wrong row is named; the table is written when none is.
    """
    target = out or file.with_suffix(".table")
    if not file.is_file():
        raise PersonalizerError(f"There is no file {file}.")
    if target.absolute() == file.absolute():
        raise click.UsageError(f"--out {target} is the file that is read. Name another.")
    began = time.monotonic()
    with _progress(file.stat().st_size) as advance:
        built = build_company_table(file, target, _say, advance)
    if built.path is None:
        many = f"{built.mistakes:,} mistakes keep" if built.mistakes > 1 else "1 mistake keeps"
        click.echo(f"\npersonalizer: {many} {target} from being written.", err=True)
        sys.exit(1)
    size, seconds = target.stat().st_size / 1e6, time.monotonic() - began
    click.echo(
        f"{target}: {built.companies:,} companies, {built.networks:,} networks, {built.domains:,} domains; "
        f"{size:,.1f} MB in {seconds:.1f} s. Serve with PERSONALIZER_COMPANIES={target}"
    )


def _say(problem: Problem) -> None:
    click.echo(str(problem), err=True)


@contextmanager
def _progress(size: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, if that is a terminal; gives what to call with how many more bytes were read."""
    columns = (TextColumn("Reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("bytes", total=size)
        waiting = 0

        def advance(count: int) -> None:
            nonlocal waiting
            waiting += count
            if waiting > 1 << 18:  # a bar that moved at each row would take longer than the rows
                progress.advance(task, waiting)
                waiting = 0

        yield advance
