"""`make bench`: its rows are measured and shown, its bounds judge, and what cannot be measured says why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from servers import WORKSPACE

from benchmarks.figures import Figure
from benchmarks.processes import connect, cores_of_their_own


def run_bench(*options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *options],
        env=os.environ | environ,
        cwd=WORKSPACE,
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_rows_are_measured(tmp_path: Path) -> None:
    files = ("--json", str(tmp_path / "found.json"), "--markdown", str(tmp_path / "found.md"))
    done = run_bench("--quick", "--rows", "1,2,5,6", *files)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert {figure["row"] for figure in found["figures"]} == {"1", "2", "5", "6"}
    assert all(figure["value"] > 0 for figure in found["figures"])
    assert found["not measured"] == {}
    assert set(found["rounds"]["served"]) == {
        "personalizer", "empty Flask view", "bare WSGI function", "nginx, a file",
    }  # fmt: skip
    told = (tmp_path / "found.md").read_text()
    assert all(figure["name"] in told for figure in found["figures"])


def test_publishing_is_measured(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    done = run_bench("--quick", "--rows", "8", "--json", str(found))
    assert done.returncode == 0, done.stderr
    told = json.loads(found.read_text())
    assert told["not measured"] == {}
    failed, pause, _, check, load = (figure["value"] for figure in told["figures"])
    assert failed == 0
    assert pause > 0
    assert 0 < load < check
    (publish,) = told["rounds"]["publish"]
    assert publish["load"] > 100
    assert publish["handover"]["requests"] > 100


def test_a_row_that_cannot_be_measured_says_why() -> None:
    done = run_bench("--quick", "--rows", "11", PATH="/nowhere")
    assert done.returncode == 0, done.stderr
    assert "Row 11: not measured: chromium: not installed. On Debian or Ubuntu: sudo apt-get install" in done.stdout


def test_a_row_that_does_not_exist_is_refused() -> None:
    done = run_bench("--rows", "1,99")
    assert done.returncode == 2
    assert "99: there is no such row" in done.stderr


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")
def test_a_server_has_a_core_of_its_own_while_it_is_measured() -> None:
    mine = os.sched_getaffinity(0)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command) as server, subprocess.Popen(command) as helper:
        try:
            with connect("server", 1, [server.pid], {"helper": helper.pid}) as peer:
                with cores_of_their_own([peer]):
                    assert os.sched_getaffinity(server.pid) == {min(mine)}
                    assert os.sched_getaffinity(helper.pid) == mine - {min(mine)}
                    assert os.sched_getaffinity(0) == mine - {min(mine)}
                assert [os.sched_getaffinity(pid) for pid in (0, server.pid, helper.pid)] == [mine] * 3
        finally:
            server.kill()
            helper.kill()


@pytest.mark.parametrize(
    ("value", "at_most", "holds"), [(1.4, False, False), (1.5, False, True), (1.4, True, True), (1.6, True, False)]
)
def test_a_gate_is_the_least_or_the_most(value: float, at_most: bool, holds: bool) -> None:
    figure = Figure("1", "", (0.0, value, 9.0), goal=1.5, gate=1.5, at_most=at_most)
    assert (figure.holds, figure.reached) == (holds, holds)
    assert figure.say_bound(figure.gate) == ("≤ 1.5" if at_most else "≥ 1.5")
