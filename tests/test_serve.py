"""The supervisor: what keeps it from starting, what it starts again, and that nothing outlives it."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import (
    WORKSPACE,
    Client,
    Server,
    command_of,
    demo_links,
    environment,
    processes,
    raw_request,
    raw_status,
    run_command,
    run_server,
    running,
    send_raw,
    until,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_server(tmp_path_factory.mktemp("serve") / "data") as started:
        yield started


def refused(*arguments: str, **settings: str) -> str:
    """What `personalizer …` says when it does not start: exit status 1, and no traceback."""
    ended = run_command(*arguments, **settings)
    assert ended.returncode == 1, ended
    assert "Traceback" not in ended.stderr
    assert "Serving" not in ended.stdout
    return ended.stderr


# --- it does not start, and says why ---


def test_a_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused("serve", "--port", str(port), "--data", str(tmp_path))
    assert said == (
        f"personalizer: Port {port} of 127.0.0.1 is taken. Stop what listens there, or choose another: "
        "--port, or PERSONALIZER_PORT=8081 make run.\n"
    )


def test_the_port_of_another_server(server: Server, tmp_path: Path) -> None:
    assert f"Port {server.port} of 127.0.0.1 is taken" in refused(
        "serve", "--port", str(server.port), "--data", str(tmp_path)
    )


def test_a_second_server_on_the_same_data(server: Server) -> None:
    said = refused("serve", "--port", "0", "--data", str(server.data))
    assert said == (
        f"personalizer: Another server (process {server.process.pid}) uses the data directory {server.data}. "
        "Stop it, or set another PERSONALIZER_DATA here.\n"
    )
    assert server.answers()


def test_the_collector_yields_to_pages(server: Server) -> None:
    (collector,) = server.collectors()
    (worker, *_) = server.workers()
    assert os.getpriority(os.PRIO_PROCESS, collector) > os.getpriority(os.PRIO_PROCESS, worker)


def test_a_second_collector_on_the_same_data(server: Server) -> None:
    (collector,) = server.collectors()
    until(lambda: (server.data / "collector.lock").is_file() and (server.data / "collector.lock").read_text())
    assert f"Another collector (process {collector})" in refused("collect", "--data", str(server.data))


@pytest.mark.parametrize("place", ["/dev/null/data", "/proc/data"])
def test_data_that_cannot_be_written(place: str) -> None:
    said = refused("serve", "--port", "0", "--data", place)
    assert said.startswith(f"personalizer: The data directory {place} cannot be written (")
    assert said.endswith("Name another with --data or PERSONALIZER_DATA.\n")


def test_a_journal_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("in the way")
    said = refused("serve", "--port", "0", "--data", str(tmp_path))
    assert "A process ended three times while starting; the lines above say why." in said
    assert "PERSONALIZER_DATA" in said


def test_a_broken_workspace_shows_all_its_problems(tmp_path: Path) -> None:
    for name in ("variants", "templates"):
        shutil.copytree(WORKSPACE / name, tmp_path / name)
    for name, right, wrong in (
        ("variants/icps/mid-market-saas.yaml", "company.industry", "company.industrie"),
        ("variants/pages/payroll/cfo.yaml", "headline:", "headlin:"),
        ("variants/experiments/payroll-cfo.yaml", "cfo-roi", "cfo-rio"),
    ):
        path = tmp_path / name
        path.write_text(path.read_text().replace(right, wrong, 1))
    said = refused("serve", "--port", "0", "--data", str(tmp_path / "data"), "--workspace", str(tmp_path))
    assert "mid-market-saas.yaml:5: " in said
    assert "company.industry" in said
    assert "pages/payroll/cfo.yaml:" in said
    assert "experiments/payroll-cfo.yaml:" in said
    assert "problems keep this from serving." in said.splitlines()[-1]


def test_no_workspace(tmp_path: Path) -> None:
    said = refused("serve", "--port", "0", "--data", str(tmp_path / "data"), "--workspace", str(tmp_path))
    assert "`personalizer init DIR` makes a workspace to start from." in said


def test_a_corrupt_look_up_file(tmp_path: Path) -> None:
    file = tmp_path / "broken.mmdb"
    file.write_bytes(b"MMDB" * 2000)
    said = refused("serve", "--port", "0", "--data", str(tmp_path / "data"), GEO_ASN=str(file))
    assert str(file) in said
    assert said.count("\n") == 1


WRONG_SETTINGS = [
    ("PORT", "eighty", "write a whole number from 0 to 65535"),
    ("GEOCITY", "x", "there is no such setting"),
]


@pytest.mark.parametrize(("name", "value", "remedy"), WRONG_SETTINGS)
def test_a_wrong_setting(tmp_path: Path, name: str, value: str, remedy: str) -> None:
    said = refused("serve", "--data", str(tmp_path), **{name: value})
    assert said.startswith(f"personalizer: PERSONALIZER_{name}")
    assert remedy in said


def test_a_wrong_option_is_named_as_it_was_written(tmp_path: Path) -> None:
    said = refused("serve", "--data", str(tmp_path), "--port", "eighty", WORKERS="none")
    assert said.startswith(
        "personalizer: --port='eighty': write a whole number from 0 to 65535.\nPERSONALIZER_WORKERS="
    )


def test_several_wrong_settings_are_named_at_once(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.mmdb")
    said = refused("serve", "--data", str(tmp_path), PORT="eighty", GEO_CITY=missing, GEOCITY="x", WORKER="2", ZZZ="")
    lines = said.removeprefix("personalizer: ").splitlines()
    assert [line.partition(":")[0].partition("=")[0].removeprefix("PERSONALIZER_") for line in lines] == [
        "GEOCITY",
        "WORKER",
        "ZZZ",
        "PORT",
        "GEO_CITY",
    ]
    assert lines[0].endswith("there is no such setting. Did you mean PERSONALIZER_GEO_CITY?")
    assert said.count("The settings are") == 1
    assert missing in said


def test_a_lake_is_reported_without_its_server(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    ended = run_command("report", "--data", str(tmp_path / "nothing"), "--lake", str(tmp_path / "lake"))
    assert ended.returncode == 0 and "Nothing yet" in ended.stdout, ended.stderr


def test_a_key_that_is_too_short_is_not_told(tmp_path: Path) -> None:
    said = refused("serve", "--data", str(tmp_path), SECRET_KEY="hush-hush")
    assert said.startswith("personalizer: PERSONALIZER_SECRET_KEY: each key must have at least 32 characters")
    assert "hush" not in said


def test_a_secret_that_others_can_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("0" * 64)
    (tmp_path / "secret").chmod(0o644)
    assert str(tmp_path / "secret") in refused("serve", "--port", "0", "--data", str(tmp_path))


# --- what it runs ---


def test_it_says_what_to_click_and_ends_when_told_to(tmp_path: Path) -> None:
    with run_server(tmp_path / "data") as started:
        visitor = Client(started)
        visitor.get("/payroll")  # leaves a connection open
        pids = [started.process.pid, *started.children()]
        began = time.monotonic()
        assert started.stop() == 0
        assert time.monotonic() - began < 10
        assert not running(pids)
        assert "Traceback" not in started.log.read_text()
        assert started.process.stdout
        said = started.process.stdout.read()
    assert "Trusts X-Forwarded-For from 127.0.0.0/8" in said
    assert "sample files" in said
    links = dict(re.findall(rf"^  (\S+) +http://127.0.0.1:{started.port}(/payroll\S+)$", said, re.MULTILINE))
    assert links == {persona: demo_links()[persona] for persona in ("cfo", "hr-director", "payroll-manager")}
    commands = re.findall(r"^  why\? +\S+ (explain .+)$", said, re.MULTILINE)
    assert len(commands) == 3
    explained = run_command(*shlex.split(commands[1]))
    assert "persona hr-director, row hr-director" in explained.stdout
    first = explained.stdout.splitlines()[0]
    assert first.startswith("Revision ") and f"of the files in {WORKSPACE}. Data directory " in first
    assert "with the settings of its last server. Look-up files: city.mmdb (sample), network.mmdb (sample)," in first


def loaded(pid: int) -> str:
    """The shared objects that a process has opened."""
    return Path(f"/proc/{pid}/maps").read_text()


def test_edge_workers_load_nothing_that_reports_or_redis_need(server: Server) -> None:
    """Every start of a worker is a fork of the supervisor: what neither loads costs neither memory nor time."""
    for pid in (server.process.pid, *server.workers()):
        for library in ("deltalake", "pyarrow", "duckdb", "scipy", "numpy", "pandas", "hiredis"):
            assert library not in loaded(pid)
    (collector,) = server.collectors()
    assert "/deltalake/" in until(lambda: loaded(collector) if "/deltalake/" in loaded(collector) else "")
    assert not any("redis" in command_of(child) for child in server.children())


def test_the_first_page_comes_soon(tmp_path: Path) -> None:
    """About 0.7 s of a processor from nothing to the first page, and less with kept content; the rest is for slow and
    busy machines."""
    for _ in ("compiled", "as it was kept"):
        with run_server(tmp_path / "data") as started:
            assert Client(started).get("/payroll").status == 200
            assert sum(map(cpu_seconds, (started.process.pid, *started.workers()))) < 3


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def test_hosts_workers_and_threads_are_settings(tmp_path: Path) -> None:
    settings = {"HOST": "0.0.0.0", "WORKERS": "2", "THREADS": "1", "ALLOWED_HOSTS": "shop.example"}
    with run_server(tmp_path / "data", **settings) as started:
        assert len(started.workers()) == 2
        statuses = {
            host: raw_status(send_raw(started, raw_request(b"/payroll", host=host)))
            for host in (b"shop.example", b"www.paydesk.example", b"localhost", b"127.0.0.1")
        }
        for _ in range(40):  # each connection goes to one of the two
            assert Client(started).get("/payroll", Host="shop.example").status == 200
        assert len({row["writer"] for row in started.events()}) == 2
        started.process.send_signal(signal.SIGINT)
        assert started.process.wait(10) == 0
        assert started.process.stdout
        said = started.process.stdout.read()
    assert list(statuses.values()) == [200, 200, 400, 400], "loopback's names are for who listens there alone"
    assert "Answers for shop.example, www.paydesk.example, and 400 for any other host;" in said
    assert f"http://shop.example:{started.port}/payroll?pz=" in said


# --- commands that ask a server's data ---


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["explain", "/payroll", "--ip", "999.1.1.1"], "--ip '999.1.1.1': write an address, as 198.51.100.7"),
        (["explain", "/payroll?utm_term=\udcff"], "The address has bytes that are not UTF-8; the server answers 400."),
        (["explain", "/payroll", "--header", "Accept-Language"], "write it as 'Name: value'"),
        (["explain", "http://[bad/payroll"], "http://[bad/payroll is no address (Invalid IPv6 URL)."),
        (
            ["explain", "https://evil.example/payroll"],
            "The server answers 400 for the host evil.example. It answers for 127.0.0.1, ::1, localhost, www.paydesk",
        ),
        (["report"], "There is no data directory {data}. Name that of a server with --data."),
        (["sign", "/payroll", "persona=cfo"], "There is no data directory {data}."),
    ],
)
def test_what_would_be_answered_wrongly_is_refused(arguments: list[str], words: str, tmp_path: Path) -> None:
    data = tmp_path / "nothing"
    ended = run_command(*arguments, "--data", str(data))
    assert ended.returncode
    assert words.format(data=data) in ended.stderr
    assert not data.exists()


def test_explain_says_what_it_does_not_take(tmp_path: Path) -> None:
    asked = ("explain", "/payroll?pz=q4-cfo.cfo-51-1000.roi-calc", "--data", str(tmp_path))
    ended = run_command(*asked, "--cookie", "garbage", "--header", "Accept-Language: de")
    assert "The cookie is ignored: it is not whole, or not signed with this data directory's key." in ended.stdout
    assert "row cfo-de" in ended.stdout
    assert "cookie is ignored" not in run_command(*asked).stdout


@pytest.mark.parametrize(
    ("url", "declared", "words"),
    [
        ("/payroll", "persona", "persona: write it as NAME=VALUE, as persona=cfo."),
        ("/payroll", "foo=bar", "foo=bar: no signed link declares 'foo'. It can declare persona, company.domain"),
        ("https://evil.example/payroll", "persona=cfo", "The server answers 400 for the host evil.example."),
    ],
)
def test_what_no_link_can_say_is_not_signed(url: str, declared: str, words: str, tmp_path: Path) -> None:
    assert words in refused("sign", url, declared, "--data", str(tmp_path))


# --- it starts again who dies ---


@pytest.mark.fault
def test_a_killed_worker_is_started_again(server: Server) -> None:
    (worker,) = server.workers()
    os.kill(worker, signal.SIGKILL)
    until(lambda: server.workers() not in ([], [worker]) and server.answers())
    assert Client(server).get("/payroll").status == 200
    assert "edge worker 1 ended (killed by SIGKILL); starting it again" in server.log.read_text()


@pytest.mark.fault
def test_a_killed_collector_is_started_again(server: Server) -> None:
    (collector,) = server.collectors()
    os.kill(collector, signal.SIGKILL)
    until(lambda: server.collectors() not in ([], [collector]))
    assert "collector ended (killed by SIGKILL); starting it again" in server.log.read_text()
    assert server.answers()


# --- and it ends ---


@pytest.mark.fault
def test_a_slow_sender_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    with run_server(tmp_path / "data") as started, contextlib.ExitStack() as stack:
        for _ in range(4):  # as many as there are threads
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", started.port)))
            connection.sendall(raw_request(b"/_pz/convert", b"Content-Length: 100", method=b"POST") + b"{")
        pids = [started.process.pid, *started.children()]
        began = time.monotonic()
        assert started.stop() == 0
        assert time.monotonic() - began < 10
        assert not running(pids)
        assert "edge worker 1 did not end within 5 s" in started.log.read_text()


@pytest.mark.fault
def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    with run_server(tmp_path / "data", WORKERS="2") as started:
        pids = started.kill()
        assert len(pids) == 4
        until(lambda: not running(pids), 5)
        started.start_again()
        assert started.answers()


@pytest.mark.fault
def test_nothing_outlives_a_supervisor_that_is_killed_while_it_starts(tmp_path: Path) -> None:
    data = tmp_path / "data"
    process = subprocess.Popen(
        [sys.executable, "-m", "personalizer", "serve", "--port", "0", "--data", str(data)],
        env=environment({}),
        cwd=WORKSPACE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def children() -> list[int]:
        return [pid for pid, parent in processes().items() if parent == process.pid]

    pids = until(children)
    process.kill()
    process.wait()
    until(lambda: not running(pids), 5)
