"""What the link says: UTM values, the ad reference `pz=`, and the platform's click id.

What enters: the raw query string of a WSGI environ. What leaves: a `Query`. Must not: raise, interpret a value as
anything but text, or look at more than `MAX_PARAMETERS` parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

import werkzeug.urls  # noqa: F401  (registers the error handler named below)

from personalizer.model import Facts, Value
from personalizer.visitor.cleaning import clean_text
from personalizer.visitor.facts import CLICK_KINDS

MAX_PARAMETERS = 100
MAX_CLICK_ID = 512

UTM_NAMES = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id")
AD_REF = "pz"

_TOUCH_FACTS = (*(name.replace("_", ".") for name in UTM_NAMES), "click.kind", "click.id")
_CLICK_KINDS = frozenset(CLICK_KINDS)
_KNOWN = _CLICK_KINDS | {*UTM_NAMES, AD_REF}
_AD_REF = re.compile(r"[a-z0-9_.-]{1,200}")
_ERRORS = "werkzeug.url_quote"  # bytes that are not UTF-8 stay percent-encoded, as in Flask's `request.args`
_CACHED_LENGTH = 500  # characters


class Touch(NamedTuple):
    """How a link brought the visitor here. Every field is text; `""` means that the link did not say."""

    source: str = ""
    medium: str = ""
    campaign: str = ""
    term: str = ""
    content: str = ""
    id: str = ""
    click_kind: str = ""
    click_id: str = ""
    ad_ref: str = ""

    @property
    def facts(self) -> dict[str, Value]:
        """`utm.*`, `click.kind` and `click.id`, as far as they are known."""
        return {name: value for name, value in zip(_TOUCH_FACTS, self, strict=False) if value}


class Query(NamedTuple):
    """A read query string. `touch` is None when it has none of our parameters; `facts` are the touch's.

    `duplicated` flags that one of them came twice; the first one counts.
    """

    touch: Touch | None
    facts: Facts
    duplicated: bool


def parse_query(raw: str) -> Query:
    """Read a raw query string, bytes as Latin-1 characters as WSGI gives them; any text is answered."""
    # Links repeat; where click ids make each its own, the values do. Long ones are rare and must not fill the memory.
    return _parse_cached(raw) if len(raw) <= _CACHED_LENGTH else _parse(raw, _read_value)


def _parse(raw: str, read_value: Callable[[str], str]) -> Query:
    if not raw.isascii():
        raw = _from_wsgi(raw)
    found: dict[str, str] = {}
    duplicated = False
    for part in raw.split("&", MAX_PARAMETERS)[:MAX_PARAMETERS]:
        name, _, value = part.partition("=")
        if "%" in name:
            name = unquote(name, errors=_ERRORS)
        if name not in _KNOWN:
            continue
        if name in found:
            duplicated = True
        else:
            found[name] = value
    utm = [read_value(found[name]) if name in found else "" for name in UTM_NAMES]
    touch = Touch._make((*utm, *_read_click(found), _read_ad_ref(found)))
    return Query(touch if any(touch) else None, touch.facts, duplicated)


@lru_cache(maxsize=2048)
def _parse_cached(raw: str) -> Query:
    return _parse(raw, _read_value_cached)


def _read_value(raw: str) -> str:
    return clean_text(unquote_plus(raw, errors=_ERRORS))


_read_value_cached = lru_cache(maxsize=4096)(_read_value)


def _read_ad_ref(found: dict[str, str]) -> str:
    ad_ref = found.get(AD_REF)
    return ad_ref if ad_ref and _AD_REF.fullmatch(ad_ref) else ""


def _read_click(found: dict[str, str]) -> tuple[str, str]:
    """The first click id in the order of `CLICK_KINDS`, verbatim: platforms match conversions by the exact bytes.

    A `+` stays a plus, because no platform has a space in its ids. One over 512 characters is no click id.
    """
    for kind in () if _CLICK_KINDS.isdisjoint(found) else CLICK_KINDS:
        click_id = unquote(found.get(kind, ""), errors=_ERRORS)
        if 0 < len(click_id) <= MAX_CLICK_ID:
            return kind, click_id
    return "", ""


def _from_wsgi(raw: str) -> str:
    """Bytes that browsers left unencoded, as text; a server that gives Unicode is taken at its word."""
    try:
        return raw.encode("latin-1").decode("utf-8", _ERRORS)
    except UnicodeEncodeError:
        return raw.encode("utf-8", "replace").decode("utf-8")
