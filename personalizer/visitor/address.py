"""Which address a request really came from, and whether over https: the trusted-proxy rule.

What enters: a WSGI environ and the networks whose forwarding headers are believed. What leaves: a `Client`.
Must not: believe a header of anybody else; nobody is trusted unless the operator says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

from personalizer.cache import Cache
from personalizer.model import Facts, SiteRules

CACHED_CLIENTS: Final = 65_536
_CACHED_LENGTH: Final = 200  # characters
MAX_FORWARDED: Final = 1000  # characters of X-Forwarded-For that are read, from the right


class Client:
    """Who is at the other end. `ip` is None when the server gives no address (a Unix socket).

    What look-ups tell of the address stays with it: `facts` (`geo.*`, `network.*`) and `company`, None until somebody
    looked.
    """

    __slots__ = ("_internal", "_site", "address", "company", "facts", "https", "ip")

    def __init__(self, ip: IPv4Address | IPv6Address | None, https: bool) -> None:
        self.ip = ip
        self.address = "" if ip is None else str(ip)
        self.https = https
        self.facts: Facts | None = None
        self.company: Facts | None = None
        self._site: SiteRules | None = None
        self._internal = False

    def is_internal(self, site: SiteRules) -> bool:
        """Whether the address is in one of the site's own networks."""
        if self._site is not site:  # else it is as it was
            self._internal = self.ip is not None and any(self.ip in network for network in site.internal)
            self._site = site
        return self._internal


class ClientRule:
    """Reads the client of a request, believing only `trusted` peers."""

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        self._trusted = tuple(trusted)
        self._clients: Cache[str, Client] = Cache(CACHED_CLIENTS)

    def read(self, environ: dict[str, Any]) -> Client:
        """The peer; behind a trusted proxy, the rightmost address of X-Forwarded-For that is not a trusted one.

        An entry that is no address ends the walk: the last good one before it is the client.
        """
        peer: str = environ.get("REMOTE_ADDR", "")
        forwarded: str = environ.get("HTTP_X_FORWARDED_FOR", "") if self._trusted else ""
        if len(forwarded) > MAX_FORWARDED:
            forwarded = forwarded[-MAX_FORWARDED:].partition(",")[2]
        scheme: str = environ.get("HTTP_X_FORWARDED_PROTO", "") if self._trusted else ""
        if len(scheme) > MAX_FORWARDED:
            scheme = scheme[-MAX_FORWARDED:]
        https = environ.get("wsgi.url_scheme") == "https"
        # One text as the key: it is found with fewer looks into the memory than a tuple of four.
        asked = f"{peer} {forwarded} {scheme} {https}"
        found = self._clients.get(asked)
        if found is None:
            found = self._read(peer, forwarded, scheme, https)
            if len(asked) <= _CACHED_LENGTH:  # longer ones are nobody's, and must not fill the memory
                self._clients.put(asked, found)
        return found

    def _read(self, peer: str, forwarded: str, scheme: str, https: bool) -> Client:
        ip = parse_address(peer)
        if ip is None:
            return Client(None, https)
        if not self._trusts(ip):
            return Client(ip, https)
        for entry in reversed(forwarded.split(",")):
            previous = parse_address(entry)
            if previous is None:
                break
            ip = previous
            if not self._trusts(ip):
                break
        # Of several schemes the last one counts, for it is the one that our own proxy wrote.
        told = scheme.rpartition(",")[2].strip().lower()
        return Client(ip, told == "https" if told else https)

    def _trusts(self, ip: IPv4Address | IPv6Address) -> bool:
        return any(ip in network for network in self._trusted)


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address as peers and proxies write it: with a port, in brackets, IPv4 mapped into IPv6; zones are refused."""
    text = text.strip()
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        if not closed or (port and not _is_port(port)):
            return None
        text = host
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(f":{port}"):
            return None
    if "%" in text:
        return None
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


def _is_port(text: str) -> bool:
    digits = text.removeprefix(":")
    return text.startswith(":") and len(digits) <= 5 and digits.isascii() and digits.isdigit()
