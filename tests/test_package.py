"""The wheel is complete: installed away from this repository it starts a workspace and serves a page of it."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from servers import WORKSPACE, until

from personalizer.serve import probe_port


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(WORKSPACE)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    return next(folder.glob("*.whl"))


def test_wheel_carries_templates_variants_and_samples(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in ("templates", "variants"):
        files = [path.relative_to(WORKSPACE) for path in (WORKSPACE / name).rglob("*") if path.is_file()]
        assert files and {f"personalizer/shipped/{path.as_posix()}" for path in files} <= names
    samples = (WORKSPACE / "personalizer/visitor/data/sample").glob("*.mmdb")
    assert {f"personalizer/visitor/data/sample/{path.name}" for path in samples} <= names
    assert "personalizer/edge/beacon.js" in names


def test_installed_wheel_serves_a_page_anywhere(wheel: Path, tmp_path: Path) -> None:
    """A `site-packages` of its own goes before this environment's, from which only the dependencies come."""
    target = tmp_path / "site-packages"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True, text=True)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    python = [sys.executable, "-P"]
    where = [*python, "-c", "import personalizer; print(personalizer.__file__)"]
    found = subprocess.run(where, check=True, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert Path(found.stdout.strip()).is_relative_to(target)

    command = [*python, "-m", "personalizer"]
    subprocess.run([*command, "init", "site"], check=True, capture_output=True, env=environment, cwd=tmp_path)
    port = probe_port("127.0.0.1", 0)
    serve = [*command, "serve", "--workspace", "site", "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(serve, env=environment, cwd=tmp_path, stdout=log, stderr=log)
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
