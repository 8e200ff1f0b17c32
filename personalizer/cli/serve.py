"""`serve`, `edge`, `collect`: the processes.

What enters: options. What leaves: running processes and three links to try. Must not: know how they are supervised.
"""

from __future__ import annotations

import shlex
import shutil
import signal
import sys
import threading
from typing import Any

import click

from personalizer.cli.options import read_settings, setting_flag, setting_option
from personalizer.config import PREFIX, Settings
from personalizer.content.links import ad_links
from personalizer.content.load import Documents, load_campaigns
from personalizer.errors import ContentError
from personalizer.serve import Supervisor, lock_data

ALLOWED_HOSTS = f"{PREFIX}ALLOWED_HOSTS"


def _serving_options(command: Any) -> Any:
    for name in reversed(("workspace", "data", "host", "port", "workers", "threads")):
        command = setting_option(name)(command)
    return setting_flag("watch")(command)


@click.command()
@_serving_options
def serve(**options: str | None) -> None:
    """Serve the workspace's pages, and collect what happens on them.

    Runs in the foreground until Ctrl-C. Everything it keeps (journal, lake, secret, counters) is in the data
    directory, and nothing but that directory and the workspace is needed.

    \b
    Examples:
      personalizer serve --workspace site
      PERSONALIZER_GEO_CITY=GeoLite2-City.mmdb personalizer serve --host 0.0.0.0 --workers 2
    """
    sys.exit(_supervise(options, collector=True))


@click.command()
@_serving_options
def edge(**options: str | None) -> None:
    """Serve pages only; `personalizer collect` runs beside it."""
    sys.exit(_supervise(options, collector=False))


def _supervise(options: dict[str, str | None], *, collector: bool) -> int:
    supervisor = Supervisor(read_settings(**options), collector=collector)
    try:
        return supervisor.run(_announce)
    except ContentError as error:
        count = len(error.problems)
        click.echo(
            f"{error}\n\npersonalizer: {count} {'problems keep' if count > 1 else 'problem keeps'} this from serving.",
            err=True,
        )
        return 1


def _announce(supervisor: Supervisor) -> None:
    """What a person needs once pages are served: the address, whose words are believed, and links to click."""
    settings = supervisor.settings
    for change in supervisor.changes:
        click.echo(f"  {change}")
    click.echo(f"\nServing {settings.workspace.resolve()} on {supervisor.url}  (Ctrl-C stops)")
    documents, base = load_campaigns(settings.workspace), supervisor.url
    if not settings.local:
        hosts = (*settings.allowed_hosts, *documents.workspace.doc.site.hosts)
        base = f"http://{hosts[0]}:{settings.port}"
        click.echo(f"Answers for {', '.join(hosts)}, and 400 for any other host; name more in {ALLOWED_HOSTS}.")
    if settings.trusted_proxies:
        networks = ", ".join(str(network) for network in settings.trusted_proxies)
        click.echo(f"Trusts X-Forwarded-For from {networks}, so a visitor's address can be tried out with it.")
    if settings.samples:
        click.echo("Place, network and company come from the sample files (documentation addresses only).")
    for link in _demo_links(settings, documents, base):
        click.echo(link)
    sys.stdout.flush()


def _demo_links(settings: Settings, documents: Documents, base: str) -> list[str]:
    """Links that ads of this workspace declare alone, one a persona, with the command that explains each."""
    shown: dict[str, str] = {}
    for link in ad_links(documents, base):
        if link.persona and link.persona not in shown and len(shown) < 3:
            shown[link.persona] = link.try_url
    if not shown:
        return []
    lines = ["", "Links to click, as ads would send visitors:"]
    command = "personalizer" if shutil.which("personalizer") else shlex.quote(sys.argv[0])
    where = f"{command} explain --data {shlex.quote(str(settings.data))}"
    for persona, url in shown.items():
        lines += [f"  {persona:<16} {url}", f"  {'why?':<16} {where} {shlex.quote(url)}"]
    return lines


@click.command()
@setting_option("data")
@setting_option("lake")
def collect(**options: str | None) -> None:
    """Move journals into the lake until stopped. `serve` starts this by itself."""
    from personalizer.events.collector import run_collector

    settings = read_settings(**options)
    lock = lock_data(settings.data, "collector.lock", "Another collector")
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    run_collector(settings.data, settings.lake, stop)
    lock.close()
