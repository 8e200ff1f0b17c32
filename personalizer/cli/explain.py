"""`explain`: the decision for a visit, and its whole trace.

What enters: a URL and what else a request would bring. What leaves: what is served and why. Must not: decide by other
means than the edge does, or write anything.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import click
import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from werkzeug.test import EnvironBuilder

from personalizer.cli.live import Live, load_live
from personalizer.cli.options import read_settings_of_server, workspace_and_data
from personalizer.cli.refusals import check_host
from personalizer.config import PREFIX, Settings, read_saved
from personalizer.decision.conditions import say
from personalizer.decision.decide import decide
from personalizer.decision.registry import Registry
from personalizer.decision.trace import Rule, Trace, trace_decision
from personalizer.errors import PersonalizerError
from personalizer.model import Decision, Visitor
from personalizer.visitor.company import open_companies
from personalizer.visitor.cookie import COOKIE_NAME
from personalizer.visitor.geo import open_geo
from personalizer.visitor.industry import say_code
from personalizer.visitor.keys import Keys, load_keys
from personalizer.visitor.lookups import SETTINGS as LOOKUP_SETTINGS
from personalizer.visitor.lookups import path_of
from personalizer.visitor.read import VisitorReader
from personalizer.visitor.salt import Salts

_BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A visit explained. `anonymous`: no cookie came along, so nobody is dealt an arm; the trace has the chances."""

    visitor: Visitor
    decision: Decision
    trace: Trace
    anonymous: bool


def explain_request(registry: Registry, reader: VisitorReader, environ: dict[str, Any], now: float) -> Explanation:
    """What the edge would decide for this request, and why."""
    page = registry.paths.get(environ["PATH_INFO"])
    if page is None:
        paths = ", ".join(registry.paths)
        raise PersonalizerError(f"There is no page at {environ['PATH_INFO']!r}. The pages are {paths}.")
    reading = reader.read(environ, registry.site, now)
    visitor = reading.visitor
    anonymous = reading.new and visitor.unit is not None
    if anonymous:  # the id that the edge would make is not known yet
        visitor = replace(visitor, unit=None)
    decision = decide(registry, page, visitor)
    return Explanation(visitor, decision, trace_decision(registry, visitor, decision), anonymous)


def open_reader(settings: Settings) -> VisitorReader:
    """A reader with this data directory's keys; nothing is written."""
    secret = settings.secret_key or (settings.data / "secret").exists()
    keys = load_keys(settings) if secret else Keys((secrets.token_bytes(32),))
    salts = Salts(settings.data / "salt", fixed=secrets.token_bytes(32))
    return VisitorReader(open_geo(settings), open_companies(settings), keys, salts, settings.trusted_proxies)


def build_environ(
    url: str, ip: str, user_agent: str, headers: Sequence[tuple[str, str]], cookie: str | None
) -> dict[str, Any]:
    """The WSGI environ that such a request arrives as."""
    if any("\ud800" <= char <= "\udfff" for char in url):  # so the shell hands over bytes that are no UTF-8
        raise click.UsageError("The address has bytes that are not UTF-8; the server answers 400. Write them as %FF.")
    if "://" not in url:
        url = "http://localhost" + (url if url.startswith("/") else f"/{url}")
    given = [("User-Agent", user_agent), *headers]
    if cookie:
        given.append(("Cookie", cookie if f"{COOKIE_NAME}=" in cookie else f"{COOKIE_NAME}={cookie}"))
    base, _, query = url.partition("?")
    builder = EnvironBuilder(path=base, query_string=query.partition("#")[0], headers=given)
    return {**builder.get_environ(), "REMOTE_ADDR": ip}


@click.command()
@click.argument("url")
@click.option("--ip", default="127.0.0.1", show_default=True, help="The visitor's address.")
@click.option("--user-agent", default=_BROWSER, help="Their browser. [default: Chrome on a desktop]")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="A request header; may be given often.")
@click.option("--cookie", help="The visitor's pz cookie. Without it there is no id, and arms are chances.")
@click.option("--at", metavar="TIME", help="When, as 2026-11-21T10:00; default now. UTC unless it says otherwise.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
@workspace_and_data
def explain(
    url: str,
    ip: str,
    user_agent: str,
    headers: tuple[str, ...],
    cookie: str | None,
    at: str | None,
    as_json: bool,
    workspace: str | None,
    data: str | None,
) -> None:
    """The decision for a visit to URL and its whole trace: every rule, true, false or unknown, and each fact's source.

    \b
    Examples:
      personalizer explain 'http://127.0.0.1:8080/payroll?pz=q4-cfo.cfo-51-1000.roi-calc'
      personalizer explain /payroll --ip 198.51.100.7 --header 'Accept-Language: de'
    """
    settings = read_settings_of_server(workspace=workspace, data=data)
    live = load_live(settings)
    _check_address(ip)
    check_host(url, settings, live.content.registry)
    environ = build_environ(url, ip, user_agent, _read_headers(headers), cookie)
    reader = open_reader(settings)
    explanation = explain_request(live.content.registry, reader, environ, _read_time(at).timestamp())
    if as_json:
        click.echo(render_json(explanation, live))
    else:
        click.echo(f"{live.origin} {_say_settings(settings)}\n")
        if cookie and explanation.anonymous:
            click.echo("The cookie is ignored: it is not whole, or not signed with this data directory's key.\n")
        _print_explanation(explanation)


def _read_headers(headers: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    for header in headers:
        written = re.fullmatch(r"\s*([\w-]+)\s*[:=]\s*(.*)", header)
        if written is None:
            raise click.UsageError(f"--header {header!r}: write it as 'Name: value'.")
        pairs.append((written[1], written[2]))
    return pairs


def _check_address(ip: str) -> None:
    try:
        ipaddress.ip_address(ip)
    except ValueError as error:
        raise click.UsageError(f"--ip {ip!r}: write an address, as 198.51.100.7 or 2001:db8::1.") from error


def _read_time(text: str | None) -> dt.datetime:
    if text is None:
        return dt.datetime.now(dt.UTC)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError(f"--at {text!r}: write it as 2026-11-21T10:00.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def render_json(explanation: Explanation, live: Live) -> str:
    """`{"revision": …, "served": …, "decision": …, "facts": {…}, "trace": [steps], "chances": {…}}`."""
    decision = asdict(explanation.decision)
    facts = {
        name: {"value": value, "source": explanation.trace.sources[name]}
        for name, value in decision.pop("facts").items()
    }
    document = {
        "revision": live.content.registry.revision,
        "served": live.served,
        "decision": decision,
        "anonymous": explanation.anonymous,
        "chances": explanation.trace.chances,
        "facts": facts,
        "trace": [asdict(step) for step in explanation.trace.steps],
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_PASSTHROUGH_SUBCLASS, default=_plain).decode()


def _plain(value: Any) -> Any:
    return str.__str__(value) if isinstance(value, str) else list(value)


_VERDICTS = {True: "true", False: "false", None: "unknown"}


def _say_settings(settings: Settings) -> str:
    """Whose settings these are, and the look-up files that they name: on these a visit's facts depend."""
    samples = {variable.removeprefix(PREFIX) for variable in settings.samples}
    files = {path: name in samples for name in LOOKUP_SETTINGS if (path := path_of(settings, name)) is not None}
    said = ", ".join(f"{path.name} (sample)" if sample else str(path) for path, sample in files.items())
    state = "" if settings.data.exists() else ", which is not there yet"
    if read_saved(settings.data):
        state = ", with the settings of its last server"
    return f"Data directory {settings.data}{state}. Look-up files: {said or 'none'}."


def _print_explanation(explanation: Explanation) -> None:
    console = Console(soft_wrap=True, highlight=False)
    decision = explanation.decision
    console.print(f"[bold]{escape(decision.shown)}[/]  HTTP {decision.status}", end="")
    console.print(f"  ICP {decision.icp or '–'}, persona {decision.persona or '–'}, row {decision.row or '–'}")
    if decision.not_counted:
        console.print(f"Served and logged, never counted: {decision.not_counted}.")
    if explanation.anonymous and len(explanation.trace.chances) > 1:
        chances = ", ".join(f"{name} {chance:.0%}" for name, chance in explanation.trace.chances.items())
        console.print(f"Without a cookie nobody is dealt an arm yet. A new visitor gets: {chances}.")
    console.print()
    for step in explanation.trace.steps:
        console.print(f"[bold]{step.number} {step.name}[/]: {escape(step.outcome)}")
        for rule in step.rules:
            _print_rule(console, rule)
    console.print("\n[bold]Facts[/]")
    table = Table(box=None, pad_edge=False, show_header=False)
    for name in sorted(decision.facts):
        table.add_row(name, escape(say_code(name, say(decision.facts[name]))), explanation.trace.sources[name])
    console.print(table)


def _print_rule(console: Console, rule: Rule) -> None:
    mark = ">" if rule.chosen else " "
    console.print(f"  {mark} {rule.key}: {_VERDICTS[rule.verdict]}: {escape(rule.sentence)}")
    if len(rule.leaves) < 2 or rule.verdict is True:
        return
    for leaf in rule.leaves:
        known = f"it is {say(leaf.value)} ({leaf.source or 'decision'})" if leaf.value is not None else "not known"
        console.print(f"      {_VERDICTS[leaf.verdict]}: {escape(leaf.sentence)}; {escape(known)}")
