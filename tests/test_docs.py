"""Docs and code agree: tables, names, messages and links.

What enters: README.md and docs/. What leaves: nothing. Tables are written here from the code; a failing test prints the
one to paste. What a reader can copy and run is in `test_docs_examples.py`.
"""

from __future__ import annotations

import ast
import itertools
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from click.testing import CliRunner
from manual import DOCS, ROOT, assert_table, options_of, prose, read, table, table_rows
from pydantic import BaseModel
from ruamel.yaml import YAML

from personalizer.cli import _COMMANDS, cli
from personalizer.config import SETTINGS
from personalizer.content import models
from personalizer.content.compile import SCHEMA
from personalizer.decision.conditions import All, Any_, Compare, Node, Not, build_condition
from personalizer.decision.fit import REMEMBERED_FITS
from personalizer.decision.index import REMEMBERED
from personalizer.decision.parse import OPERATORS, compile_condition
from personalizer.edge.limits import MAX_FORM, MAX_QUERY, MAX_SIGNALS
from personalizer.edge.signals import MAX_SIGNS
from personalizer.events.columns import COLUMNS, KINDS, LEAD_COLUMNS
from personalizer.model import FactType, Reason, Source
from personalizer.reports.dimensions import DIMENSIONS
from personalizer.visitor.cookie import MAX_COOKIE
from personalizer.visitor.facts import FACTS, TOKENS
from personalizer.worker import HEADER_SECONDS, MAX_HEADERS

# --- tables that follow from the code ---


def test_facts() -> None:
    rows = [("fact", "type", "from", "token", "meaning")]
    for fact in FACTS.values():
        values = f": one of {' '.join(f'`{value}`' for value in fact.values)}" if fact.values else ""
        token = "yes" if fact.name in TOKENS else ""
        rows.append((f"`{fact.name}`", fact.type, fact.origin, token, fact.meaning + values))
    assert_table("docs/facts.md", table(*rows))


def test_sources() -> None:
    named = [row[0] for row in table_rows(read("docs/facts.md"), "| source |")]
    assert named == [f"`{source}`" for source in Source]


def test_operators() -> None:
    types_of: dict[str, list[str]] = {}
    for kind, operators in OPERATORS.items():
        for operator in operators:
            types_of.setdefault(operator, []).append(kind)
    told = {row[0].strip("`"): row[1].split() for row in table_rows(read("docs/conditions.md"), "| operator |")}
    assert told == types_of


def test_three_valued_logic() -> None:
    words = {"true": True, "false": False, "unknown": None}
    rows = table_rows(read("docs/conditions.md"), "| a | b |")
    assert {(a, b) for a, b, *_ in rows} == set(itertools.product(words, words))
    leaves = {"a": Compare("geo.eu", FactType.FLAG, "eq", True), "b": Compare("device.bot", FactType.FLAG, "eq", True)}
    pair = (leaves["a"], leaves["b"])
    nodes: list[Node] = [All(pair), Any_(pair), Not(leaves["a"])]
    for a, b, *verdicts in rows:
        named = {"geo.eu": words[a], "device.bot": words[b]}
        facts = {name: value for name, value in named.items() if value is not None}
        assert [build_condition(node).test(facts) for node in nodes] == [words[verdict] for verdict in verdicts]


def test_sentences() -> None:
    rows = table_rows(read("docs/conditions.md"), "| condition | sentence |")
    assert len(rows) >= 8
    for written, sentence in rows:
        condition, mistakes = compile_condition(YAML(typ="safe").load(written.strip("`")), SCHEMA)
        assert condition is not None, mistakes
        assert condition.sentence == sentence


def test_columns() -> None:
    for columns in ([one for one in COLUMNS if not one.fact], LEAD_COLUMNS):
        rows = [(f"`{one.name}`", one.type, one.meaning) for one in columns]
        assert_table("docs/events-and-privacy.md", table(("column", "type", "meaning"), *rows))
    rows = [(f"`{one.name}`", one.type, f"`{one.fact}`") for one in COLUMNS if one.fact]
    assert_table("docs/events-and-privacy.md", table(("column", "type", "fact"), *rows))


def test_event_kinds() -> None:
    named = [row[0].strip("`") for row in table_rows(read("docs/events-and-privacy.md"), "| kind |")]
    assert named == list(KINDS)


def test_settings() -> None:
    rows = [("variable", "default", "meaning")]
    for setting in SETTINGS:
        default = f"`{setting.default}`" if setting.default else ""
        meaning = setting.meaning + (" (`sample`: the shipped file)" if setting.sample else "")
        rows.append((f"`{setting.variable}`", default, meaning))
    assert_table("docs/operations.md", table(*rows))


def test_commands_are_listed() -> None:
    rows = table_rows(read("docs/operations.md"), "| command |")
    assert [row[0].strip("`").split()[1] for row in rows] == list(_COMMANDS)
    for command, does in rows:
        assert set(re.findall(r"--[a-z-]+", does)) <= options_of(command.split()[1].strip("`")), command


def test_reasons() -> None:
    rows = table_rows(read("docs/design.md"), "| reason |")
    assert [row[0].strip("`") for row in rows] == [reason.value for reason in Reason]


def test_dimensions() -> None:
    named = [row[0].strip("`") for row in table_rows(read("docs/experiments.md"), "| dimension |")]
    assert named == [name for name in DIMENSIONS if name not in FACTS]


def test_limits() -> None:
    text = read("docs/operations.md")
    told = {row[0]: row[1] for row in table_rows(text, "| limit |")}
    assert told == {
        "query string": f"{MAX_QUERY // 1024} KB",
        "request line and headers": f"{MAX_HEADERS // 1024} KB",
        "time to send the headers": f"{HEADER_SECONDS} s",
        "time to end at a stop": _found(r"_STOP_SECONDS = (\d+)", "personalizer/serve.py") + " s",
        "form": f"{MAX_FORM // 1024} KB",
        "beacon, conversion or consent": f"{MAX_SIGNALS // 1024} KB",
        "signs in one beacon": str(MAX_SIGNS),
        "forms a minute and address": _found(r"per_minute=(\d+)", "personalizer/edge/state.py"),
        "cookie": f"{MAX_COOKIE:,} bytes",
    }


def test_what_check_says_of_the_example(tmp_path: Path) -> None:
    """But for the revision, which every change of the example changes."""
    said = CliRunner().invoke(cli, ["check", str(ROOT), "--data", str(tmp_path)]).output
    told = re.findall(r"^\d+ pages, .*Revision.*$", "\n".join(doc.read_text("utf-8") for doc in DOCS), re.MULTILINE)
    assert len(told) == 3
    assert set(told) == {re.sub(r"[0-9a-f]{12}", "…", said.splitlines()[0])}


def test_how_long_it_takes() -> None:
    """The visitors in the table are those of the rule above it, to two digits."""
    rows = table_rows(read("docs/experiments.md"), "| rate today |")
    assert len(rows) >= 5
    for cells in rows:
        rate, improvement, share, visitors = (float(re.sub(r"[ %,]", "", cell)) for cell in cells)
        base, part = rate / 100, share / 100
        middle, difference = base * (1 + improvement / 200), base * improvement / 100
        needed = 8 * middle * (1 - middle) / (difference**2 * part * (1 - part))
        assert float(f"{needed:.2g}") == visitors


def _found(pattern: str, name: str) -> str:
    match = re.search(pattern, read(name))
    assert match
    return match[1]


# --- documents ---


def key_paths(
    model: type[BaseModel], prefix: str = "", seen: tuple[type[BaseModel], ...] = ()
) -> Iterator[tuple[str, str]]:
    """Every key of a document as a dotted path, with its default: `ad_sets[].ads[].key`, `goals.<>.window`.

    A list whose items have required keys only is one path.
    """
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        kind, inner = _document_in(field.annotation)
        if inner is None or inner in (*seen, model):
            yield path, _default(field)
        elif kind.endswith("[]") and all(one.is_required() for one in inner.model_fields.values()):
            yield path + kind, _default(field)
        else:
            yield from key_paths(inner, f"{path}{kind}.", (*seen, model))


def _document_in(annotation: Any) -> tuple[str, type[BaseModel] | None]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "", annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (list, dict):
        kind, model = _document_in(arguments[-1])
        return ("[]" if origin is list else ".<>") + kind, model
    if origin is typing.Annotated:
        return _document_in(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return next((found for found in map(_document_in, arguments) if found[1]), ("", None))
    return "", None


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, bool):
        return str(value).lower()
    if value == 30 * 86_400:
        return "30d"
    return f"{value:g}" if isinstance(value, int | float) else value if isinstance(value, str) else ""


_DOCUMENTS: tuple[type[BaseModel], ...] = (
    *models.DOCUMENTS.values(),
    models.Account,
    models.Form,
    models.Image,
    models.Embed,
)


@pytest.mark.parametrize("model", _DOCUMENTS, ids=lambda model: model.__name__)
def test_documents(model: type[BaseModel]) -> None:
    text = read("docs/content.md")
    marked = text.partition(f"<!-- {model.__name__} -->\n")[2]
    rows = table_rows(marked, "| key |")
    told = [(re.sub(r"<\w+>", "<>", row[0].strip("`")), row[1].strip("`")) for row in rows]
    assert told == list(key_paths(model))
    for row in rows:  # the keys of items that have a row of their own
        inner = _items_of(model, row[0].strip("`"))
        assert all(f"`{key}`" in row[2] for key in inner), row


def _items_of(model: type[BaseModel], path: str) -> list[str]:
    """The required keys that a row ending in `[]` stands for."""
    if not path.endswith("[]"):
        return []
    for part in path.removesuffix("[]").split("."):
        field = next((f for name, f in model.model_fields.items() if part in (name, f.alias)), None)
        if field is not None:
            inner = _document_in(field.annotation)[1]
            assert inner is not None
            model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


# --- messages ---


def strings_of(path: Path) -> Iterator[str]:
    """Every literal text in a Python file; of f-strings the parts between the braces."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_messages_in_troubleshooting_are_real() -> None:
    said = {text for path in (ROOT / "personalizer").rglob("*.py") for text in strings_of(path)}
    rows = table_rows(read("docs/operations.md"), "| what it says |")
    assert len(rows) >= 10
    for cells in rows:
        (quoted,) = re.findall(r"^“(.*)”$", cells[0])
        parts = [part.strip() for part in quoted.split("…") if part.strip()]
        assert parts
        for part in parts:
            assert any(part in text for text in said), f"nothing says “{part}”"


def test_every_log_line_is_explained() -> None:
    told = " ".join(read("docs/operations.md").split())
    logged = 0
    for path in (ROOT / "personalizer").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if ast.unparse(node.func) not in ("log.warning", "log.error", "log.exception"):
                continue
            first = node.args[0]
            assert isinstance(first, ast.Constant) and isinstance(first.value, str)
            logged += 1
            for part in re.split(r"%\.?\d*[a-z]", first.value):
                assert part.strip(" :,()") in told, (
                    f"{path.name} logs {first.value!r}; docs/operations.md does not say it"
                )
    assert logged


def test_what_is_remembered_is_told() -> None:
    """Every `Cache`, by its size, is a row of the table of what a worker remembers."""
    imported = {"REMEMBERED": REMEMBERED, "REMEMBERED_FITS": REMEMBERED_FITS}
    found = set()
    for path in (ROOT / "personalizer").rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        constants = {ast.unparse(node.target): node.value for node in tree.body if isinstance(node, ast.AnnAssign)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.AnnAssign) or node.value is None:
                continue
            for call in ast.walk(node.value):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "Cache":
                    size = constants.get(ast.unparse(call.args[0]), call.args[0])
                    value = size.value if isinstance(size, ast.Constant) else imported[ast.unparse(size)]
                    found.add((path.name, ast.unparse(node.target), value))
    told = read("docs/operations.md").partition("| remembered |")[2].partition("\n\n")[0]
    rows = [int(size.replace(",", "")) for size in re.findall(r"^\| [^|]+ \| ([\d,]+) \|", told, re.MULTILINE)]
    assert sorted(rows) == sorted(size for _, _, size in found)


# --- links and words ---


def test_links_lead_somewhere() -> None:
    for doc in DOCS:
        text = prose(doc.read_text("utf-8"))
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"https?://|mailto:", target):
                continue
            file, _, anchor = target.partition("#")
            path = (doc.parent / file).resolve() if file else doc
            assert path.exists(), f"{doc.name}: {target} is not there"
            if anchor:
                assert anchor in _anchors(path), f"{doc.name}: {target} names no heading"


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_images_are_described_and_small() -> None:
    shown = re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", read("README.md"))
    assert shown
    for words, target in shown:
        assert len(words) > 40
        assert (ROOT / target).stat().st_size < 300_000


def test_nothing_names_the_workshop() -> None:
    strange = ["".join(parts) for parts in (("/wo", "rk/"), (".li", "brary"), ("../sha", "red"))]
    folders = ("personalizer", "templates", "variants", "tests", "benchmarks", "docs", ".ci")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    for path in (*files, *ROOT.glob("*.*"), ROOT / "Makefile", ROOT / "LICENSE"):
        if path.is_file() and "__pycache__" not in path.parts:
            text = path.read_bytes().decode("utf-8", "replace")
            assert not any(word in text for word in strange), path
