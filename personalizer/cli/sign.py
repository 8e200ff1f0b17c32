"""`sign`: a link that declares facts of whoever follows it.

What enters: a page's address, names with values. What leaves: the address with `pzs=`. Must not: sign what the server
would not take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit, urlunsplit

import click

from personalizer.cli.options import read_settings_of_server, workspace_and_data
from personalizer.cli.refusals import check_host, need_data
from personalizer.content.compile import load_content
from personalizer.decision.registry import Registry
from personalizer.errors import PersonalizerError
from personalizer.visitor.cleaning import clean_text
from personalizer.visitor.company import parse_domain
from personalizer.visitor.declared import DOMAIN, MAX_LINK, MAX_TEXT, PERSONA, parse_value, sign_claims, signed_names
from personalizer.visitor.keys import Keys, load_keys
from personalizer.visitor.query import SIGNED


@click.command()
@click.argument("url")
@click.argument("declarations", nargs=-1, required=True, metavar="NAME=VALUE...")
@workspace_and_data
def sign(url: str, declarations: tuple[str, ...], workspace: str | None, data: str | None) -> None:
    """URL as a link that declares what you know of whoever follows it, for a mail or a QR code.

    URL is a page by address or path. NAME is `persona`, `company.domain`, a fact of `person.`, or what the workspace
    takes as `signed.NAME` for one of its custom facts. Anybody can read the link; nobody can change it. It is signed
    with the key of --data, so sign where the data of the server is, or with its PERSONALIZER_SECRET_KEY.

    \b
      personalizer sign /payroll persona=cfo company.domain=lumen.example
      personalizer sign 'https://www.paydesk.example/payroll?utm_source=mail' person.title=CFO budget=5000
    """
    settings = read_settings_of_server(workspace=workspace, data=data)
    if not settings.secret_key:
        need_data(settings)
    registry = load_content(settings.workspace).registry
    check_host(url, settings, registry)
    click.echo(sign_url(url, declarations, registry, load_keys(settings)))


def sign_url(url: str, declarations: Sequence[str], registry: Registry, keys: Keys) -> str:
    """`url` with its declarations. Raises PersonalizerError for what the server would not take."""
    parts = urlsplit(url)
    if parts.path not in registry.paths:
        raise PersonalizerError(f"There is no page at {parts.path!r}. The pages are {', '.join(registry.paths)}.")
    if f"&{SIGNED}=" in f"&{parts.query}":
        raise PersonalizerError("The address is signed already. Sign the one without pzs=.")
    told = sign_claims(_read(declarations, registry), keys)
    if len(told) > MAX_LINK:
        raise PersonalizerError(f"The link would have {len(told)} characters, {MAX_LINK} at most. Declare less.")
    query = f"{parts.query}&" if parts.query else ""
    return urlunsplit(parts._replace(query=f"{query}{SIGNED}={told}"))


def _read(declarations: Sequence[str], registry: Registry) -> Mapping[str, str]:
    names = signed_names(registry.site.custom)
    told: dict[str, str] = {}
    for declaration in declarations:
        name, equals, value = declaration.partition("=")
        text = clean_text(value, MAX_TEXT + 1)
        if not equals:
            raise PersonalizerError(f"{declaration}: write it as NAME=VALUE, as persona=cfo.")
        if name not in names:
            raise PersonalizerError(
                f"{declaration}: no signed link declares {name or 'nothing'!r}. It can declare {', '.join(names)}."
            )
        if len(text) > MAX_TEXT:
            raise PersonalizerError(f"{declaration}: a value has {MAX_TEXT} characters at most.")
        if name == PERSONA and text not in registry.personas:
            raise PersonalizerError(
                f"{declaration}: there is no such persona. There are {', '.join(registry.personas)}."
            )
        if parse_value(names[name], text) is None or (name == DOMAIN and parse_domain(text) is None):
            raise PersonalizerError(f"{declaration}: {text!r} is no {'domain' if name == DOMAIN else names[name]}.")
        told[name] = text
    return told
