"""The journal on real files: framing, order, damage, full disks, restarts. Kills are in test_lake, up to the lake."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import Record, identify, read_records

from personalizer.errors import DataError, JournalRefused, StartError
from personalizer.events.frames import MAX_PAYLOAD, Rows, encode_frame, encode_row, read_rows
from personalizer.events.journal import Journal, JournalFile, list_journals
from personalizer.model import Range, Reason


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path, "events")
    yield journal
    journal.close()


def records(data: Path) -> list[Record]:
    return [record for file in list_journals(data, "events") for record in read_records(file.path)]


def rows_of(data: Path) -> list[dict[str, Any]]:
    return [identify(file, record) for file in list_journals(data, "events") for record in read_records(file.path)]


def only_file(data: Path) -> JournalFile:
    (file,) = list_journals(data, "events")
    return file


# --- one row ----------------------------------------------------------------------------------------------------------


def test_a_row_is_kept_with_its_identity(tmp_path: Path, journal: Journal) -> None:
    event_id = journal.append({"kind": "exposure", "ts": 1_700_000_000_000_000, "fit": None})

    file = only_file(tmp_path)
    (record,) = read_records(file.path)
    node = (tmp_path / "node").read_text().strip()
    assert record.row == {"ordinal": 1, "kind": "exposure", "ts": 1_700_000_000_000_000, "fit": None}
    assert file.writer == f"{node}-0"
    assert event_id == identify(file, record)["event_id"] == f"{node}-0-{file.generation}-1"
    assert record.end == file.size


def test_values_take_the_form_that_the_lake_has() -> None:
    row: dict[str, Any] = {
        "reasons": (Reason.MATCHED, Reason.ROW),
        "facts": {
            "company.employees": Range(51, 1000),
            "company.revenue": Range(5_000_000, 5_000_000),
            "person.years": Range(10, float("inf")),
            "visit.count": 3,
        },
    }
    assert orjson.loads(encode_row(row)) == {
        "reasons": ["MATCHED", "ROW"],
        "facts": {
            "company.employees": {"low": 51, "high": 1000},
            "company.revenue": {"low": 5_000_000, "high": 5_000_000},
            "person.years": {"low": 10, "high": None},
            "visit.count": 3,
        },
    }


VALUES = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(), st.lists(st.text()))


@settings(max_examples=50)
@given(st.lists(st.dictionaries(st.text().map("x_".__add__), VALUES, min_size=1), max_size=8))
def test_frames_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    path = tmp_path_factory.getbasetemp() / "roundtrip.journal"
    path.write_bytes(b"".join(encode_frame(n, encode_row(row)) for n, row in enumerate(rows, 1)))
    assert [record.row for record in read_records(path)] == [{"ordinal": n, **row} for n, row in enumerate(rows, 1)]


@pytest.mark.parametrize("row", [{}, {"page": object()}, {"page": "\ud800"}, {"page": "x" * MAX_PAYLOAD}])
def test_a_row_that_cannot_be_framed_is_refused_and_leaves_no_gap(
    tmp_path: Path, journal: Journal, row: dict[str, Any]
) -> None:
    journal.append({"page": "first"})
    with pytest.raises(JournalRefused):
        journal.append(row)
    journal.append({"page": "second"})
    assert [(record.ordinal, record.row["page"]) for record in records(tmp_path)] == [(1, "first"), (2, "second")]


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path: Path, journal: Journal) -> tuple[Path, list[Record]]:
    """A file of three records, copied so that it can be damaged."""
    for number in range(3):
        journal.append({"kind": "exposure", "ts": number, "page": "payroll"})
    path = tmp_path / "damaged"
    path.write_bytes(only_file(tmp_path).path.read_bytes())
    whole = list(read_records(path))
    assert len(whole) == 3
    return path, whole


def test_a_file_cut_at_any_byte_gives_its_whole_records(written: tuple[Path, list[Record]]) -> None:
    path, whole = written
    content = path.read_bytes()
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        left = [record for record in whole if record.end <= length]
        assert list(read_records(path)) == left, length
        assert read_rows(path).last == len(left), length


def test_a_bit_flipped_anywhere_ends_the_file_before_it(written: tuple[Path, list[Record]]) -> None:
    path, whole = written
    content = path.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        left = [record for record in whole if record.end <= place]
        assert list(read_records(path)) == left, place
        assert read_rows(path).last == len(left), place


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"\xff" * 4096, encode_frame(3, b'{"page":1}')])
def test_what_does_not_follow_is_no_record(written: tuple[Path, list[Record]], tail: bytes) -> None:
    path, whole = written
    path.write_bytes(path.read_bytes() + tail)
    assert list(read_records(path)) == whole


def test_a_repeated_or_missing_ordinal_ends_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    one, two, three = (encode_frame(n, b'{"page":1}') for n in (1, 2, 3))
    for content, ordinals in ((one + one + two, [1]), (one + three, [1]), (two, []), (one + two + three, [1, 2, 3])):
        path.write_bytes(content)
        assert [record.ordinal for record in read_records(path)] == ordinals


def test_reading_goes_on_where_it_stopped(written: tuple[Path, list[Record]]) -> None:
    path, whole = written
    for number, record in enumerate(whole, 1):
        assert list(read_records(path, record.ordinal)) == whole[number:]
        assert list(read_records(path, record.ordinal, record.end)) == whole[number:]


def test_rows_are_read_at_once_as_one_by_one(written: tuple[Path, list[Record]]) -> None:
    path, whole = written
    alone = [read_rows(path, record.ordinal - 1, limit=1).json[0] for record in whole]
    assert read_rows(path) == Rows(1, alone, whole[-1].end)
    assert read_rows(path, limit=2) == Rows(1, alone[:2], whole[1].end)
    assert read_rows(path, 1, whole[0].end) == Rows(2, alone[1:], whole[-1].end)
    assert read_rows(path, 3, whole[-1].end) == Rows(4, [], whole[-1].end)


# --- threads, rotation, restarts --------------------------------------------------------------------------------------


def test_threads_lose_nothing_over_rotations(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "events", rotate_bytes=10_000, sync_every=0.001)
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda number: journal.append({"decision_id": f"d{number}"}), range(4000)))
    journal.close()

    files = list_journals(tmp_path, "events")
    rows = []
    for file in files:
        kept = list(read_records(file.path))
        assert [record.ordinal for record in kept] == list(range(1, len(kept) + 1))
        assert kept[-1].end == file.size
        rows += [identify(file, record) for record in kept]
    assert len(files) > 10
    assert sorted((row["event_id"], row["decision_id"]) for row in rows) == sorted(
        zip(ids, (f"d{n}" for n in range(4000)), strict=True)
    )
    assert len(set(ids)) == 4000


def test_each_writer_has_its_own_number_and_generations_grow(tmp_path: Path) -> None:
    first, second = Journal(tmp_path, "events"), Journal(tmp_path, "events")
    assert [first.writer[-2:], second.writer[-2:]] == ["-0", "-1"]
    first.append({"ts": 1})
    (before,) = list_journals(tmp_path, "events")
    assert not before.final
    first.close()
    (after,) = list_journals(tmp_path, "events")
    assert after.final

    after.path.unlink()
    again = Journal(tmp_path, "events", clock=lambda: 0)
    again.append({"ts": 1})
    assert again.writer == first.writer
    assert only_file(tmp_path).generation == before.generation + 1
    again.close()
    second.close()


def test_a_removed_journal_begins_above_the_old_numbers(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "events", clock=lambda: 1000)
    journal.append({"ts": 1})
    journal.close()
    folder = only_file(tmp_path).path.parent
    for path in folder.iterdir():
        path.unlink()
    journal = Journal(tmp_path, "events", clock=lambda: 2000)
    journal.append({"ts": 1})
    journal.close()
    assert only_file(tmp_path).generation == 2001


def test_an_older_file_is_final_as_soon_as_a_newer_one_exists(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "events", rotate_bytes=1)
    for _ in range(3):
        journal.append({"ts": 1})
    assert [file.final for file in list_journals(tmp_path, "events")] == [True, True, False]
    journal.close()


def test_processes_that_start_together_agree_on_the_node(tmp_path: Path) -> None:
    barrier = threading.Barrier(8)

    def start(_: int) -> Journal:
        barrier.wait()
        return Journal(tmp_path, "events")

    with ThreadPoolExecutor(8) as pool:
        journals = list(pool.map(start, range(8)))
    node = (tmp_path / "node").read_text().strip()
    assert {journal.writer for journal in journals} == {f"{node}-{number}" for number in range(8)}
    assert [path.name for path in tmp_path.glob("node*")] == ["node"]
    for journal in journals:
        journal.close()


def test_a_lost_node_id_is_not_replaced(tmp_path: Path, journal: Journal) -> None:
    journal.append({"ts": 1})
    (tmp_path / "node").unlink()
    with pytest.raises(DataError, match="node id is missing"):
        Journal(tmp_path, "events")
    with pytest.raises(DataError, match="node id is missing"):
        list_journals(tmp_path, "events")


def test_a_place_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="PERSONALIZER_DATA"):
        Journal(tmp_path / "file", "events")


def test_a_closed_journal_refuses(journal: Journal) -> None:
    journal.append({"ts": 1})
    journal.close()
    with pytest.raises(JournalRefused):
        journal.append({"ts": 2})


def test_durable_waits_for_the_disk(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "events", sync_every=3600)
    assert journal.append({"ts": 1}), "does not wait"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(journal.append, {"ts": 2}, durable=True)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.1)
        journal.close()  # syncs the group
        assert waiting.result(timeout=10).endswith("-2")

    grouped = Journal(tmp_path, "events", sync_every=0.001)
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda number: grouped.append({"ts": number}, durable=True), range(50)))
    grouped.close()
    assert len(set(ids)) == 50


# --- faults -----------------------------------------------------------------------------------------------------------

FULL_DISK = """
import os, resource, sys
from pathlib import Path
from personalizer.errors import JournalRefused
from personalizer.events.journal import Journal, list_journals

data = Path(sys.argv[1])
journal = Journal(data, "events")
journal.append({"page": "x" * 1000})
for room in (0, 1, 8, 9, 1000):
    size = list_journals(data, "events")[0].size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, resource.RLIM_INFINITY))
    try:
        journal.append({"page": "y" * 2000})
    except JournalRefused as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    journal.append({"page": "z"})
os._exit(0)
"""


@pytest.mark.fault
def test_a_full_disk_refuses_and_the_next_append_works(tmp_path: Path) -> None:
    child = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True)
    refused = child.stdout.splitlines()
    assert "File too large" in refused[0]
    assert ["only" in line for line in refused] == [False, True, True, True, True], "the writes were short"
    file = only_file(tmp_path)
    assert [record.row["page"][0] for record in read_records(file.path)] == ["x", "z", "z", "z", "z", "z"]
    assert [record.end for record in read_records(file.path)][-1] == file.size


@pytest.mark.fault
def test_an_append_interrupted_anywhere_spoils_no_other(tmp_path: Path, journal: Journal) -> None:
    class Interrupted(Exception):
        pass

    armed = False

    def interrupt(*_: object) -> None:
        if armed:
            raise Interrupted

    acknowledged: list[str] = []
    interrupted = 0
    before = signal.signal(signal.SIGALRM, interrupt)
    for number in range(1000):
        acknowledged.append(journal.append({"decision_id": f"between{number}"}))
        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + number % 40))  # once, somewhere in what follows
            acknowledged.append(journal.append({"decision_id": f"d{number}"}))
            armed = False
        except Interrupted:
            armed = False
            interrupted += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)

    kept = rows_of(tmp_path)
    assert interrupted > 50
    assert set(acknowledged) <= {row["event_id"] for row in kept}
    assert len(kept) == len({row["event_id"] for row in kept}) == len({row["decision_id"] for row in kept})


def test_edge_workers_load_no_lake() -> None:
    code = "import sys, personalizer.events.journal; print({'deltalake', 'pyarrow', 'duckdb'} & set(sys.modules))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "set()"
