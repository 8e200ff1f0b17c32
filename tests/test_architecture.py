"""The rooms: who may import whom, what the decision and the edge may not load, and that files stay graspable."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import personalizer

PACKAGE = Path(personalizer.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "shipped" not in path.parts)
ROOM_NAMES = sorted({path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))})

# What each room may import of the others. Not listed is not allowed: imports point one way.
BASE = {"model", "errors", "config", "cache"}
MAY_IMPORT: dict[str, set[str]] = {
    "model": set(),
    "cache": set(),
    "errors": set(),
    "config": {"errors"},
    "process": set(),
    "decision": {"model", "errors", "cache"},
    "visitor": BASE,
    "content": BASE | {"decision", "visitor"},
    "events": BASE | {"visitor"},
    "leads": BASE | {"content", "events", "visitor"},
    "edge": BASE | {"decision", "visitor", "content", "events", "leads"},
    "reports": BASE | {"decision", "visitor", "content", "events"},
    "app": BASE | {"edge"},
    "reload": BASE | {"visitor", "process"},
    "publish": BASE | {"content", "process"},
    "running": set(),
    "worker": BASE | {"edge", "app", "reload"},
    "serve": BASE
    | {"decision", "visitor", "content", "events", "edge", "process", "publish", "reload", "running", "worker"},
    "simulation": BASE | {"decision", "visitor", "content", "events", "process", "serve"},
    "cli": BASE
    | {
        "decision",
        "visitor",
        "content",
        "events",
        "leads",
        "reports",
        "simulation",
        "app",
        "serve",
        "reload",
        "running",
    },
    "__main__": {"cli"},
    "__init__": set(),
}

# All that the decision may import besides itself and the model: what computes, and nothing that knows the world.
PURE = {
    "__future__", "bisect", "collections", "dataclasses", "difflib", "enum", "fnmatch", "fnv_hash_fast", "functools",
    "math", "re", "typing", "unicodedata",
}  # fmt: skip
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "__import__", "globals"}
CATCH_ALLS = {"utils", "util", "helpers", "helper", "common", "services", "service", "managers", "manager", "misc"}
MAX_LINES = 450


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def test_there_are_files_to_read() -> None:
    assert len(FILES) > 50
    assert {"decision", "visitor", "content", "events", "edge", "reports", "cli"} <= set(ROOM_NAMES)


def test_every_room_is_in_the_table() -> None:
    assert {room_of(path) for path in FILES} == set(MAY_IMPORT)


def test_the_table_points_one_way() -> None:
    """No two rooms may import each other, not even by way of others."""
    reach = {room: set(allowed) for room, allowed in MAY_IMPORT.items()}
    for _ in reach:
        for allowed in reach.values():
            allowed |= {far for near in set(allowed) for far in reach[near]}
    assert [room for room, allowed in reach.items() if room in allowed] == []


def test_a_room_imports_only_rooms_that_it_may() -> None:
    wrong = []
    for path in FILES:
        room = room_of(path)
        for line, name in imports(path):
            first, *rest = name.split(".")
            other = rest[0] if rest and rest[0] in MAY_IMPORT else "__init__"
            if first == "personalizer" and other not in MAY_IMPORT[room] | {room, "__init__"}:
                wrong.append(f"{name_of(path)}:{line} imports {name}")
    assert wrong == []


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) == "decision"], ids=name_of)
def test_the_decision_is_pure(path: Path) -> None:
    """No clock, no dice, no I/O: nothing imported that could, nothing built in that could."""
    assert {name.partition(".")[0] for _, name in imports(path)} <= PURE | {"personalizer"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in IMPURE_CALLS, f"{name_of(path)}:{node.lineno}"
        assert not isinstance(node, ast.Global), f"{name_of(path)}:{node.lineno}"
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("now", "utcnow", "today", "environ"), f"{name_of(path)}:{node.lineno}"


def loaded_by(module: str) -> set[str]:
    """What a fresh interpreter has loaded after importing `module`."""
    code = f"import {module}, sys; print('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


HEAVY = {
    "deltalake", "duckdb", "pyarrow", "scipy", "numpy", "pandas", "rich", "redis", "ruamel.yaml",
    "personalizer.reports", "personalizer.simulation",
    "ua_parser_builtins.regexes",  # of an engine that answers nobody: a quarter of a start
}  # fmt: skip


@pytest.mark.parametrize("module", ["personalizer.app", "personalizer.cli.serve"])
def test_the_edge_and_its_parent_load_no_lake_and_no_statistics(module: str) -> None:
    loaded = loaded_by(module)
    assert "personalizer.edge.layer" in loaded
    assert loaded & HEAVY == set()


def test_the_decision_loads_nothing_of_the_web() -> None:
    loaded = loaded_by("personalizer.decision.decide")
    rooms = {name.split(".")[1] for name in loaded if name.startswith("personalizer.")}
    assert rooms == {"model", "decision", "cache"}
    assert not loaded & {"flask", "jinja2", "redis", "pydantic", "ruamel.yaml", "maxminddb"}


def test_no_folder_or_file_is_a_catch_all() -> None:
    names = {path.stem for path in FILES} | {path.name for path in PACKAGE.rglob("*") if path.is_dir()}
    assert names & CATCH_ALLS == set()


def test_every_file_says_first_what_enters_what_leaves_and_what_it_must_not_do() -> None:
    silent = []
    for path in FILES:
        text = path.read_text()
        said = " ".join((ast.get_docstring(ast.parse(text)) or "").lower().split())
        wanted = () if room_of(path) in ("__init__", "__main__") else ("what enters", "leaves:", "must not")
        if text and not (text.startswith('"""') and all(words in said for words in wanted)):
            silent.append(name_of(path))
    assert silent == []


def test_every_file_is_graspable() -> None:
    lines = {name_of(path): len(path.read_text().splitlines()) for path in FILES}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}
