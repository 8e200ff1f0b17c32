"""Apps called in this process, without a server or a socket between: what the code alone costs.

What enters: WSGI apps and requests. What leaves: CPU and time a request, and for our engine the cost of each step.
Must not: mistake an error page for a page.
"""

from __future__ import annotations

import contextlib
import cProfile
import io
import pstats
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import BenchError
from benchmarks.peers import engine_settings
from benchmarks.serve import WsgiApp
from benchmarks.traffic import Headers, Request, Visit
from benchmarks.workspace import Bench
from personalizer.app import create_edge_app
from personalizer.config import load_settings
from personalizer.content.compile import load_content
from personalizer.content.render import Rendering
from personalizer.edge import page
from personalizer.edge.respond import Response
from personalizer.edge.state import open_edge
from personalizer.events.journal import Journal
from personalizer.visitor.read import VisitorReader, open_visitor_reader

Environs = Sequence[dict[str, Any]]

STEPS: tuple[tuple[str, Any, str], ...] = (  # in the order in which `serve_page` takes them
    ("read visitor", VisitorReader, "read"),
    ("decide", page, "decide"),
    ("sign the decision id", page, "make_decision_token"),
    ("record exposure", page, "record_exposure"),
    ("append to the journal", Journal, "append"),
    ("headers and cookie", page, "_headers"),
    ("fill the page", Rendering, "fill"),
    ("hand to the server", Response, "send"),
)
_BATCH = 50  # requests between two looks at the clock


@dataclass(frozen=True, slots=True)
class Inside:
    """Some seconds of calls: µs of this process's CPU, and of time, for one request."""

    requests: int
    cpu: float
    elapsed: float


@contextlib.contextmanager
def open_ours(bench: Bench, data: Path, secret: str) -> Iterator[WsgiApp]:
    """The edge's WSGI app, as a worker opens it; its journal is real."""
    settings = load_settings({name.lower(): value for name, value in engine_settings(bench, data, secret).items()}, {})
    edge = open_edge(settings, load_content(settings.workspace), open_visitor_reader(settings))
    try:
        yield create_edge_app(edge).wsgi_app
    finally:
        edge.events.close()
        edge.leads.close()


def visit_inside(app: WsgiApp) -> Visit:
    """A visit that calls the app."""

    def visit(request: Request) -> Headers:
        found: Headers = []
        _call(app, request.environ(), lambda status, headers, *_: found.extend(headers))
        return found

    return visit


def run_inside(app: WsgiApp, environs: Environs, seconds: float, seed: int) -> Inside:
    """Call `app` for some seconds with requests in random order. Raises BenchError when one is refused."""
    draw = random.Random(seed)
    statuses: set[str] = set()
    requests, cpu, elapsed = 0, 0.0, 0.0
    while elapsed < seconds:
        batch = [_receive(environ) for environ in draw.choices(environs, k=_BATCH)]
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


def measure_steps(app: WsgiApp, environs: Environs, seconds: float) -> dict[str, float]:
    """CPU µs of each step of a page view, by name, without what reading the clock costs."""
    spent = dict.fromkeys((name for name, _, _ in STEPS), 0)

    def timed(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time_ns()
            result = step(*args, **kwargs)
            spent[name] += time.thread_time_ns() - began
            return result

        return run

    with contextlib.ExitStack() as patches:
        for name, owner, attribute in STEPS:
            step = getattr(owner, attribute)
            setattr(owner, attribute, timed(name, step))
            patches.callback(setattr, owner, attribute, step)
        requests = run_inside(app, environs, seconds, seed=1).requests
    whole = run_inside(app, environs, seconds, seed=1).cpu
    clock = _clock_cost()
    costs = {name: (total / requests - clock) / 1000 for name, total in spent.items()}
    return {**costs, "everything else": whole - sum(costs.values()), "whole view": whole}


def _clock_cost() -> float:
    """ns that reading the CPU clock twice finds between the two."""
    readings = [time.thread_time_ns() for _ in range(10_001)]
    return (readings[-1] - readings[0]) / (len(readings) - 1)


def profile_functions(app: WsgiApp, environs: Environs, seconds: float, most: int = 40) -> str:
    """The functions that take longest, as cProfile sees them (which makes small ones look dearer than they are)."""
    profile = cProfile.Profile()
    profile.enable()
    run_inside(app, environs, seconds, seed=1)
    profile.disable()
    text = io.StringIO()
    pstats.Stats(profile, stream=text).strip_dirs().sort_stats("tottime").print_stats(most)
    return text.getvalue()
