"""Rows 1 to 4, 6 and 7: every peer in turn, round by round, first served, then in process.

What enters: what was generated, which rows, how long to take. What leaves: `Findings`. Must not: measure one peer now
and another later; what stands side by side in a ratio was measured side by side.
"""

from __future__ import annotations

import contextlib
import gzip
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import BenchError, inside
from benchmarks.agents import new_agent
from benchmarks.figures import Findings, Say
from benchmarks.load import CONNECTIONS, FEW_CONNECTIONS, Round, await_rest, lead_in, run_round
from benchmarks.machine import version_of
from benchmarks.naive import create_naive_app
from benchmarks.peers import BARE, EMPTY, GZIPPED, NAIVE, NGINX, OURS, run_nginx, run_ours, run_peer, run_redis
from benchmarks.processes import Peer, cores_of_their_own, find_program
from benchmarks.results import COLD, inside_findings, served_findings
from benchmarks.serve import WsgiApp
from benchmarks.sizes import Size
from benchmarks.traffic import GZIP, Request, let_them_visit, make_requests, write_requests
from benchmarks.wagtail import PACKAGES, SEGMENTS, WAGTAIL, run_wagtail
from benchmarks.workspace import Bench, address_of
from personalizer.app import create_edge_app
from personalizer.events.collector import wait_for_lake
from personalizer.events.lake import open_table

ROWS = frozenset(("1", "2", "3", "4", "6", "7"))
_SERVED = ROWS - {"6"}
_SLOW_VISITORS = 20  # of the naive version's, one visits a peer that takes a hundred times as long


_ABOUT: Mapping[str, Callable[[], str]] = {
    NGINX: lambda: f"Row 2: nginx {version_of(find_program('nginx', 'nginx-light'), '-v')}, one worker, sendfile.",
    WAGTAIL: lambda: (
        f"Row 4: {', '.join(PACKAGES)}; SQLite, sessions in the database, {SEGMENTS} segments, a variant each."
    ),
}


class Runner(NamedTuple):
    """A line of a round: who answers which requests, for which row."""

    row: str
    name: str
    peer: Peer
    requests: Path


@dataclass(slots=True)
class _Comparison:
    bench: Bench
    size: Size
    rows: frozenset[str]
    say: Say
    secret: str = field(default_factory=lambda: secrets.token_hex(32))
    findings: Findings = field(default_factory=Findings)
    ours: list[Request] = field(default_factory=list)  # with the cookies that our server gave
    naive: list[Request] = field(default_factory=list)
    answered: int = 0  # by our server
    redis_port: int = 0  # the naive version's
    redis_pid: int = 0


def compare(bench: Bench, size: Size, rows: frozenset[str], say: Say) -> Findings:
    """Start every peer, load them in turn, end them. Raises BenchError when ours did not answer as it should; a peer
    that cannot be had only leaves its row out."""
    one = _Comparison(bench, size, rows, say)
    find_program("wrk", "wrk")  # before anybody waits for what is loaded with it
    with contextlib.ExitStack() as processes:
        if "3" in rows:
            try:
                one.redis_port, one.redis_pid = processes.enter_context(run_redis(bench))
            except BenchError as error:
                one.findings.missing["3"] = str(error)
                one.rows -= {"3"}
        if one.rows & _SERVED:
            _compare_served(one)
        if one.rows & {"3", "6"}:
            _compare_inside(one)
    return one.findings


# --- served ---


def _compare_served(one: _Comparison) -> None:
    bench, requests = one.bench, make_requests(one.size.visitors)
    naive = ("naive", str(bench.folder), str(one.redis_port), one.secret)
    with contextlib.ExitStack() as processes:
        one.say("our server and its visitors")
        ours = processes.enter_context(run_ours(bench, bench.folder / "data", one.secret))
        one.ours = let_them_visit(requests, ours.visit)
        body = bench.folder / "body.html"
        body.write_bytes(ours.fetch(one.ours[0])[1])
        one.answered += len(requests) + 1
        file = write_requests(one.ours, bench.folder / "requests")
        runners = [Runner("", OURS, ours, file)]
        if "7" in one.rows:
            runners += _gzipped(one, ours)

        def add(row: str, name: str, start: Callable[[], AbstractContextManager[Peer]], visitors: int = 0) -> None:
            if row not in one.rows:
                return
            one.say(name)
            try:
                peer = processes.enter_context(start())
                visited = let_them_visit(requests[:visitors], peer.visit)
            except BenchError as error:
                one.findings.missing[row] = str(error)
                return
            if name == NAIVE:
                one.naive = visited
            written = write_requests(visited, bench.folder / f"requests-{row}") if visitors else file
            runners.append(Runner(row, name, peer, written))
            if name in _ABOUT:
                one.findings.notes.append(_ABOUT[name]())

        add("1", EMPTY, lambda: run_peer(EMPTY, bench, ("empty", str(body))))
        add("1", BARE, lambda: run_peer(BARE, bench, ("bare", str(body))))
        add("2", NGINX, lambda: run_nginx(bench, body))
        add("3", NAIVE, lambda: run_peer(NAIVE, bench, naive, {"redis": one.redis_pid}), one.size.naive_visitors)
        add("4", WAGTAIL, lambda: run_wagtail(bench, one.secret), max(20, one.size.naive_visitors // _SLOW_VISITORS))
        with cores_of_their_own([runner.peer for runner in runners]):
            rounds = _load_in_turn(one, runners)
        exposures = _count_exposures(one)
    one.findings.add(served_findings(rounds))
    one.findings.notes.append(
        f"{exposures:,} exposures were journaled and are in the lake: every page that was answered."
    )


def _gzipped(one: _Comparison, ours: Peer) -> list[Runner]:
    """Our server once more, asked by browsers that read gzip."""
    requests = [request.accepting(GZIP) for request in one.ours]
    headers, body = ours.fetch(requests[0])
    one.answered += 1
    if ("content-encoding", "gzip") not in [(name.lower(), value) for name, value in headers]:
        one.findings.missing["7"] = f"{OURS} sends its page uncompressed to browsers that read gzip."
        return []
    if not gzip.decompress(body).rstrip().endswith(b"</html>"):
        raise BenchError(f"{OURS}: what it sends as gzip is not a whole page.")
    return [Runner("7", GZIPPED, ours, write_requests(requests, one.bench.folder / "requests-7"))]


def _load_in_turn(one: _Comparison, runners: Sequence[Runner]) -> Mapping[str, list[Round]]:
    """All rounds, every second one in the other direction. A peer that does not answer is left out from then on."""
    rounds: dict[str, list[Round]] = {runner.name: [] for runner in runners}
    for number in range(one.size.rounds + 1):
        for row, name, peer, file in runners[:: 1 if number % 2 else -1]:
            if name not in rounds:
                continue
            one.say(f"round {number} of {one.size.rounds}: {name}")
            try:
                connections = FEW_CONNECTIONS if name == WAGTAIL else CONNECTIONS
                led_in = lead_in(peer, file, one.size.lead_in, one.size.rounds + number, connections)
                found = run_round(peer, file, one.size.seconds, number, connections)
            except BenchError as error:
                if peer.name == OURS:
                    raise
                one.findings.missing[row] = str(error)
                del rounds[name]
                continue
            if peer.name == OURS:
                one.answered += led_in + found.requests
                _await_quiet(one, peer)  # no other peer is measured while our collector works
            if number:  # the first one is for warming up
                rounds[name].append(found)
    return rounds


def _await_quiet(one: _Comparison, peer: Peer) -> None:
    """Wait until every exposure is in the lake, which the collector may compact then, and its helpers rest."""
    _empty_journal(one)
    await_rest(", ".join(peer.others), peer.others.values())


def _empty_journal(one: _Comparison) -> Path:
    """Wait until every exposure is in the lake, and return where it is."""
    data = one.bench.folder / "data"
    wait_for_lake(data, data / "lake", timeout=120)
    return data / "lake"


def _count_exposures(one: _Comparison) -> int:
    """Rows in the lake, once all are there. Raises BenchError when a page was answered and is not among them."""
    table = open_table(_empty_journal(one) / "events")
    rows = int(table.count()) if table else 0
    unread = 4 * CONNECTIONS * (one.size.rounds + 1)  # answers on their way when wrk ended, two peers, twice a round
    if not one.answered <= rows <= one.answered + unread:
        raise BenchError(f"{OURS}: {one.answered} pages were answered, and the lake has {rows} exposures.")
    return rows


# --- in process ---


class _App(NamedTuple):
    app: WsgiApp
    environs: Callable[[int], Iterator[dict[str, Any]]]  # by the round's number


def _compare_inside(one: _Comparison) -> None:
    bench, size = one.bench, one.size
    one.say("in process")
    with inside.open_ours(bench, bench.folder / "data-inside", one.secret) as edge:
        app = create_edge_app(edge).wsgi_app
        ours = one.ours or let_them_visit(make_requests(size.visitors), inside.visit_inside(app))
        apps = {OURS: _App(app, _drawn_from(ours))}
        if "3" in one.rows and one.naive:
            apps[NAIVE] = _App(create_naive_app(bench, one.redis_port, one.secret), _drawn_from(one.naive))
        if "6" in one.rows:
            strangers = _strangers(make_requests(size.visitors))
            apps[COLD] = _App(app, lambda number: strangers)
        inside.forget_setup()
        rounds: dict[str, list[inside.Inside]] = {name: [] for name in apps}
        for number in range(1, size.rounds + 1):
            for name, (called, environs) in apps.items():
                one.say(f"in process, round {number} of {size.rounds}: {name}")
                requests = environs(number)
                inside.run_inside(
                    called, requests, size.inside_seconds / 3
                )  # what the one before pushed out comes back
                rounds[name].append(inside.run_inside(called, requests, size.inside_seconds))
    one.findings.add(inside_findings(rounds))


def _drawn_from(requests: Sequence[Request]) -> Callable[[int], Iterator[dict[str, Any]]]:
    environs = [request.environ() for request in requests]
    return lambda number: inside.at_random(environs, number)


def _strangers(requests: Sequence[Request]) -> Iterator[dict[str, Any]]:
    """Visitors who come for the first time, with an address and an agent that nobody had before."""
    for number in count():
        place = number % len(requests)
        request = requests[place].from_elsewhere(address_of(place, 2 + number), new_agent(number))
        yield request.environ()
