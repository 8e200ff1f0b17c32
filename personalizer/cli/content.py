"""`init`, `check`, `schema`, `links`: the workspace.

What enters: a directory. What leaves: a started workspace, its problems, its tables. Must not: change a workspace that
exists.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from personalizer.cli.options import read_settings, setting_option
from personalizer.config import shipped
from personalizer.content.compile import Content, check_workspace, deals_of
from personalizer.content.counters import raise_counters, read_counters
from personalizer.content.landing import Landing, find_landings
from personalizer.content.links import AdLink, ad_links
from personalizer.content.models import DOCUMENTS
from personalizer.decision.registry import Page, Row
from personalizer.errors import ContentError, PersonalizerError


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
def init(directory: Path) -> None:
    """Start a workspace in DIRECTORY: a complete example to change.

    \b
    Afterwards:
      personalizer check DIRECTORY
      personalizer serve --workspace DIRECTORY
    """
    for name in ("variants", "templates"):
        if (directory / name).exists():
            raise PersonalizerError(f"{directory / name} is there already. Name an empty directory.")
    try:
        for name in ("variants", "templates"):
            shutil.copytree(shipped(name), directory / name)
    except OSError as error:
        raise PersonalizerError(f"{directory} cannot be written ({error.strerror}).") from error
    click.echo(f"{directory} is a workspace now. Look at {directory}/variants, then:")
    click.echo(f"  personalizer check {directory}\n  personalizer serve --workspace {directory}")


@click.command()
@click.argument("directory", required=False)
@click.option("--table", is_flag=True, help="Show each page's who-gets-what table, and what each ad's visitors see.")
@click.option("--json", "as_json", is_flag=True, help="Problems as a JSON list.")
@setting_option("data")
def check(directory: str | None, table: bool, as_json: bool, data: str | None) -> None:
    """All problems of the workspace in DIRECTORY at once, with file, line, key and what to write instead.

    Exit status 1 if there is any; warnings alone are 0. Says which phases and weight epochs a publish would raise.
    Where settings name look-up files, it also warns of rules that cannot be true with these.
    """
    settings = read_settings(workspace=directory, data=data)
    checked = check_workspace(settings.workspace, settings)
    if as_json:
        rows = [{**asdict(problem), "file": str(problem.file)} for problem in checked.problems]
        click.echo(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        for problem in checked.problems:
            click.echo(str(problem))
    if checked.content is None:
        warnings = sum(problem.warning for problem in checked.problems)
        found = _count(len(checked.problems) - warnings, "mistake")
        if not as_json:
            beside = f" and {_count(warnings, 'warning')}" if warnings else ""
            click.echo(f"\n{found}{beside}. Nothing of this would be served.")
        sys.exit(1)
    if as_json:
        return
    _say_summary(checked.content, warnings=len(checked.problems))
    _, changes = raise_counters(read_counters(settings.data), deals_of(checked.content.registry))
    for change in changes:
        click.echo(f"When published: {change}.")
    if table:
        for page in checked.content.registry.pages.values():
            _print_table(page, checked.content)
        _print_landings(find_landings(checked.documents, checked.content.registry))


def _say_summary(content: Content, warnings: int) -> None:
    registry = content.registry
    counts = (
        (len(registry.pages), "page"),
        (sum(len(page.variants) for page in registry.pages.values()), "variant"),
        (len(registry.icps), "ICP"),
        (len(registry.personas), "persona"),
        (len(registry.ads.campaigns), "campaign"),
        (len(registry.experiments), "experiment"),
    )
    said = ", ".join(_count(count, word) for count, word in counts)
    found = _count(warnings, "warning") if warnings else "no problems"
    click.echo(f"{said}: {found}. Revision {registry.revision[:12]}.")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _print_table(page: Page, content: Content) -> None:
    table = Table(title=f"Who gets what on {page.path} (the first row that matches wins)", title_justify="left")
    for column in ("", "variant", "for", "holdout", "experiment"):
        table.add_column(column, overflow="fold")
    for place, row in enumerate(page.rows.values(), start=1):
        experiment = content.registry.experiments.get(row.experiment or "")
        arms = f"{experiment.key}: {' / '.join(experiment.arms)}" if experiment else ""
        table.add_row(str(place), row.key, _say_row(row), f"{row.holdout:.0%}", arms)
    table.add_row("", "original", "everybody else", "", "")
    Console().print(table)


def _print_landings(landings: Iterable[Landing]) -> None:
    table = Table(title="What an ad's visitors see, if nothing else is known of them", title_justify="left")
    for column in ("ad", "shown", "headline", "agrees"):
        table.add_column(column, overflow="fold")
    for one in landings:
        table.add_row(one.ref, one.shown, one.headline, "" if one.match is None else f"{one.match:.2f}")
    if table.row_count:
        Console().print(table)


def _say_row(row: Row) -> str:
    named = [(name, getattr(row, name)) for name in ("accounts", "campaign", "persona", "icp", "audience", "language")]
    said = [f"{name} {value}" for name, value in named if value is not None]
    return ", ".join(said + ([row.when.sentence] if row.when else []))


@click.command()
@click.argument("document", required=False, type=click.Choice(list(DOCUMENTS)))
@click.option("--write", type=click.Path(path_type=Path, file_okay=False), help="Write one file a document here.")
def schema(document: str | None, write: Path | None) -> None:
    """JSON Schema of what you write, so that an editor completes and checks while you type.

    Without DOCUMENT all of them in one object.
    """
    schemas: dict[str, Any] = {name: model.model_json_schema(by_alias=True) for name, model in DOCUMENTS.items()}
    if write is not None:
        write.mkdir(parents=True, exist_ok=True)
        for name, one in schemas.items():
            (write / f"{name}.schema.json").write_text(json.dumps(one, indent=1))
        click.echo(f"{len(schemas)} schemas are in {write}.")
        return
    click.echo(json.dumps(schemas[document] if document else schemas, indent=1))


@click.command()
@click.argument("directory", required=False)
@click.option("--json", "as_json", is_flag=True, help="A JSON list.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV, for a spreadsheet.")
@click.option(
    "--base", metavar="URL", help="To try them: a server's address, as http://127.0.0.1:8080; no macros then."
)
def links(directory: str | None, as_json: bool, as_csv: bool, base: str | None) -> None:
    """Every ad's link with its platform's macros, to paste into the ad.

    For Google, paste `suffix` into the final URL suffix: auto-tagging brings a click id and no UTM values. `shown` is
    what its visitors see if nothing else is known of them, `match` how far its headline says what the ad said, 0 to 1.
    """
    if base is not None and not re.fullmatch(r"https?://[^/?#\s]+/?", base):
        raise click.UsageError(f"--base {base!r}: write scheme and host alone, as http://127.0.0.1:8080.")
    checked = check_workspace(read_settings(workspace=directory).workspace)
    if checked.content is None:
        raise ContentError([problem for problem in checked.problems if not problem.warning])
    landings = {one.ref: one for one in find_landings(checked.documents, checked.content.registry)}
    found = [
        _describe(link, landings[link.ref], macros=base is None)
        for link in ad_links(checked.documents, base.rstrip("/") if base else None)
    ]
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=1))
    elif as_csv:
        out = io.StringIO()
        writer = csv.DictWriter(out, list(found[0]) if found else ["campaign"])
        writer.writeheader()
        writer.writerows(found)
        click.echo(out.getvalue(), nl=False)
    else:
        for link in found:
            agrees = "" if link["match"] is None else f", headlines agree by {link['match']:.2f}"
            ref = f"{link['campaign']}.{link['ad_set']}.{link['ad']}"
            click.echo(f"{ref}  ({link['persona'] or 'no persona'}) → {link['shown']}{agrees}")
            click.echo(f"  {link['url']}")


def _describe(link: AdLink, landing: Landing, *, macros: bool) -> dict[str, Any]:
    told = asdict(link)
    plain = told.pop("try_url")
    if not macros:  # no platform fills them in
        told["url"] = plain
    return {**told, "shown": landing.shown, "match": None if landing.match is None else round(landing.match, 2)}
