"""A worker takes over new content while it serves: read beside the requests, swapped at once, the old one freed.

What enters: revisions, told by the supervisor. What leaves: an `Edge` with that content, and word of it. Must not: hold
up a request, or show a request two contents.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import time
from pathlib import Path

from personalizer.cache import Cache
from personalizer.config import Settings
from personalizer.content.compile import Content, apply_counters
from personalizer.content.counters import read_counters
from personalizer.content.store import Damaged, content_file, parts_of, read_content
from personalizer.edge.state import Edge, allowed_hosts
from personalizer.errors import PersonalizerError

log = logging.getLogger(__name__)

GRACE_SECONDS = 2  # until whoever had the old content has answered; a slow sender just keeps some of it longer
_REST_SECONDS = 0.001  # between two steps, for requests
_VALUES = 500  # of a cache, forgotten in one step


def follow_supervisor(edge: Edge, settings: Settings, channel: socket.socket) -> None:
    """Take over each revision that the supervisor names, for as long as it lives."""
    with channel, channel.makefile("r") as lines:
        for line in lines:
            try:
                old = _take_over(edge, settings, line.strip())
            except (Damaged, PersonalizerError) as error:
                log.error("an edge worker cannot take over new content and starts anew: %s", error)
                os.kill(os.getpid(), signal.SIGTERM)  # the supervisor has it, and starts us again with it
                return
            channel.sendall(line.encode())
            if old is not None:
                time.sleep(GRACE_SECONDS)
                parts = []
                for part in parts_of(old):
                    parts.append(part)
                    time.sleep(0)
                old = None
                _free(parts)


def _take_over(edge: Edge, settings: Settings, revision: str) -> Content | None:
    """Serve another revision from now on; the content that was served until now, None if it is this very one."""
    if edge.content.registry.revision == revision:  # we were started with it
        return None
    gc.disable()  # it would look through all of the new content, again and again, with every request waiting
    try:
        content = apply_counters(_read_slowly(content_file(settings.data, revision)), read_counters(settings.data))
        old = edge.content
        edge.hosts = allowed_hosts(settings, content.registry.site.hosts)
        edge.earlier = old.renderings.assets
        edge.content = content
        gc.freeze()  # as at the start: content has no circles and is freed without it
        return old
    finally:
        gc.enable()


def _read_slowly(path: Path) -> Content:
    steps = read_content(path)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            content: Content = end.value
            return content
        time.sleep(_REST_SECONDS)


def _free(parts: list[list[object]]) -> None:
    """Let go of content, the last that refers to others first, so that no step frees much."""
    while parts:
        for one in parts.pop():
            while isinstance(one, Cache) and one.forget(_VALUES):
                time.sleep(0)
        one = None
        time.sleep(_REST_SECONDS)
