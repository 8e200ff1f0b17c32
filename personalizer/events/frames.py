"""The journal's frames: `crc32 | length | payload`, two little-endian u32, an ordinal and one row as a JSON object.

What enters: a row, or a journal file. What leaves: bytes for one write, or the file's rows up to the first bad frame.
Must not: write, lock, or know the lake; edge workers import it.

The payload begins with the row's ordinal, a little-endian u64, so that the reader sees a missing or repeated row
without parsing JSON; the rest of its identity is the file's. What is null may be left out. Facts stand under their own
names in `facts`, so that a page need not rename them; as columns they have `_` for `.`. A RANGE is always
`{"low": …, "high": …}`, as in the lake; an open end is null.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from zlib_ng.zlib_ng import crc32

from personalizer.events.columns import COLUMNS
from personalizer.model import Range

MAX_PAYLOAD: Final = 1 << 20  # bytes; a damaged length must not make the reader ask for gigabytes

_CRC: Final = struct.Struct("<I")
_CHECKED: Final = struct.Struct("<IQ")  # length and ordinal: the checksum covers them and the row
_HEADER: Final = struct.Struct("<IIQ")  # all that stands before the row
_ORDINAL_SIZE: Final = 8  # bytes of the payload
_COLUMN_OF: Final = {column.fact: column.name for column in COLUMNS if column.fact}


class Rows(NamedTuple):
    """Rows of a journal file that follow each other, each as JSON; the first one's ordinal, and the offset in bytes
    where the last one's frame ends. An object for each row would have the garbage collector look through thousands."""

    first: int
    json: list[bytes]
    end: int

    @property
    def last(self) -> int:
        """The last one's ordinal."""
        return self.first + len(self.json) - 1


def encode_row(row: Mapping[str, Any]) -> bytes:
    """A row as a JSON object; tuples become lists. Raises TypeError for what JSON cannot say or an empty row."""
    if not row:
        raise TypeError("the row is empty")
    return orjson.dumps(row, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, Range):
        return {"low": value.low, "high": value.high}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def encode_frame(ordinal: int, row: bytes) -> bytes:
    """One frame. `row` is from `encode_row`. ValueError if it is too long."""
    size = _ORDINAL_SIZE + len(row)
    if size > MAX_PAYLOAD:
        raise ValueError(f"the row takes {size} bytes, more than {MAX_PAYLOAD}")
    # The checksum covers the length too: a run of zeros, as a power cut leaves it, is then no valid frame.
    checked: bytes = _CHECKED.pack(size, ordinal) + row
    return _CRC.pack(crc32(checked)) + checked


def decode_row(ordinal: int, json: bytes) -> dict[str, Any]:
    """A row as `encode_row` got it, column → value, with its ordinal; facts that no column is for keep their names."""
    row: dict[str, Any] = {**orjson.loads(json), "ordinal": ordinal}
    facts = row.pop("facts", None) or {}
    row.update({_COLUMN_OF.get(name, name): value for name, value in facts.items()})
    return row


def read_rows(path: Path, after_ordinal: int = 0, offset: int = 0, limit: int = sys.maxsize) -> Rows:
    """The rows of a journal file beyond `after_ordinal`, `limit` at most, up to its end or its first bad frame.

    `offset` is where the frame of `after_ordinal` ends, so that what was read is not read again; 0 reads from the
    start and skips. Without rows, `end` is no place to go on from. A frame is bad when it is torn, its checksum
    differs, or its ordinal does not follow the last.
    Raises FileNotFoundError, as the collector deletes files that are in the lake.
    """
    ordinal = after_ordinal if offset else 0
    rows: list[bytes] = []
    with path.open("rb", buffering=1 << 20) as file:
        file.seek(offset)
        read = file.read
        while len(rows) < limit:
            header = read(_HEADER.size)
            if len(header) < _HEADER.size:
                break
            crc, length, found = _HEADER.unpack(header)
            if found != ordinal + 1 or not _ORDINAL_SIZE <= length <= MAX_PAYLOAD:
                break
            row = read(length - _ORDINAL_SIZE)
            if len(row) < length - _ORDINAL_SIZE or crc32(row, crc32(header[_CRC.size :])) != crc:
                break
            ordinal += 1
            offset += _HEADER.size + len(row)
            if ordinal > after_ordinal:
                rows.append(row)
    return Rows(after_ordinal + 1, rows, offset)
