"""From journal to lake on real files and processes: exactly once through kills, rivals, damage and bad rows."""

from __future__ import annotations

import datetime as dt
import fcntl
import logging
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from personalizer.errors import DataError
from personalizer.events import collector as collecting
from personalizer.events import lake as laking
from personalizer.events.arrow import DOES_NOT_FIT, LAST_TIME, SCHEMAS, RowReader
from personalizer.events.collector import Collector, collect_once, run_collector, wait_for_lake
from personalizer.events.columns import COLUMNS
from personalizer.events.journal import Journal, list_journals
from personalizer.events.lake import lake_files
from personalizer.model import Range

NOON = 1_795_262_400_000_000  # 2026-11-21 12:00 UTC
DAY = 86_400_000_000


@pytest.fixture(autouse=True)
def _upkeep_ends_with_its_test() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("upkeep of "):
            thread.join()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "a lake"


@pytest.fixture
def journal(data: Path) -> Iterator[Journal]:
    journal = Journal(data, "events")
    yield journal
    journal.close()


def event(number: int, **more: Any) -> dict[str, Any]:
    return {"kind": "exposure", "ts": NOON + number, "decision_id": f"d{number}", "page": "payroll", **more}


def select(lake: Path, columns: str, table: str = "events") -> list[tuple[Any, ...]]:
    files = lake_files(lake, table)
    if not files:
        return []
    with duckdb.connect() as connection:
        source = f"read_parquet({files!r}, hive_partitioning = true, union_by_name = true)"
        return connection.execute(f"select {columns} from {source} order by writer, generation, ordinal").fetchall()


def decisions(lake: Path) -> list[str]:
    return [decision for (decision,) in select(lake, "decision_id")]


# --- rows -------------------------------------------------------------------------------------------------------------


def test_every_type_arrives_as_it_was_written(data: Path, lake: Path, journal: Journal) -> None:
    event_id = journal.append(
        event(
            0,
            client_ts=NOON - 5,
            value=2**60,
            fit=0.75,
            sticky=False,
            reasons=("MATCHED", "ROW"),
            failed=[],
            facts={
                "utm.campaign": "Ünï\x00\U0001f600\n",
                "company.employees": Range(51, 1000),
                "company.revenue": Range(5_000_000, 5_000_000),
                "person.years": Range(10, float("inf")),
            },
        )
    )
    assert collect_once(data, lake) == (1, 0, False)
    columns = (
        "event_id, kind, epoch_us(ts), epoch_us(client_ts), value, fit, sticky, reasons, failed, utm_campaign, "
        "company_employees, company_revenue, person_years, goal, day, writer, generation, ordinal"
    )
    (row,) = select(lake, columns)
    assert row[:15] == (
        event_id,
        "exposure",
        NOON,
        NOON - 5,
        2**60,
        0.75,
        False,
        ["MATCHED", "ROW"],
        [],
        "Ünï\x00\U0001f600\n",
        {"low": 51.0, "high": 1000.0},
        {"low": 5e6, "high": 5e6},
        {"low": 10.0, "high": None},
        None,
        dt.date(2026, 11, 21),
    )
    assert f"{row[15]}-{row[16]}-{row[17]}" == event_id


def test_the_lake_has_the_column_table_by_day(data: Path, lake: Path, journal: Journal) -> None:
    for number in (0, 1, -1):
        journal.append(event(number * DAY))
    collect_once(data, lake)
    table = DeltaTable(lake / "events")
    assert [field.name for field in table.schema().fields] == [column.name for column in COLUMNS]
    assert [str(getattr(field.type, "type", "")) for field in table.schema().fields][:2] == ["date", "string"]
    assert sorted(partition["day"] for partition in table.partitions()) == ["2026-11-20", "2026-11-21", "2026-11-22"]
    assert len(lake_files(lake, "events")) == 3
    assert lake_files(lake, "leads") == []


BAD_VALUES: list[dict[str, Any]] = [
    {"unheard_of": 1},
    {"page": 5},
    {"value": 1.5},
    {"value": 2**63},
    {"value": "12"},
    {"sticky": 1},
    {"fit": True},
    {"reasons": "MATCHED"},
    {"reasons": [1]},
    {"facts": {"company.employees": "51-1000"}},
    {"facts": {"company.employees": [51, 1000]}},
    {"facts": {"visit.pages": {"a": 1}}},
    {"facts": {"visit.unheard_of": 1}},
    {"utm_source": "a column, not a fact"},
    {"client_ts": "yesterday"},
    {"client_ts": LAST_TIME + 1},
    {"client_ts": -1},
    {"ts": None},
    {"ts": 0.5},
    {"day": 20778},
    {"ordinal": 77},
    {"writer": "me"},
]


def test_a_row_that_does_not_fit_is_kept_as_refused(
    data: Path, lake: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    sent = []
    for number, bad in enumerate(BAD_VALUES):
        sent.append(journal.append(event(2 * number)))
        sent.append(journal.append(event(2 * number + 1) | bad))
    before = time.time_ns() // 1000

    assert collect_once(data, lake) == (len(sent), len(BAD_VALUES), False)
    rows = select(lake, "event_id, kind, refused_reason, decision_id, epoch_us(ts)")
    assert [row[0] for row in rows] == sent
    good = [(event_id, "exposure", None, f"d{2 * number}") for number, event_id in enumerate(sent[::2])]
    assert [row[:4] for row in rows[::2]] == good
    assert {row[1:4] for row in rows[1::2]} == {("refused", DOES_NOT_FIT, None)}
    for number, ((*_, ts), bad) in enumerate(zip(rows[1::2], BAD_VALUES, strict=True)):
        assert ts >= before if "ts" in bad else ts == NOON + 2 * number + 1
    assert "there is no column unheard_of" in caplog.text


def test_a_column_that_earlier_rows_did_not_have_is_read() -> None:
    """The reader asks for what rows had until now; every other row must still arrive, or be refused."""
    reader = RowReader(COLUMNS)
    plain, goal = b'{"ts":1,"page":"payroll"}', b'{"ts":2,"goal":"demo"}'
    fact, other = b'{"ts":3,"facts":{"geo.city":"Leeds"}}', b'{"ts":4,"facts":{"geo.city":null,"visit.pages":["a"]}}'

    def read(*rows: bytes) -> dict[str, list[Any]]:
        columns = {name: values.to_pylist() for name, values in reader.read(rows).items()}
        return {name: values for name, values in columns.items() if values != [None] * len(rows)}

    for _ in range(2):
        assert read(plain) == {"ts": [1], "page": ["payroll"]}
        assert read(goal, plain) == {"ts": [2, 1], "page": [None, "payroll"], "goal": ["demo", None]}
        assert read(fact) == {"ts": [3], "geo_city": ["Leeds"]}
        assert read(other, fact) == {"ts": [4, 3], "geo_city": [None, "Leeds"], "visit_pages": [["a"], None]}
        for bad in (b'{"ts":1,"page":5}', b'{"ts":1,"unheard_of":1}', b'{"ts":1,"facts":{"geo.city":5}}'):
            with pytest.raises(pa.ArrowInvalid):
                reader.read([plain, bad])
    assert set(reader.read([plain])) == {"ts", "page", "goal", "geo_city", "visit_pages"}


def test_a_lead_that_does_not_fit_keeps_what_was_typed(data: Path, lake: Path) -> None:
    leads = Journal(data, "leads")
    leads.append({"ts": NOON, "lead_id": "l1", "page": "payroll", "fields": '{"email":"a@example.com"}'})
    leads.append({"ts": NOON, "lead_id": "l2", "fields": {"email": "b@example.com"}})
    leads.close()
    assert collect_once(data, lake) == (2, 1, False)
    first, second = select(lake, "lead_id, fields", "leads")
    assert first == ("l1", '{"email":"a@example.com"}')
    assert second[0] == "l2"
    assert "b@example.com" in second[1]


def test_the_log_of_the_leads_table_repeats_nothing_that_was_typed(data: Path, lake: Path) -> None:
    """Delta keeps the smallest and largest values of each file in its log, where an erasure would not reach them."""
    journal = Journal(data, "leads")
    journal.append({"ts": NOON, "lead_id": "l1", "fields": '{"email":"a@example.com"}'})
    journal.close()
    collect_once(data, lake)
    assert select(lake, "fields", "leads") == [('{"email":"a@example.com"}',)]
    assert not any(b"a@example.com" in path.read_bytes() for path in (lake / "leads" / "_delta_log").iterdir())


def test_a_lake_of_an_older_version_gets_the_new_columns(data: Path, lake: Path, journal: Journal) -> None:
    older = SCHEMAS["events"].remove(SCHEMAS["events"].get_field_index("utm_source"))
    DeltaTable.create(lake / "events", older, partition_by=["day"])
    journal.append(event(1, facts={"utm.source": "linkedin"}))
    collect_once(data, lake)
    assert select(lake, "utm_source") == [("linkedin",)]


# --- once -------------------------------------------------------------------------------------------------------------


def test_collecting_again_adds_nothing(data: Path, lake: Path, journal: Journal) -> None:
    collector = Collector(data, lake)
    for number in range(10):
        journal.append(event(number))
        assert collector.collect().rows == 1
        assert collector.collect().rows == 0
        assert collect_once(data, lake).rows == 0, "one that remembers nothing relies on the marks"
    assert decisions(lake) == [f"d{number}" for number in range(10)]


def test_batches_are_bounded_and_shared_among_writers(
    data: Path, lake: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "BATCH_ROWS", 10)
    second = Journal(data, "events")
    for number in range(32):
        journal.append(event(number))
    second.append(event(99))
    collector = Collector(data, lake)
    assert collector.collect() == (6, 0, True)
    assert "d99" in decisions(lake), "a busy writer holds nobody up"
    assert [collector.collect() for _ in range(4)] == [(10, 0, True), (10, 0, True), (7, 0, False), (0, 0, False)]
    assert sorted(decisions(lake)) == sorted(f"d{number}" for number in [*range(32), 99])
    second.close()


def test_files_go_when_they_are_in_the_lake_and_never_before(data: Path, lake: Path) -> None:
    journal = Journal(data, "events", rotate_bytes=120)
    for number in range(6):
        journal.append(event(number))
    files = list_journals(data, "events")
    assert len(files) > 2
    collect_once(data, lake)
    assert list_journals(data, "events") == files[-1:], "the live one stays"

    journal.append(event(6))
    journal.close()
    collect_once(data, lake)
    assert list_journals(data, "events") == []
    assert decisions(lake) == [f"d{number}" for number in range(7)]

    again = Journal(data, "events")
    again.append(event(7))
    assert list_journals(data, "events")[0].generation > files[-1].generation
    collect_once(data, lake)
    assert len(decisions(lake)) == 8
    again.close()


def test_a_torn_file_gives_its_whole_rows_and_is_kept(data: Path, lake: Path, journal: Journal) -> None:
    for number in range(3):
        journal.append(event(number))
    (live,) = list_journals(data, "events")
    collector = Collector(data, lake)
    with live.path.open("r+b") as file:
        file.truncate(live.size - 1)
    assert collector.collect().rows == 2
    assert live.path.exists(), "its writer may be in the middle of a row"
    journal.close()
    assert collector.collect().rows == 0
    assert [path.suffix for path in live.path.parent.glob(f"{live.generation}.*")] == [".torn"]
    assert collect_once(data, lake).rows == 0
    assert decisions(lake) == ["d0", "d1"]


def test_a_lake_that_was_replaced_is_filled_from_the_journals(data: Path, lake: Path, journal: Journal) -> None:
    collector = Collector(data, lake)
    journal.append(event(0))
    collector.collect()
    collector.finish()
    shutil.rmtree(lake)
    journal.append(event(1))
    with pytest.raises(DataError, match="read again"):
        collector.collect()
    collector.collect()
    assert decisions(lake) == ["d0", "d1"]


def test_rival_collectors_count_every_row_once(data: Path, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "BATCH_ROWS", 50)
    monkeypatch.setattr(laking, "COMPACT_AFTER", 2)
    journals = [Journal(data, "events", rotate_bytes=20_000) for _ in range(2)]
    rivals = [Collector(data, lake) for _ in range(3)]
    ready = threading.Barrier(5)

    def write(number: int) -> None:
        ready.wait()
        for place in range(300):
            journals[number].append(event(number * 1000 + place))
        journals[number].close()

    def collect(rival: Collector) -> None:
        ready.wait()
        while not all(writer.done() for writer in writing) or list_journals(data, "events"):
            rival.collect()

    with ThreadPoolExecutor(5) as pool:
        writing = [pool.submit(write, number) for number in range(2)]
        collected = [pool.submit(collect, rival) for rival in rivals]
        for done in (*writing, *collected):
            done.result()
    assert sorted(decisions(lake)) == sorted(f"d{1000 * number + place}" for number in range(2) for place in range(300))


# --- upkeep -----------------------------------------------------------------------------------------------------------


def test_small_files_are_compacted_and_leftovers_vacuumed(
    data: Path, lake: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(laking, "COMPACT_AFTER", 10)
    collector = Collector(data, lake)
    journal.append(event(0))
    collector.collect()
    collector.finish()
    (first,) = lake_files(lake, "events")
    orphan = Path(first).with_name("part-of-a-killed-collector.parquet")
    orphan.write_bytes(b"x")
    os.utime(orphan, (time.time() - 7200,) * 2)
    for number in range(1, 11):
        journal.append(event(number))
        collector.collect()
    collector.finish()
    assert len(lake_files(lake, "events")) == 1
    assert Path(first).exists(), "whoever began to read before the compaction can go on"

    assert orphan.exists(), "vacuumed once an hour"
    journal.append(event(11))
    monkeypatch.setattr(laking, "VACUUM_EVERY", 0.0)
    collector.collect()
    collector.finish()
    assert not orphan.exists()
    assert decisions(lake) == [f"d{number}" for number in range(12)]


def test_one_collector_compacts_at_a_time(
    data: Path, lake: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(laking, "COMPACT_AFTER", 1)
    collector = Collector(data, lake)
    journal.append(event(0))
    collector.collect()
    with (lake / "events" / "_compacting").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for number in (1, 2):
            journal.append(event(number))
            collector.collect()
            collector.finish()
        assert len(lake_files(lake, "events")) == 3
    journal.append(event(3))
    collector.collect()
    collector.finish()
    assert len(lake_files(lake, "events")) == 1
    assert len(decisions(lake)) == 4


def test_files_of_many_rows_wait_for_more_of_them(
    data: Path, lake: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(laking, "COMPACT_AFTER", 1)
    monkeypatch.setattr(laking, "COMPACT_LARGE_AFTER", 3)
    monkeypatch.setattr(laking, "LARGE_ROWS", 2)
    collector = Collector(data, lake)
    journal.append(event(0))
    files = []
    for number in range(4):
        collector.collect()
        collector.finish()
        files.append(len(lake_files(lake, "events")))
        journal.append(event(1 + 2 * number))
        journal.append(event(2 + 2 * number))
    assert files == [1, 2, 3, 1]
    assert len(decisions(lake)) == 7


def test_upkeep_that_fails_is_said_and_holds_up_nothing(
    data: Path, lake: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(laking, "COMPACT_AFTER", 1)
    (lake / "events" / "_compacting").mkdir(parents=True)
    collector = Collector(data, lake)
    for number in range(2):
        journal.append(event(number))
        assert collector.collect().rows == 1
        collector.finish()
    assert "could not be compacted or vacuumed, which is tried again later" in caplog.text
    (lake / "events" / "_compacting").rmdir()
    journal.append(event(2))
    collector.collect()
    collector.finish()
    assert len(lake_files(lake, "events")) == 1
    assert len(decisions(lake)) == 3


def test_commits_go_on_while_files_are_compacted(
    data: Path, lake: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(laking, "COMPACT_AFTER", 3)
    begun, go_on, compact = threading.Event(), threading.Event(), laking.open_table

    def open_slowly(path: Path) -> DeltaTable | None:
        table = compact(path)
        if threading.current_thread().name == "upkeep of events":
            begun.set()
            assert go_on.wait(30)  # its handle grows old meanwhile
        return table

    collector = Collector(data, lake)
    journal.append(event(0))
    collector.collect()
    collector.finish()
    monkeypatch.setattr(laking, "open_table", open_slowly)
    for number in range(1, 10):
        journal.append(event(number))
        assert collector.collect().rows == 1
        if number == 3:
            assert begun.wait(30)
    assert len(lake_files(lake, "events")) == 10
    go_on.set()
    collector.finish()
    assert len(lake_files(lake, "events")) == 7, "four became one"
    assert decisions(lake) == [f"d{number}" for number in range(10)]
    assert collect_once(data, lake).rows == 0


def test_upkeep_makes_no_lake(data: Path, lake: Path, journal: Journal) -> None:
    table = laking.LakeTable(lake, "events")
    (lake / "events").mkdir(parents=True)
    table.tend()
    table.finish()
    assert [path.name for path in (lake / "events").iterdir()] == ["_compacting"]


def test_marks_outlive_checkpoints_and_the_logs_clean_up(
    data: Path, lake: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(laking._CONFIGURATION, "delta.checkpointInterval", "8")
    collector = Collector(data, lake)
    other = Journal(data, "events")
    other.append(event(1000))
    log = lake / "events" / "_delta_log"
    for number in range(20):
        journal.append(event(number))
        collector.collect()
        if number == 10:
            for path in log.iterdir():
                os.utime(path, (time.time() - 7200,) * 2)
    assert not (log / "00000000000000000001.json").exists()
    assert collect_once(data, lake).rows == 0
    assert len(decisions(lake)) == 21
    other.close()


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_waiting_ends_when_everything_is_in(data: Path, lake: Path, journal: Journal) -> None:
    assert wait_for_lake(data, lake, 0) is None, "nothing was ever recorded"
    leads = Journal(data, "leads")
    journal.append(event(0))
    leads.append({"ts": NOON, "lead_id": "l1"})
    with pytest.raises(DataError, match=r"2 rows .*`personalizer collect`"):
        wait_for_lake(data, lake, 0)

    collect_once(data, lake)
    before = dt.datetime.now(dt.UTC)
    as_of = wait_for_lake(data, lake, 0)
    assert as_of is not None
    assert before <= as_of <= dt.datetime.now(dt.UTC)

    leads.close()
    journal.close()
    collect_once(data, lake)
    assert list_journals(data, "events") == []
    assert wait_for_lake(data, lake, 0) is not None, "the journals are gone, their rows are in"


@pytest.fixture
def running(data: Path, lake: Path) -> Iterator[Callable[[], None]]:
    """Starts a collector; afterwards it is stopped."""
    stop = threading.Event()
    thread = threading.Thread(target=run_collector, args=(data, lake, stop, 0.02))
    yield thread.start
    stop.set()
    if thread.ident:
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_a_running_collector_ends_the_wait(
    data: Path, lake: Path, journal: Journal, running: Callable[[], None]
) -> None:
    running()
    for number in range(5):
        journal.append(event(number))
        assert wait_for_lake(data, lake, 30) is not None
        assert len(decisions(lake)) == number + 1


def test_the_collector_survives_a_lake_that_cannot_be_used(
    data: Path, lake: Path, journal: Journal, running: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    failed, resumed = threading.Event(), threading.Event()

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            (failed if record.levelno >= logging.ERROR else resumed).set()

    watch = Watch(logging.WARNING)
    collecting.log.addHandler(watch)
    lake.write_text("something else is in the way")
    journal.append(event(0))
    running()
    assert failed.wait(30)
    lake.unlink()
    assert resumed.wait(30)
    journal.append(event(1))
    assert wait_for_lake(data, lake, 30) is not None
    assert decisions(lake) == ["d0", "d1"]
    collecting.log.removeHandler(watch)


def test_stopping_collects_once_more(data: Path, lake: Path, journal: Journal) -> None:
    journal.append(event(0))
    stop = threading.Event()
    stop.set()
    run_collector(data, lake, stop)
    assert decisions(lake) == ["d0"]


# --- kill -9 ----------------------------------------------------------------------------------------------------------

WRITER = """
import os, sys, threading
from pathlib import Path
from personalizer.events.journal import Journal

journal = Journal(Path(sys.argv[1]), "events", rotate_bytes=100_000)

def write(thread):
    number = 0
    while True:
        name = f"{os.getpid()}-{thread}-{number}"
        os.write(1, f"sent {name}\\n".encode())
        journal.append({"kind": "exposure", "ts": 1795262400000000, "decision_id": name, "page": "x" * 3000})
        os.write(1, f"acknowledged {name}\\n".encode())
        number += 1

for thread in range(3):
    threading.Thread(target=write, args=(thread,)).start()
"""

COLLECTOR = """
import sys, threading
from pathlib import Path
from personalizer.events import collector, lake

collector.BATCH_ROWS = 200
lake.COMPACT_AFTER = 10
print("ready", flush=True)
collector.run_collector(Path(sys.argv[1]), Path(sys.argv[2]), threading.Event(), 0.01)
"""


def start(code: str, *arguments: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def kill_after(child: subprocess.Popen[str], lines: int) -> list[str]:
    """What it printed, killed after so many lines."""
    assert child.stdout is not None
    printed = [child.stdout.readline() for _ in range(lines)]
    child.kill()
    printed += child.stdout.readlines()
    child.wait()
    child.stdout.close()
    return [line.rstrip("\n") for line in printed if line.endswith("\n")]


@pytest.mark.fault
def test_a_killed_writer_loses_nothing_that_was_acknowledged(data: Path, lake: Path) -> None:
    dice = random.Random(7)
    sent: set[str] = set()
    acknowledged: set[str] = set()
    collector = Collector(data, lake)
    for _ in range(15):
        for line in kill_after(start(WRITER, data), dice.randint(1, 400)):
            word, name = line.split()
            (sent if word == "sent" else acknowledged).add(name)
        collector.collect()
    while collector.collect().more:
        pass
    ledger = Counter(decisions(lake))
    assert len(acknowledged) > 500
    assert acknowledged <= ledger.keys() <= sent
    assert set(ledger.values()) == {1}
    assert list_journals(data, "events") == []


@pytest.mark.fault
def test_killed_collectors_count_every_row_once(data: Path, lake: Path) -> None:
    dice = random.Random(11)
    journals = [Journal(data, "events", rotate_bytes=20_000) for _ in range(2)]
    number = 0

    def write(rows: int) -> None:
        nonlocal number
        for _ in range(rows):
            journals[number % 2].append(event(number))
            number += 1

    children = [start(COLLECTOR, data, lake) for _ in range(2)]
    for turn in range(6):
        write(400)
        child = children[turn % 2]
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=dice.uniform(0.01, 0.5))  # somewhere in the middle
        kill_after(child, 0)
        children[turn % 2] = start(COLLECTOR, data, lake)
    wait_for_lake(data, lake, 60)
    for child in children:
        kill_after(child, 0)
    for journal in journals:
        journal.close()
    collect_once(data, lake)
    assert sorted(decisions(lake)) == sorted(f"d{n}" for n in range(number))
    assert list_journals(data, "events") == []
