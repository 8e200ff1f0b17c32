"""YAML 1.2 with the line of every key, so that each mistake can be shown where it stands.

What enters: the text of one file. What leaves: plain data, a line for each path of keys, and problems. Must not: build
objects that a document names, or expand aliases without bound.

libyaml reads the text, forty times as fast as a parser written in Python; what its words mean is `scalars.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from personalizer.content.scalars import read_plain, read_tagged
from personalizer.errors import Problem

MAX_NODES = 50_000  # far above any real document; stops "billion laughs"
MAX_DEPTH = 40

KeyPath = tuple[str | int, ...]


@dataclass(slots=True)
class Parsed:
    """One file: its data (None if it could not be read), the line of every path of keys, and its problems."""

    file: Path
    data: Any
    lines: dict[KeyPath, int]
    problems: list[Problem]
    unsaid: set[KeyPath] = field(default_factory=set)  # where a value stands in for one that cannot be used

    def line_of(self, path: KeyPath) -> int:
        """The line of the longest known beginning of `path`; 1 for the document itself."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return self.lines.get((), 1)

    def report(self, path: KeyPath, message: str, remedy: str = "", *, warning: bool = False) -> None:
        """Note a problem at `path`, but none of what nobody wrote: what it stands in for is reported."""
        if any(path[:length] in self.unsaid for length in range(1, len(path) + 1)):
            return
        key = ".".join(str(part) for part in path)
        self.problems.append(Problem(self.file, self.line_of(path), key, message, remedy, warning))


def _say_remedy(text: str, line: int) -> str:
    """What to do about text that is no YAML, by the line at which that was seen, or the one before."""
    for written in reversed(text.splitlines()[max(0, line - 1) : line + 1]):
        if written[: len(written) - len(written.lstrip())].count("\t"):
            return "Indent with spaces, not tabs."
        if ": {{" in written or "- {{" in written:
            return "Put a text that begins with {{ in quotes."
    return "Check indentation and quotes."


class _TooLarge(Exception):
    """The document has more nodes than any real one, or nests them deeper."""


class _Malformed(Exception):
    """Not YAML, or more of it than a document may have: `line` counts from 0."""

    def __init__(self, line: int, what: str, remedy: str = "Check indentation and quotes.") -> None:
        super().__init__(what)
        self.line = line
        self.remedy = remedy


def parse_yaml(text: str, file: Path, first_line: int = 1) -> Parsed:
    """Read one document. `first_line` is the line of the file on which `text` begins."""
    parsed = Parsed(file, None, {(): first_line}, [])
    try:
        nodes = _Nodes(text)
        if not nodes.events:
            parsed.report((), "is empty.", "Write the document or delete the file.")
            return parsed
        parsed.data = _Builder(nodes, parsed, first_line).build(0, (), 1)
        if parsed.data is None and not parsed.problems:
            parsed.report((), "is empty.", "Write the document or delete the file.")
    except _TooLarge:
        parsed.report((), "is too large or nested too deeply.", "Split it, and do not nest aliases.")
    except _Malformed as error:
        parsed.problems.append(Problem(file, error.line + first_line, "", f"is not YAML: {error}.", error.remedy))
    return parsed


class _Nodes:
    """The nodes of one document as a list of events. `ends` has for each start of a list or mapping the place behind
    it, `targets` for each alias the place of what it stands for."""

    def __init__(self, text: str) -> None:
        self.events: list[Event] = []
        self.ends: dict[int, int] = {}
        self.targets: dict[int, int] = {}
        try:
            self._read(yaml.CSafeLoader(text))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line if mark else 0
            raise _Malformed(line, str(error.problem), _say_remedy(text, line)) from error
        except yaml.reader.ReaderError as error:
            line = _line_at(text, error.position)
            raise _Malformed(line, str(error.reason), "Check for stray characters.") from error

    def _read(self, parser: Any) -> None:
        anchors: dict[str, int] = {}
        open_: list[int] = []
        for event in _document(parser):
            kind, place = type(event), len(self.events)
            if kind is MappingEndEvent or kind is SequenceEndEvent:
                self.ends[open_.pop()] = place + 1
            elif kind is AliasEvent:
                if event.anchor not in anchors:
                    raise _Malformed(event.start_mark.line, f"found undefined alias `{event.anchor}`")
                self.targets[place] = anchors[event.anchor]
            else:
                if event.anchor is not None:
                    anchors[event.anchor] = place
                if kind is not ScalarEvent:
                    open_.append(place)
            if len(open_) >= MAX_DEPTH or place > 2 * MAX_NODES:
                raise _TooLarge
            self.events.append(event)

    def after(self, place: int) -> int:
        """The place behind the node at `place`."""
        return self.ends.get(place, place + 1)


def _document(parser: Any) -> Iterator[Any]:
    """The events of the nodes of the one document that a text may have; none if it has none."""
    parser.get_event()  # the stream's start
    if type(parser.get_event()) is StreamEndEvent:
        return
    while type(event := parser.get_event()) is not DocumentEndEvent:
        yield event
    event = parser.get_event()
    if type(event) is not StreamEndEvent:
        raise _Malformed(event.start_mark.line, "another document begins here")


def _line_at(text: str, position: int) -> int:
    """The line of a position that libyaml counts in bytes."""
    return text.encode("utf-8", "replace")[:position].count(b"\n")


class _Builder:
    """Turns nodes into plain data and notes the line of each."""

    def __init__(self, nodes: _Nodes, parsed: Parsed, first_line: int) -> None:
        self._nodes = nodes
        self._events = nodes.events
        self._parsed = parsed
        self._lines = parsed.lines
        self._first = first_line
        self._left = MAX_NODES

    def build(self, place: int, path: KeyPath, depth: int) -> Any:
        """The data of the node at `place`. An alias is what it stands for, built anew under its own path."""
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise _TooLarge
        place = self._nodes.targets.get(place, place)
        event: Any = self._events[place]
        if path not in self._lines:
            self._lines[path] = event.start_mark.line + self._first
        kind = type(event)
        if kind is MappingStartEvent:
            return self._mapping(place, path, depth)
        if kind is SequenceStartEvent:
            return self._sequence(place, path, depth)
        return self._scalar(event, path)

    def _scalar(self, event: ScalarEvent, path: KeyPath) -> Any:
        if event.tag is None:
            if not event.implicit[0]:  # it has quotes
                return event.value
            read, said = read_plain, (event.value,)
        else:
            read, said = read_tagged, (event.value, event.tag)  # type: ignore[assignment]
        try:
            return read(*said)
        except LookupError:
            line = event.start_mark.line
            raise _Malformed(line, f"`{event.tag}` is no kind of value here", "Remove it.") from None
        except ValueError as error:  # looks like a date or a number, and is none
            self._parsed.report(path, f"`{event.value[:80]}` cannot be read: {error}.", "Put it in quotes, or mend it.")
            return None

    def _sequence(self, place: int, path: KeyPath, depth: int) -> list[Any]:
        data: list[Any] = []
        place, end = place + 1, self._nodes.ends[place] - 1
        while place < end:
            data.append(self.build(place, (*path, len(data)), depth + 1))
            place = self._nodes.after(place)
        return data

    def _mapping(self, place: int, path: KeyPath, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        place, end = place + 1, self._nodes.ends[place] - 1
        while place < end:
            key_event: Any = self._events[self._nodes.targets.get(place, place)]
            value = self._nodes.after(place)
            place = self._nodes.after(value)
            if type(key_event) is not ScalarEvent:
                self._parsed.report(path, "has a key that is not a word.", "Write `key: value`.")
                continue
            key = key_event.value
            below, line = (*path, key), key_event.start_mark.line + self._first
            if key in data:
                name = ".".join(map(str, below))
                self._parsed.problems.append(
                    Problem(self._parsed.file, line, name, "stands twice.", "Keep one of them.")
                )
                continue
            self._lines[below] = line
            data[key] = self.build(value, below, depth + 1)
        return data
