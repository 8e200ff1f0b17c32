"""Serves a peer on the server that serves our pages, with the same settings: `python -m benchmarks.serve NAME …`.

What enters: `empty PORT BODY_FILE` or `naive PORT FOLDER REDIS_PORT SECRET`. What leaves: pages, until SIGTERM.
Must not: give a peer less than we have: the same granian, one worker, one thread, the same limits.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from flask import Flask
from granian.constants import Interfaces
from granian.http import HTTP1Settings

from benchmarks.naive import create_naive_app
from benchmarks.workspace import PATH, Bench
from personalizer.serve import HEADER_SECONDS, MAX_HEADERS, _WorkerServer

THREADS = 1  # that run Python, in every server of a comparison; more of them cost CPU


def create_empty_app(body: bytes) -> Flask:
    """A view that returns what it was given, as `text/html; charset=utf-8`: Flask and nothing else."""
    app = Flask("empty", static_folder=None)

    @app.get(PATH)
    def show_page() -> bytes:
        return body

    return app


def serve_app(app: Any, port: int) -> None:
    """As `personalizer.serve.run_worker` serves the edge."""
    _WorkerServer(
        "peer",
        address="127.0.0.1",
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=THREADS,
        websockets=False,
        log_enabled=False,
        http1_settings=HTTP1Settings(max_buffer_size=MAX_HEADERS, header_read_timeout=HEADER_SECONDS * 1000),
    ).serve(target_loader=lambda *_: app, wrap_loader=False)


def main(name: str, port: str, *rest: str) -> None:
    if name == "empty":
        (body,) = rest
        serve_app(create_empty_app(Path(body).read_bytes()), int(port))
    else:
        folder, redis_port, secret = rest
        serve_app(create_naive_app(Bench(Path(folder)), int(redis_port), secret), int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
