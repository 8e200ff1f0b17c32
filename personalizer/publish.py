"""Publishing: content compiled once and kept, and while a server runs, its workspace watched for changes.

What enters: settings. What leaves: content, once it is whole. Must not: compile in a process that others wait for,
but once at the start, before anybody is served; or publish what is half written or has a mistake.
"""

from __future__ import annotations

import gc
import logging
import time
from functools import partial
from pathlib import Path

from personalizer.config import Settings
from personalizer.content.compile import Content, check_workspace, load_content
from personalizer.content.files import Stamps, hash_workspace, stamp_workspace
from personalizer.content.store import Damaged, Steps, content_file, finish, read_content, remove_others, save_content
from personalizer.errors import PersonalizerError
from personalizer.process import Ended, Task

log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.5  # so long files must lie still: editors write in parts, and copying takes a while
_LOOK_SHARE = 25  # looking at the files takes at most one part of so many
_PAUSE_SECONDS, _LONGEST_PAUSE = 2.0, 60.0  # before trying again what failed for want of memory, room or rights
_COMPILE_SECONDS = 1800  # a workspace of 10,000 rules takes seconds; whoever waits for a dead disk waits for ever
_TURN_SECONDS = 0.02

_WRITTEN, _WRONG, _MOVED, _SAME = range(10, 14)  # how compiling ended; any other status is a failure of its own


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
    except (OSError, PersonalizerError) as error:
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
        self._compiler: Task | None = None
        self._steps: Steps | None = None
        self._wrong = False  # whether the files had a mistake when they were compiled last
        self._live = ""
        self._pause = _PAUSE_SECONDS

    @property
    def busy(self) -> bool:
        """Whether content is being read: then the next turn should come soon."""
        return self._steps is not None

    @property
    def idle(self) -> bool:
        """Whether nothing is written or read, so that what is kept and not served may be removed."""
        return self._steps is None and self._compiler is None

    def turn(self, live: str) -> Content | None:
        """Do what is next; the new content once it is there. `live` is the revision that is served."""
        if self._steps is not None:
            return self._read(self._steps)
        if self._compiler is not None:
            ended = self._compiler.poll()
            if ended is not None:
                self._compiler = None
                self._go_on(ended, live)
        elif self._watch.settled():
            self._start(live)
        return None

    def retry(self, why: object) -> None:
        """Publish what lies there again after a pause, which grows while that fails: the files have no mistake."""
        log.warning(
            "the workspace cannot be published now, so what was published stays; trying again in %d s: %s",
            self._pause,
            why,
        )
        self._watch.look_again(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def stop(self) -> None:
        """End the compiler, if it runs."""
        if self._compiler is not None:
            self._compiler.kill()
            self._compiler = None

    def _start(self, live: str) -> None:
        if live != self._live:  # the last one went well
            self._live, self._pause = live, _PAUSE_SECONDS
        try:
            self._compiler = Task(partial(_compile, self._settings, live, self._watch.seen), _COMPILE_SECONDS)
        except OSError as error:
            self.retry(error)

    def _go_on(self, ended: Ended, live: str) -> None:
        if ended.status == _WRITTEN:
            gc.disable()  # nothing of what is read is garbage
            self._steps = read_content(content_file(self._settings.data, ended.words))
        elif ended.status == _MOVED:
            self._watch.look_again()
            return
        elif ended.status not in (_SAME, _WRONG):
            self.retry(f"compiling it ended with status {ended.status}")
            return
        elif ended.status == _SAME and self._wrong:
            log.info("the files are right again, as they were published: revision %s is served", live[:12])
        if ended.status != _WRITTEN:  # which may yet fail to be read back or counted
            self._pause = _PAUSE_SECONDS
        self._wrong = ended.status == _WRONG

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
            self.retry(error)
        self._steps = None
        gc.enable()
        return content


def _compile(settings: Settings, live: str, seen: Stamps) -> tuple[int, str]:
    """Check, compile and keep the workspace: how that ended, and which revision it is."""
    checked = check_workspace(settings.workspace)
    if stamp_workspace(settings.workspace) != seen:
        return _MOVED, ""  # some of what was read may be of before, and some of after a change
    if checked.content is None:
        for problem in checked.problems:
            if not problem.warning:  # `check` has those; here they would hide what keeps this from being published
                log.error("%s", problem)
        log.error("nothing of this is published, and what was published before stays")
        return _WRONG, ""
    revision = checked.content.registry.revision
    if revision == live:
        return _SAME, ""
    save_content(settings.data, checked.content)
    return _WRITTEN, revision
