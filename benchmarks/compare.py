"""The comparison: every peer in turn, round by round, first served, then in process.

What enters: what was generated, and how long to take. What leaves: `Results`. Must not: measure one peer now and
another later; what stands side by side in a ratio was measured side by side.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import BenchError, inside
from benchmarks.load import CONNECTIONS, run_round
from benchmarks.naive import create_naive_app
from benchmarks.peers import OURS, Peer, run_ours, run_peer, run_redis
from benchmarks.results import BARE, EMPTY, NAIVE, Results, describe_machine
from benchmarks.serve import WsgiApp
from benchmarks.traffic import Request, let_them_visit, make_requests, write_requests
from benchmarks.workspace import Bench
from personalizer.app import create_edge_app
from personalizer.events.collector import wait_for_lake
from personalizer.events.lake import open_table

Say = Callable[[str], None]  # tells whoever waits what is being done


class Size(NamedTuple):
    """How long a run takes: visitors, rounds, seconds of a round of load and of one in process.

    The naive version remembers nothing between requests, so that it needs fewer visitors.
    """

    visitors: int
    naive_visitors: int
    rounds: int
    seconds: int
    inside_seconds: float


FULL = Size(20_000, 2_000, 7, 5, 1.5)
QUICK = Size(1_000, 200, 1, 1, 0.5)


class Traffic(NamedTuple):
    """The same visitors with the cookies that each server gave them."""

    ours: list[Request]
    naive: list[Request]


def compare(bench: Bench, size: Size, say: Say) -> Results:
    """Start every peer, load them in turn, end them. Raises BenchError when something was not answered as it should."""
    results = Results(
        describe_machine(), {"visitors": size.visitors, "rounds": size.rounds, "seconds a round": size.seconds}
    )
    secret = secrets.token_hex(32)
    with run_redis(bench) as (redis_port, redis_pid):
        naive = ("naive", str(bench.folder), str(redis_port), secret)
        traffic = _compare_served(results, bench, size, secret, naive, redis_pid, say)
        say("in process")
        with inside.open_ours(bench, bench.folder / "data-inside", secret) as edge:
            app = create_edge_app(edge).wsgi_app
            naive_app = create_naive_app(bench, redis_port, secret)
            _compare_inside(results, {OURS: (app, traffic.ours), NAIVE: (naive_app, traffic.naive)}, size)
    return results


def _compare_served(
    results: Results, bench: Bench, size: Size, secret: str, naive_app: Sequence[str], redis_pid: int, say: Say
) -> Traffic:
    requests = make_requests(size.visitors)
    body = bench.folder / "body.html"
    with contextlib.ExitStack() as processes:
        start = processes.enter_context
        say("our server and its visitors")
        ours = start(run_ours(bench, bench.folder / "data", secret))
        traffic = Traffic(let_them_visit(requests, ours.visit), [])
        body.write_bytes(ours.fetch(traffic.ours[0])[1])
        say("the peers")
        empty = start(run_peer(EMPTY, bench, ("empty", str(body))))
        bare = start(run_peer(BARE, bench, ("bare", str(body))))
        naive = start(run_peer(NAIVE, bench, naive_app, {"redis": redis_pid}))
        traffic.naive.extend(let_them_visit(requests[: size.naive_visitors], naive.visit))
        file = write_requests(traffic.ours, bench.folder / "requests")
        naive_file = write_requests(traffic.naive, bench.folder / "naive-requests")
        peers = [(ours, file), (empty, file), (bare, file), (naive, naive_file)]
        answered = len(requests) + 1 + _load_in_turn(results, peers, size, say)
        results.exposures = _count_exposures(bench, answered, size)
    return traffic


def _load_in_turn(results: Results, peers: Sequence[tuple[Peer, Path]], size: Size, say: Say) -> int:
    """All rounds, every second one in the other direction. Returns how many requests ours has answered."""
    answered = 0
    for number in range(size.rounds + 1):
        for peer, file in peers[:: 1 if number % 2 else -1]:
            say(f"round {number} of {size.rounds}: {peer.name}")
            found = run_round(peer, file, size.seconds, seed=number)
            answered += found.requests if peer.name == OURS else 0
            if number:  # the first one is for warming up
                results.served[peer.name].append(found)
    return answered


def _count_exposures(bench: Bench, answered: int, size: Size) -> int:
    """Rows in the lake, once all are there. Raises BenchError when a page was answered and is not among them."""
    data = bench.folder / "data"
    wait_for_lake(data, data / "lake", timeout=120)
    table = open_table(data / "lake" / "events")
    rows = int(table.count()) if table else 0
    unread = CONNECTIONS * (size.rounds + 1)  # answers on their way when wrk ended a round
    if not answered <= rows <= answered + unread:
        raise BenchError(f"{OURS}: {answered} pages were answered, and the lake has {rows} exposures.")
    return rows


def _compare_inside(results: Results, apps: Mapping[str, tuple[WsgiApp, Sequence[Request]]], size: Size) -> None:
    environs = {name: [request.environ() for request in requests] for name, (_, requests) in apps.items()}
    inside.forget_setup()
    for number in range(size.rounds + 1):
        for name, (app, _) in apps.items():
            found = inside.run_inside(app, environs[name], size.inside_seconds, seed=number)
            if number:
                results.inside[name].append(found)
