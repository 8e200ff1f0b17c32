"""What a plain word of YAML 1.2 means: nothing, true or false, a number, a day, or the word itself.

What enters: a scalar's text, and its tag if it has one. What leaves: the value; ValueError where a text looks like a
number or a day and is none. Must not: know files or lines, or build objects that a document names.

The rules are YAML 1.2's core schema, so that `NO` is Norway and `on` is a word; beyond it, days and times are read as
YAML 1.1 wrote them, as people write `starts: 2026-03-01` without quotes.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

Scalar = str | int | float | bool | dt.date | None

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMERIC = frozenset("-+0123456789.")  # what a number or a day begins with
_INT = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|[0-9_]+|0x[0-9a-fA-F_]+)")
_FLOAT = re.compile(
    r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_TIME = re.compile(
    r"(\d{4})-(\d\d?)-(\d\d?)(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.(\d*))?"
    r"(?:[ \t]*(?:(Z)|([-+])(\d\d?)(?::(\d\d))?))?",
    re.ASCII,
)
_BASES = {"0b": 2, "0o": 8, "0x": 16}


def read_plain(text: str) -> Scalar:
    """What a word without quotes and without a tag means. Raises ValueError."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC:
        return text
    if _FLOAT.fullmatch(text):
        return _read_float(text)
    if _INT.fullmatch(text):
        return _read_int(text)
    if "-" in text and (_DAY.fullmatch(text) or _TIME.fullmatch(text)):
        return _read_time(text)
    return text


def read_tagged(text: str, tag: str) -> Scalar:
    """What a scalar with an explicit tag means. Raises LookupError for a tag that no document may use, ValueError."""
    return _TAGS[tag.removeprefix("tag:yaml.org,2002:")](text)


def _read_int(text: str) -> int:
    digits = text.replace("_", "")
    bare = digits.lstrip("-+")
    value = int(bare[2:], _BASES[bare[:2]]) if bare[:2] in _BASES else int(bare)
    return -value if digits[0] == "-" else value


def _read_float(text: str) -> float:
    digits = text.replace("_", "").lower()
    return float(digits.replace(".inf", "inf").replace(".nan", "nan"))


def _read_time(text: str) -> dt.date:
    """A day; with a time, a datetime."""
    if day := _DAY.fullmatch(text):
        return dt.date(int(day[1]), int(day[2]), int(day[3]))
    time = _TIME.fullmatch(text)
    if time is None:
        raise ValueError("write a day as 2026-03-01")
    year, month, day_, hour, minute, second = (int(time[place]) for place in range(1, 7))
    micro = int((time[7] or "0").ljust(6, "0")[:6])
    return dt.datetime(year, month, day_, hour, minute, second, micro, _zone(time))


def _zone(time: re.Match[str]) -> dt.tzinfo | None:
    if time[8]:
        return dt.UTC
    if not time[9]:
        return None
    offset = dt.timedelta(hours=int(time[10]), minutes=int(time[11] or 0))
    return dt.timezone(-offset if time[9] == "-" else offset)


def _read_bool(text: str) -> bool:
    value = _WORDS.get(text)
    if not isinstance(value, bool):
        raise ValueError("write true or false")
    return value


_TAGS: dict[str, Callable[[str], Scalar]] = {
    "str": str,
    "int": _read_int,
    "float": _read_float,
    "bool": _read_bool,
    "timestamp": _read_time,
    "null": lambda text: None,
    "!": str,
}
