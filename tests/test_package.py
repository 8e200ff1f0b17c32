"""The wheel is complete: installed away from this repository it starts a workspace and serves a page of it."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from servers import WORKSPACE, until

from personalizer.serve import probe_port


def test_wheel_carries_templates_variants_and_samples(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in ("templates", "variants"):
        files = [path.relative_to(WORKSPACE) for path in (WORKSPACE / name).rglob("*") if path.is_file()]
        assert files and {f"personalizer/shipped/{path.as_posix()}" for path in files} <= names
    samples = (WORKSPACE / "personalizer/visitor/data/sample").glob("*.mmdb")
    assert {f"personalizer/visitor/data/sample/{path.name}" for path in samples} <= names
    assert "personalizer/edge/beacon.js" in names


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `site-packages` of its own; only the dependencies come from this environment."""
    target = tmp_path_factory.mktemp("installed") / "site-packages"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True, text=True)
    return target


def environment(installed: Path) -> dict[str, str]:
    """In which `import personalizer` is the installed one, wherever one stands."""
    return {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}


def test_request_path_is_compiled_where_there_is_a_compiler(installed: Path) -> None:
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0])
    modules = "personalizer.decision.decide", "personalizer.visitor.read", "personalizer.edge.page"
    code = "import importlib, sys; [print(importlib.import_module(name).__file__) for name in sys.argv[1:]]"
    ran = subprocess.run(
        [sys.executable, "-c", code, *modules], check=True, capture_output=True, text=True, env=environment(installed)
    )
    files = [Path(line) for line in ran.stdout.split()]
    assert all(file.is_relative_to(installed) for file in files)
    assert {file.suffix for file in files} == {".so" if compiler else ".py"}


def test_compiled_code_passes_the_same_tests(installed: Path) -> None:
    """Reading, deciding, dealing, rendering, journaling, and pages over HTTP, as the sources do."""
    names = ("visitor_*", "declared", "assign", "conditions", "decide", "render", "journal", "edge_*")
    tests = [str(path) for name in names for path in sorted(WORKSPACE.glob(f"tests/test_{name}.py"))]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment(installed), cwd=WORKSPACE)
    assert ran.returncode == 0, ran.stdout[-4000:]


def test_installed_wheel_serves_a_page_anywhere(installed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "personalizer"]
    env = environment(installed)
    subprocess.run([*command, "init", "site"], check=True, capture_output=True, env=env, cwd=tmp_path)
    port = probe_port("127.0.0.1", 0)
    serve = [*command, "serve", "--workspace", "site", "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(serve, env=env, cwd=tmp_path, stdout=log, stderr=log)
    try:
        status, body = until(lambda: _page(port), 30)
        assert status == 200
        assert b"Payroll" in body
    finally:
        server.terminate()
        assert server.wait(20) == 0, (tmp_path / "log").read_text()


def _page(port: int) -> tuple[int, bytes] | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/payroll")
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return None
    finally:
        connection.close()
