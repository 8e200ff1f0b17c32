"""The collector: a process of its own that moves journals into the lake and deletes what has arrived.

What enters: the data directory and the lake's. What leaves: the lake, complete up to the journals' ends.
Must not: be imported by edge workers, count a row twice, or delete a row that is not in the lake.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

from deltalake.exceptions import DeltaError

from personalizer.errors import DataError
from personalizer.events.arrow import TABLES, fit_rows
from personalizer.events.frames import Rows, read_rows
from personalizer.events.journal import JournalFile, list_journals
from personalizer.events.lake import Batch, LakeTable, count_missing, open_table

log = logging.getLogger(__name__)

BATCH_ROWS = 20_000  # a commit; about 100 MB of rows
LONGEST_PAUSE = 5.0  # seconds, after errors
POLL = 0.1  # seconds
BUSY_ROWS = 1000  # in a turn; a commit costs about as much as they do, so it pays to wait for more


class Collected(NamedTuple):
    """What went to the lake: rows, those of them refused, and whether the journals hold more already."""

    rows: int
    refused: int
    more: bool


class Position(NamedTuple):
    """How far a journal file is in the lake: its last ordinal, and the offset in bytes where that frame ends."""

    ordinal: int = 0
    offset: int = 0


class Collector:
    """Moves all journals of one data directory. Remembers how far it read, so that nothing is read twice."""

    def __init__(self, data: Path, lake: Path) -> None:
        self._data = data
        self._tables = {name: LakeTable(lake, name) for name in TABLES}
        self._positions: dict[Path, Position] = {}

    def collect(self, *, tend: bool = True) -> Collected:
        """At most one commit a table, for all writers; `tend`: begin to compact when it is time.

        Raises OSError, DeltaError or DataError; call again then.
        """
        parts = [self._collect_table(name, table) for name, table in self._tables.items()]
        if tend:
            for table, part in zip(self._tables.values(), parts, strict=True):
                if part.rows:
                    table.tend()
        return Collected(sum(p.rows for p in parts), sum(p.refused for p in parts), any(p.more for p in parts))

    def finish(self) -> None:
        """Wait for what goes on beside the commits."""
        for table in self._tables.values():
            table.finish()

    def _collect_table(self, name: str, table: LakeTable) -> Collected:
        files = list_journals(self._data, name)
        waiting = [file for file in files if file.size > self._position(file).offset]
        share = max(1, BATCH_ROWS // max(1, len(waiting)))  # each its share: a busy writer does not hold up the rest
        read = {file: rows for file in waiting if (rows := self._read(file, share)).json}
        batches, mistakes = _fit(name, read)
        try:
            count = table.append(batches) if batches else 0
        except DataError:
            self._positions.clear()  # the lake is not what we remember: begin again from its marks
            raise
        for file, rows in read.items():
            self._positions[file.path] = Position(rows.last, rows.end)
        full = {file for file, rows in read.items() if len(rows.json) == share}
        self._delete([file for file in files if file.final and file not in full])
        if mistakes:
            log.error("%s: %d of %d rows were refused, the first because %s", name, len(mistakes), count, mistakes[0])
        return Collected(count, len(mistakes), bool(full))

    def _position(self, file: JournalFile) -> Position:
        return self._positions.get(file.path, Position())

    def _read(self, file: JournalFile, limit: int) -> Rows:
        position = self._position(file)
        try:
            return read_rows(file.path, position.ordinal, position.offset, limit)
        except FileNotFoundError:  # another collector was faster
            return Rows(position.ordinal + 1, [], position.offset)

    def _delete(self, done: list[JournalFile]) -> None:
        """Delete files that nobody writes to and whose rows are all in the lake."""
        if done:
            os.sync()  # deltalake leaves its files to the page cache; the journal must not go before they are safe
        for file in done:
            left = file.size - self._position(file).offset
            self._positions.pop(file.path, None)
            with contextlib.suppress(FileNotFoundError):  # another collector was faster
                if left > 0:
                    file.path.rename(file.path.with_suffix(".torn"))
                    log.warning("%s: %d bytes after the last whole row; kept as .torn", file.path, left)
                else:
                    file.path.unlink()


def _fit(name: str, read: dict[JournalFile, Rows]) -> tuple[list[Batch], list[str]]:
    batches, mistakes = [], []
    for file, rows in read.items():
        table, wrong = fit_rows(name, file, rows.first, rows.json)
        batches.append(Batch(file.source, rows.first, table))
        mistakes += wrong
    return batches, mistakes


def collect_once(data: Path, lake: Path) -> Collected:
    """Move everything that the journals hold now. Raises OSError, DeltaError or DataError."""
    collector = Collector(data, lake)
    rows = refused = 0
    try:
        while True:
            part = collector.collect()
            rows, refused = rows + part.rows, refused + part.refused
            if not part.more:
                return Collected(rows, refused, more=False)
    finally:
        collector.finish()


def run_collector(data: Path, lake: Path, stop: threading.Event, interval: float = 0.4) -> None:
    """Collect every `interval` seconds until `stop`, and once more after it; up to four times as seldom while a turn
    brings many rows, so that a commit is shared by more of them.

    A full disk or an unreadable lake is logged and tried again, at most 5 s later; the journals keep the rows.
    """
    collector = Collector(data, lake)
    failures = 0
    while True:
        last = stop.is_set()
        try:
            done = collector.collect(tend=not last)
            pause = 0.0 if done.more else interval * (1 + min(3, done.rows / BUSY_ROWS))
            if failures:
                log.warning("the lake takes events again")
            failures = 0
        except (OSError, DeltaError, DataError) as error:
            failures += 1
            pause = min(LONGEST_PAUSE, interval * 2**failures)
            log.error("events wait in the journals; trying again in %.1f s: %s", pause, error)
        if last:
            collector.finish()
            return
        stop.wait(pause)


def wait_for_lake(data: Path, lake: Path, timeout: float) -> dt.datetime | None:
    """Wait until the lake holds every row that the journals hold now; a collector must be running if it does not yet.

    Returns the moment (UTC) as of which it is complete, None when nothing was ever recorded. Raises DataError after
    `timeout` seconds, saying how many rows are missing.
    """
    as_of = dt.datetime.now(dt.UTC)
    ends = {name: _journal_ends(data, name) for name in TABLES}
    if not any(ends.values()) and not any(open_table(lake / name) for name in TABLES):
        return None
    deadline = time.monotonic() + timeout
    while missing := sum(count_missing(lake, name, ends[name]) for name in TABLES):
        if time.monotonic() >= deadline:
            raise DataError(
                f"{lake}: {missing} rows of the journals are not in the lake after {timeout:g} s. "
                "The collector moves them: start `personalizer serve` or `personalizer collect` and ask again."
            )
        time.sleep(POLL)
    return as_of


def _journal_ends(data: Path, name: str) -> dict[str, int]:
    ends = {}
    for file in list_journals(data, name):
        position = Position()
        with contextlib.suppress(FileNotFoundError):  # all of it is in the lake
            while (rows := read_rows(file.path, position.ordinal, position.offset, BATCH_ROWS)).json:
                position = Position(rows.last, rows.end)
                ends[file.source] = rows.last
    return ends
