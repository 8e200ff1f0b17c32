"""Whether an agent belongs to a robot or to a person's browser.

What enters: a User-Agent header. What leaves: a yes or a no. Must not: raise, or take longer for an agent that was
made to be slow: the expressions run in Rust's engine, whose time grows with the length alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ua_parser_rs import UserAgentExtractor

BOT, PERSON = "bot", "person"

_DATA = Path(__file__).parent / "data"


def names_bot(agent: str) -> bool:
    """Whether the first line of `data/agents.txt` that fits says so; an agent that says nothing is a robot's."""
    found = load_rules().extract(agent)
    return found is None or found.family == BOT


@cache
def load_rules() -> UserAgentExtractor:
    """The kept list, compiled: a fortieth of a second, once a process."""
    return UserAgentExtractor((pattern, kind, None, None, None, None) for kind, pattern in _read_rules())


def _read_rules() -> Iterator[tuple[str, str]]:
    """Kind and expression of each line, in order."""
    for line in _lines("agents.txt"):
        kind, pattern = line.split(" ", 1)
        if kind == "include":
            yield from ((BOT, name) for name in _lines(pattern))
        else:
            yield kind, pattern


def _lines(name: str) -> Iterator[str]:
    """Expressions may begin or end with a space."""
    text = (_DATA / name).read_text("utf-8")
    return (line for line in text.splitlines() if line and not line.startswith("#"))
