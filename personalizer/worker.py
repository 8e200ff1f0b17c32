"""One edge worker: granian serving the public app in this process.

What enters: settings, an opened edge, the supervisor's channel. What leaves: answers, until SIGTERM. Must not: return
to the parent's code, or outlive it.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server import mt

from personalizer.app import create_edge_app
from personalizer.config import Settings
from personalizer.edge.gateway import Gateway
from personalizer.edge.layer import EdgeLayer
from personalizer.edge.state import Edge
from personalizer.edge.swap import follow_supervisor
from personalizer.reload import LookupFollower

MAX_HEADERS = 64 * 1024  # bytes of request line and headers; granian answers 431 above
HEADER_SECONDS = 10


def run_worker(settings: Settings, edge: Edge, channel: socket.socket) -> None:
    """One edge worker, in its own process, until SIGTERM. What is published meanwhile is told on `channel`."""
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_DFL)
    os.environ.clear()  # every request's environ begins as a copy of it, and nothing here reads it
    gc.freeze()  # content stays for good: no collection looks through it again, and its pages stay the parent's
    gc.enable()
    LookupFollower(settings.data, edge.reader).start()
    layer = create_edge_app(edge).wsgi_app
    _skip_wsgi()
    threading.Thread(target=follow_supervisor, args=(edge, settings, channel), daemon=True).start()
    try:
        WorkerServer(
            "personalizer",
            address=settings.host,
            port=settings.port,
            interface=Interfaces.WSGI,
            http=HTTPModes.http1,  # the limits below are HTTP/1's; `auto` waits without end for a silent sender
            workers=1,
            blocking_threads=settings.threads,
            websockets=False,
            log_enabled=False,
            http1_settings=HTTP1Settings(max_buffer_size=MAX_HEADERS, header_read_timeout=HEADER_SECONDS * 1000),
        ).serve(target_loader=lambda *_: layer, wrap_loader=False)
    finally:
        edge.events.close()
        edge.leads.close()


class WorkerServer(mt.MTServer):
    """Granian's one-process server. It is made for Pythons without the GIL and refuses others; with one worker in the
    process there is nothing for the GIL to hold back, so the refusal does not apply."""

    def _check_gil(self) -> None:
        return


def _skip_wsgi() -> None:
    """Have granian ask the layer directly. Its wrapper makes WSGI of each request and an answer of WSGI again, which
    costs a page 3 µs and is there for Flask alone; granian has no setting for it."""
    granian: Any = mt
    wrap = granian._wsgi_call_wrap

    def wrap_layer(layer: EdgeLayer, *options: Any) -> Callable[[Any, dict[str, Any]], int]:
        return Gateway(layer, wrap(layer.app, *options)).serve

    granian._wsgi_call_wrap = wrap_layer
