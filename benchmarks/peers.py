"""The processes of a comparison: started, found, asked for the CPU they used, and ended.

What enters: what was generated. What leaves: `Peer`s that answer. Must not: leave a process behind, even when the bench
itself is killed, or end one that it did not start.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import redis

from benchmarks import BenchError
from benchmarks.serve import THREADS
from benchmarks.traffic import Headers, Request
from benchmarks.workspace import PATH, Bench
from personalizer.serve import answers, die_with_parent, probe_port

ROOT = Path(__file__).resolve().parent.parent
OURS = "personalizer"
START_SECONDS = 60

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Peer:
    """One server: its port, the process that answers, and by name those that work for it."""

    name: str
    port: int
    pid: int
    others: Mapping[str, int]
    connection: http.client.HTTPConnection

    def visit(self, request: Request) -> Headers:
        """Send one request; the headers of the answer."""
        return self.fetch(request)[0]

    def fetch(self, request: Request) -> tuple[Headers, bytes]:
        """Headers and body of the page for one request. Raises BenchError if it is not 200."""
        self.connection.request("GET", f"{PATH}?{request.query}", headers=dict(request.headers))
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise BenchError(f"{self.name} answered {answer.status}: {body[:300]!r}")
        return answer.getheaders(), body


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all its threads, in seconds (in steps of 10 ms on most systems)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextlib.contextmanager
def run_ours(bench: Bench, data: Path, secret: str) -> Iterator[Peer]:
    """`personalizer serve` with one worker and its collector."""
    port = probe_port("127.0.0.1", 0)
    settings = engine_settings(bench, data, secret) | {"PORT": str(port)}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PERSONALIZER_")}
    environ |= {f"PERSONALIZER_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "personalizer", "serve"]
    with _process(OURS, command, bench.folder / "personalizer.log", environ) as process:
        _await_answer(OURS, port, process)
        children = _children(process.pid)
        collectors = [pid for pid in children if "collect" in _command_of(pid)]
        workers = [pid for pid in children if pid not in collectors]
        if len(workers) != 1 or len(collectors) != 1:
            raise BenchError(f"{OURS} runs {len(workers)} workers and {len(collectors)} collectors, not one each")
        with _peer(OURS, port, workers[0], {"collector": collectors[0]}) as peer:
            yield peer


def engine_settings(bench: Bench, data: Path, secret: str) -> dict[str, str]:
    """The settings under which the engine is measured, by name."""
    return {
        "WORKSPACE": str(bench.workspace),
        "DATA": str(data),
        "SECRET_KEY": secret,
        "WORKERS": "1",
        "THREADS": str(THREADS),
        "TRUSTED_PROXIES": "127.0.0.0/8",
        "GEO_CITY": str(bench.city),
        "COMPANIES": str(bench.companies),
    }


@contextlib.contextmanager
def run_peer(name: str, bench: Bench, app: Sequence[str], others: Mapping[str, int] | None = None) -> Iterator[Peer]:
    """One of `benchmarks.serve`'s apps, named with its arguments, on the server that ours runs on."""
    port = probe_port("127.0.0.1", 0)
    command = [sys.executable, "-m", "benchmarks.serve", str(port), *app]
    with _process(name, command, bench.folder / f"{app[0]}.log") as process:
        _await_answer(name, port, process)
        with _peer(name, port, process.pid, others or {}) as peer:
            yield peer


@contextlib.contextmanager
def run_redis(bench: Bench) -> Iterator[tuple[int, int]]:
    """A Redis of our own that keeps nothing; its port and its process."""
    port = probe_port("127.0.0.1", 0)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    command += ["--dir", str(bench.folder)]
    with _process("redis-server", command, bench.folder / "redis.log") as process:
        client = redis.Redis(port=port)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                _still_starting("redis-server", process, deadline)
        client.close()
        yield port, process.pid


# --- processes ---


@contextlib.contextmanager
def _peer(name: str, port: int, pid: int, others: Mapping[str, int]) -> Iterator[Peer]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        yield Peer(name, port, pid, others, connection)


@contextlib.contextmanager
def _process(
    name: str, command: list[str], log: Path, environ: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the length of a block; what it printed is shown if it fails."""
    parent = os.getpid()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: die_with_parent(parent),
        )
    try:
        yield process
    except BenchError as error:
        if str(error).startswith(name):
            raise BenchError(f"{error}\nIt printed: {log.read_text(errors='replace')[-2000:]}") from error
        raise
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_answer(name: str, port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers("127.0.0.1", port):
        _still_starting(name, process, deadline)


def _still_starting(name: str, process: subprocess.Popen[bytes], deadline: float) -> None:
    if process.poll() is not None:
        raise BenchError(f"{name} ended with status {process.returncode} while starting.")
    if time.monotonic() > deadline:
        raise BenchError(f"{name} did not answer within {START_SECONDS} seconds.")
    time.sleep(0.05)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
