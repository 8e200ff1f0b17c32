"""The growth curves: what a page costs, a worker holds and a start takes as rules, variants and workers become more.

What enters: scales. What leaves: `Findings`. Must not: measure one size now and another later: all of them are served
at once, and loaded in turn.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.figures import Findings, Say, Sheet, number, spread
from benchmarks.load import Round, run_round
from benchmarks.market import USUAL, Scale
from benchmarks.peers import run_ours
from benchmarks.processes import Peer, memory_of
from benchmarks.sizes import Size
from benchmarks.traffic import let_them_visit, make_requests, write_requests
from benchmarks.workspace import Bench, generate
from personalizer.content.compile import load_content

WORKERS = (1, 2)


@dataclass(slots=True)
class Point:
    """One size: the workspace, the workers, what it took to load and to hold, and its rounds."""

    scale: Scale
    workers: int
    load_seconds: float
    peer: Peer
    requests: Path
    memory: float = 0.0  # MB of each worker
    rounds: list[Round] = field(default_factory=list)

    @property
    def cpu(self) -> float:
        return median(one.cpu for one in self.rounds)

    def as_json(self) -> dict[str, Any]:
        return {
            "rules": self.scale.rules,
            "variants": self.scale.variants,
            "workers": self.workers,
            "load_seconds": self.load_seconds,
            "memory": self.memory,
            "cpu": self.cpu,
            "rounds": [asdict(one) for one in self.rounds],
        }


def measure_growth(bench: Bench, size: Size, say: Say) -> Findings:
    """All sizes. Raises BenchError when one was not served."""
    sizes = [(scale, 1) for scale in dict.fromkeys(size.growth)] + [(USUAL, workers) for workers in WORKERS[1:]]
    with contextlib.ExitStack() as processes:
        points: list[Point] = []
        for scale, workers in sizes:
            say(f"growth: {_name(scale, workers)}")
            points.append(_start(processes, bench.folder / f"growth-{len(points)}", scale, workers, size))
        for round_number in range(size.growth_rounds + 1):
            for point in points[:: 1 if round_number % 2 else -1]:
                say(f"growth, round {round_number} of {size.growth_rounds}: {_name(point.scale, point.workers)}")
                found = run_round(point.peer, point.requests, size.growth_seconds, seed=round_number)
                if round_number:
                    point.rounds.append(found)
        for point in points:
            point.memory = sum(map(memory_of, point.peer.pids)) / point.workers
    return _findings(points)


def _start(processes: contextlib.ExitStack, folder: Path, scale: Scale, workers: int, size: Size) -> Point:
    bench = generate(folder, size.growth_visitors, scale)
    began = time.process_time()
    load_content(bench.workspace)
    load_seconds = time.process_time() - began
    peer = processes.enter_context(run_ours(bench, bench.folder / "data", secrets.token_hex(32), workers))
    visited = let_them_visit(make_requests(size.growth_visitors), peer.visit)
    return Point(scale, workers, load_seconds, peer, write_requests(visited, bench.folder / "requests"))


def _name(scale: Scale, workers: int) -> str:
    return f"{scale.rules:,} rules, {scale.variants:,} variants, workers: {workers}"


def _findings(points: Sequence[Point]) -> Findings:
    lines = [
        (
            f"{point.scale.rules:,}",
            f"{point.scale.variants:,}",
            str(point.workers),
            spread([one.cpu for one in point.rounds], "{:,.0f}"),
            spread([one.rate for one in point.rounds], "{:,.0f}"),
            f"{point.memory:,.0f}",
            number(point.load_seconds),
        )
        for point in sorted(points, key=lambda point: (point.workers, point.scale.rules, point.scale.variants))
    ]
    columns = ("rules", "variants", "workers", "CPU µs a page", "pages/s", "MB a worker", "CPU seconds to load")
    return Findings(
        sheets=[Sheet("Growth, median of rounds (lowest–highest)", columns, lines)],
        rounds={"growth": [point.as_json() for point in points]},
    )
