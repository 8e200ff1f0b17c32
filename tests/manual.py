"""Reading README.md and docs/ as tests do: their tables, their blocks, and the commands that they name.

What enters: Markdown. What leaves: plain data. Must not: judge; that is for the tests.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from personalizer.cli import cli

ROOT = Path(__file__).resolve().parent.parent
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def table(*rows: tuple[str, ...]) -> str:
    """A Markdown table; the first row is its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def assert_table(name: str, expected: str) -> None:
    assert expected in read(name), f"{name} should have this table:\n\n{expected}\n"


def table_rows(text: str, head: str) -> list[list[str]]:
    """The cells of the table whose head line begins with `head`."""
    lines = iter(text.splitlines())
    assert any(line.startswith(head) for line in lines), f"no table begins with {head}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in _until_gap(lines)][1:]


def _until_gap(lines: Iterator[str]) -> Iterator[str]:
    return itertools.takewhile(lambda line: line.startswith("|"), lines)


class Block(NamedTuple):
    """A fenced block: where it stands, its language, its text, and the file that the line before it names."""

    doc: Path
    line: int
    language: str
    text: str
    file: str

    def __str__(self) -> str:
        return f"{self.doc.name}:{self.line}"


_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"`([\w./-]+)`:\s*\Z")


def blocks(doc: Path) -> list[Block]:
    text = doc.read_text("utf-8")
    found = []
    for match in _FENCE.finditer(text):
        named = _NAMED.search(text[: match.start()])
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(doc, line, match[1], match[2], named[1] if named else ""))
    return found


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return _FENCE.sub("", text)


def command_of(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name) if name else cli
    assert command is not None
    return command


def options_of(name: str) -> set[str]:
    """The options of a command; of a group, those of the commands in it."""
    command = command_of(name)
    inside = command.commands.values() if isinstance(command, click.Group) and name else ()
    return {option for one in (command, *inside) for parameter in one.params for option in parameter.opts}
