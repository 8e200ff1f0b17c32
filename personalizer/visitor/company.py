"""Which company an address belongs to.

What enters: an address, what is known of its network, and a company table or a MaxMind-format file with company or
domain records.
What leaves: `company.*` facts. Must not: raise at a look-up, or name a company for a network where nobody is at work.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Final, TypeAlias

from personalizer.config import PREFIX, Settings
from personalizer.errors import DataError
from personalizer.model import Facts, Range
from personalizer.visitor.cleaning import clean_text
from personalizer.visitor.company_table import CompanyTable, is_company_table, open_company_table
from personalizer.visitor.csv_line import is_text
from personalizer.visitor.mmdb import Mmdb, Record, open_mmdb

MAX_TECHNOLOGIES: Final = 50
MAX_BAND: Final = 60  # characters

_KEYS: Final = ("company", "domain")
_NOTHING: Final[Facts] = {}
_NOT_AT_WORK: Final = frozenset({"residential", "hosting", "mobile"})
_DOMAIN: Final = re.compile(r"(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")
_NUMBER = r"[$€£]?\s*(\d[\d,' ]*(?:\.\d+)?)\s*([kmb]?)"
_BAND: Final = re.compile(rf"{_NUMBER}(?:\s*(\+)|\s*(?:-|–|—|to)\s*{_NUMBER})?", re.IGNORECASE)
_UNITS: Final = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}


CompanyFile: TypeAlias = Mmdb | CompanyTable


class Companies:
    """The company file, or none. Immutable: a new file is a new `Companies`."""

    def __init__(self, file: CompanyFile | None = None) -> None:
        self._file = file

    def lookup(self, address: str, network: Facts) -> Facts:
        """`company.*` facts of an address. `network` has its `network.*` facts.

        Nothing for residential, mobile, hosting and anonymous networks: there the address says who carries the traffic.
        """
        if (
            self._file is None
            or network.get("network.kind") in _NOT_AT_WORK
            or network.get("network.anonymous") is True
        ):
            return _NOTHING
        record = self._file.get(address)
        return company_facts(record) if record else _NOTHING

    def find_domain(self, domain: str) -> Facts:
        """`company.*` facts of the company that a domain (as `parse_domain` writes it) belongs to.

        Only a company table knows domains; nothing without one.
        """
        record = self._file.find_domain(domain) if isinstance(self._file, CompanyTable) else None
        return company_facts(record) if record else _NOTHING


def open_companies(settings: Settings) -> Companies:
    """Open the file that the setting names; without one no company is known.

    Raises DataError when it cannot be read or has no company records.
    """
    return Companies() if settings.companies is None else Companies(open_company_file(settings.companies))


def open_company_file(path: Path) -> CompanyFile:
    """Open a file for the setting. Raises DataError as `open_companies` does."""
    if is_company_table(path):
        return open_company_table(f"{PREFIX}COMPANIES: {path}", path)
    try:
        return open_mmdb("COMPANIES", path, _KEYS, "company or domain")
    except DataError:
        if not _is_csv(path):
            raise
        remedy = f"Run `personalizer companies build {path}`, and name the table that it writes."
        raise DataError(f"{PREFIX}COMPANIES: {path} is a CSV file and no table yet. {remedy}") from None


def _is_csv(path: Path) -> bool:
    """Whether the first line of a file is text with columns."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            header = file.readline(4096)
    except OSError:
        return False
    return is_text(header) and any(delimiter in header for delimiter in ",;\t")


def company_facts(record: Record) -> Facts:
    """Facts of one record: `{"company": {…}}`, the same keys flat, or only a domain. Nothing without a valid domain."""
    fields = record.get("company", record)
    domain = parse_domain(fields.get("domain")) if isinstance(fields, dict) else None
    if domain is None:
        return _NOTHING
    facts: Facts = {"company.domain": domain}
    for key in ("name", "industry", "sic", "naics", "country"):
        value = fields.get(key)
        if isinstance(value, str | int):
            text = clean_text(str(value).upper() if key == "country" else str(value))
            if text:
                facts[f"company.{key}"] = text
    for key in ("employees", "revenue"):
        band = parse_band(fields.get(key))
        if band is not None:
            facts[f"company.{key}"] = band
    technologies = fields.get("technologies")
    if isinstance(technologies, list):
        names = (clean_text(name) for name in technologies[:MAX_TECHNOLOGIES] if isinstance(name, str))
        facts["company.technologies"] = tuple(name for name in names if name)
    return facts


def parse_domain(value: object) -> str | None:
    """A domain in lower case and ASCII (punycode), without `www.`; None when it is none."""
    if not isinstance(value, str):
        return None
    try:
        domain = value.strip().rstrip(".").encode("idna").decode("ascii").lower().removeprefix("www.")
    except UnicodeError:
        return None
    return domain if _DOMAIN.fullmatch(domain) else None


def parse_band(value: object) -> Range | None:
    """A number that is known exactly or as a band: `240`, `"51-200"`, `"$1M - $10M"`, `"10,000+"`, `{low, high}`.

    None when it says nothing, is negative, or its bounds are the wrong way round. An open band ends at infinity; an
    exact number is a range of one.
    """
    if isinstance(value, dict):
        return _range(_amount(value.get("low", 0)), _amount(value["high"]) if "high" in value else math.inf)
    if not isinstance(value, str):
        return _range(_amount(value), _amount(value))
    match = _BAND.fullmatch(value.strip()) if len(value) <= MAX_BAND else None
    if not match:
        return None
    low = _scaled(match[1], match[2])
    if match[3]:
        return _range(low, math.inf)
    return _range(low, _scaled(match[4], match[5]) if match[4] else low)


def _scaled(digits: str, unit: str) -> int | float:
    number = round(float(re.sub(r"[,' ]", "", digits)) * _UNITS[unit.lower()], 6)  # 2.01k is 2010
    return int(number) if number.is_integer() else number


def _amount(value: object) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        return None
    return value


def _range(low: float | None, high: float | None) -> Range | None:
    return Range(low, high) if low is not None and high is not None and low <= high else None
