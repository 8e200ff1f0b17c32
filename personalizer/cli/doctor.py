"""`doctor`: what is set, what is there, and what cannot work with it.

What enters: settings and the data directory. What leaves: findings in sentences. Must not: change anything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import orjson

from personalizer.cli.options import read_settings_of_server, workspace_and_data
from personalizer.config import PREFIX, SETTINGS, Settings
from personalizer.content.compile import Content, check_workspace
from personalizer.content.sources import FROM_LISTS, missing_setting
from personalizer.errors import DataError
from personalizer.events.journal import list_journals
from personalizer.reload import read_in_use
from personalizer.running import find_running, measure_memory
from personalizer.visitor.lookups import SETTINGS as LOOKUP_SETTINGS
from personalizer.visitor.lookups import open_lookup, path_of


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Settings and findings as JSON.")
@workspace_and_data
def doctor(as_json: bool, workspace: str | None, data: str | None) -> None:
    """Settings in force, files that are missing, and ICPs that cannot match with the facts at hand.

    Exit status 1 when something would keep the server from starting.
    """
    settings = read_settings_of_server(workspace=workspace, data=data)
    checked = check_workspace(settings.workspace)
    broken = [str(problem) for problem in checked.problems if not problem.warning]
    unusable, files = _read_files(settings)
    broken += unusable
    notes = [*files, *_notes(settings, checked.content)]
    if as_json:
        shown = {name: value for name, value in settings.as_environment().items() if not name.endswith("SECRET_KEY")}
        click.echo(orjson.dumps({"settings": shown, "broken": broken, "notes": notes}, option=orjson.OPT_INDENT_2))
    else:
        _print_settings(settings)
        for line in broken:
            click.echo(f"BROKEN  {line}")
        for line in notes:
            click.echo(f"note    {line}")
        click.echo("The server would not start." if broken else "The server can start.")
    sys.exit(1 if broken else 0)


def _print_settings(settings: Settings) -> None:
    environment = settings.as_environment()
    width = max(len(name) for name in environment)
    for setting in SETTINGS:
        value = "(set)" if setting.name == "SECRET_KEY" and settings.secret_key else environment[setting.variable]
        click.echo(f"{setting.variable:<{width}}  {value or '–':<24}  {setting.meaning}")
    click.echo()


def _read_files(settings: Settings) -> tuple[list[str], list[str]]:
    """Look-up files that cannot be used, and which they are that can."""
    broken, notes = [], []
    for name in LOOKUP_SETTINGS:
        path = path_of(settings, name)
        if path is None:
            continue
        try:
            notes.append(f"{PREFIX}{name}: {open_lookup(name, path)}.")
        except DataError as error:
            broken.append(str(error))
    for name, row in read_in_use(settings.data).items():
        if row["refused"]:
            notes.append(f"The last server on {settings.data} kept its {PREFIX}{name}, {row['file']}: {row['refused']}")
    return broken, notes


def _notes(settings: Settings, content: Content | None) -> Iterator[str]:
    if not settings.trusted_proxies:
        yield (
            "Nobody's X-Forwarded-For is believed. Behind a proxy every visitor would have the proxy's address: "
            "name its network in PERSONALIZER_TRUSTED_PROXIES."
        )
    if settings.samples:
        yield "Sample files are in use; they know documentation addresses only."
    if content is not None:
        yield from _unreachable(settings, content)
    yield from _journal_notes(settings.data)
    yield from _memory_notes(settings.data)


def _unreachable(settings: Settings, content: Content) -> Iterator[str]:
    """ICPs that ask for facts which nothing here can deliver, but through ads that declare them."""
    missing: dict[str, list[str]] = {}
    for icp in content.registry.icps.values():
        for leaf in icp.match.leaves:
            setting = None if leaf.fact in FROM_LISTS else missing_setting(leaf.fact, settings)
            if setting and icp.key not in missing.setdefault(setting, []):
                missing[setting].append(icp.key)
    for setting, icps in missing.items():
        yield f"{setting} is not set, so these ICPs match only through ads or lists: {', '.join(icps)}."


def _journal_notes(data: Path) -> Iterator[str]:
    waiting = [file for table in ("events", "leads") for file in list_journals(data, table)]
    size = sum(file.size for file in waiting)
    if size > 256 << 20:
        yield f"{len(waiting)} journal files hold {size >> 20} MB in {data}: is a collector running?"


def _memory_notes(data: Path) -> Iterator[str]:
    """What the workers of the server that runs on this directory hold."""
    server = find_running(data)
    for number, process in enumerate(server.workers if server else (), 1):
        memory = measure_memory(process)
        if memory is not None:
            yield f"Edge worker {number} (process {process}) holds {memory.all} MB, {memory.own} MB of them alone."
