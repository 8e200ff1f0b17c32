"""One round of load on one server: requests answered, and what they cost in CPU.

What enters: a peer and a file of requests. What leaves: a `Round`. Must not: leave loopback, or count a round in which
anything was refused.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import BenchError
from benchmarks.processes import Peer, cpu_seconds, find_program

CONNECTIONS = 128  # enough that a server never waits for requests; with 64 ours does for a tenth of a round
FEW_CONNECTIONS = 16  # for a server that takes seconds to answer so many
TIMEOUT = 30  # seconds for an answer

_LOOK = 0.2  # seconds
_RESTING = 0.1  # of a core
_LONGEST = 120  # seconds until processes rest

_SCRIPT = Path(__file__).with_name("replay.lua")


@dataclass(frozen=True, slots=True)
class Round:
    """What one round measured. CPU in µs a request: `cpu` of the answering process, `others` of its helpers by name."""

    requests: int
    rate: float  # requests/s
    bytes_each: float  # of an answer, headers included
    p50: float  # ms
    p99: float  # ms
    cpu: float
    others: Mapping[str, float]


def run_round(peer: Peer, requests: Path, seconds: int, seed: int, connections: int = CONNECTIONS) -> Round:
    """Load `peer` for some seconds. Raises BenchError when a request failed."""
    pids = {"": peer.pids, **{name: (pid,) for name, pid in peer.others.items()}}
    before = {name: sum(map(cpu_seconds, group)) for name, group in pids.items()}
    told = _run_wrk(peer.port, requests, seconds, seed, connections)
    spent = {name: sum(map(cpu_seconds, group)) - before[name] for name, group in pids.items()}
    count = told["requests"]
    if told["refused"] or told["broken"] or not count:
        raise BenchError(
            f"{peer.name}: of {count} requests {told['refused']} were refused and {told['broken']} broke off."
        )
    each = {name: total / count * 1e6 for name, total in spent.items()}
    return Round(
        requests=count,
        rate=count / told["microseconds"] * 1e6,
        bytes_each=told["bytes"] / count,
        p50=told["p50"] / 1000,
        p99=told["p99"] / 1000,
        cpu=each.pop(""),
        others=each,
    )


def lead_in(peer: Peer, requests: Path, seconds: int, seed: int, connections: int) -> int:
    """Load `peer` before a round, which then finds its memory warm and its helpers in step; how many requests were
    answered. A slow peer may answer none, and works on what nobody waits for any more: a round begins after that."""
    answered = _run_wrk(peer.port, requests, seconds, seed, connections)["requests"]
    await_rest(peer.name, peer.pids)
    return answered


def await_rest(name: str, pids: Collection[int]) -> None:
    """Wait until processes only look whether there is work. Raises BenchError when they do not rest."""
    deadline = time.monotonic() + _LONGEST
    before = -_LOOK
    while (used := sum(map(cpu_seconds, pids))) - before > _RESTING * _LOOK:
        if time.monotonic() > deadline:
            raise BenchError(f"{name} still works, {_LONGEST} s after the load.")
        before = used
        time.sleep(_LOOK)


def _run_wrk(port: int, requests: Path, seconds: int, seed: int, connections: int) -> dict[str, int]:
    command = [
        find_program("wrk", "wrk"),
        "--threads",
        "1",
        "--connections",
        str(connections),
        "--duration",
        f"{seconds}s",
        "--timeout",
        f"{TIMEOUT}s",
    ]
    command += ["--script", str(_SCRIPT), f"http://127.0.0.1:{port}", "--", str(requests), str(seed)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 60, check=False, preexec_fn=_stand_back
    )
    try:
        told: dict[str, int] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise BenchError(f"wrk could not run: {(done.stderr or done.stdout).strip()[-500:]}") from error
    return told


def _stand_back() -> None:
    """Have wrk not interrupt for each answer what shares a core with it."""
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
