"""What the link says: UTM values, the ad reference `pz=`, the platform's click id, and what a signed link declares.

What enters: the raw query string of a WSGI environ. What leaves: a `Query`. Must not: raise, interpret a value as
anything but text, or look at more than `MAX_PARAMETERS` parameters.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote, unquote_plus

import werkzeug.urls  # noqa: F401  (registers the error handler named below)

from personalizer.cache import Cache
from personalizer.visitor.cleaning import clean_text
from personalizer.visitor.facts import CLICK_KINDS
from personalizer.visitor.touch import NO_TOUCH, UTM_NAMES, Touch, first_facts, write_first, write_touch

MAX_PARAMETERS: Final = 100
MAX_CLICK_ID: Final = 512

AD_REF: Final = "pz"
SIGNED: Final = "pzs"

_CLICK_KINDS: Final = frozenset(CLICK_KINDS)
OWN_NAMES: Final = _CLICK_KINDS | {*UTM_NAMES, AD_REF, SIGNED}
_AD_REF: Final = re.compile(r"[a-z0-9_.-]{1,200}")
_ERRORS: Final = "werkzeug.url_quote"  # bytes that are not UTF-8 stay percent-encoded, as in Flask's `request.args`
_CACHED_LENGTH: Final = 500  # characters
_CLICK: Final = re.compile(rf"(?<![^&])({'|'.join(CLICK_KINDS)})=([^&]*)")


class Query:
    """A read query string. `touch` is None when it has none of our parameters; `facts` are the touch's, `last` and
    `first` what the cookie keeps of it, and `first_facts` what that tells.

    `duplicated` flags that one of them came twice; the first one counts. `clicked`: it names a click id, be it empty.
    `signed` is `pzs=`, which nobody has verified yet.
    """

    __slots__ = ("clicked", "duplicated", "facts", "first", "first_facts", "last", "signed", "touch")

    def __init__(
        self, touch: Touch, duplicated: bool, clicked: bool, signed: str = "", first: str | None = None
    ) -> None:
        self.facts = touch.facts
        self.last = write_touch(touch)
        self.first = write_first(touch) if first is None else first
        self.first_facts = first_facts(self.first)
        self.touch = touch if any(touch) else None
        self.duplicated = duplicated
        self.clicked = clicked
        self.signed = signed


def parse_query(raw: str) -> Query:
    """Read a raw query string, bytes as Latin-1 characters as WSGI gives them; any text is answered."""
    return _links.get(raw) or _parse_click(raw) or _parse_link(raw)


_links: Final[Cache[str, Query]] = Cache(12_288)


def _parse_click(raw: str) -> Query | None:
    """Links repeat but for their click id, so that the rest is seldom new. None for a link that is not so simple."""
    clicks = _CLICK.findall(raw) if raw.isascii() and raw.count("&") < MAX_PARAMETERS else ()
    if len(clicks) != 1:
        return None
    kind, value = clicks[0]
    link = raw.replace(f"{kind}={value}", "", 1)
    rest = _links.get(link) or _parse_link(link)
    click_id = unquote(value, errors=_ERRORS)
    if rest.clicked or not 0 < len(click_id) <= MAX_CLICK_ID:
        return None
    touch = (rest.touch or NO_TOUCH)._replace(click_kind=kind, click_id=click_id)
    return Query(touch, rest.duplicated, clicked=True, signed=rest.signed, first=rest.first)


def _parse_link(raw: str) -> Query:
    query = _parse(raw)
    return _links.put(raw, query) if len(raw) <= _CACHED_LENGTH else query  # long ones are rare, and fill the memory


def read_parameters(raw: str, names: frozenset[str]) -> dict[str, str]:
    """The parameters of these names that a raw query string has, cleaned; the rest stays unread."""
    return {name: _read_value(value) for name, value in _find(raw, names)[0].items()}


def _parse(raw: str) -> Query:
    found, duplicated = _find(raw, OWN_NAMES)
    utm = [_read_value(found[name]) if name in found else "" for name in UTM_NAMES]
    touch = Touch._make((*utm, *_read_click(found), _read_ad_ref(found)))
    signed = unquote(found.get(SIGNED, ""), errors=_ERRORS)
    return Query(touch, duplicated, clicked=not _CLICK_KINDS.isdisjoint(found), signed=signed)


def _find(raw: str, names: frozenset[str]) -> tuple[dict[str, str], bool]:
    """The first value of each of these parameters, as it came, and whether one came twice."""
    if not raw.isascii():
        raw = _from_wsgi(raw)
    found: dict[str, str] = {}
    duplicated = False
    for part in raw.split("&", MAX_PARAMETERS)[:MAX_PARAMETERS]:
        name, _, value = part.partition("=")
        if "%" in name:
            name = unquote(name, errors=_ERRORS)
        if name not in names:
            continue
        if name in found:
            duplicated = True
        else:
            found[name] = value
    return found, duplicated


def _read_value(raw: str) -> str:
    return clean_text(unquote_plus(raw, errors=_ERRORS))


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
