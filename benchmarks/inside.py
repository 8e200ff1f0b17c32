"""Apps called in this process, without a server or a socket between: what the code alone costs.

What enters: WSGI apps and requests. What leaves: CPU and time a request, and for our engine the cost of each step.
Must not: mistake an error page for a page.
"""

from __future__ import annotations

import contextlib
import cProfile
import gc
import io
import pstats
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import BenchError
from benchmarks.peers import engine_settings
from benchmarks.serve import WsgiApp
from benchmarks.traffic import Headers, Request, Visit
from benchmarks.workspace import PATH, Bench
from personalizer.app import create_edge_app
from personalizer.config import load_settings
from personalizer.content.compile import load_content
from personalizer.decision.decide import decide
from personalizer.edge import page
from personalizer.edge.record import record_exposure
from personalizer.edge.state import Edge, open_edge
from personalizer.visitor.keys import make_decision_token
from personalizer.visitor.read import open_visitor_reader

Environs = Sequence[dict[str, Any]]

_BATCH = 50  # requests between two looks at the clock


@dataclass(frozen=True, slots=True)
class Inside:
    """Some seconds of calls: µs of this process's CPU, and of time, for one request."""

    requests: int
    cpu: float
    elapsed: float


@contextlib.contextmanager
def open_ours(bench: Bench, data: Path, secret: str) -> Iterator[Edge]:
    """The edge, as a worker opens it; its journal is real."""
    settings = load_settings({name.lower(): value for name, value in engine_settings(bench, data, secret).items()}, {})
    edge = open_edge(settings, load_content(settings.workspace), open_visitor_reader(settings))
    try:
        yield edge
    finally:
        edge.events.close()
        edge.leads.close()


def visit_inside(app: WsgiApp) -> Visit:
    """A visit that calls the app."""

    def visit(request: Request) -> Headers:
        answer: list[Any] = []
        _call(app, request.environ(), lambda *told: answer.extend(told))
        if answer[0] != "200 OK":
            raise BenchError(f"In process, a visit was answered with {answer[0]}.")
        headers: Headers = answer[1]
        return headers

    return visit


def forget_setup() -> None:
    """Nothing that was made so far is looked through for garbage again: a server does not hold its future requests."""
    gc.collect()
    gc.freeze()


def at_random(environs: Environs, seed: int) -> Iterator[dict[str, Any]]:
    """Requests in random order, without end."""
    draw = random.Random(seed)
    while True:
        yield from draw.choices(environs, k=_BATCH)


def run_inside(app: WsgiApp, environs: Iterator[dict[str, Any]], seconds: float) -> Inside:
    """Call `app` for some seconds with one request after the other. Raises BenchError when one is refused."""
    statuses: set[str] = set()
    requests, cpu, elapsed = 0, 0.0, 0.0
    while elapsed < seconds:
        batch = [_receive(environ) for environ in islice(environs, _BATCH)]
        began, cpu_began = time.perf_counter(), time.process_time()
        for environ in batch:
            _call(app, environ, lambda status, *_: statuses.add(status))
        cpu += time.process_time() - cpu_began
        elapsed += time.perf_counter() - began
        requests += _BATCH
    if statuses != {"200 OK"}:
        raise BenchError(f"In process, requests were answered with {sorted(statuses)}.")
    return Inside(requests, cpu / requests * 1e6, elapsed / requests * 1e6)


def _receive(environ: dict[str, Any]) -> dict[str, Any]:
    """The environ as a server hands it over: its texts just made, never hashed or compared before."""
    return {
        name: value.encode("latin-1").decode("latin-1") if type(value) is str else value
        for name, value in environ.items()
    }


def _call(app: WsgiApp, environ: dict[str, Any], start_response: Any) -> None:
    answer = app(environ, start_response)
    for _ in answer:
        pass
    close = getattr(answer, "close", None)
    if close is not None:
        close()


# --- where the time goes ---


def measure_steps(edge: Edge, environs: Environs, seconds: float) -> dict[str, float]:
    """CPU µs of each step of a page view, by name: medians of batches, without what reading the clock costs."""
    app = create_edge_app(edge).wsgi_app
    draw = random.Random(1)
    samples: dict[str, list[float]] = {}
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        # Other visitors for the whole than for the steps: those just seen are still near the processor.
        taken, whole_views = ([_receive(one) for one in draw.choices(environs, k=_BATCH)] for _ in range(2))
        for step, cost in _time_steps(edge, taken).items():
            samples.setdefault(step, []).append(cost / _BATCH / 1000)
        began = time.thread_time_ns()
        for environ in whole_views:
            _call(app, environ, lambda *_: None)
        samples.setdefault("whole view", []).append((time.thread_time_ns() - began) / _BATCH / 1000)
    costs = {step: median(values) for step, values in samples.items()}
    whole = costs.pop("whole view")
    return {**costs, "everything else": whole - sum(costs.values()), "whole view": whole}


def _time_steps(edge: Edge, environs: Environs) -> dict[str, int]:
    """ns of all steps of some views, by name."""
    clock = _clock_cost()
    spent: dict[str, int] = {}
    for environ in environs:
        began = time.thread_time_ns()
        for step in _take_steps(edge, environ):
            spent[step] = spent.get(step, 0) + time.thread_time_ns() - began - clock
            began = time.thread_time_ns()
    return spent


def _take_steps(edge: Edge, environ: dict[str, Any]) -> Iterator[str]:
    """`personalizer.edge.page.serve_page`, step by step: the name of each one that was just taken."""
    registry, now = edge.content.registry, time.time()
    reading = edge.reader.read(environ, registry.site, now)
    yield "read the visitor"
    decision = decide(registry, registry.paths[PATH], reading.visitor)
    yield "decide"
    decision_id = f"{reading.visitor.id}.{page.make_nonce()}"
    token = make_decision_token(decision_id, edge.keys)
    yield "sign the decision id"
    row = record_exposure(decision, reading.visitor, decision_id, now)
    yield "record the exposure"
    edge.events.append(row)
    yield "append to the journal"
    page._headers(edge, reading, decision, token)
    yield "headers and cookie"
    rendering = edge.content.renderings.ready[decision.shown]
    rendering.fill(token, decision.row or "", page.arm_label(decision), decision.facts)
    yield "fill the page"


def _clock_cost() -> int:
    """ns that two readings of the CPU clock lie apart with nothing between them."""
    readings = [time.thread_time_ns() for _ in range(101)]
    return (readings[-1] - readings[0]) // 100


def profile_functions(app: WsgiApp, environs: Environs, seconds: float, most: int = 40) -> str:
    """The functions that take longest, as cProfile sees them: small ones look dearer than they are, compiled ones are
    not seen at all."""
    profile = cProfile.Profile()
    profile.enable()
    run_inside(app, at_random(environs, seed=1), seconds)
    profile.disable()
    text = io.StringIO()
    pstats.Stats(profile, stream=text).strip_dirs().sort_stats("tottime").print_stats(most)
    return text.getvalue()
