"""Look-up files that are replaced while the server runs.

What enters: the files in use, and what lies at their paths now. What leaves: readers that look up in the new files.
Must not: let a damaged file take a good one's place, or have a request wait.

The supervisor watches the paths. A new file is read through in a child process, because a reader may end its process on
damaged bytes. What was found good is opened and written down in `lookups.json` of the data directory; each worker
follows that file, and opens what it names. A worker that is started later has the supervisor's files from the fork.
"""

from __future__ import annotations

import logging
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from personalizer.config import PREFIX
from personalizer.errors import DataError
from personalizer.process import Ended, Task
from personalizer.visitor.lookups import Lookups, Stamp, open_lookup, read_stamp
from personalizer.visitor.read import VisitorReader

log = logging.getLogger(__name__)

IN_USE = "lookups.json"

_WATCH_SECONDS = 1.0
_FOLLOW_SECONDS = 1.0
_CHECK_SECONDS = 600  # the largest files take a minute


class LookupWatch:
    """The supervisor's watch over the files."""

    def __init__(self, data: Path, reader: VisitorReader) -> None:
        self._data = data
        self._reader = reader
        self._seen: dict[str, Stamp | None] = {}  # what lay at a path at the last look, when it is not what is in use
        self._refused: dict[str, tuple[Stamp | None, str]] = {}
        self._check: _Check | None = None
        self._due = 0.0
        for lookup in reader.lookups.values():
            log.info("%s%s: %s", PREFIX, lookup.setting, lookup)
        self._write_down()

    def tend(self, now: float) -> None:
        """One turn at `now` (monotonic seconds): never waits."""
        if self._check is not None:
            ended = self._check.task.poll()
            if ended is not None:
                check, self._check = self._check, None
                self._end_check(check, _say(check, ended))
        elif now >= self._due:
            self._due = now + _WATCH_SECONDS
            self._look()

    def stop(self) -> None:
        """End a check that is going on."""
        if self._check is not None:
            self._check.task.kill()
            self._check = None

    def _look(self) -> None:
        """Begin to check the first file that is new and has not changed since the last look."""
        for setting, lookup in self._reader.lookups.items():
            stamp = read_stamp(lookup.file.path)
            if stamp == lookup.stamp:
                if self._refused.pop(setting, None):  # the one in use is back in its place
                    self._write_down()
            elif setting in self._refused and stamp == self._refused[setting][0]:
                continue
            elif setting not in self._seen or self._seen[setting] != stamp:
                self._seen[setting] = stamp
            elif stamp is None:
                self._refuse(setting, None, f"{lookup.file.path} is not there any more.")
            else:
                self._begin_check(setting, lookup.file.path, stamp)
                return

    def _begin_check(self, setting: str, path: Path, stamp: Stamp) -> None:
        try:
            self._check = _Check(setting, path, stamp, Task(partial(_read_through, setting, path), _CHECK_SECONDS))
        except OSError as error:  # the next look tries again
            log.error("%s cannot be read through now, so the file in use stays: %s", path, error)

    def _end_check(self, check: _Check, said: str) -> None:
        if said:
            self._refuse(check.setting, check.stamp, said)
            return
        if read_stamp(check.path) != check.stamp:  # replaced again since, and nobody has looked at that one
            return
        try:
            new = open_lookup(check.setting, check.path)
        except DataError as error:  # replaced again since; the next look sees it
            log.info("%s", error)
            return
        if new.stamp == check.stamp:
            self._refused.pop(check.setting, None)
            self._reader.take({**self._reader.lookups, check.setting: new})
            log.info("%s%s: %s, from now on", PREFIX, new.setting, new)
            self._write_down()

    def _refuse(self, setting: str, stamp: Stamp | None, said: str) -> None:
        self._refused[setting] = (stamp, said)
        log.error("%s%s: the file in use stays (%s): %s", PREFIX, setting, self._reader.lookups[setting], said)
        self._write_down()

    def _write_down(self) -> None:
        rows = {
            setting: {
                "path": str(lookup.file.path),
                "file": str(lookup),
                "stamp": lookup.stamp,
                "refused": self._refused[setting][1] if setting in self._refused else None,
            }
            for setting, lookup in self._reader.lookups.items()
        }
        draft = self._data / f".{IN_USE}"
        try:
            draft.write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2, default=list))
            draft.replace(self._data / IN_USE)
        except OSError as error:
            log.error("workers cannot be told of new look-up files: %s", error)


class _Check(NamedTuple):
    """One file that a task reads through."""

    setting: str
    path: Path
    stamp: Stamp
    task: Task


def _say(check: _Check, ended: Ended) -> str:
    """What is wrong with the file; empty when nothing is."""
    if check.task.late:
        return f"{check.path} could not be read through in {_CHECK_SECONDS} seconds."
    if ended.status < 0:
        return f"{check.path} is damaged: reading it ends a process ({signal.Signals(-ended.status).name})."
    return ended.words or ("" if ended.status == 0 else f"{check.path} is damaged: reading it ends a process.")


def _read_through(setting: str, path: Path) -> tuple[int, str]:
    try:
        open_lookup(setting, path).file.read_through()
    except DataError as error:
        return 0, str(error)
    return 0, ""


def read_in_use(data: Path) -> dict[str, Any]:
    """What the last server on a data directory wrote down: by setting, its file, and why a newer one was refused."""
    try:
        rows: dict[str, Any] = orjson.loads((data / IN_USE).read_bytes())
    except (OSError, ValueError):
        return {}
    return rows


# --- in a worker ---


class LookupFollower:
    """A worker's files, which become those that the supervisor found good."""

    def __init__(self, data: Path, reader: VisitorReader) -> None:
        self._path = data / IN_USE
        self._reader = reader
        self._read: Stamp | None = None

    def start(self) -> None:
        """Follow in a thread until the process ends."""
        threading.Thread(target=self._run, name="lookups", daemon=True).start()

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(_FOLLOW_SECONDS):
            try:
                self.follow()
            except (OSError, ValueError, DataError) as error:
                log.warning("a new look-up file is not taken yet: %s", error)

    def follow(self) -> None:
        """Take what is new. Raises OSError, ValueError or DataError; the next call tries again."""
        stamp = read_stamp(self._path)
        if stamp is None or stamp == self._read:
            return
        rows: dict[str, Any] = orjson.loads(self._path.read_bytes())
        new: Lookups = {}
        for setting, row in rows.items():
            good = Stamp(*row["stamp"])
            if setting in self._reader.lookups and good != self._reader.lookups[setting].stamp:
                new[setting] = open_lookup(setting, Path(row["path"]))
                if new[setting].stamp != good:
                    return  # replaced again: the supervisor will say whether that one is good
        if new:
            self._reader.take({**self._reader.lookups, **new})
        self._read = stamp
