"""The lake: one Delta Lake table for events and one for leads, partitioned by UTC day.

What enters: rows of journal files. What leaves: the same rows, each exactly once, and the current Parquet files.
Must not: be imported by edge workers or before a fork (deltalake runs threads), or read a journal.

How a row counts once: the commit that brings rows also brings, as Delta application transactions, the mark of each
journal file (`<writer>:<generation>` → last ordinal). Delta refuses a commit only when another one has moved the same
mark since the handle was opened, so marks are read and rows committed with the same handle.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from personalizer.errors import DataError
from personalizer.events.arrow import SCHEMAS

log = logging.getLogger(__name__)

COMPACT_AFTER = 64  # commits; 1,001 small files answered in 0.34 s, compacted in 0.012 s
COMPACT_LARGE_AFTER = 512  # commits of so many rows that their files are no hurry: the fewer times, the fewer rewritten
LARGE_ROWS = 10_000  # in a commit, on average
COMMIT_COMPACTED = dt.timedelta(minutes=1)  # a compaction that takes long commits what it has
VACUUM_EVERY = 3600.0  # seconds
ATTEMPTS = 20  # at one commit, when other collectors commit too

# Whoever reads has an hour until the files that they began with are deleted. Every commit reads the log since the last
# checkpoint and lists all that is kept of it (30 days by default; a commit of few rows takes 20 ms with 500 entries,
# 32 with 1,500), so both are short. Whoever opens the table needs the log for a moment.
_CONFIGURATION: dict[str, str | None] = {
    "delta.deletedFileRetentionDuration": "interval 1 hours",
    "delta.logRetentionDuration": "interval 10 minutes",
    "delta.checkpointInterval": "16",
}
# Few rows of a commit have the same; a dictionary of them costs a tenth of writing and saves no byte.
_UNIQUE = ("event_id", "decision_id", "visitor", "unit", "visit", "lead_id")
_WRITER = WriterProperties(
    compression="SNAPPY", column_properties={name: ColumnProperties(dictionary_enabled=False) for name in _UNIQUE}
)
_NO_VALUES = {"delta.dataSkippingNumIndexedCols": "0"}  # the log would repeat the smallest and largest e-mail address


class Batch(NamedTuple):
    """Rows of one journal file without a gap, the first ordinal among them; `source` is `<writer>:<generation>`."""

    source: str
    first: int
    rows: pa.Table

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1


class LakeTable:
    """One table of the lake, as a collector writes it. Several collectors may write at once."""

    def __init__(self, lake: Path, name: str) -> None:
        self._path = lake / name
        self._name = name
        self._commits = COMPACT_AFTER  # since the last compaction; how many an earlier collector made is not known
        self._rows = 0  # in those commits
        self._upkeep: threading.Thread | None = None
        self._vacuumed = -VACUUM_EVERY

    def append(self, batches: Sequence[Batch]) -> int:
        """Commit the rows beyond the marks, and return how many. Raises OSError, DeltaError or DataError."""
        for _ in range(ATTEMPTS):
            try:
                rows = self._commit(self._open(), batches)
            except CommitFailedError as error:
                log.debug("%s: another collector was faster (%s)", self._path, error)
            else:
                self._commits += 1
                self._rows += rows
                return rows
        raise DataError(f"{self._path}: other collectors commit all the time; run one collector for a lake.")

    def tend(self) -> None:
        """Begin to vacuum and compact when it is time, beside the commits: it takes seconds after many rows."""
        large = self._rows >= LARGE_ROWS * self._commits
        compact = self._commits >= (COMPACT_LARGE_AFTER if large else COMPACT_AFTER)
        vacuum = time.monotonic() - self._vacuumed >= VACUUM_EVERY
        if (compact or vacuum) and (self._upkeep is None or not self._upkeep.is_alive()):
            upkeep = threading.Thread(target=self._keep_up, args=(compact, vacuum), name=f"upkeep of {self._name}")
            upkeep.start()
            self._upkeep = upkeep
            if compact:
                self._commits = self._rows = 0

    def finish(self) -> None:
        """Wait for the end of what `tend` began."""
        if self._upkeep is not None:
            self._upkeep.join()

    def _keep_up(self, compact: bool, vacuum: bool) -> None:
        # One at a time, and on handles opened within it: deltalake 1.6.6 lets two compactions of the same files both
        # commit, which doubles every row in them. Its conflict check passes over files that are removed without a
        # change of data (delta-rs #3982), and its `compact` takes neither application transactions nor a retry limit.
        # A vacuum would take what a compaction has not committed yet for leftovers, if that took over an hour.
        try:
            with (self._path / "_compacting").open("w") as lock:  # the underscore keeps it from the vacuum
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if vacuum and (table := open_table(self._path)):
                    table.vacuum(dry_run=False, full=True)  # full: also what a killed collector did not commit
                    self._vacuumed = time.monotonic()
                if compact and (table := open_table(self._path)):
                    # Each task holds about a file's rows in memory.
                    table.optimize.compact(max_concurrent_tasks=1, min_commit_interval=COMMIT_COMPACTED)
        except BlockingIOError:
            log.debug("%s: another collector does the upkeep", self._path)
        except (OSError, DeltaError) as error:
            log.error("%s: could not be compacted or vacuumed, which is tried again later: %s", self._path, error)
        except Exception:  # the last door of a thread; deltalake raises many kinds, and no row depends on this
            log.exception("%s: could not be compacted or vacuumed, which is tried again later", self._path)

    def _commit(self, table: DeltaTable, batches: Sequence[Batch]) -> int:
        fresh = [batch for batch in (_beyond_mark(table, batch) for batch in batches) if len(batch.rows)]
        if not fresh:
            return 0
        marks = [Transaction(batch.source, batch.last) for batch in fresh]
        write_deltalake(
            table,
            pa.concat_tables([batch.rows for batch in fresh]),
            mode="append",
            schema_mode="merge",  # a newer version's columns are added, an older one's rows still fit
            writer_properties=_WRITER,
            commit_properties=CommitProperties(app_transactions=marks),
        )
        return sum(len(batch.rows) for batch in fresh)

    def _open(self) -> DeltaTable:
        table = open_table(self._path)
        if table is None:
            DeltaTable.create(
                self._path,
                SCHEMAS[self._name],
                mode="ignore",
                partition_by=["day"],
                configuration=_CONFIGURATION if self._name == "events" else _CONFIGURATION | _NO_VALUES,
                commit_properties=CommitProperties(max_commit_retries=0),  # else two collectors create it twice
            )
            table = DeltaTable(self._path)
        return table


def open_table(path: Path) -> DeltaTable | None:
    """A Delta table as it is now, None when there is none."""
    try:
        return DeltaTable(path)
    except TableNotFoundError:
        return None
    except DeltaError:  # a file of the log went between finding and reading it: its clean-up was faster
        return DeltaTable(path)


def _beyond_mark(table: DeltaTable, batch: Batch) -> Batch:
    mark = table.transaction_version(batch.source) or 0
    if mark < batch.first - 1:
        raise DataError(f"{table.table_uri}: rows of {batch.source} after {mark} are missing; they are read again.")
    known = min(mark - batch.first + 1, len(batch.rows))
    return Batch(batch.source, batch.first + known, batch.rows.slice(known))


def count_missing(lake: Path, name: str, ends: Mapping[str, int]) -> int:
    """How many rows of the journal files (`source` → last ordinal) are not in the lake's table yet."""
    table = open_table(lake / name)
    marks = {source: (table.transaction_version(source) if table else None) or 0 for source in ends}
    return sum(max(0, end - marks[source]) for source, end in ends.items())


def lake_files(lake: Path, name: str) -> list[str]:
    """Paths of a table's current Parquet files, for DuckDB; [] when there is no table yet.

    They stay readable for at least an hour. The partition column `day` is not inside the files: compute it from `ts`,
    or read with `hive_partitioning=true` (it is in the path, as `day=2026-11-21`).
    """
    table = open_table(lake / name)
    if table is None:
        return []
    # Not `file_uris()`: it percent-encodes the directory, so a lake under a path with a space would not be found.
    return [str(lake / name / path) for path in table.get_add_actions()["path"].to_pylist()]
