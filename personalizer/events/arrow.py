"""Journal rows as Arrow data in lake order, strictly: nothing is rounded, converted or dropped without a word.

What enters: records of one journal file. What leaves: a table with a row for each; those that do not fit are refused.
Must not: be imported by edge workers; read or write a file.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from personalizer.errors import DataError
from personalizer.events.columns import COLUMNS, LEAD_COLUMNS, Column, ColumnType
from personalizer.events.frames import MAX_PAYLOAD, Record
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


# Arrow's JSON reader is given every column's type and takes nothing else: 1.5 or true is no long, 5 is no string.
def _journal_schema(columns: tuple[Column, ...]) -> pa.Schema:
    """The JSON of a row: as its columns, with times as numbers and facts under their own names in `facts`; without what
    the file and the frame say of it."""
    told = [column for column in columns if column.name not in _OF_THE_FRAME]
    plain = [column for column in told if not column.fact and column.type is not ColumnType.DAY]
    fields = [(one.name, pa.int64() if one.type is ColumnType.TIME else _TYPES[one.type]) for one in plain]
    facts = [(column.fact, _TYPES[column.type]) for column in columns if column.fact]
    return pa.schema([*fields, *([("facts", pa.struct(facts))] if facts else [])])


_PARSE = {
    name: pj.ParseOptions(explicit_schema=_journal_schema(columns), unexpected_field_behavior="error")
    for name, columns in TABLES.items()
}
# A row must fit into a block. One thread: what the collector takes of a second core, pages go without.
_READ = pj.ReadOptions(block_size=4 * MAX_PAYLOAD, use_threads=False)


def fit_records(name: str, file: JournalFile, records: Sequence[Record]) -> tuple[pa.Table, list[str]]:
    """A row of table `name` for each record, in order, and what is wrong with those that had to be refused.

    A refused event keeps its identity and time only (kind `refused`); a refused lead keeps everything, in `fields`.
    """
    try:
        return arrow_table(name, file, records), []
    except DataError as error:
        if len(records) == 1:
            refused = records[0]._replace(json=_refuse(name, records[0]))
            return arrow_table(name, file, [refused]), [_explain(name, records[0], error)]
    half = len(records) // 2
    parts = [fit_records(name, file, part) for part in (records[:half], records[half:])]
    return pa.concat_tables([data for data, _ in parts]), [mistake for _, mistakes in parts for mistake in mistakes]


def arrow_table(name: str, file: JournalFile, records: Sequence[Record]) -> pa.Table:
    """Rows of a file that follow each other as one table, with their identity, and `day` from `ts`.

    Raises DataError when any of them does not fit.
    """
    rows = [record.json for record in records]
    try:
        try:
            data = _read_json(name, rows)
        except pa.ArrowInvalid:
            if not any(_CUSTOM in row for row in rows):  # looked for when there is no column for something only
                raise
            data = _read_json(name, [_gather_custom(row) for row in rows])
    except pa.ArrowInvalid as error:
        raise DataError(f"{name}: {error}.") from error
    columns = {column: data[column] for column in data.column_names}
    for column in TABLES[name]:
        if column.fact:
            columns[column.name] = pc.struct_field(data["facts"], [column.fact])
        if column.type is ColumnType.TIME:
            columns[column.name] = _times(column.name, columns[column.name])
    if columns["ts"].null_count:
        raise DataError("ts: every row needs the time at which the server received it.")
    columns["writer"] = pa.repeat(file.writer, len(data))
    columns["generation"] = pa.repeat(pa.scalar(file.generation, pa.int64()), len(data))
    first = records[0].ordinal
    ordinals = columns["ordinal"] = pa.array(range(first, first + len(records)), pa.int64())
    columns["event_id"] = pc.binary_join_element_wise(
        f"{file.writer}-{file.generation}-", ordinals.cast(pa.string()), ""
    )
    columns["day"] = columns["ts"].cast(pa.timestamp("us")).cast(pa.date32())
    return pa.table([columns[column] for column in SCHEMAS[name].names], schema=SCHEMAS[name])


def _read_json(name: str, rows: Sequence[bytes]) -> pa.Table:
    return pj.read_json(pa.BufferReader(b"\n".join(rows)), _READ, _PARSE[name])


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


def _refuse(name: str, record: Record) -> bytes:
    ts = record.row.get("ts")
    if type(ts) is not int or not 0 <= ts <= LAST_TIME:
        ts = time.time_ns() // 1000
    kept: dict[str, int | str | None] = {"ts": ts}
    if name == "leads":
        lead_id = record.row.get("lead_id")
        kept |= {"lead_id": lead_id if isinstance(lead_id, str) else None, "fields": record.json.decode()}
    else:
        kept |= {"kind": "refused", "refused_reason": DOES_NOT_FIT}
    return orjson.dumps(kept)


def _explain(name: str, record: Record, error: DataError) -> str:
    unknown = {column for column in record.row if not column.startswith("custom.")} - set(SCHEMAS[name].names)
    return f"there is no column {', '.join(sorted(unknown))}" if unknown else str(error)
