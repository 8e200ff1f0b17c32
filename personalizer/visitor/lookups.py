"""The look-up files in use: which they are, of when, and whether what lies at their paths is still the same.

What enters: settings, or one setting and a path. What leaves: `Lookup`s, by setting. Must not: take a file for another
one that was put in its place while it was opened.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from personalizer.config import PREFIX, Settings
from personalizer.errors import DataError
from personalizer.visitor.company import Companies, CompanyFile, open_company_file
from personalizer.visitor.geo import GEO_SETTINGS, Geo, make_geo, open_geo_file
from personalizer.visitor.mmdb import Mmdb

COMPANIES = "COMPANIES"
SETTINGS = (*GEO_SETTINGS, COMPANIES)


class Stamp(NamedTuple):
    """What tells a file from the one that is put in its place."""

    device: int
    inode: int
    size: int
    modified: int  # ns


@dataclass(frozen=True, slots=True)
class Lookup:
    """One open file, as it lay at the path of its setting."""

    setting: str
    file: CompanyFile
    stamp: Stamp

    def __str__(self) -> str:
        day = dt.datetime.fromtimestamp(self.file.built, dt.UTC).date()
        return f"{self.file.kind} of {day}"


Lookups = dict[str, Lookup]


def open_lookups(settings: Settings) -> Lookups:
    """Open every file that the settings name. Raises DataError for one that cannot be used."""
    return {name: open_lookup(name, path) for name in SETTINGS if (path := path_of(settings, name))}


def open_lookup(setting: str, path: Path) -> Lookup:
    """Open the file of a setting. Raises DataError when it cannot be used, or was replaced meanwhile."""
    before = read_stamp(path)
    file = open_company_file(path) if setting == COMPANIES else open_geo_file(setting, path)
    if before is None or before != read_stamp(path):
        raise DataError(f"{PREFIX}{setting}: {path} was replaced while it was opened. Try again.")
    return Lookup(setting, file, before)


def path_of(settings: Settings, setting: str) -> Path | None:
    path: Path | None = getattr(settings, setting.lower())
    return path


def read_stamp(path: Path) -> Stamp | None:
    """The stamp of what lies at a path; None when nothing does."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def geo_of(lookups: Mapping[str, Lookup]) -> Geo:
    files = {name: one.file for name, one in lookups.items() if isinstance(one.file, Mmdb) and name != COMPANIES}
    return make_geo(files)


def companies_of(lookups: Mapping[str, Lookup]) -> Companies:
    return Companies(lookups[COMPANIES].file) if COMPANIES in lookups else Companies()
