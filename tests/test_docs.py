"""Docs and code agree: tables, names, commands, links, and every example that a reader can copy.

What enters: README.md and docs/. What leaves: nothing. The tables are written here from the code; a failing test prints
the table to paste.
"""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import click
import pytest
from deltalake import DeltaTable
from pydantic import BaseModel
from ruamel.yaml import YAML

from personalizer.cli import _COMMANDS, cli
from personalizer.config import SETTINGS, shipped
from personalizer.content import models
from personalizer.content.compile import SCHEMA, check_workspace, load_content
from personalizer.content.yaml import parse_yaml
from personalizer.decision.conditions import All, Any_, Compare, Node, Not, build_condition
from personalizer.decision.parse import OPERATORS, compile_condition
from personalizer.edge.limits import MAX_FORM, MAX_QUERY, MAX_SIGNALS
from personalizer.edge.signals import MAX_SIGNS
from personalizer.events.collector import collect_once
from personalizer.events.columns import COLUMNS, KINDS, LEAD_COLUMNS
from personalizer.events.journal import Journal
from personalizer.model import FactType, Reason, Source
from personalizer.reports.dimensions import DIMENSIONS
from personalizer.serve import HEADER_SECONDS, MAX_HEADERS
from personalizer.visitor.company import company_facts
from personalizer.visitor.cookie import MAX_COOKIE
from personalizer.visitor.facts import FACTS, TOKENS
from personalizer.visitor.mmdb import open_mmdb

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
        known = {option for one in command_of(command.split()[1].strip("`")).params for option in one.opts}
        assert set(re.findall(r"--[a-z-]+", does)) <= known, command


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


def test_what_is_not_acted_on_is_said(tmp_path: Path) -> None:
    """Keys that `check` warns about are marked in their tables, and named where warnings are explained."""
    for name in ("variants", "templates"):
        shutil.copytree(shipped(name), tmp_path / name)
    criterion = "[{when: {company.revenue: {gte: 1000000}}, points: 20, why: budget}]"
    for file, line in (
        ("icps/mid-market-saas.yaml", f"fit: {{able: {criterion}}}\nteams: {{sales: {{able: 2}}}}"),
        ("pages/payroll/page.yaml", "retired_paths: [/wages]"),
        ("workspace.yaml", "custom: {budget: {type: number, from: [form.budget]}}"),
    ):
        with (tmp_path / "variants" / file).open("a") as document:
            document.write(f"\n{line}\n")
    problems = check_workspace(tmp_path).problems
    assert all(one.warning and "not acted on" in one.message for one in problems)
    warned = {one.key for one in problems}
    marked = {row[0].strip("`") for model in _DOCUMENTS for row in _rows_of(model) if "`check` warns" in row[2]}
    assert {re.split(r"[.\[]", path)[0] for path in marked} == warned
    (sentence,) = re.findall(r"checked but not acted on\*: (.*?)\.", read("docs/content.md"))
    assert set(re.findall(r"`(\w+)`", sentence)) == warned


def _rows_of(model: type[BaseModel]) -> list[list[str]]:
    return table_rows(read("docs/content.md").partition(f"<!-- {model.__name__} -->\n")[2], "| key |")


def test_documents_in_the_docs_are_right(tmp_path: Path) -> None:
    """Every block that names its file is written over the example workspace, in the order of reading, and checked."""
    found = [block for doc in DOCS for block in blocks(doc) if block.file.startswith(("variants/", "templates/"))]
    assert len(found) > 15
    for doc, group in itertools.groupby(found, key=lambda block: block.doc):
        root = tmp_path / doc.stem
        for name in ("variants", "templates"):
            shutil.copytree(shipped(name), root / name)
        written: dict[Path, Block] = {}
        for block in group:
            path = root / block.file
            if path in written:  # the short form of what comes now in its long form
                assert_right(root, written)
                written.clear()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, "utf-8")
            written[path] = block
        assert_right(root, written)


def assert_right(root: Path, written: dict[Path, Block]) -> None:
    for problem in check_workspace(root).problems:
        assert problem.warning or problem.file not in written, f"{written[problem.file]}: {problem}"


def test_conditions_in_the_docs_compile() -> None:
    found = [block for block in blocks(ROOT / "docs/conditions.md") if block.language == "yaml"]
    assert len(found) >= 5
    for block in found:
        data = parse_yaml(block.text, Path("x.yaml")).data
        _, mistakes = compile_condition(data.get("match", data), SCHEMA)
        assert not mistakes, f"{block}: {mistakes[0]}"


# --- commands ---


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Every `personalizer …` in a shell block, and in backticks in the text, as (where, arguments)."""
    for doc in DOCS:
        for block in blocks(doc):
            if block.language in ("sh", "console", "bash"):
                for line in block.text.replace("\\\n", " ").splitlines():
                    yield from ((str(block), found) for found in _commands_in(line))
        prose = _FENCE.sub("", doc.read_text("utf-8"))
        for match in re.finditer(r"`((?:[A-Z_]+=\S+ )*personalizer [^`]+)`", prose):
            yield from ((f"{doc.name}: {match[1]}", found) for found in _commands_in(match[1]))
    for name in ("", *_COMMANDS):
        for line in (command_of(name).help or "").splitlines():
            if line.startswith("  "):
                yield from (
                    (f"--help of {name}", found) for found in _commands_in(re.split(r"\s{3,}", line.strip())[0])
                )


def command_of(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name) if name else cli
    assert command is not None
    return command


def _commands_in(line: str) -> Iterator[list[str]]:
    """The arguments of each `personalizer` in a shell line, whatever stands before and behind it."""
    lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|;&<>")
    lexer.whitespace_split = True
    for separator, group in itertools.groupby(lexer, key=lambda word: set(word) <= set("|;&<>")):
        words = [word for word in group if not re.fullmatch(r"[A-Z_]+=.*", word, re.DOTALL)]
        if not separator and words and Path(words[0]).name == "personalizer":
            yield words[1:]


def test_commands_in_the_docs_exist() -> None:
    seen = list(command_lines())
    assert len(seen) > 30
    for where, arguments in seen:
        name, *rest = arguments
        if name.startswith("-"):
            assert name in ("--help", "-h", "--version"), where
            continue
        assert name in _COMMANDS, f"{where}: there is no command {name}"
        options = {option for parameter in command_of(name).params for option in parameter.opts} | {"--help", "-h"}
        for word in rest:
            if word.startswith("--"):
                assert word.partition("=")[0] in options, f"{where}: {name} has no option {word}"


def test_ads_in_the_docs_exist() -> None:
    known = set(load_content(ROOT).registry.refs) | {"office.small.two-meetings"}  # the README's own
    texts = [doc.read_text("utf-8") for doc in DOCS] + [command_of(name).help or "" for name in _COMMANDS]
    named = {name for text in texts for name in re.findall(r"pz=([a-z0-9-]+\.[a-z0-9.-]+[a-z0-9])", text)}
    assert named and named <= known


def test_python_in_the_docs_runs(tmp_path: Path) -> None:
    """Every Python block of a document, in its order, beside a data directory that holds one view and one lead."""
    visitor, lead = "V" * 16, {"email": "ada@lovelace.example"}
    for name, row in (
        ("events", {"kind": "exposure", "ts": 1_700_000_000_000_000, "visitor": visitor}),
        ("leads", {"lead_id": "1", "ts": 1_700_000_000_000_000, "visitor": visitor, "fields": json.dumps(lead)}),
    ):
        journal = Journal(tmp_path / "data", name)
        journal.append(row)
        journal.close()
    collect_once(tmp_path / "data", tmp_path / "data/lake")
    said = []
    for doc in DOCS:
        code = "\n".join(block.text for block in blocks(doc) if block.language == "python")
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
        assert ran.returncode == 0, f"{doc.name}: {ran.stderr}"
        said.append(ran.stdout)
    assert "exposure" in "".join(said) and "ada@lovelace.example" in "".join(said)
    for name in ("events", "leads"):  # the last block of all erases
        assert DeltaTable(tmp_path / "data/lake" / name).to_pyarrow_table().num_rows == 0
    record = open_mmdb("COMPANIES", tmp_path / "companies.mmdb", ("company",), "company").get("192.0.2.5")
    assert record is not None
    assert company_facts(record)["company.domain"] == "lumen.example"


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


# --- links and words ---


def test_links_lead_somewhere() -> None:
    for doc in DOCS:
        text = _FENCE.sub("", doc.read_text("utf-8"))
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"https?://|mailto:", target):
                continue
            file, _, anchor = target.partition("#")
            path = (doc.parent / file).resolve() if file else doc
            assert path.exists(), f"{doc.name}: {target} is not there"
            if anchor:
                assert anchor in _anchors(path), f"{doc.name}: {target} names no heading"


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", path.read_text("utf-8")), re.MULTILINE)
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


# --- the README's own example ---


def test_the_five_minutes_of_the_readme(tmp_path: Path) -> None:
    """Every line of the section runs as it stands, but for the server and what asks it."""
    section = re.search(r"^## [^\n]*five minutes.*?(?=^## )", read("README.md"), re.MULTILINE | re.DOTALL)
    assert section
    script = "".join(match[2] for match in _FENCE.finditer(section[0]) if match[1] == "sh")
    kept = [line for line in script.splitlines() if not re.match(r"\. |personalizer serve|curl ", line)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-eu"],
        input="\n".join(kept),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
    )
    assert ran.returncode == 0, ran.stderr
    assert "no problems" in ran.stdout
    assert "payroll/office-manager  HTTP 200" in ran.stdout
    assert "DECLARED_BY_AD" in ran.stdout


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
