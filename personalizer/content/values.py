"""Which values facts can have that follow a standard: countries, continents, languages, zones, hours, dates.

What enters: one value of a condition, folded. What leaves: nothing, or what is wrong and what to write instead. Must
not: say what a workspace knows (its lists and keys); that is `lint.py`'s.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Callable, Mapping
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.core import get_global

from personalizer.visitor.company_csv import country_codes

Complaint = tuple[str, str]

CONTINENTS = {
    "africa": "AF",
    "antarctica": "AN",
    "asia": "AS",
    "europe": "EU",
    "north america": "NA",
    "oceania": "OC",
    "south america": "SA",
}
_TONGUES = ("en", "de", "fr", "es", "it", "nl", "pl", "pt", "sv", "da", "nb")  # in which countries are often written
_DATE = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_LANGUAGE = re.compile(r"[a-z]{2,3}")


def check_country(value: object) -> Complaint | None:
    """An ISO 3166 code, as look-ups tell countries."""
    text = str(value)
    if text.upper() in country_codes():
        return None
    if text == "eu":
        return "`EU` is no country.", "Write `geo.eu: true`, or `geo.continent: EU`."
    aliases = get_global("territory_aliases").get(text.upper(), ())
    code = aliases[0] if len(aliases) == 1 else _named(text, _country_names())
    return f"there is no country code `{text}`.", _remedy(code, "Write an ISO 3166 code, as `DE` or `US`.")


def check_language(value: object) -> Complaint | None:
    """The primary tag of a language, as browsers send it."""
    text = str(value)
    languages: Mapping[str, str] = Locale("en").languages
    if _LANGUAGE.fullmatch(text) and text in languages:
        return None
    tag = re.split("[-_]", text)[0]
    code: str | None = tag if tag in languages else get_global("language_aliases").get(text)
    return f"there is no language tag `{text}`.", _remedy(
        code or _named(text, _language_names()), "Write a primary tag, as `en` or `de`."
    )


def _check_continent(value: object) -> Complaint | None:
    text = str(value)
    if text.upper() in CONTINENTS.values():
        return None
    return f"there is no continent `{text}`.", _remedy(
        _named(text, CONTINENTS), f"It is one of {' '.join(CONTINENTS.values())}."
    )


def _check_timezone(value: object) -> Complaint | None:
    zones = _zones()
    text = str(value)
    if not zones or text in zones:  # none on a machine without their files
        return None
    return f"there is no time zone `{text}`.", _remedy(_named(text, zones), "Write it as `Europe/Berlin`.")


def _check_hour(value: object) -> Complaint | None:
    return None if value in range(24) else (f"`{value}` is no hour.", "Write a whole number from 0 to 23.")


def _check_date(value: object) -> Complaint | None:
    return None if _DATE.fullmatch(str(value)) else (f"`{value}` is no date.", 'Write it as "2026-11-21".')


CHECKS: Mapping[str, Callable[[object], Complaint | None]] = {
    "geo.country": check_country,
    "company.country": check_country,
    "geo.continent": _check_continent,
    "geo.timezone": _check_timezone,
    "language": check_language,
    "time.hour": _check_hour,
    "time.date": _check_date,
}


def _remedy(code: str | None, otherwise: str) -> str:
    return f"Did you mean `{code}`?" if code else otherwise


def _named(text: str, codes: Mapping[str, str]) -> str | None:
    """The code of what is called `text`, or nearly so."""
    near = difflib.get_close_matches(text, codes, n=1, cutoff=0.8)
    return codes[near[0]] if near else None


@lru_cache(maxsize=1)
def _country_names() -> dict[str, str]:
    """Codes by the names of countries in several languages, English before others."""
    names: dict[str, str] = {}
    for tongue in _TONGUES:
        territories: Mapping[str, str] = Locale(tongue).territories
        for code in country_codes() & territories.keys():
            names.setdefault(territories[code].casefold(), code)
    return names


@lru_cache(maxsize=1)
def _language_names() -> dict[str, str]:
    """Tags by the names of languages in English, then in themselves: `german` and `deutsch`."""
    languages: Mapping[str, str] = Locale("en").languages
    names = {name.casefold(): tag for tag, name in languages.items() if _LANGUAGE.fullmatch(tag)}
    for tag in (tag for tag in languages if len(tag) == 2):  # hundreds of rarer ones would take seconds to read
        try:
            names.setdefault(str(Locale(tag).languages.get(tag, tag)).casefold(), tag)
        except UnknownLocaleError:
            continue
    return names


@lru_cache(maxsize=1)
def _zones() -> dict[str, str]:
    return {name.casefold(): name for name in zoneinfo.available_timezones()}
