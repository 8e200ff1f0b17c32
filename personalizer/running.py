"""Which server runs on a data directory: its process, the content that it serves, and what its workers hold.

What enters: a data directory; from the server, what it serves and its workers. What leaves: the same for whoever looks
from outside, for as long as that server runs, and their memory. Must not: lock what a server locks, or believe what one
left behind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

LOCK = "server.lock"
_LIVE = "server.live"


class Running(NamedTuple):
    """A server: its process, the revision that it serves, and its edge workers' processes."""

    process: int
    revision: str
    workers: tuple[int, ...]


def write_running(data: Path, revision: str, workers: Sequence[int]) -> None:
    """Say that this process serves `revision` with these workers from now on. Raises OSError."""
    draft = data / f".{_LIVE}"
    draft.write_text(" ".join(map(str, (os.getpid(), revision, *workers))))
    draft.replace(data / _LIVE)


def find_running(data: Path) -> Running | None:
    """The server that runs on this data directory on this machine, if there is one whose files we may look at."""
    try:
        process, revision, *workers = (data / _LIVE).read_text().split()
        lock = (data / LOCK).stat()
        opened = [os.stat(f"/proc/{process}/fd/{name}") for name in os.listdir(f"/proc/{process}/fd")]
    except (OSError, ValueError):
        return None
    if not any(os.path.samestat(one, lock) for one in opened):  # it ended, and another process has its number
        return None
    return Running(int(process), revision, tuple(map(int, workers)))


class Memory(NamedTuple):
    """Megabytes that a process has in memory, and those of them that it shares with nobody."""

    process: int
    all: int
    own: int


def measure_memory(process: int) -> Memory | None:
    """The memory of a process, None once it has ended."""
    try:
        told = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return None
    return Memory(process, _megabytes("Rss", told), _megabytes(r"Private_\w+", told))


def _megabytes(name: str, told: str) -> int:
    return sum(map(int, re.findall(rf"^{name}: +(\d+) kB$", told, re.MULTILINE))) >> 10
