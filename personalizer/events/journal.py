"""The journal: what every edge process writes before it answers. One append-only file a generation, one write a row.

What enters: rows of the column table. What leaves: their identity, `<writer>-<generation>-<ordinal>`, once written.
Must not: import deltalake or pyarrow, continue an old file, or be opened before a fork.

    <data>/node                                    this machine's id, made once
    <data>/journal/<table>/<number>/lock           held by the writer; its text is the last generation used
    <data>/journal/<table>/<number>/<generation>.journal

A process that is killed loses nothing that `append` returned. A power cut can take the last group, 50 ms of rows,
except those that were appended with `durable`.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

from personalizer.errors import DataError, JournalRefused, StartError
from personalizer.events.frames import encode_frame, encode_row

log = logging.getLogger(__name__)


class JournalFile(NamedTuple):
    """One generation of one writer. `final`: nobody will write to it again, so `size` (bytes) is its last."""

    path: Path
    writer: str
    generation: int
    size: int
    final: bool

    @property
    def source(self) -> str:
        """What the lake calls it: the name of its mark."""
        return f"{self.writer}:{self.generation}"


def list_journals(data: Path, table: str) -> list[JournalFile]:
    """Every journal file of a table, by writer and generation. Raises DataError when the node id is lost."""
    folders = sorted((data / "journal" / table).glob("*/"))
    if not folders:
        return []
    node = read_node(data)
    return [file for folder in folders for file in _list_folder(folder, f"{node}-{folder.name}")]


def _list_folder(folder: Path, writer: str) -> list[JournalFile]:
    # The order matters: once the lock is free, or a newer file is there, the size that follows cannot grow any more.
    free = _is_free(folder / "lock")
    paths = sorted(folder.glob("*.journal"), key=lambda path: int(path.stem))
    files = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # another collector was faster
            final = free or path is not paths[-1]
            files.append(JournalFile(path, writer, int(path.stem), path.stat().st_size, final))
    return files


def _is_free(lock: Path) -> bool:
    try:
        fd = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def read_node(data: Path) -> str:
    """This data directory's node id. Raises DataError when it is missing or empty."""
    path = data / "node"
    node = path.read_text("ascii").strip() if path.exists() else ""
    if not node:
        # Under another id, rows that are in the lake already would be taken for new ones.
        raise DataError(f"{path}: the node id is missing. Put the file back, or remove the journals beside it.")
    return node


def _make_node(data: Path) -> None:
    """Make the node id unless it exists or was lost. Several processes may try at once; the first wins."""
    lost = (data / "journal").exists()  # asked first: the process that wins makes the journal after the id
    if lost or (data / "node").exists():
        return
    data.mkdir(parents=True, exist_ok=True)
    node = secrets.token_hex(4)
    draft = data / f"node.{node}"
    with draft.open("x") as file:
        file.write(node + "\n")
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(draft, data / "node")
    draft.unlink()


class Journal:
    """A table's journal as one process writes it; threads may share it. `writer` is this process's name in it.

    The first `append` opens the file, so that a process that keeps nothing leaves none.
    """

    def __init__(
        self,
        data: Path,
        table: str,
        *,
        rotate_bytes: int = 64 << 20,
        sync_every: float = 0.05,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the first free number under `data`. Raises StartError when the directory cannot be written."""
        try:
            _make_node(data)
            self._folder, self._lock = _take_number(data / "journal" / table)
            text = os.pread(self._lock, 32, 0)
        except OSError as error:
            raise StartError(
                f"{data}: the journal cannot be written here ({error.strerror}). "
                "Make the directory writable, or name another with PERSONALIZER_DATA."
            ) from error
        self.writer = f"{read_node(data)}-{self._folder.name}"
        # A new lock starts at the clock, not at 0: whoever removes the journals by hand must not make the numbers
        # begin again, as the lake would take the new rows for those that it has.
        self._generation = int(text or clock())
        self._rotate_bytes = rotate_bytes
        self._sync_every = sync_every
        self._mutex = threading.Lock()  # covers ordinal, write and truncate: `os.write` lets other threads run
        self._fd = -1
        self._prefix = ""  # of the ids of the file's rows
        self._ordinal = 0
        self._end = 0  # bytes
        self._doubt = True  # whether the file may hold something that we do not know of; then it is never continued
        self._unsynced = False
        self._group: Future[None] = Future()  # done when the rows appended since the last group are on the disk
        self._stop = threading.Event()
        self._syncer = threading.Thread(target=self._sync_groups, name=f"journal-{table}", daemon=True)
        self._syncer.start()

    def append(self, row: Mapping[str, Any], *, durable: bool = False) -> str:
        """Write a row and return its event id.

        `row` is column → value: times in µs since 1970, Range for a RANGE; nulls may be left out, and
        `writer`, `generation`, `ordinal` and `event_id` must be: the journal adds them.
        `durable` waits until the disk has it. Raises JournalRefused when it could not be written; nothing of it is
        kept then, and the next append may succeed.
        """
        try:
            body = encode_row(row)
            with self._mutex:
                event_id = self._write(body)
                group = self._group
        except (OSError, TypeError, ValueError) as error:
            raise JournalRefused(f"{self._folder}: the row was not kept ({error}).") from error
        if durable:
            group.result()
        return event_id

    def close(self) -> None:
        """Put what was written on the disk and give the number back. Appending afterwards is refused."""
        self._stop.set()
        self._syncer.join()
        with self._mutex:
            self._retire()
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    def _write(self, row: bytes) -> str:
        if self._doubt or self._end >= self._rotate_bytes:
            self._begin()
        ordinal = self._ordinal + 1
        frame = encode_frame(ordinal, row)
        # In doubt until everything below agrees with the file, whatever interrupts it (a signal handler may raise).
        self._doubt = True
        self._write_whole(frame)
        self._ordinal = ordinal
        self._end += len(frame)
        self._unsynced = True
        self._doubt = False
        return f"{self._prefix}{ordinal}"

    def _write_whole(self, frame: bytes) -> None:
        """All of the frame, or none of it and OSError."""
        try:
            written = os.write(self._fd, frame)
            if written < len(frame):
                raise OSError(f"only {written} of {len(frame)} bytes could be written")
        except OSError:
            os.ftruncate(self._fd, self._end)
            self._doubt = False
            raise

    def _begin(self) -> None:
        """Leave the file, if there is one, and open the next generation, its number on the disk before it is used."""
        self._retire()
        self._generation += 1
        text = b"%020d\n" % self._generation
        if os.pwrite(self._lock, text, 0) < len(text):
            raise OSError("the number of the next file could not be kept")
        os.fsync(self._lock)
        path = self._folder / f"{self._generation}.journal"
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        _sync_folder(self._folder)
        self._prefix = f"{self.writer}-{self._generation}-"
        self._ordinal = self._end = 0
        self._doubt = False

    def _retire(self) -> None:
        self._doubt = True
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            _settle(fd, self._take_group())

    def _take_group(self) -> Future[None]:
        group, self._group = self._group, Future()
        self._unsynced = False
        return group

    def _sync_groups(self) -> None:
        while not self._stop.wait(self._sync_every):
            self._sync_group()

    def _sync_group(self) -> None:
        with self._mutex:
            if not self._unsynced:
                return
            try:
                fd = os.dup(self._fd)  # a rotation may close ours meanwhile
            except OSError:
                return  # no descriptor is left; the group stays open for the next turn
            group = self._take_group()
        _settle(fd, group)
        if group.exception():
            with self._mutex:
                self._doubt = True  # what the disk has of this file is unknown


def _settle(fd: int, group: Future[None]) -> None:
    """Sync and close, and tell those who wait for the group."""
    try:
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        log.error("the disk did not confirm the last rows of the journal: %s", error)
        group.set_exception(JournalRefused(f"the disk did not confirm the row ({error})."))
    else:
        group.set_result(None)


def _take_number(folder: Path) -> tuple[Path, int]:
    """The first number whose lock nobody holds: its folder, and the lock's descriptor, held until it is closed."""
    number = 0
    while True:
        own = folder / str(number)
        own.mkdir(parents=True, exist_ok=True)
        fd = os.open(own / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            number += 1
        else:
            return own, fd


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
