"""The company table: one file that knows companies by network and by domain, read through a memory map.

What enters: a file that `personalizer companies build` wrote. What leaves: records, by address or by domain.
Must not: raise at a look-up, or open a file that is not whole.

The file, all numbers little-endian: a header; records, one line of JSON each; then four columns. Two have for each
domain its hash, ascending, and where its record begins. Two have for each change of owner, in the order of addresses,
where the owner's record begins, 0 for nobody, and the first address (16 bytes, IPv4 as ::ffff:0:0/96). Between two
changes all have one owner, so an address is found by bisection, whatever networks lie within others.
"""

from __future__ import annotations

import mmap
import socket
import struct
import zlib
from bisect import bisect_right
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import orjson

from personalizer.errors import DataError

MAGIC = b"pz-company-table-01\n"
HEADER = struct.Struct("<20sIQQQQ")  # magic, checksum of what follows it, time, end of the records, domains, changes
ADDRESS_BYTES = 16

_MAPPED = bytes(10) + b"\xff\xff"
_CHECKED_FROM = len(MAGIC) + 4
_CHECKED_AT_ONCE = 1 << 20


class CompanyTable:
    """An open table. Threads and forked processes may share it; replace the file by renaming a new one over it."""

    kind = "company table"

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        _, _, self.built, end, domains, changes = HEADER.unpack_from(data)
        self.path = path
        self.domains = domains
        self._data = data
        view = memoryview(data)
        columns = (end, end + 8 * domains, end + 16 * domains, end + 16 * domains + 8 * changes)
        self._hashes, self._domain_records, self._change_records = (
            view[start:stop].cast("Q") for start, stop in zip(columns, columns[1:], strict=False)
        )
        self._addresses = columns[-1]
        self._changes = range(changes)

    def get(self, address: str) -> Mapping[str, Any] | None:
        """The record of the company that owns an address; None when nobody is known to."""
        packed = pack_address(address)
        if packed is None:
            return None
        change = bisect_right(self._changes, packed, key=self._first_address) - 1
        return self._record(self._change_records[change]) if change >= 0 else None

    def find_domain(self, domain: str) -> Mapping[str, Any] | None:
        """The record of the company that a domain (as `parse_domain` writes it) belongs to; None when none is known."""
        wanted = hash_domain(domain)
        place = bisect_right(self._hashes, wanted) - 1
        if place < 0 or self._hashes[place] != wanted:
            return None
        record = self._record(self._domain_records[place])
        known = record is not None and (domain == record["domain"] or domain in record.get("domains", ()))
        return record if known else None

    def read_through(self) -> None:
        """Nothing is left to be found wrong: a table opens only when its checksum is right."""

    def _first_address(self, change: int) -> bytes:
        start = self._addresses + ADDRESS_BYTES * change
        return self._data[start : start + ADDRESS_BYTES]

    def _record(self, start: int) -> dict[str, Any] | None:
        if not start:
            return None
        record: dict[str, Any] = orjson.loads(self._data[start : self._data.find(b"\n", start)])
        return record


def is_company_table(path: Path) -> bool:
    """Whether a file says at its beginning that it is a company table."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def open_company_table(where: str, path: Path) -> CompanyTable:
    """Open a table and see that it is whole; `where` names it in the message. Raises DataError."""
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            _, checksum, _, end, domains, changes = HEADER.unpack_from(data)
            whole = len(data) == end + 16 * domains + (8 + ADDRESS_BYTES) * changes and read_checksum(file) == checksum
    except (OSError, ValueError, struct.error) as error:
        raise DataError(f"{where} cannot be read ({error}). {_REMEDY}") from error
    if not whole:
        raise DataError(f"{where} is damaged: its size or checksum is wrong. {_REMEDY}")
    return CompanyTable(path, data)


_REMEDY = "Build it again with `personalizer companies build`, or leave the setting out."


def pack_address(address: str) -> bytes | None:
    """The 16 bytes by which the table sorts an address; None when it is none."""
    try:
        if ":" in address:
            return socket.inet_pton(socket.AF_INET6, address)
        return _MAPPED + socket.inet_pton(socket.AF_INET, address)
    except OSError:
        return None


def hash_domain(domain: str) -> int:
    """63 bits, by which the table sorts domains."""
    return int.from_bytes(blake2b(domain.encode(), digest_size=8).digest(), "big") >> 1


def read_checksum(file: IO[bytes]) -> int:
    """The checksum of a table: of all that follows the one which its header holds."""
    checksum = 0
    file.seek(_CHECKED_FROM)
    while part := file.read(_CHECKED_AT_ONCE):
        checksum = zlib.crc32(part, checksum)
    return checksum
