"""What kind of place the visitor came from.

What enters: the Referer header and the site's own hosts. What leaves: `referrer.domain` and `referrer.kind`.
Must not: raise, or believe that a host belongs to somebody because a famous name is a part of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from personalizer.cache import Cache
from personalizer.model import Facts

MAX_HEADER: Final = 300  # characters; the host stands at the front
MAX_HOST: Final = 253

_LIST: Final = Path(__file__).parent / "data" / "referrers.txt"
_AUTHORITY: Final = re.compile(r"(?:https?|android-app)://([^/?#\\\s]+)", re.IGNORECASE)
_HOST: Final = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9])?")
# Endings under which a company holds its own name country by country: .com, .de, .co.uk, .com.br
_COUNTRY_ENDING: Final = re.compile(r"\.(?:com|[a-z]{2}|com?\.[a-z]{2})")


def parse_referrer(header: str, hosts: tuple[str, ...]) -> Facts:
    """Facts of a Referer header: direct without one, internal for one of `hosts`, nothing when it is unreadable."""
    if len(header) > MAX_HEADER:
        header = header[:MAX_HEADER]
    found = _referrers.get(header)
    if found is None:
        found = _referrers.put(header, _parse(header))
    if found.get("referrer.domain") in hosts:
        return {**found, "referrer.kind": "internal"}
    return found


_referrers: Final[Cache[str, Facts]] = Cache(8192)


def _parse(header: str) -> Facts:
    if not header:
        return {"referrer.kind": "direct"}
    match = _AUTHORITY.match(header)
    host = _host(match[1]) if match else ""
    if not host:
        return {}
    return {"referrer.domain": host, "referrer.kind": lookup_kind(host)}


def _host(authority: str) -> str:
    """The lower-case host of `user@host:port`, `""` when it is none."""
    host = authority.rpartition("@")[2].partition(":")[0].rstrip(".").lower()
    return host if len(host) <= MAX_HOST and _HOST.fullmatch(host) and ".." not in host else ""


def lookup_kind(host: str) -> str:
    """The kind of the longest listed host that `host` is, or is below; `referral` when none is listed."""
    kinds = _kinds()
    labels = host.split(".")
    for start in range(len(labels)):
        rest = ".".join(labels[start:])
        kind = kinds.get(rest) or kinds.get(_any_country(rest))
        if kind:
            return kind
    return "referral"


def _any_country(host: str) -> str:
    """`google.co.th` as the list writes it, `google.*`; `""` when what follows a name is no country's ending."""
    for dot in (at for at, char in enumerate(host) if char == "."):
        if _COUNTRY_ENDING.fullmatch(host, dot):
            return f"{host[:dot]}.*"
    return ""


@cache
def _kinds() -> Mapping[str, str]:
    lines = (line.split() for line in _LIST.read_text("utf-8").splitlines())
    return {words[1]: words[0] for words in lines if words and not words[0].startswith("#")}
