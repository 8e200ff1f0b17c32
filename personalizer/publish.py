"""Publishing: content compiled once and kept, and while a server runs, its workspace watched for changes.

What enters: settings. What leaves: content, as soon as it is whole. Must not: compile in a process that serves or that
others depend on, or publish what is half written or has a mistake.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
from pathlib import Path

from personalizer.config import Settings
from personalizer.content.compile import Content, check_workspace, load_content
from personalizer.content.files import Stamps, hash_workspace, stamp_workspace
from personalizer.content.store import Damaged, Steps, content_file, finish, read_content, remove_others, save_content
from personalizer.process import die_with_parent

log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.5  # so long files must lie still: editors write in parts, and copying takes a while
COMPILER_NICE = 10  # pages go before
_LOOK_SHARE = 25  # looking at the files takes at most one part of so many
_PAUSE_SECONDS = 2  # before compiling again what was killed, perhaps for want of memory
_TURN_SECONDS = 0.02

_WRITTEN, _WRONG, _MOVED, _SAME = range(4)  # how compiling ended


def open_content(settings: Settings) -> Content:
    """The workspace's content: as it was kept, else compiled and kept. Raises ContentError with every problem."""
    collects = gc.isenabled()
    gc.disable()  # nothing of it is garbage
    try:
        path = content_file(settings.data, hash_workspace(settings.workspace))
        content = finish(read_content(path))
    except (Damaged, OSError):
        content = load_content(settings.workspace)
        _keep(settings.data, content)
    finally:
        if collects:
            gc.enable()
    return content


def _keep(data: Path, content: Content) -> None:
    try:
        remove_others(save_content(data, content))
    except OSError as error:
        log.warning("compiled content cannot be kept, so the next start takes longer: %s", error)


class Watch:
    """Tells when the files of a workspace have changed and lie still again."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen = stamp_workspace(root)
        self._moving = False
        self._due = 0.0

    def settled(self) -> bool:
        """Whether there is a change to publish. Costs nothing until the next look is due."""
        now = time.monotonic()
        if now < self._due:
            return False
        stamps = stamp_workspace(self._root)
        spent = time.monotonic() - now
        self._due = now + max(SETTLE_SECONDS, _LOOK_SHARE * spent)
        moved, self._seen = stamps != self._seen, stamps
        settled = self._moving and not moved
        self._moving = moved
        return settled

    @property
    def seen(self) -> Stamps:
        """The files as they were at the last look."""
        return self._seen

    def look_again(self, pause: float = 0.0) -> None:
        """What was seen could not be compiled."""
        self._moving = True
        self._due = time.monotonic() + pause


class Publisher:
    """Compiles what changes, in a process of its own, and hands over what is whole. A turn of it takes milliseconds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._watch = Watch(settings.workspace)
        self._compiler = 0  # its process, while it runs
        self._told = -1  # where it says which revision it wrote
        self._steps: Steps | None = None
        self._wrong = False  # whether the files had a mistake when they were compiled last

    @property
    def busy(self) -> bool:
        """Whether content is being read: then the next turn should come soon."""
        return self._steps is not None

    def turn(self, live: str) -> Content | None:
        """Do what is next; the new content once it is there. `live` is the revision that is served."""
        if self._steps is not None:
            return self._read(self._steps)
        if self._compiler:
            self._reap(live)
        elif self._watch.settled():
            self._start(live)
        return None

    def stop(self) -> None:
        """End the compiler, if it runs."""
        if self._compiler:
            os.kill(self._compiler, signal.SIGKILL)
            os.waitpid(self._compiler, 0)
            os.close(self._told)
            self._compiler = 0

    def _start(self, live: str) -> None:
        self._told, write = os.pipe()
        parent = os.getpid()
        self._compiler = os.fork()
        if self._compiler:
            os.close(write)
            return
        status = 1
        try:
            die_with_parent(parent)
            for name in (signal.SIGTERM, signal.SIGINT):
                signal.signal(name, signal.SIG_DFL)
            os.nice(COMPILER_NICE)
            status = _compile(self._settings, live, self._watch.seen, write)
        except Exception:  # the last door of a forked process: never the parent's code
            log.exception("content could not be compiled")
        finally:
            logging.shutdown()
            os._exit(status)

    def _reap(self, live: str) -> None:
        pid, status = os.waitpid(self._compiler, os.WNOHANG)
        if not pid:
            return
        self._compiler = 0
        with os.fdopen(self._told, "rb") as told:
            revision = told.read().decode()
        ended = os.waitstatus_to_exitcode(status)
        if ended == _WRITTEN:
            gc.disable()  # nothing of what is read is garbage
            self._steps = read_content(content_file(self._settings.data, revision))
        elif ended == _MOVED:
            self._watch.look_again()
            return
        elif ended == _SAME:
            if self._wrong:
                log.info("the files are right again, as they were published: revision %s is served", live[:12])
        elif ended != _WRONG:
            log.warning("compiling the workspace ended (%s); trying again, and what was published stays", ended)
            self._watch.look_again(_PAUSE_SECONDS)
            return
        self._wrong = ended == _WRONG

    def _read(self, steps: Steps) -> Content | None:
        until = time.monotonic() + _TURN_SECONDS
        content: Content | None = None
        try:
            while time.monotonic() < until:
                next(steps)
            return None
        except StopIteration as end:
            content = end.value
        except Damaged as error:
            log.warning("new content cannot be read back, so what was published stays: %s", error)
        self._steps = None
        gc.enable()
        return content


def _compile(settings: Settings, live: str, seen: Stamps, told: int) -> int:
    """Check, compile and keep the workspace, and say which revision it is."""
    checked = check_workspace(settings.workspace)
    if stamp_workspace(settings.workspace) != seen:
        return _MOVED  # some of what was read may be of before, and some of after a change
    if checked.content is None:
        for problem in checked.problems:
            if not problem.warning:  # `check` has those; here they would hide what keeps this from being published
                log.error("%s", problem)
        log.error("nothing of this is published, and what was published before stays")
        return _WRONG
    revision = checked.content.registry.revision
    if revision == live:
        return _SAME
    save_content(settings.data, checked.content)
    os.write(told, revision.encode())
    return _WRITTEN
