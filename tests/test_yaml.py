"""Reading YAML: what words mean, where keys stand, and that a second reader, written in Python, reads the same.

The second reader is ruamel.yaml, a YAML 1.2 parser; the engine's own rests on libyaml, which is a YAML 1.1 one.
"""

from __future__ import annotations

import datetime as dt
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from personalizer.config import shipped
from personalizer.content.yaml import MAX_DEPTH, MAX_NODES, KeyPath, Parsed, parse_yaml

warnings.simplefilter("ignore")

SHIPPED = {path.name: path.read_text("utf-8") for path in sorted(shipped("variants").rglob("*.yaml"))}


def parse(text: str) -> Parsed:
    return parse_yaml(text, Path("x.yaml"))


# --- the second reader ---


def read_again(text: str) -> tuple[Any, dict[KeyPath, int]] | None:
    """Data and the line of each path of keys as ruamel sees them; None when it refuses the text."""
    reader, lines = YAML(typ="safe", pure=True), {(): 1}
    reader.max_depth = MAX_DEPTH

    def build(node: Node, path: KeyPath) -> Any:
        lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, ScalarNode):
            return reader.constructor.construct_object(node)
        if not isinstance(node, MappingNode):
            return [build(child, (*path, place)) for place, child in enumerate(node.value)]
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = (*path, key_node.value)
            if key_node.value not in data:
                lines[place] = key_node.start_mark.line + 1
                data[key_node.value] = build(value_node, place)
        return data

    try:
        root = reader.compose(text)
        return None if root is None else (build(root, ()), lines)
    except (YAMLError, ValueError, TypeError, RecursionError):
        return None


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_documents(name: str) -> None:
    parsed = parse(SHIPPED[name])
    assert parsed.problems == []
    assert (parsed.data, parsed.lines) == read_again(SHIPPED[name])


PLAIN = st.text(alphabet="abz019.:-+_ eExoNnulTtrueéß€~#,'\"", max_size=12)
WORDS = st.one_of(
    PLAIN,
    st.sampled_from(
        [
            "NO",
            "on",
            "yes",
            "off",
            "y",
            "~",
            "null",
            "true",
            "False",
            "0o17",
            "017",
            "0x1F",
            "0b11",
            "1_000",
            "+1",
            "-.5",
            ".inf",
            "-.INF",
            ".nan",
            "1e3",
            "1.5e-3",
            "08",
            "2026-03-01",
            "2026-3-1",
            "2026-13-01",
            "12:30",
            "1:2:3",
            "a:b",
            "x#y",
            "5%",
            "@",
        ]  # fmt: skip
    ),
    st.integers().map(str),
    st.floats(allow_nan=False).map(repr),
    st.dates().map(str),
)
KEYS = st.sampled_from(["name", "match", "icps", "when", "copy", "label", "geo.country", "1", "a-b", "true"])


def written(tree: Any, style: str, indent: str = "") -> str:
    """A tree of texts, lists and mappings as YAML, its words as they are: plain, or in quotes."""
    if isinstance(tree, str):
        return {"plain": tree, "single": "'" + tree.replace("'", "''") + "'"}[style]
    if not tree:
        return "{}" if isinstance(tree, dict) else "[]"
    lines = []
    for key, value in tree.items() if isinstance(tree, dict) else (("-", one) for one in tree):
        head = key if key == "-" else f"{key}:"
        below = isinstance(value, dict | list) and value
        text = written(value, style, indent + "  ")
        lines.append(f"{indent}{head}\n{text}" if below else f"{indent}{head} {text}")
    return "\n".join(lines)


TREES = st.dictionaries(
    KEYS,
    st.recursive(
        WORDS,
        lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(KEYS, below, max_size=3)),
        max_leaves=8,
    ),
    min_size=1,
    max_size=4,
)


@given(TREES, st.sampled_from(["plain", "single"]))
@settings(max_examples=300)
def test_generated_documents(tree: Any, style: str) -> None:
    """Whatever both readers accept is the same data on the same lines."""
    text = written(tree, style) + "\n"
    parsed, again = parse(text), read_again(text)
    if again is not None and not parsed.problems:
        assert repr(parsed.data) == repr(again[0]), text
        assert parsed.lines == again[1], text
    if style == "single":
        assert again is not None and not parsed.problems, (text, parsed.problems)


@given(st.sampled_from(sorted(SHIPPED)), st.data())
@settings(max_examples=150)
def test_damaged_documents(name: str, data: st.DataObject) -> None:
    """A piece of a shipped document with something foreign in it: the same data, or problems; never an exception."""
    lines = SHIPPED[name].split("\n")[: data.draw(st.integers(3, 30))]
    text = "\n".join(lines) + "\n"
    place = data.draw(st.integers(0, len(text)))
    new = data.draw(
        st.sampled_from(["\n", ":", "- ", "[", "}", "'", '"', "#", "&a ", "*a", "!x ", "|\n", "? ", ", ", "---\n"])
    )
    text = text[:place] + new + text[place:]
    parsed, again = parse(text), read_again(text)
    if again is not None and not parsed.problems:
        assert (repr(parsed.data), parsed.lines) == (repr(again[0]), again[1])


# --- what words mean ---

MEANINGS: dict[str, Any] = {
    "NO": "NO",
    "on": "on",
    "y": "y",
    "~": None,
    "": None,
    "Null": None,
    "TRUE": True,
    "0o17": 15,
    "017": 17,
    "-0x1f": -31,
    "1_000": 1000,
    "+.5": 0.5,
    "1e3": 1000.0,
    "-.INF": float("-inf"),
    "12:30": "12:30",
    "1.2.3": "1.2.3",
    "2026-03-01": dt.date(2026, 3, 1),
    "2026-3-1": "2026-3-1",
    "2026-03-01T10:30:00Z": dt.datetime(2026, 3, 1, 10, 30, tzinfo=dt.UTC),
    "2026-03-01 10:30:00.5 -1:30": dt.datetime(
        2026, 3, 1, 10, 30, 0, 500_000, dt.timezone(-dt.timedelta(hours=1, minutes=30))
    ),
    "=": "=",
    "!!str 5": "5",
    "!!int '5'": 5,
    "! 5": "5",
    "'5'": "5",
    "|\n  5": "5",
}


@pytest.mark.parametrize("text", MEANINGS, ids=repr)
def test_words(text: str) -> None:
    parsed = parse(f"a: {text}")
    assert parsed.problems == []
    assert repr(parsed.data) == repr({"a": MEANINGS[text]})


# --- problems ---

PROBLEMS = {
    "a: 2026-13-01": (1, "a", "`2026-13-01` cannot be read: month must be in 1..12.", "Put it in quotes"),
    "a: !!int x": (1, "a", "`x` cannot be read", "Put it in quotes"),
    "\na: b\na: c": (3, "a", "stands twice.", "Keep one"),
    "a:\n  ? [b]\n  : c": (1, "a", "has a key that is not a word.", "Write `key: value`."),
    "": (1, "", "is empty.", "Write the document"),
    "# nothing\n": (1, "", "is empty.", "Write the document"),
    "---\n": (1, "", "is empty.", "Write the document"),
    "a: b\nc: [": (3, "", "is not YAML: ", "Check indentation"),
    "a:\n\tb: c": (2, "", "is not YAML: ", "Indent with spaces"),
    "a: {{ b | c }} d": (1, "", "is not YAML: ", "Put a text that begins with {{ in quotes."),
    "a: b\n\nc: !thing d": (3, "", "is not YAML: `!thing` is no kind of value here.", "Remove it."),
    "a: b\nc: *d": (2, "", "is not YAML: found undefined alias `d`.", "Check"),
    "a: b\n---\nc: d": (2, "", "is not YAML: another document begins here.", "Check"),
    "a: ü\nb: \x00": (2, "", "is not YAML: control characters are not allowed.", "Check for stray characters."),
}


@pytest.mark.parametrize("text", PROBLEMS, ids=repr)
def test_problems(text: str) -> None:
    line, key, message, remedy = PROBLEMS[text]
    (problem,) = parse(text).problems
    assert (problem.line, problem.key) == (line, key)
    assert problem.message.startswith(message)
    assert problem.remedy.startswith(remedy)


def test_front_matter_begins_further_down() -> None:
    parsed = parse_yaml("a: b\na: c\n", Path("x.html"), 10)
    assert (parsed.line_of(("a",)), parsed.problems[0].line) == (10, 11)


# --- limits ---


def nested(depth: int) -> str:
    return "a: " + "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        (nested(MAX_DEPTH - 2), True),
        (nested(MAX_DEPTH + 1), False),
        ("\n".join(f"k{number}: x" for number in range(MAX_NODES - 1)), True),
        ("\n".join(f"k{number}: x" for number in range(MAX_NODES)), False),
        (f"a: &a [{', '.join('x' * 300)}]\n" + "\n".join(f"b{number}: *a" for number in range(200)), False),
    ],
    ids=["deep", "too deep", "large", "too large", "by aliases"],
)
def test_limits(text: str, fits: bool) -> None:
    parsed = parse(text)
    assert [problem.message for problem in parsed.problems] == ([] if fits else ["is too large or nested too deeply."])


def test_an_alias_is_built_where_it_stands() -> None:
    """Its lines are those of what it stands for; what it stands for is what the name meant when it was used."""
    parsed = parse("a: &x {b: 1}\nc: *x\nd: &x 2\ne: [*x]\n")
    assert parsed.data == {"a": {"b": 1}, "c": {"b": 1}, "d": 2, "e": [2]}
    assert parsed.lines[("c", "b")] == 1
    assert parsed.data["a"] is not parsed.data["c"]
