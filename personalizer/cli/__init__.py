"""The command line. What enters: arguments. What leaves: words for people, JSON for programs, and an exit status:
0 done, 1 the content or data is wrong, 2 wrong use.

Must not: hold logic of its own; each command calls one room. Commands are imported when they are used, so that `--help`
is quick and an edge worker never loads what reports need.
"""

from __future__ import annotations

import importlib
import logging
import sys

import click

from personalizer import __version__
from personalizer.errors import PersonalizerError

_COMMANDS = {  # in the order in which a newcomer meets them
    "init": "personalizer.cli.content",
    "check": "personalizer.cli.content",
    "serve": "personalizer.cli.serve",
    "links": "personalizer.cli.content",
    "sign": "personalizer.cli.sign",
    "explain": "personalizer.cli.explain",
    "report": "personalizer.cli.report",
    "simulate": "personalizer.cli.simulate",
    "companies": "personalizer.cli.companies",
    "doctor": "personalizer.cli.doctor",
    "schema": "personalizer.cli.content",
    "edge": "personalizer.cli.serve",
    "collect": "personalizer.cli.serve",
}


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(_COMMANDS[name]), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Landing pages that speak to each visitor's persona, and proof of whether that worked.

    \b
    Start here:
      personalizer init site                    a workspace to edit
      personalizer check site                   all its problems at once
      personalizer serve --workspace site       pages on http://127.0.0.1:8080
      personalizer explain URL                  why a visitor got what they got
      personalizer report --wait                conversion per segment and arm

    Settings are environment variables (PERSONALIZER_PORT=8081); `personalizer doctor` lists them.
    """


def main() -> None:
    """Run a command; mistakes that a person can mend are one sentence on stderr and exit status 1."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        cli()
    except PersonalizerError as error:
        click.echo(f"personalizer: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:  # `personalizer links | head`
        sys.stderr.close()
        sys.exit(0)
