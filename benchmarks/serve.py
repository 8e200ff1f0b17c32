"""Serves a peer on the server that serves our pages, with the same settings: `python -m benchmarks.serve PORT NAME …`.

What enters: `bare BODY_FILE`, `empty BODY_FILE` or `naive FOLDER REDIS_PORT SECRET`. What leaves: pages, until SIGTERM.
Must not: give a peer less than we have: the same granian, one worker, one thread, the same limits.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flask import Flask
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings

from benchmarks.naive import create_naive_app
from benchmarks.workspace import PATH, Bench
from personalizer.worker import HEADER_SECONDS, MAX_HEADERS, WorkerServer

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]

THREADS = 1  # that run Python, in every server of a comparison; more of them cost CPU


def create_empty_app(body: bytes) -> WsgiApp:
    """A view that returns what it was given, as `text/html; charset=utf-8`: Flask and nothing else."""
    app = Flask("empty", static_folder=None)

    @app.get(PATH)
    def show_page() -> bytes:
        return body

    return app


def create_bare_app(body: bytes) -> WsgiApp:
    """The same bytes from a WSGI function: what the server alone costs, which nobody behind it can go below."""
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]

    def show_page(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", headers)
        return [body]

    return show_page


def serve_app(app: WsgiApp, port: int) -> None:
    """As `personalizer.worker.run_worker` serves the edge."""
    WorkerServer(
        "peer",
        address="127.0.0.1",
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        workers=1,
        blocking_threads=THREADS,
        websockets=False,
        log_enabled=False,
        http1_settings=HTTP1Settings(max_buffer_size=MAX_HEADERS, header_read_timeout=HEADER_SECONDS * 1000),
    ).serve(target_loader=lambda *_: app, wrap_loader=False)


def main(port: str, name: str, *rest: str) -> None:
    if name == "naive":
        folder, redis_port, secret = rest
        serve_app(create_naive_app(Bench(Path(folder)), int(redis_port), secret), int(port))
    else:
        body = Path(rest[0]).read_bytes()
        serve_app({"bare": create_bare_app, "empty": create_empty_app}[name](body), int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
