"""Look-up files that are replaced while a server runs: good ones are taken, bad ones never, and no page fails."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from servers import Client, Server, run_command, run_server, running, until

from personalizer import reload
from personalizer.config import load_settings
from personalizer.errors import DataError
from personalizer.reload import LookupFollower, LookupWatch
from personalizer.visitor.lookups import open_lookup
from personalizer.visitor.read import VisitorReader, open_visitor_reader

PAGE = "/payroll"
ADDRESS = "192.0.2.5"


def city_bytes(path: Path, country: str, kind: str) -> bytes:
    """A City file over one network."""
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type=kind)
    writer.insert_network(IPSet(["192.0.2.0/24"]), {"country": {"iso_code": country}, "city": {"names": {"en": kind}}})
    writer.to_db_file(str(path))
    return path.read_bytes()


def put(path: Path, content: bytes) -> None:
    draft = path.with_name("new")
    draft.write_bytes(content)
    draft.replace(path)


def files_of(server: Server) -> set[str]:
    """The City file of whoever answers, asked often enough to meet both workers."""
    return {Client(server).get("/readyz").json["files"]["GEO_CITY"].partition(" of ")[0] for _ in range(12)}


def country_of(server: Server) -> set[Any]:
    tokens = [Client(server, ADDRESS).get(PAGE).token.rpartition(".")[0] for _ in range(6)]
    shown = server.exposures()
    return {shown[token].get("geo_country") for token in tokens}


class Visitors:
    """Somebody who asks for a page, over and over; `failed` says what was no page."""

    def __init__(self, server: Server) -> None:
        self.failed: list[str] = []
        self.pages = 0
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        client = Client(self._server, ADDRESS)
        while not self._stop.wait(0.01):
            try:
                status = client.get(PAGE).status
            except OSError as error:
                self.failed.append(str(error))
                continue
            self.pages += 1
            if status != 200:
                self.failed.append(str(status))

    def __enter__(self) -> Visitors:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.fault
def test_good_files_are_taken_and_bad_ones_never(tmp_path: Path) -> None:
    city = tmp_path / "city.mmdb"
    first = city_bytes(city, "DE", "First")
    second = city_bytes(tmp_path / "2", "FR", "Second")
    third = city_bytes(tmp_path / "3", "AT", "Third")
    data = tmp_path / "data"
    with run_server(data, WORKERS="2", GEO_CITY=str(city)) as server:
        assert files_of(server) == {"First"}
        assert country_of(server) == {"DE"}
        with Visitors(server) as visitors:
            put(city, second)
            until(lambda: files_of(server) == {"Second"})
            assert country_of(server) == {"FR"}
            for bad in (first[: len(first) // 2], first[:40] + bytes(60) + first[100:]):
                refusals = server.log.read_text().count("the file in use stays")
                put(city, bad)
                until(lambda count=refusals: server.log.read_text().count("the file in use stays") > count)
            assert files_of(server) == {"Second"}
        assert visitors.failed == [] and visitors.pages > 100
        # Workers that start while a damaged file lies there have the good one all the same.
        killed = server.workers()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not running(killed) and len(server.workers()) == 2 and server.answers())
        assert files_of(server) == {"Second"}
        assert country_of(server) == {"FR"}
        city.unlink()
        until(lambda: "city.mmdb is not there any more" in server.log.read_text())
        assert country_of(server) == {"FR"}
        put(city, third)
        until(lambda: files_of(server) == {"Third"})
        assert country_of(server) == {"AT"}
        said = run_command("doctor", "--data", str(data), GEO_CITY=str(city))
        assert "note    PERSONALIZER_GEO_CITY: Third of " in said.stdout
        assert "kept its" not in said.stdout


# --- the parts alone ---


def end_at_once(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def reader(tmp_path: Path) -> VisitorReader:
    city_bytes(tmp_path / "city.mmdb", "DE", "First")
    settings = load_settings({"data": str(tmp_path), "geo_city": str(tmp_path / "city.mmdb")}, environ={})
    return open_visitor_reader(settings)


def tend_until(watch: LookupWatch, condition: Callable[[], bool]) -> None:
    now = 0.0

    def turn() -> bool:
        nonlocal now
        now += 10
        watch.tend(now)
        return condition()

    until(turn)


def test_a_file_whose_reading_ends_the_process_is_refused(
    tmp_path: Path, reader: VisitorReader, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = LookupWatch(tmp_path, reader)
    monkeypatch.setattr(reload, "open_lookup", end_at_once)
    put(tmp_path / "city.mmdb", city_bytes(tmp_path / "2", "FR", "Second"))
    tend_until(watch, lambda: "reading it ends a process (SIGKILL)" in caplog.text)
    assert reader.lookups["GEO_CITY"].file.kind == "First"
    row = reload.read_in_use(tmp_path)["GEO_CITY"]
    assert row["file"].startswith("First of ") and "SIGKILL" in row["refused"]
    said = run_command("doctor", "--data", str(tmp_path)).stdout
    assert "kept its PERSONALIZER_GEO_CITY, First of " in said


def test_a_check_that_cannot_start_or_end_is_no_harm(
    tmp_path: Path, reader: VisitorReader, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = LookupWatch(tmp_path, reader)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fork", no_process)
        put(tmp_path / "city.mmdb", city_bytes(tmp_path / "2", "FR", "Second"))
        tend_until(watch, lambda: "cannot be read through now" in caplog.text)
    tend_until(watch, lambda: reader.lookups["GEO_CITY"].file.kind == "Second")

    monkeypatch.setattr(reload, "_CHECK_SECONDS", 0.2)
    (tmp_path / "city.mmdb").unlink()
    os.mkfifo(tmp_path / "city.mmdb")  # nobody ever writes to it
    tend_until(watch, lambda: "could not be read through in 0.2 seconds" in caplog.text)
    put(tmp_path / "city.mmdb", city_bytes(tmp_path / "3", "AT", "Third"))
    monkeypatch.undo()
    tend_until(watch, lambda: reader.lookups["GEO_CITY"].file.kind == "Third")


def no_process() -> int:
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


def test_a_file_that_still_grows_is_left_alone(tmp_path: Path, reader: VisitorReader) -> None:
    """It is looked at again; only when it is the same at two looks it is read."""
    watch = LookupWatch(tmp_path, reader)
    whole = city_bytes(tmp_path / "2", "FR", "Second")
    for now, size in enumerate(range(len(whole) - 5, len(whole)), start=1):
        put(tmp_path / "city.mmdb", whole[:size])
        watch.tend(10.0 * now)
    put(tmp_path / "city.mmdb", whole)
    tend_until(watch, lambda: reader.lookups["GEO_CITY"].file.kind == "Second")
    assert reload.read_in_use(tmp_path)["GEO_CITY"]["refused"] is None


def test_a_worker_takes_only_what_was_found_good(tmp_path: Path, reader: VisitorReader) -> None:
    city = tmp_path / "city.mmdb"
    LookupWatch(tmp_path, reader)
    worker = open_visitor_reader(load_settings({"data": str(tmp_path), "geo_city": str(city)}, environ={}))
    follower = LookupFollower(tmp_path, worker)
    follower.follow()
    good = city_bytes(tmp_path / "2", "FR", "Second")
    put(city, good)
    watch = LookupWatch(tmp_path, reader)
    tend_until(watch, lambda: reader.lookups["GEO_CITY"].file.kind == "Second")
    put(city, city_bytes(tmp_path / "3", "AT", "Third"))  # nobody has looked at this one
    follower.follow()
    assert worker.lookups["GEO_CITY"].file.kind == "First"
    tend_until(watch, lambda: reader.lookups["GEO_CITY"].file.kind == "Third")
    follower.follow()
    assert worker.lookups["GEO_CITY"].file.kind == "Third"


def test_damage_beyond_the_first_networks_is_found_by_reading_through(tmp_path: Path) -> None:
    """At the start the first 10,000 networks are tried; a new file is read to its end."""
    path = tmp_path / "asn.mmdb"
    writer = MMDBWriter(ip_version=4, database_type="Big")
    for number in range(12_000):
        record = {"autonomous_system_number": 64_500, "autonomous_system_organization": f"Organization {number}"}
        writer.insert_network(IPSet([f"10.{number >> 8}.{number & 255}.0/25"]), record)
    writer.to_db_file(str(path))
    open_lookup("GEO_ASN", path).file.read_through()
    whole = path.read_bytes()
    at = whole.index(b"Organization 11999") - 1
    path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
    opened = open_lookup("GEO_ASN", path)
    with pytest.raises(DataError, match="asn.mmdb is damaged"):
        opened.file.read_through()
