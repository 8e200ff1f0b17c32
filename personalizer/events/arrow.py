"""Journal rows as Arrow data in lake order, strictly: nothing is rounded, converted or dropped without a word.

What enters: rows of one journal file. What leaves: a table with a row for each; those that do not fit are refused.
Must not: be imported by edge workers; read or write a file.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from personalizer.errors import DataError
from personalizer.events.columns import COLUMNS, LEAD_COLUMNS, Column, ColumnType
from personalizer.events.frames import MAX_PAYLOAD, decode_row
from personalizer.events.journal import JournalFile

TABLES: dict[str, tuple[Column, ...]] = {"events": COLUMNS, "leads": LEAD_COLUMNS}

DOES_NOT_FIT = "does not fit the column table"
LAST_TIME = 253_402_300_799_999_999  # µs: the end of the year 9999; a later day could not be read back

_TYPES = {
    ColumnType.TEXT: pa.string(),
    ColumnType.INT: pa.int64(),
    ColumnType.NUMBER: pa.float64(),
    ColumnType.FLAG: pa.bool_(),
    ColumnType.TIME: pa.timestamp("us", tz="UTC"),
    ColumnType.DAY: pa.date32(),
    ColumnType.LIST: pa.list_(pa.string()),
    ColumnType.RANGE: pa.struct([("low", pa.float64()), ("high", pa.float64())]),
}
SCHEMAS = {
    name: pa.schema([pa.field(column.name, _TYPES[column.type]) for column in columns])
    for name, columns in TABLES.items()
}


_CUSTOM = b'"custom.'
_OF_THE_FRAME = ("writer", "generation", "ordinal", "event_id")


# A row must fit into a block. One thread: what the collector takes of a second core, pages go without.
_READ = pj.ReadOptions(block_size=4 * MAX_PAYLOAD, use_threads=False)


class RowReader:
    """Reads JSON rows of one table, by Arrow, which is given the columns' types and takes nothing else: 1.5 or true is
    no long, 5 is no string.

    It is asked for the columns that earlier rows had, and for all when that does not do: one that no row has would cost
    a null a row, and of the 104 an exposure has about 60.
    """

    def __init__(self, columns: tuple[Column, ...]) -> None:
        self._columns = columns
        self._usual: tuple[Column, ...] = ()

    def read(self, rows: Sequence[bytes]) -> dict[str, pa.ChunkedArray]:
        """The columns that rows have, by their names in the lake. Raises pa.ArrowInvalid when a row does not fit."""
        lines = b"\n".join(rows)
        try:
            return _read_columns(lines, self._usual)
        except pa.ArrowInvalid:
            found = _read_columns(lines, self._columns)
        had = {name for name, values in found.items() if values.null_count < len(values)}
        self._usual = tuple(column for column in self._columns if column in self._usual or column.name in had)
        return found


def _read_columns(lines: bytes, columns: tuple[Column, ...]) -> dict[str, pa.ChunkedArray]:
    data = pj.read_json(pa.BufferReader(lines), _READ, _parse_options(columns))
    found = {name: data[name] for name in data.column_names}
    facts = found.pop("facts", None)
    found.update({column.name: pc.struct_field(facts, [column.fact]) for column in columns if column.fact})
    return found


def _parse_options(columns: tuple[Column, ...]) -> pj.ParseOptions:
    """The JSON of a row: as its columns, with times as numbers and facts under their own names in `facts`; without what
    the file and the frame say of it."""
    told = [column for column in columns if column.name not in _OF_THE_FRAME]
    plain = [column for column in told if not column.fact and column.type is not ColumnType.DAY]
    fields = [(one.name, pa.int64() if one.type is ColumnType.TIME else _TYPES[one.type]) for one in plain]
    facts = [(column.fact, _TYPES[column.type]) for column in columns if column.fact]
    schema = pa.schema([*fields, *([("facts", pa.struct(facts))] if facts else [])])
    return pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")


_READERS = {name: RowReader(columns) for name, columns in TABLES.items()}


def fit_rows(name: str, file: JournalFile, first: int, rows: Sequence[bytes]) -> tuple[pa.Table, list[str]]:
    """Rows of a file that follow each other, from ordinal `first` on, as rows of table `name`, and what is wrong with
    those that had to be refused.

    A refused event keeps its identity and time only (kind `refused`); a refused lead keeps everything, in `fields`.
    """
    try:
        return arrow_table(name, file, first, rows), []
    except DataError as error:
        if len(rows) == 1:
            row = decode_row(first, rows[0])
            return arrow_table(name, file, first, [_refuse(name, row, rows[0])]), [_explain(name, row, error)]
    half = len(rows) // 2
    parts = [fit_rows(name, file, first, rows[:half]), fit_rows(name, file, first + half, rows[half:])]
    return pa.concat_tables([data for data, _ in parts]), [mistake for _, mistakes in parts for mistake in mistakes]


def arrow_table(name: str, file: JournalFile, first: int, rows: Sequence[bytes]) -> pa.Table:
    """Rows of a file that follow each other as one table, with their identity, and `day` from `ts`.

    Raises DataError when any of them does not fit.
    """
    reader = _READERS[name]
    try:
        try:
            columns = reader.read(rows)
        except pa.ArrowInvalid:
            if not any(_CUSTOM in row for row in rows):  # looked for when there is no column for something only
                raise
            columns = reader.read([_gather_custom(row) for row in rows])
    except pa.ArrowInvalid as error:
        raise DataError(f"{name}: {error}.") from error
    for column in TABLES[name]:
        if column.type is ColumnType.TIME and column.name in columns:
            columns[column.name] = _times(column.name, columns[column.name])
    if "ts" not in columns or columns["ts"].null_count:
        raise DataError("ts: every row needs the time at which the server received it.")
    columns["writer"] = pa.repeat(file.writer, len(rows))
    columns["generation"] = pa.repeat(pa.scalar(file.generation, pa.int64()), len(rows))
    ordinals = columns["ordinal"] = pa.array(range(first, first + len(rows)), pa.int64())
    columns["event_id"] = pc.binary_join_element_wise(
        f"{file.writer}-{file.generation}-", ordinals.cast(pa.string()), ""
    )
    columns["day"] = columns["ts"].cast(pa.timestamp("us")).cast(pa.date32())
    absent = {field.name: pa.nulls(len(rows), field.type) for field in SCHEMAS[name] if field.name not in columns}
    return pa.table({**columns, **absent}).select(SCHEMAS[name].names).cast(SCHEMAS[name])


def _gather_custom(json: bytes) -> bytes:
    """A row whose custom facts, which no column is for, are together in one."""
    if _CUSTOM not in json:
        return json
    row = orjson.loads(json)
    facts = row.get("facts")
    own = (
        {name.removeprefix("custom."): facts.pop(name) for name in list(facts) if name.startswith("custom.")}
        if facts
        else {}
    )
    return orjson.dumps({**row, "custom": orjson.dumps(own).decode()}) if own else json


def _times(name: str, micros: pa.ChunkedArray) -> pa.ChunkedArray:
    bounds = pc.min_max(micros).as_py()
    if bounds["min"] is not None and not 0 <= bounds["min"] <= bounds["max"] <= LAST_TIME:
        raise DataError(f"{name}: a time is in µs since 1970 and before the year 10000.")
    return micros.cast(_TYPES[ColumnType.TIME])


def _refuse(name: str, row: Mapping[str, Any], json: bytes) -> bytes:
    ts = row.get("ts")
    if type(ts) is not int or not 0 <= ts <= LAST_TIME:
        ts = time.time_ns() // 1000
    kept: dict[str, int | str | None] = {"ts": ts}
    if name == "leads":
        lead_id = row.get("lead_id")
        kept |= {"lead_id": lead_id if isinstance(lead_id, str) else None, "fields": json.decode()}
    else:
        kept |= {"kind": "refused", "refused_reason": DOES_NOT_FIT}
    return orjson.dumps(kept)


def _explain(name: str, row: Mapping[str, Any], error: DataError) -> str:
    unknown = {column for column in row if not column.startswith("custom.")} - set(SCHEMAS[name].names)
    return f"there is no column {', '.join(sorted(unknown))}" if unknown else str(error)
