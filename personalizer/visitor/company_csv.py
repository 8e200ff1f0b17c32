"""Companies as people write them: rows of a CSV file.

What enters: a CSV file with a header. What leaves: a checked `CompanyRow` for each row, and every mistake with its
line. Must not: hold more than one row, or guess what a wrong cell means.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import inf
from pathlib import Path
from typing import IO, Any

from babel import Locale

from personalizer.config import Network
from personalizer.errors import DataError, Problem
from personalizer.visitor.cleaning import clean_text
from personalizer.visitor.company import MAX_TECHNOLOGIES, parse_band, parse_domain
from personalizer.visitor.csv_line import BrokenLineError, is_text, split_line
from personalizer.visitor.industry import load_codes

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

_KNOWN = f"The first line names the columns: {', '.join(COLUMNS)}. Only domain is needed."
_SPACES = re.compile(r"[\u00a0\u2009\u202f]")  # what spreadsheets write between thousands
_SEVERAL = re.compile(r"[\s,;|]+")
_TECHNOLOGIES = re.compile(r"[,;|]")
_CODES = {"sic": re.compile(r"\d{2,4}"), "naics": re.compile(r"\d{2,6}|(?:31-33|44-45|48-49)")}
_NUMBER = re.compile(r"\d(?:[\d.,' ]*\d)?")
# Groups of three, or none; and no point before three digits, which in other countries would be such a group.
_CLEAR = re.compile(r"(?:\d+|\d{1,3}(?:[,' ]\d{3})+)(?:\.(?!\d{3}$)\d+)?")
_NO_COUNTRIES = {"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"}  # unions, places for the unknown, and locales for tests
_MOST = 10**15  # people, or money a year
_WIDEST = {4: 8, 6: 16}  # by version, the shortest prefix
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
        self._file = file
        self._report = report
        self._advance = advance
        header = file.readline(65_536)
        if not header.strip():
            raise DataError(f"{path} is empty, or its first line is. {_KNOWN}")
        if not is_text(header):
            raise DataError(f"{path} is no text in UTF-8. In a spreadsheet, save it as CSV (UTF-8).")
        self._delimiter = max(",;\t", key=header.count)
        self._names = [name.strip().strip('"').lower() for name in header.rstrip("\r\n").split(self._delimiter)]
        self._check_header()
        advance(_count_bytes(header))

    def _check_header(self) -> None:
        near = {name: difflib.get_close_matches(name, COLUMNS, n=1) for name in self._names}
        if not any(near.values()):
            raise DataError(f"{self._path}:1: names no column. {_KNOWN}")
        for name in near:
            if name not in COLUMNS:
                remedy = f"Did you mean {near[name][0]}?" if near[name] else _KNOWN
                self._say(1, "", f"there is no column {name[:40]!r}.", remedy)
            elif self._names.count(name) > 1:
                self._say(1, "", f"the column {name} is there twice.", "Keep one of them.")
        if "domain" not in self._names and ["domain"] not in near.values():
            self._say(1, "", "there is no column domain.", _KNOWN)

    def rows(self) -> Iterator[CompanyRow]:
        if "domain" not in self._names:
            return  # every row would be told to lack it
        for number, line in enumerate(self._file, start=2):  # the header is line 1
            self._advance(_count_bytes(line))
            try:
                cells = split_line(line, self._delimiter)
            except BrokenLineError as error:
                column = "" if error.cell is None else self._names[min(error.cell, len(self._names) - 1)]
                self._say(number, column, error.message, error.remedy)
                continue
            if any(cell.strip() for cell in cells) and (row := self._row(number, cells)):
                yield row

    def _row(self, line: int, cells: list[str]) -> CompanyRow | None:
        """What is right of a row: its mistakes are told, and whether it agrees with other rows is still to be seen."""
        if len(cells) != len(self._names):
            what = f"has {len(cells)} cell{'s' if len(cells) > 1 else ''}; the header has {len(self._names)}."
            self._say(line, "", what, f"Put a cell that contains {self._delimiter!r} in double quotes.")
            return None
        values: dict[str, Any] = {}
        for name, cell in zip(self._names, cells, strict=True):
            try:
                if cell := cell.strip():
                    values[name] = _read_cell(name, cell)
                elif name == "domain":
                    self._say(line, name, "is empty.", "A company is known by its domain: write it, as lumen.example.")
            except _WrongCellError as error:
                self._say(line, name, *error.args)
        domains = values.pop("domain", None)
        networks = values.pop("network", ())
        return CompanyRow(line, domains, networks, values) if domains else None

    def _say(self, line: int, column: str, message: str, remedy: str) -> None:
        self._report(Problem(self._path, line, column, message, remedy))


def _count_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogateescape"))


class _WrongCellError(Exception):
    """A cell says nothing that is meant; arguments: what is wrong with it, and what to write."""


def _read_cell(name: str, cell: str) -> Any:
    if not cell.isascii() and any("\ud800" <= char <= "\udfff" for char in cell):
        raise _WrongCellError("has bytes that are not UTF-8.", "Save the file again as CSV (UTF-8).")
    return _READERS[name](name, cell) if name in _READERS else None


def _networks(_: str, cell: str) -> tuple[Network, ...]:
    found: list[Network] = []
    for part in _SEVERAL.split(cell):
        if "%" in part:
            raise _WrongCellError(f"{part!r} names a network card of one computer.", "Leave out % and what follows it.")
        try:
            if re.fullmatch(r"[0-9a-fA-F.:]+-[0-9a-fA-F.:]+", part):
                first, _, last = part.partition("-")
                ends = ipaddress.ip_address(first), ipaddress.ip_address(last)
                networks: list[Network] = list(ipaddress.summarize_address_range(*ends))
            else:
                networks = [ipaddress.ip_network(part)]
        except (ValueError, TypeError):
            raise _WrongCellError(f"{part!r} is no network.", _say_network(part)) from None
        for network in networks:
            _check_network(part, network)
        found += networks
    return tuple(found)


def _check_network(part: str, network: Network) -> None:
    """Refuse what no company owns: nearly everything, and addresses that no visitor comes from. Private ones may."""
    start, prefix = network.network_address, network.prefixlen
    if isinstance(start, ipaddress.IPv6Address) and prefix >= 96 and start.ipv4_mapped:
        start, prefix = start.ipv4_mapped, prefix - 96
    if prefix < _WIDEST[start.version]:
        raise _WrongCellError(
            f"{part!r} is wider than any company's.", "Write /8 or narrower, in IPv6 /16 or narrower."
        )
    first, second = start.packed[:2]
    if start.version == 4:
        nobodys = first in (0, 127) or first >= 224 or (first == 169 and second == 254 and prefix >= 16)
    else:
        nobodys = first == 0xFF or (first == 0 and second == 0) or (first == 0xFE and second & 0xC0 == 0x80)
    if nobodys:
        what = f"{part!r} is no network that visitors come from (loopback, link-local, multicast, reserved)."
        raise _WrongCellError(what, "Write the addresses under which the company is online.")


def _say_network(part: str) -> str:
    try:
        network = ipaddress.ip_network(part, strict=False)
        return f"Such a network begins at {network.network_address}: write {network}, or one address."
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
    beginnings = _beginnings(f"company.{name}")
    if cell not in beginnings:
        near = next((cell[:length] for length in range(len(cell) - 1, 1, -1) if cell[:length] in beginnings), "")
        remedy = f"Did you mean {near}?" if near else "Leave the cell empty if you do not know it."
        raise _WrongCellError(f"there is no {name.upper()} code {cell!r}.", remedy)
    return cell


@cache
def _beginnings(fact: str) -> frozenset[str]:
    """Every code of a list, and what codes begin with."""
    return frozenset(code[:length] for code in load_codes(fact) for length in range(2, len(code) + 1))


def _employees(name: str, cell: str) -> dict[str, float]:
    band = _band(name, cell, "Write it as 1200 or 1,200.")
    if not all(float(bound).is_integer() for bound in band.values()):
        raise _WrongCellError(f"{cell!r} is no whole number of people.", "Write 240, 51-200, or 10,000+.")
    return band


def _revenue(name: str, cell: str) -> dict[str, float]:
    return _band(name, cell, "Write it as 1200000, 1,200,000 or 1.2M.")


def _band(_: str, cell: str, remedy: str) -> dict[str, float]:
    cell = _SPACES.sub(" ", cell)
    band = parse_band(cell)
    if band is None:
        raise _WrongCellError(f"{cell!r} is no number or band.", "Write 240, 51-200, $1M - $10M, or 10,000+.")
    if max(bound for bound in (band.low, band.high) if bound != inf) > _MOST:
        raise _WrongCellError(f"{cell!r} is more than any company has.", "Write 240, 51-200, $1M - $10M, or 10,000+.")
    for number in _NUMBER.findall(cell):
        if not _CLEAR.fullmatch(number):
            raise _WrongCellError(f"{number!r} may be two numbers: is the separator one of thousands?", remedy)
    return {"low": band.low} if band.high == inf else {"low": band.low, "high": band.high}


def _country(_: str, cell: str) -> str:
    code = cell.upper()
    if code not in country_codes():
        remedy = "Did you mean GB?" if code == "UK" else "Write the ISO 3166 code of two letters, as DE or GB."
        raise _WrongCellError(f"{cell!r} is no country code.", remedy)
    return code


@cache
def country_codes() -> frozenset[str]:
    """ISO 3166 codes, and XK, which look-up files have for Kosovo."""
    codes = {str(code) for code in Locale("en").territories}
    return frozenset(code for code in codes if re.fullmatch("[A-Z]{2}", code)) - _NO_COUNTRIES


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
    "employees": _employees,
    "revenue": _revenue,
    "country": _country,
    "technologies": _technologies,
}
