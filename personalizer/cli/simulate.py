"""`simulate`: a population with known true rates, through real HTTP, and the sender's own ledger of it.

What enters: a rates file, a seed, how many. What leaves: a ledger, and the command that says what the engine counted.
Must not: touch a data directory that it was not given.
"""

from __future__ import annotations

import datetime as dt
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from personalizer.cli.options import read_settings, read_settings_of_server, setting_option
from personalizer.config import Settings, shipped
from personalizer.errors import SimulationError
from personalizer.events.collector import wait_for_lake
from personalizer.reports.export import render_json
from personalizer.reports.report import run_report
from personalizer.simulation.ledger import compare_ledger
from personalizer.simulation.population import Population, load_population
from personalizer.simulation.run import Sent, send_population
from personalizer.simulation.server import own_settings, run_server

WAIT_SECONDS = 120
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--seed", default=1, show_default=True, help="The same seed sends the same people.")
@click.option("--visitors", type=click.IntRange(1), default=2000, show_default=True, help="How many people.")
@click.option("--rates", type=FILE, help="Who comes, and their true rates (YAML). [default: those of the example]")
@click.option("--ledger", type=FILE, help="Where to write the ledger. [default: ledger.json in the data directory]")
@click.option("--url", help="A server to send them to. [default: one of its own, on a free port]")
@click.option("--check", is_flag=True, help="Compare the report with the ledger; exit status 1 if they differ.")
@click.option("--data", metavar="DATA", help="The server's data directory. [default: a new one for temporary files]")
@setting_option("workspace")
@setting_option("workers")
def simulate(
    seed: int,
    visitors: int,
    rates: Path | None,
    ledger: Path | None,
    url: str | None,
    check: bool,
    data: str | None,
    workspace: str | None,
    workers: str | None,
) -> None:
    """Send people whose true rates are known, and keep a ledger of them that the engine has no part in.

    They come through real HTTP, with cookies, beacons, forms, conversions, reloads and repetitions, bots among them.

    \b
    Examples:
      personalizer simulate --visitors 20000 --check
      personalizer simulate --url http://127.0.0.1:8080 --data data --check
    """
    path = _place_ledger(ledger, url, data, check)
    if url and data:
        settings = read_settings_of_server(workspace=workspace, data=data)
    else:
        settings = read_settings(workspace=workspace, workers=workers)
    population = _load_population(rates, settings.workspace)
    if url:
        sent = _send(population, url, seed, visitors)
    else:
        data = data or tempfile.mkdtemp(prefix="personalizer-")
        settings = own_settings(settings.workspace, Path(data), settings.workers)
        with run_server(settings) as address:
            sent = _send(population, address, seed, visitors)
            wait_for_lake(settings.data, settings.lake, WAIT_SECONDS)  # its collector ends with it
    path = path or settings.data / "ledger.json"
    since = f" --since {sent.started:%Y-%m-%dT%H:%M:%S}" if path.exists() else ""  # without those of the time before
    path.write_bytes(orjson.dumps(sent.ledger, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    click.echo(f"The ledger is {path}.")
    if data:
        click.echo(f"What the engine counted:\n  personalizer report --data {quote(data)} --wait{since}")
    if check:
        sys.exit(_check(sent, population, settings))


def _load_population(rates: Path | None, workspace: Path) -> Population:
    if rates is not None:
        return load_population(rates, workspace)
    example = shipped("samples/rates.yaml")
    try:
        return load_population(example, workspace)
    except SimulationError as error:
        raise SimulationError(
            f"The rates of the example do not fit {workspace}. Copy {example}, write there who comes to your pages and "
            f"how many of them do what, and name it with --rates. The first of what does not fit:\n"
            f"{str(error).splitlines()[0]}"
        ) from error


def _place_ledger(ledger: Path | None, url: str | None, data: str | None, check: bool) -> Path | None:
    """Where the ledger goes, None for the data directory; wrong use is said before anybody is sent."""
    if url and data is None and (check or ledger is None):
        raise click.UsageError("With --url, name that server's --data; or --ledger, and leave --check out.")
    if ledger is not None and not ledger.absolute().parent.is_dir():
        raise click.UsageError(f"--ledger {ledger}: there is no directory {ledger.parent}.")
    if url and data is not None and not Path(data).is_dir():
        raise click.UsageError(f"--data {data}: there is no such directory; name the one of the server at {url}.")
    return ledger


def _send(population: Population, url: str, seed: int, visitors: int) -> Sent:
    began = time.monotonic()
    with _progress(visitors) as advance:
        sent = send_population(population, url, seed, visitors, advance)
    seconds = time.monotonic() - began
    click.echo(
        f"{visitors:,} people and {sent.ledger['bots']['visitors']:,} bots sent {sent.requests:,} requests to {url} "
        f"in {seconds:.1f} s ({sent.requests / seconds:,.0f} a second)."
    )
    return sent


@contextmanager
def _progress(visitors: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, if that is a terminal; gives what to call with how many more are done."""
    columns = (TextColumn("Sending"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("visitors", total=visitors)
        yield lambda count: progress.advance(task, count)


def _check(sent: Sent, population: Population, settings: Settings) -> int:
    """Say how the report differs from the ledger; the exit status."""
    as_of = wait_for_lake(settings.data, settings.lake, WAIT_SECONDS)
    report = run_report(
        settings.lake,
        population.content.registry,
        experiment=None,
        by=(),
        goal=None,
        since=sent.started,
        until=None,
        raw=False,
        confidence=0.95,
        as_of=as_of or dt.datetime.now(dt.UTC),
    )
    differences = compare_ledger(sent.ledger, orjson.loads(render_json(report))["cells"])
    for difference in differences:
        click.echo(difference)
    if not differences:
        click.echo(f"The report equals the ledger in all {len(sent.ledger['cells'])} cells.")
    return 1 if differences else 0
