"""Compiles a CSV file of companies into a company table.

What enters: a CSV file. What leaves: a table file, whole, or the mistakes and no file. Must not: hold all rows in
memory, or leave a part of a table behind.

Rows go through a database in a temporary file: it brings the rows of a company together and sorts networks and domains
in bounded memory. What is held here are a few numbers a company and network.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from ipaddress import IPv6Address
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

import orjson

from personalizer.config import Network
from personalizer.errors import DataError, Problem
from personalizer.visitor.company_csv import CompanyRow, Report, read_rows
from personalizer.visitor.company_table import ADDRESS_BYTES, HEADER, MAGIC, hash_domain, pack_address, read_checksum

_TABLES = """
pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -32768; pragma locking_mode = exclusive;
create table companies (id integer primary key, line integer, record blob);
create table domains (domain text primary key, hash integer, company integer) without rowid;
create table networks (start blob, prefix integer, line integer, company integer);
"""
_LAST = (1 << 128) - 1


@dataclass(frozen=True, slots=True)
class Built:
    """What a build made: the file, or None when there were mistakes; and how much of everything."""

    path: Path | None
    companies: int
    networks: int
    domains: int
    mistakes: int


def build_company_table(source: Path, target: Path, report: Report, advance: Callable[[int], None]) -> Built:
    """Compile `source` into `target`, which is replaced at once by a whole file, or not at all.

    `report` is told every mistake; one of them is enough for no file. `advance` hears how many bytes were read.
    Raises DataError when the file as a whole cannot be read or written.
    """
    try:
        with (
            tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.absolute().parent) as folder,
            closing(sqlite3.connect(Path(folder, "rows.db"), isolation_level=None)) as database,
        ):
            return _build(database, source, target, Path(folder, "table"), report, advance)
    except (OSError, sqlite3.OperationalError) as error:
        place = target.absolute().parent
        why = error if place.is_dir() else f"there is no folder {place}"
        raise DataError(f"{target} cannot be written ({why}). Name another place with --out.") from error


def _build(
    database: sqlite3.Connection,
    source: Path,
    target: Path,
    draft: Path,
    report: Report,
    advance: Callable[[int], None],
) -> Built:
    mistakes = 0

    def count(problem: Problem) -> None:
        nonlocal mistakes
        mistakes += 1
        report(problem)

    rows = _Rows(database, source, count)
    for row in read_rows(source, count, advance):
        rows.add(row)
    _check_networks(database, source, count)
    companies, networks, domains = (
        int(database.execute(f"select count(*) from {table}").fetchone()[0])  # noqa: S608 - our own names
        for table in ("companies", "networks", "domains")
    )
    if not companies and not mistakes:
        raise DataError(f"{source} has no rows. Write one company a line under the header.")
    if mistakes:
        return Built(None, companies, networks, domains, mistakes)
    with draft.open("wb+") as file:
        _write_table(database, file)
    draft.replace(target)
    return Built(target, companies, networks, domains, 0)


class _Rows:
    """The rows so far, in the database: those with the same first domain are one company."""

    def __init__(self, database: sqlite3.Connection, source: Path, report: Report) -> None:
        self._database = database
        self._source = source
        self._report = report
        database.executescript(_TABLES)
        database.execute("begin")

    def add(self, row: CompanyRow) -> None:
        company = self._owner(row.domains[0])
        if company is None:
            company = self._insert(row)
        elif not self._merge(company, row):
            return
        for domain in row.domains:
            self._claim(domain, company, row.line)
        for network in row.networks:
            start, prefix = _place(network)
            self._database.execute("insert into networks values (?, ?, ?, ?)", (start, prefix, row.line, company))

    def _owner(self, domain: str) -> int | None:
        found = self._database.execute("select company from domains where domain = ?", (domain,)).fetchone()
        return found[0] if found else None

    def _insert(self, row: CompanyRow) -> int:
        domain, *others = row.domains
        record = {"domain": domain, **row.fields, **({"domains": others} if others else {})}
        values = (row.line, orjson.dumps(record))
        done = self._database.execute("insert into companies (line, record) values (?, ?)", values)
        assert done.lastrowid is not None
        return done.lastrowid

    def _merge(self, company: int, row: CompanyRow) -> bool:
        """Add what a further row of a company says; whether it contradicts nothing said before."""
        line, record = self._record(company)
        different = [name for name, value in row.fields.items() if record.get(name, value) != value]
        for name in different:
            message = f"is not what line {line} says of {record['domain']}."
            self._say(row.line, name, message, "Write the same, or leave the cell empty.")
        others = [domain for domain in row.domains if domain != record["domain"]]
        merged = record | row.fields
        if others:
            merged["domains"] = list(dict.fromkeys((*record.get("domains", ()), *others)))
        if not different and merged != record:
            values = (orjson.dumps(merged), company)
            self._database.execute("update companies set record = ? where id = ?", values)
        return not different

    def _record(self, company: int) -> tuple[int, dict[str, Any]]:
        line, record = self._database.execute("select line, record from companies where id = ?", (company,)).fetchone()
        return line, orjson.loads(record)

    def _claim(self, domain: str, company: int, line: int) -> None:
        values = (domain, hash_domain(domain), company)
        self._database.execute("insert or ignore into domains values (?, ?, ?)", values)
        owner = self._owner(domain)
        if owner is not None and owner != company:
            other = self._record(owner)[1]["domain"]
            self._say(line, "domain", f"{domain} is already a domain of {other}.", "Keep it in one of the two rows.")

    def _say(self, line: int, column: str, message: str, remedy: str) -> None:
        self._report(Problem(self._source, line, column, message, remedy))


def _check_networks(database: sqlite3.Connection, source: Path, report: Report) -> None:
    """Report networks that two companies have, to the last bit; one within another is right."""
    for (start, prefix), same in groupby(_sorted_networks(database), key=itemgetter(0, 1)):
        (_, _, first, company), *others = same
        for _, _, line, other in others:
            if other != company:
                message = f"{_show(start, prefix)} also belongs to the company of line {first}."
                report(Problem(source, line, "network", message, "Keep it in one of the two rows."))


def _place(network: Network) -> tuple[bytes, int]:
    """First address and length of prefix, as if all networks were IPv6."""
    start = pack_address(str(network.network_address))
    assert start is not None
    return start, network.prefixlen + (96 if network.version == 4 else 0)


def _show(start: bytes, prefix: int) -> str:
    address = IPv6Address(start)
    return f"{address.ipv4_mapped}/{prefix - 96}" if address.ipv4_mapped and prefix >= 96 else f"{address}/{prefix}"


def _sorted_networks(database: sqlite3.Connection) -> Iterator[tuple[bytes, int, int, int]]:
    """`(start, prefix, line, company)`, wider networks before those within them."""
    return iter(database.execute("select start, prefix, line, company from networks order by start, prefix, line"))


# --- the file ---


def _write_table(database: sqlite3.Connection, file: IO[bytes]) -> None:
    file.write(bytes(HEADER.size))
    places = _write_records(database, file)
    end = file.tell()
    hashes, owners, changes = array("Q"), array("Q"), array("Q")
    for hash_, company in database.execute("select hash, company from domains order by hash"):
        hashes.append(hash_)
        owners.append(places[company])
    with tempfile.TemporaryFile() as addresses:
        for address, company in find_changes(_sorted_networks(database)):
            addresses.write(address.to_bytes(ADDRESS_BYTES, "big"))
            changes.append(places[company])
        for column in (hashes, owners, changes):
            column.tofile(file)
        addresses.seek(0)
        shutil.copyfileobj(addresses, file)
    _seal(file, int(time.time()), end, len(hashes), len(changes))


def _write_records(database: sqlite3.Connection, file: IO[bytes]) -> array[int]:
    """Where the record of each company begins, by its number; 0, where no record is, is nobody's."""
    places = array("Q", [0])
    for company, record in database.execute("select id, record from companies order by id"):
        assert company == len(places)
        places.append(file.tell())
        file.write(record + b"\n")
    return places


def _seal(file: IO[bytes], *numbers: int) -> None:
    """Write the header, with the checksum of the file, and have all of it on the disk."""
    file.seek(0)
    file.write(HEADER.pack(MAGIC, 0, *numbers))
    checksum = read_checksum(file)
    file.seek(0)
    file.write(HEADER.pack(MAGIC, checksum, *numbers))
    file.flush()
    os.fsync(file.fileno())


def find_changes(networks: Iterable[tuple[bytes, int, int, int]]) -> Iterator[tuple[int, int]]:
    """`(first address, company)` of each stretch of addresses with one owner, 0 for nobody.

    Of networks within each other the narrowest one counts. They come as `_sorted_networks` gives them.
    """
    owner = 0
    for address, owners in groupby(_owners(networks), key=itemgetter(0)):
        *_, (_, company) = owners  # of what begins or ends at one address, the last is said by the narrowest
        if company != owner:
            owner = company
            yield address, company


def _owners(networks: Iterable[tuple[bytes, int, int, int]]) -> Iterator[tuple[int, int]]:
    around: list[tuple[int, int]] = []  # the networks that the walk is in, as (last address, company)
    for start, prefix, _, company in networks:
        first = int.from_bytes(start, "big")
        yield from _leave(around, first)
        yield first, company
        around.append((first | (_LAST >> prefix), company))
    yield from _leave(around, _LAST)


def _leave(around: list[tuple[int, int]], before: int) -> Iterator[tuple[int, int]]:
    """End the networks whose last address lies before another."""
    while around and around[-1][0] < before:
        last, _ = around.pop()
        yield last + 1, around[-1][1] if around else 0
