"""A MaxMind-format file, opened, checked and asked.

What enters: the path of a setting and which keys its records should have. What leaves: an `Mmdb`.
Must not: raise at a look-up; a damaged record is an unknown one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from itertools import islice
from pathlib import Path
from typing import Any

import maxminddb_rust as maxminddb

from personalizer.config import PREFIX
from personalizer.errors import DataError

Record = Mapping[str, Any]

_NOTHING: Record = {}
_TRIED_NETWORKS = 10_000  # the first ones show what kind of file it is
_NETWORKS_A_NODE = 8
_DAMAGE = (OSError, RuntimeError, ValueError, LookupError)  # what the reader raises on damaged bytes


class Mmdb:
    """An open file, read through a memory map. Replace the file by renaming a new one over it.

    The reader is the Rust one: on some damaged files the C reader ends the process.
    `failures` counts look-ups that met a damaged record.
    """

    def __init__(self, path: Path, reader: maxminddb.Reader) -> None:
        self.path = path
        self.kind: str = reader.metadata().database_type
        self.built: int = reader.metadata().build_epoch
        self.failures = 0
        self._reader = reader

    def get(self, address: str) -> Record | None:
        """The record of an address, empty when the file has none; None when it cannot tell.

        It cannot where it is damaged, and for IPv6 addresses when it is a file of IPv4 only.
        """
        try:
            record = self._reader.get(address)
        except maxminddb.InvalidDatabaseError:
            self.failures += 1
            return None
        except ValueError:
            return None
        return record if isinstance(record, dict) else _NOTHING

    def read_through(self) -> None:
        """Read every record. Raises DataError when one of them cannot be read."""
        nodes = self._reader.metadata().node_count
        try:
            # A whole tree has about as many networks as nodes, and IPv4's again under some prefixes of IPv6.
            walked = sum(1 for _ in islice(_walk(self._reader), _NETWORKS_A_NODE * nodes + 1))
        except _DAMAGE as error:
            raise DataError(f"{self.path} is damaged ({error}).") from error
        if walked > _NETWORKS_A_NODE * nodes:
            raise DataError(f"{self.path} is damaged: its search tree has no end.")


def open_mmdb(setting: str, path: Path, keys: Iterable[str], wanted: str) -> Mmdb:
    """Open `path` for a setting and see that its records have one of `keys`; `wanted` names the kind of file it takes.

    Raises DataError naming setting and file when it cannot be read, is damaged, or is of another kind.
    """
    where = f"{PREFIX}{setting}: {path}"
    expected = frozenset(keys)
    try:
        reader = maxminddb.open_database(path)
        kind = reader.metadata().database_type
        first = islice(_walk(reader), _TRIED_NETWORKS)
        fits = any(isinstance(record, dict) and not expected.isdisjoint(record) for record in first)
    except _DAMAGE as error:
        raise DataError(f"{where} cannot be read ({error}). Fetch the file again, or leave the setting out.") from error
    if not fits:
        raise DataError(
            f"{where} is a {kind} file without {wanted} records. Name a {wanted} file, or leave the setting out."
        )
    return Mmdb(path, reader)


def _walk(reader: maxminddb.Reader) -> Iterator[object]:
    """What each network holds, from the lowest address on; the reader's own iterator aborts on a damaged file."""
    bits, address = (32, IPv4Address) if reader.metadata().ip_version == 4 else (128, IPv6Address)
    position = 0
    while position < 1 << bits:
        record, prefix = reader.get_with_prefix_len(address(position))
        yield record
        position = ((position >> (bits - prefix)) + 1) << (bits - prefix)
