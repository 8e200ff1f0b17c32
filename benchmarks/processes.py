"""Processes of a comparison: started, found, asked for the CPU they used, and ended.

What enters: commands. What leaves: `Peer`s that answer. Must not: leave a process behind, even when the bench itself is
killed, or end one that it did not start.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import BenchError
from benchmarks.traffic import Headers, Request
from benchmarks.workspace import PATH
from personalizer.process import die_with_parent
from personalizer.serve import answers

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 180  # a workspace of 10,000 rules takes its time, the more so on a busy machine

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Peer:
    """One server: its port, the processes that answer, and by name those that work for it."""

    name: str
    port: int
    pids: tuple[int, ...]
    others: Mapping[str, int]
    connection: http.client.HTTPConnection

    def visit(self, request: Request) -> Headers:
        """Send one request; the headers of the answer."""
        return self.fetch(request)[0]

    def fetch(self, request: Request) -> tuple[Headers, bytes]:
        """Headers and body of the page for one request. Raises BenchError if it is not 200."""
        try:
            self.connection.request("GET", f"{PATH}?{request.query}", headers=dict(request.headers))
            answer = self.connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise BenchError(f"{self.name} did not answer: {error!r}") from error
        if answer.status != 200:
            raise BenchError(f"{self.name} answered {answer.status}: {body[:300]!r}")
        return answer.getheaders(), body


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all its threads, in seconds (in steps of 10 ms on most systems)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_of(pid: int) -> float:
    """MB that a process takes of the machine's memory; a page shared by two counts half for each."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


@contextlib.contextmanager
def cores_of_their_own(peers: Sequence[Peer]) -> Iterator[None]:
    """For the length of a block the first core is for whichever of the peers answers, and the others are for what works
    for them and for this process and what it starts. A machine with one core is shared."""
    mine = os.sched_getaffinity(0)
    first, *rest = sorted(mine)
    beside = set(rest) or mine
    answering = [pid for peer in peers for pid in peer.pids]
    helping = [pid for peer in peers for pid in peer.others.values()]
    try:
        _confine(answering, {first})
        _confine([*helping, os.getpid()], beside)
        yield
    finally:
        _confine([*answering, *helping, os.getpid()], mine)


def _confine(pids: Sequence[int], cores: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended, or one of its threads
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), cores)


def find_program(name: str, package: str) -> str:
    """Where a program lies, also one for administrators. Raises BenchError with what to install."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise BenchError(f"{name}: not installed. On Debian or Ubuntu: sudo apt-get install {package}")
    return found


@contextlib.contextmanager
def connect(name: str, port: int, pids: Sequence[int], others: Mapping[str, int]) -> Iterator[Peer]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        yield Peer(name, port, tuple(pids), others, connection)


@contextlib.contextmanager
def run_process(
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


def run_to_end(name: str, command: Sequence[str], seconds: int, environ: Mapping[str, str] | None = None) -> str:
    """What a command prints. Raises BenchError, beginning with `name`, when it fails or takes longer."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False, env=environ, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{name}: `{' '.join(command[:4])} …` took more than {seconds} seconds.") from error
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise BenchError(f"{name}: `{' '.join(command[:4])} …` failed: {' '.join(lines[-3:])[-500:]}")
    return done.stdout


def await_answer(name: str, port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers("127.0.0.1", port):
        still_starting(name, process, deadline)


def still_starting(name: str, process: subprocess.Popen[bytes], deadline: float) -> None:
    """Wait a moment. Raises BenchError when there is nothing to wait for."""
    if process.poll() is not None:
        raise BenchError(f"{name} ended with status {process.returncode} while starting.")
    if time.monotonic() > deadline:
        raise BenchError(f"{name} did not answer within {START_SECONDS} seconds.")
    time.sleep(0.05)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
