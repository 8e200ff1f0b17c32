"""`report`: results for people and programs.

What enters: what to report. What leaves: a table, JSON or CSV on stdout. Must not: compute anything itself.
"""

from __future__ import annotations

import datetime as dt
import shutil

import click

from personalizer.cli.live import load_live
from personalizer.cli.options import read_settings_of_server, setting_option, workspace_and_data
from personalizer.cli.refusals import need_data
from personalizer.events.collector import wait_for_lake
from personalizer.reports.export import render_csv, render_json
from personalizer.reports.report import run_report
from personalizer.reports.table import render_table

WAIT_SECONDS = 60


@click.command()
@click.argument("experiment", required=False)
@click.option(
    "--by",
    metavar="A[,B]",
    default="",
    help="Break down by one or two of icp, persona, campaign, ad, country, device, utm.source, … or any fact.",
)
@click.option("--goal", help="Judge by this goal. [default: the page's primary, the experiment's own]")
@click.option("--since", metavar="TIME", help="First views from this time on, as 2026-11-01 or 2026-11-01T08:00 (UTC).")
@click.option("--until", metavar="TIME", help="First views before this time.")
@click.option("--raw", is_flag=True, help="Count views that no beacon confirmed, too.")
@click.option(
    "--wait", is_flag=True, help=f"First wait until everything journaled is in the lake ({WAIT_SECONDS} s at most)."
)
@click.option("--confidence", type=click.FloatRange(0.5, 0.9999), default=0.95, show_default=True, help="Of intervals.")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@setting_option("lake")
@workspace_and_data
def report(
    experiment: str | None,
    by: str,
    goal: str | None,
    since: str | None,
    until: str | None,
    raw: bool,
    wait: bool,
    confidence: float,
    form: str,
    workspace: str | None,
    data: str | None,
    lake: str | None,
) -> None:
    """Conversion per segment and arm, and how sure we are. Without EXPERIMENT: everything, with holdouts.

    \b
    Examples:
      personalizer report --wait
      personalizer report payroll-cfo --by country
      personalizer report --by campaign,device --format csv > report.csv
    """
    settings = read_settings_of_server(workspace=workspace, data=data, lake=lake)
    if not settings.lake.exists():
        need_data(settings)
    content = load_live(settings).content
    waited = wait_for_lake(settings.data, settings.lake, WAIT_SECONDS) if wait else None
    result = run_report(
        settings.lake,
        content.registry,
        experiment=experiment,
        by=tuple(name.strip() for name in by.split(",") if name.strip()),
        goal=goal,
        since=_read_time(since, "--since"),
        until=_read_time(until, "--until"),
        raw=raw,
        confidence=confidence,
        as_of=waited or dt.datetime.now(dt.UTC),
    )
    if form == "json":
        click.echo(render_json(result))
    elif form == "csv":
        click.echo(render_csv(result), nl=False)
    else:
        click.echo(render_table(result, min(shutil.get_terminal_size((120, 24)).columns, 140)), nl=False)


def _read_time(text: str | None, option: str) -> dt.datetime | None:
    if text is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError(f"{option} {text!r}: write it as 2026-11-01 or 2026-11-01T08:00.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
