"""A worker takes over new content while it serves: read beside the requests, swapped at once, the old one freed.

What enters: the supervisor's lines, `load <number> <revision>` and, once all workers have done that, `swap …`. What
leaves: an `Edge` with that content, and each line again when it is done. Must not: hold up a request, show a request
two contents, or serve a page whose files and forms another worker does not know yet.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from operator import call
from pathlib import Path
from typing import TypeVar

from personalizer.cache import Cache
from personalizer.config import Settings
from personalizer.content.compile import Content, apply_counters
from personalizer.content.counters import read_counters
from personalizer.content.store import Damaged, content_file, parts_of, read_content
from personalizer.edge.state import Edge
from personalizer.errors import PersonalizerError

T = TypeVar("T")

log = logging.getLogger(__name__)

GRACE_SECONDS = 2  # until whoever had the old content has answered; a slow sender just keeps some of it longer
_REST_SECONDS = 0.001  # between two steps, for requests
_VALUES = 500  # of a cache, forgotten in one step
# One call from C after the other, as no request comes between them. What has lived for long is left out: all wait.
_SETTLED: tuple[Callable[[], object], ...] = (partial(gc.collect, 1), gc.freeze)


def follow_supervisor(edge: Edge, settings: Settings, channel: socket.socket) -> None:
    """Do what the supervisor says, for as long as it lives."""
    with channel, channel.makefile("r") as lines:
        for line in lines:
            what, _, revision = line.split()
            try:
                if what == "load":
                    _load(edge, settings, revision)
                else:
                    _swap(edge, settings)
            except (Damaged, PersonalizerError) as error:
                log.error("an edge worker cannot take over new content and starts anew: %s", error)
                os.kill(os.getpid(), signal.SIGTERM)  # the supervisor has it, and starts us again with it
                return
            channel.sendall(line.encode())


def _load(edge: Edge, settings: Settings, revision: str) -> None:
    """Have another revision ready."""
    if edge.content.registry.revision == revision:  # we were started with it
        return
    content = _read_slowly(content_file(settings.data, revision))
    edge.later = _make(lambda: apply_counters(content, read_counters(settings.data)))


def _swap(edge: Edge, settings: Settings) -> None:
    """Serve from now on what is ready."""
    content, old = edge.later, edge.content
    if content is None:
        return
    edge.hosts = settings.hosts_with(content.registry.site.hosts)
    edge.earlier = old.renderings.assets
    edge.content = content
    edge.later = None
    threading.Thread(target=_let_go, args=([old],), daemon=True).start()


def _let_go(held: list[Content]) -> None:
    """Free the only content in a list, once nobody needs it."""
    time.sleep(GRACE_SECONDS)
    parts = []
    for part in parts_of(held[0]):
        parts.append(part)
        time.sleep(0)
    held.clear()
    _free(parts)


def _read_slowly(path: Path) -> Content:
    steps = read_content(path)
    while True:
        try:
            _make(lambda: next(steps))
        except StopIteration as end:
            content: Content = end.value
            return content
        time.sleep(_REST_SECONDS)


def _make(part: Callable[[], T]) -> T:
    """A part of new content, which is looked through once: it has no circles, and is freed without collections.

    What is alive at that moment is never looked at again; so what requests left behind is collected first.
    """
    gc.disable()
    try:
        return part()
    finally:
        deque(map(call, _SETTLED), 0)
        gc.enable()


def _free(parts: list[list[object]]) -> None:
    """Let go of content, the last that refers to others first, so that no step frees much."""
    while parts:
        for one in parts.pop():
            while isinstance(one, Cache) and one.forget(_VALUES):
                time.sleep(0)
        one = None
        time.sleep(_REST_SECONDS)
