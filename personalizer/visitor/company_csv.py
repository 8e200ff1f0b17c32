"""Companies as people write them: rows of a CSV file.

What enters: a CSV file with a header. What leaves: a checked `CompanyRow` for each row, and every mistake with its
line. Must not: hold more than one row, or guess what a wrong cell means.
"""

from __future__ import annotations

import csv
import difflib
import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import IO, Any

from personalizer.config import Network
from personalizer.errors import DataError, Problem
from personalizer.visitor.cleaning import clean_text
from personalizer.visitor.company import MAX_TECHNOLOGIES, parse_band, parse_domain

COLUMNS = (
    "network",
    "domain",
    "name",
    "industry",
    "sic",
    "naics",
    "employees",
    "revenue",
    "country",
    "technologies",
)

_SEVERAL = re.compile(r"[\s,;|]+")
_TECHNOLOGIES = re.compile(r"[,;|]")
_CODES = {"sic": re.compile(r"\d{2,4}"), "naics": re.compile(r"\d{2,6}|(?:31-33|44-45|48-49)")}
_DIGITS = {"sic": "2 to 4", "naics": "2 to 6"}


@dataclass(frozen=True, slots=True)
class CompanyRow:
    """One row: the company's own domain first, its networks, and what is said of it, as a record of a company file."""

    line: int
    domains: tuple[str, ...]
    networks: tuple[Network, ...]
    fields: dict[str, Any]


Report = Callable[[Problem], None]


def read_rows(path: Path, report: Report, advance: Callable[[int], None]) -> Iterator[CompanyRow]:
    """Every right row of the file. `report` is told each mistake, `advance` how many bytes were read since it last was.

    Raises DataError when the file cannot be read or has no header that names what is needed.
    """
    try:
        # Bytes that are no UTF-8 become surrogates here, and a mistake in their row.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield from _RowReader(path, file, report, advance).rows()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error


class _RowReader:
    def __init__(self, path: Path, file: IO[str], report: Report, advance: Callable[[int], None]) -> None:
        self._path = path
        self._report = report
        self._advance = advance
        header = file.readline(65_536)
        self._delimiter = max(",;\t", key=header.count)
        self._names = [name.strip().strip('"').lower() for name in header.rstrip("\r\n").split(self._delimiter)]
        self._check_header()
        self._lines = csv.reader(self._counted(file), delimiter=self._delimiter)
        advance(len(header))

    def _check_header(self) -> None:
        known = f"The columns are {', '.join(COLUMNS)}; domain is needed, the others may be left out."
        for name in self._names:
            if name not in COLUMNS:
                near = difflib.get_close_matches(name, COLUMNS, n=1)
                remedy = f"Did you mean {near[0]}?" if near else known
                raise DataError(f"{self._path}:1: there is no column {name!r}. {remedy}")
        if "domain" not in self._names or len(set(self._names)) < len(self._names):
            what = "a column is there twice" if "domain" in self._names else "there is no column domain"
            raise DataError(f"{self._path}:1: {what}. {known}")

    def _counted(self, file: IO[str]) -> Iterator[str]:
        for line in file:
            self._advance(len(line))
            yield line

    def rows(self) -> Iterator[CompanyRow]:
        while True:
            line = self._lines.line_num + 2  # the header is line 1
            try:
                cells = next(self._lines)
            except StopIteration:
                return
            except csv.Error as error:
                self._say(line, "", f"cannot be read ({error}).", "Save the file again as CSV (UTF-8).")
                continue
            if any(cell.strip() for cell in cells) and (row := self._row(line, cells)):
                yield row

    def _row(self, line: int, cells: list[str]) -> CompanyRow | None:
        if len(cells) != len(self._names):
            what = f"has {len(cells)} cells; the header has {len(self._names)}."
            self._say(line, "", what, f"Put a cell that contains {self._delimiter!r} in double quotes.")
            return None
        right = True
        values: dict[str, Any] = {}
        for name, cell in zip(self._names, cells, strict=True):
            try:
                if cell := cell.strip():
                    values[name] = _read_cell(name, cell)
            except _WrongCellError as error:
                self._say(line, name, *error.args)
                right = False
        domains = values.pop("domain", None)
        if domains is None and right:
            self._say(line, "domain", "is empty.", "A company is known by its domain: write it, as lumen.example.")
        networks = values.pop("network", ())
        return CompanyRow(line, domains, networks, values) if right and domains else None

    def _say(self, line: int, column: str, message: str, remedy: str) -> None:
        self._report(Problem(self._path, line, column, message, remedy))


class _WrongCellError(Exception):
    """A cell says nothing that is meant; arguments: what is wrong with it, and what to write."""


def _read_cell(name: str, cell: str) -> Any:
    if not cell.isascii() and any("\ud800" <= char <= "\udfff" for char in cell):
        raise _WrongCellError("has bytes that are not UTF-8.", "Save the file again as CSV (UTF-8).")
    return _READERS[name](name, cell)


def _networks(_: str, cell: str) -> tuple[Network, ...]:
    found: list[Network] = []
    for part in _SEVERAL.split(cell):
        try:
            if re.fullmatch(r"[0-9a-fA-F.:]+-[0-9a-fA-F.:]+", part):
                first, _, last = part.partition("-")
                ends = ipaddress.ip_address(first), ipaddress.ip_address(last)
                found += ipaddress.summarize_address_range(*ends)
            else:
                found.append(ipaddress.ip_network(part))
        except (ValueError, TypeError):
            raise _WrongCellError(f"{part!r} is no network.", _say_network(part)) from None
    return tuple(found)


def _say_network(part: str) -> str:
    try:
        return f"Write {ipaddress.ip_network(part, strict=False)}, whose first address it is not."
    except ValueError:
        return "Write 192.0.2.0/24, 2001:db8::/32, one address, or 192.0.2.0-192.0.2.63; several with spaces between."


def _domains(_: str, cell: str) -> tuple[str, ...]:
    domains = {part: parse_domain(part) for part in _SEVERAL.split(cell)}
    for part, domain in domains.items():
        if domain is None:
            raise _WrongCellError(f"{part!r} is no domain.", "Write it as lumen.example, without https:// and paths.")
    return tuple(dict.fromkeys(domain for domain in domains.values() if domain))


def _text(_: str, cell: str) -> str:
    text = clean_text(cell)
    if not text:
        raise _WrongCellError("has only invisible characters.", "Leave the cell empty, or write a word.")
    return text


def _code(name: str, cell: str) -> str:
    if not _CODES[name].fullmatch(cell):
        raise _WrongCellError(f"{cell!r} is no {name.upper()} code.", f"Write its {_DIGITS[name]} digits.")
    return cell


def _band(_: str, cell: str) -> dict[str, float]:
    band = parse_band(cell)
    if band is None:
        raise _WrongCellError(f"{cell!r} is no number or band.", "Write 240, 51-200, $1M - $10M, or 10,000+.")
    return {"low": band.low} if band.high == inf else {"low": band.low, "high": band.high}


def _country(_: str, cell: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2}", cell):
        raise _WrongCellError(f"{cell!r} is no country code.", "Write the ISO 3166 code of two letters, as DE.")
    return cell.upper()


def _technologies(_: str, cell: str) -> list[str]:
    names = [name for part in _TECHNOLOGIES.split(cell) if (name := clean_text(part))]
    if len(names) > MAX_TECHNOLOGIES:
        raise _WrongCellError(f"has {len(names)} names.", f"Keep the {MAX_TECHNOLOGIES} that matter.")
    return names


_READERS: dict[str, Callable[[str, str], Any]] = {
    "network": _networks,
    "domain": _domains,
    "name": _text,
    "industry": _text,
    "sic": _code,
    "naics": _code,
    "employees": _band,
    "revenue": _band,
    "country": _country,
    "technologies": _technologies,
}
