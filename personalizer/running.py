"""Which server runs on a data directory: its process, and the content that it serves.

What enters: a data directory; from the server, the revision it serves. What leaves: the same for whoever looks from
outside, for as long as that server runs. Must not: lock what a server locks, or believe what one left behind.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

LOCK = "server.lock"
_LIVE = "server.live"


class Running(NamedTuple):
    """A server: its process, and the revision that it serves."""

    process: int
    revision: str


def write_running(data: Path, revision: str) -> None:
    """Say that this process serves `revision` from now on."""
    draft = data / f".{_LIVE}"
    draft.write_text(f"{os.getpid()} {revision}\n")
    draft.replace(data / _LIVE)


def find_running(data: Path) -> Running | None:
    """The server that runs on this data directory on this machine, if there is one whose files we may look at."""
    try:
        process, revision = (data / _LIVE).read_text().split()
        lock = (data / LOCK).stat()
        opened = [os.stat(f"/proc/{process}/fd/{name}") for name in os.listdir(f"/proc/{process}/fd")]
    except (OSError, ValueError):
        return None
    if not any(os.path.samestat(one, lock) for one in opened):  # it ended, and another process has its number
        return None
    return Running(int(process), revision)
