"""The visitor mix: requests with six UTM parameters from many addresses and agents, 70 % of them with a cookie.

What enters: how many visitors, and a server that hands out cookies. What leaves: requests, as raw bytes for the load
generator and as WSGI environs. Must not: differ between two runs but for the cookies, which are the server's own.
"""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks import BenchError
from benchmarks.agents import AGENTS
from benchmarks.market import LINKS
from benchmarks.workspace import HOST, PATH, address_of

RETURNING = 0.7
PLAIN, GZIP = "identity", "gzip, deflate, br"  # Accept-Encoding; peers are compared by the same bytes
SEPARATOR = b"\x1e"  # between the requests of a file; stands in no request

_LANGUAGES = (
    "en-US,en;q=0.9",
    "en-GB,en;q=0.8",
    "de-DE,de;q=0.9,en;q=0.7",
    "sv-SE,sv;q=0.9,en;q=0.6",
    "fr-CA,fr;q=0.9,en-CA;q=0.8",
)
_REFERRERS = (
    "",
    "",
    "https://www.google.com/",
    "https://www.linkedin.com/",
    "https://www.bing.com/",
    "https://l.facebook.com/",
)


@dataclass(frozen=True, slots=True)
class Request:
    """One view of the page. `headers` as a proxy hands them on; the cookie, if any, is the last of them."""

    query: str
    headers: tuple[tuple[str, str], ...]
    returning: bool

    def with_cookie(self, cookie: str) -> Request:
        return replace(self, headers=(*self.headers, ("Cookie", cookie)))

    def accepting(self, encoding: str) -> Request:
        return self._with("Accept-Encoding", encoding)

    def from_elsewhere(self, address: str, agent: str) -> Request:
        """The same link, opened by somebody with another address and browser."""
        return self._with("X-Forwarded-For", address)._with("User-Agent", agent)

    def _with(self, name: str, value: str) -> Request:
        return replace(self, headers=tuple((key, value if key == name else old) for key, old in self.headers))

    def raw(self) -> bytes:
        lines = [f"GET {PATH}?{self.query} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers), "", ""]
        return "\r\n".join(lines).encode("latin-1")

    def environ(self) -> dict[str, Any]:
        """What granian hands to a WSGI app for this request."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": PATH,
            "QUERY_STRING": self.query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8080",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        environ |= {"HTTP_" + name.upper().replace("-", "_"): value for name, value in self.headers}
        return environ


def make_requests(visitors: int) -> list[Request]:
    """One request a visitor, in a fixed order; nobody has a cookie yet."""
    draw = random.Random(3)
    return [_make_request(number, draw) for number in range(visitors)]


def _make_request(number: int, draw: random.Random) -> Request:
    link = draw.choice(LINKS)
    headers = {
        "Host": HOST,
        "User-Agent": draw.choice(AGENTS),
        "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "Accept-Language": draw.choice(_LANGUAGES),
        "Accept-Encoding": PLAIN,
        "Referer": draw.choice(_REFERRERS),
        "X-Forwarded-For": address_of(number),
        "X-Forwarded-Proto": "https",
    }
    query = urlencode({f"utm_{name}": value for name, value in link._asdict().items()})
    return Request(query, tuple((name, value) for name, value in headers.items() if value), draw.random() < RETURNING)


Headers = list[tuple[str, str]]
Visit = Callable[[Request], Headers]  # sends a request; returns the headers of the answer


def let_them_visit(requests: Iterable[Request], visit: Visit) -> list[Request]:
    """Everybody visits once; those who return then carry the cookie that they got."""
    visited = ((request, _cookie_of(visit(request))) for request in requests)
    return [request.with_cookie(cookie) if request.returning else request for request, cookie in visited]


def _cookie_of(headers: Headers) -> str:
    """The cookie that an answer sets, as `name=value`. Raises BenchError if it sets none."""
    for name, value in headers:
        if name.lower() == "set-cookie":
            return value.partition(";")[0]
    raise BenchError("A server gave a visitor no cookie, so nobody could return.")


def write_requests(requests: Sequence[Request], path: Path) -> Path:
    """All requests in one file, for the load generator."""
    path.write_bytes(SEPARATOR.join(request.raw() for request in requests))
    return path
