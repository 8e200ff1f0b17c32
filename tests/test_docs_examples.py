"""What a reader can copy runs: documents, conditions, commands, Python, and the README's five minutes.

What enters: README.md and docs/, and the help of each command. What leaves: nothing.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from deltalake import DeltaTable
from manual import DOCS, ROOT, Block, blocks, command_of, options_of, prose, read

from personalizer.cli import _COMMANDS
from personalizer.config import shipped
from personalizer.content.compile import SCHEMA, check_workspace, load_content
from personalizer.content.yaml import parse_yaml
from personalizer.decision.parse import compile_condition
from personalizer.errors import Problem
from personalizer.events.collector import collect_once
from personalizer.events.journal import Journal
from personalizer.visitor.company import Companies, company_facts
from personalizer.visitor.company_build import build_company_table
from personalizer.visitor.company_table import open_company_table
from personalizer.visitor.mmdb import open_mmdb

# --- content ---


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
        for match in re.finditer(r"`((?:[A-Z_]+=\S+ )*personalizer [^`]+)`", prose(doc.read_text("utf-8"))):
            yield from ((f"{doc.name}: {match[1]}", found) for found in _commands_in(match[1]))
    for name in ("", *_COMMANDS):
        for line in (command_of(name).help or "").splitlines():
            if line.startswith("  "):
                example = re.split(r"\s{3,}", line.strip())[0]
                yield from ((f"--help of {name}", found) for found in _commands_in(example))


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
        options = options_of(name) | {"--help", "-h"}
        for word in rest:
            if word.startswith("--"):
                assert word.partition("=")[0] in options, f"{where}: {name} has no option {word}"


def test_ads_in_the_docs_exist() -> None:
    known = set(load_content(ROOT).registry.ads.refs) | {"office.small.two-meetings"}  # the README's own
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
    said = ""
    for doc in DOCS:
        code = "\n".join(block.text for block in blocks(doc) if block.language == "python")
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
        assert ran.returncode == 0, f"{doc.name}: {ran.stderr}"
        said += ran.stdout
    assert "exposure" in said and "ada@lovelace.example" in said
    for name in ("events", "leads"):  # the last block of all erases
        assert DeltaTable(tmp_path / "data/lake" / name).to_pyarrow_table().num_rows == 0
    record = open_mmdb("COMPANIES", tmp_path / "companies.mmdb", ("company",), "company").get("192.0.2.5")
    assert record is not None
    assert company_facts(record)["company.domain"] == "lumen.example"


def test_the_csv_in_the_docs_builds(tmp_path: Path) -> None:
    (block,) = [block for doc in DOCS for block in blocks(doc) if block.file == "companies.csv"]
    path = tmp_path / block.file
    path.write_text(block.text, "utf-8")
    mistakes: list[Problem] = []
    build_company_table(path, tmp_path / "companies.table", mistakes.append, lambda count: None)
    assert mistakes == []
    companies = Companies(open_company_table("it", tmp_path / "companies.table"))
    assert companies.lookup("192.0.2.5", {})["company.name"] == "Lumen Kliniken"
    assert companies.find_domain("halden-group.example")["company.domain"] == "halden.example"


# --- the README's own example ---


def test_the_five_minutes_of_the_readme(tmp_path: Path) -> None:
    """Every line of the section runs as it stands, but for the server and what asks it."""
    section = re.search(r"^## [^\n]*five minutes.*?(?=^## )", read("README.md"), re.MULTILINE | re.DOTALL)
    assert section
    shell = [block.text for block in blocks(ROOT / "README.md") if block.language == "sh"]
    script = "".join(text for text in shell if text in section[0])
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
    assert "Data directory site-data, which is not there yet. Look-up files: none." in ran.stdout
    assert "DECLARED_BY_AD" in ran.stdout
