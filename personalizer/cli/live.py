"""The content by which a data directory's visits are explained: what its server serves, else what the files say.

What enters: settings. What leaves: content with the directory's counters, and a sentence about where it is from. Must
not: write anything, or take files for published that are not.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from personalizer.config import PREFIX, Settings, read_saved
from personalizer.content.compile import Content, apply_counters, load_content
from personalizer.content.counters import read_counters
from personalizer.content.files import hash_workspace
from personalizer.content.store import Damaged, content_file, finish, read_content
from personalizer.running import find_running


class Live(NamedTuple):
    """Content, whether a server serves it now, and a sentence that says so."""

    content: Content
    served: bool
    origin: str


def load_live(settings: Settings) -> Live:
    """While a server serves the workspace, its content; else that of the files, where a mistake raises ContentError."""
    server = find_running(settings.data)
    served = read_saved(settings.data).get(f"{PREFIX}WORKSPACE")
    if server is None or served is None or Path(served).resolve() != settings.workspace.resolve():
        return _of_files(settings, "")
    try:
        content = finish(read_content(content_file(settings.data, server.revision)))
    except Damaged:
        return _of_files(
            settings, f" Process {server.process} serves {server.revision[:12]}, which cannot be read here."
        )
    others = hash_workspace(settings.workspace) != server.revision
    origin = f"Revision {server.revision[:12]}, as process {server.process} serves it." + (
        f" The files in {settings.workspace} have changed since and are not published." if others else ""
    )
    return Live(_with_counters(settings, content), True, origin)


def _of_files(settings: Settings, but: str) -> Live:
    content = load_content(settings.workspace)
    origin = f"Revision {content.registry.revision[:12]}, of the files in {settings.workspace.resolve()}.{but}"
    return Live(_with_counters(settings, content), False, origin)


def _with_counters(settings: Settings, content: Content) -> Content:
    return apply_counters(content, read_counters(settings.data))
