"""YAML 1.2 with the line of every key, so that each mistake can be shown where it stands.

What enters: the text of one file. What leaves: plain data, a line for each path of keys, and problems. Must not: build
objects that a document names, or expand aliases without bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

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

    def line_of(self, path: KeyPath) -> int:
        """The line of the longest known beginning of `path`; 1 for the document itself."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return self.lines.get((), 1)

    def report(self, path: KeyPath, message: str, remedy: str = "", *, warning: bool = False) -> None:
        """Note a problem at `path`."""
        key = ".".join(str(part) for part in path)
        self.problems.append(Problem(self.file, self.line_of(path), key, message, remedy, warning))


class _TooLarge(Exception):
    """The document has more nodes than any real one."""


def parse_yaml(text: str, file: Path, first_line: int = 1) -> Parsed:
    """Read one document. `first_line` is the line of the file on which `text` begins."""
    parsed = Parsed(file, None, {(): first_line}, [])
    reader = YAML(typ="safe", pure=True)
    reader.max_depth = MAX_DEPTH
    try:
        root = reader.compose(text)
        if root is None:
            parsed.report((), "is empty.", "Write the document or delete the file.")
            return parsed
        parsed.data = _Builder(reader, parsed, first_line).build(root, ())
    except (_TooLarge, MaxDepthExceededError, RecursionError):
        parsed.report((), "is too large or nested too deeply.", "Split it, and do not nest aliases.")
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + first_line if mark else first_line
        parsed.problems.append(
            Problem(file, line, "", f"is not YAML: {error.problem}.", "Check indentation and quotes.")
        )
    except (YAMLError, ValueError) as error:
        parsed.problems.append(Problem(file, first_line, "", f"is not YAML: {error}.", "Check for stray characters."))
    return parsed


class _Builder:
    """Turns nodes into plain data and notes the line of each."""

    def __init__(self, reader: YAML, parsed: Parsed, first_line: int) -> None:
        self._scalars = reader.constructor
        self._parsed = parsed
        self._first = first_line
        self._left = MAX_NODES

    def build(self, node: Node, path: KeyPath) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _TooLarge
        self._parsed.lines.setdefault(path, node.start_mark.line + self._first)
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.build(child, (*path, place)) for place, child in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        try:
            return self._scalars.construct_object(node)
        except ValueError as error:  # looks like a date or a number, and is none
            self._parsed.report(path, f"`{node.value[:80]}` cannot be read: {error}.", "Put it in quotes, or mend it.")
            return None

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, ScalarNode) else None
            if key is None:
                self._parsed.report(path, "has a key that is not a word.", "Write `key: value`.")
                continue
            place, line = (*path, key), key_node.start_mark.line + self._first
            if key in data:
                name = ".".join(map(str, place))
                self._parsed.problems.append(
                    Problem(self._parsed.file, line, name, "stands twice.", "Keep one of them.")
                )
                continue
            self._parsed.lines[place] = line
            data[key] = self.build(value_node, place)
        return data
