"""Answers: status, headers and body in one shape, and the security headers that every page carries.

What enters: what a handler decided. What leaves: a `Response`, sent as WSGI. Must not: put anything of a request into a
header unescaped, or decide anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import orjson

from personalizer.cache import Cache

MAX_ACCEPT: Final = 200  # characters of Accept-Encoding that are read

Headers = list[tuple[str, str]]
StartResponse = Callable[[str, Headers], Any]

_STATUS_LINES: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}

HTML: Final = ("Content-Type", "text/html; charset=utf-8")
NO_STORE: Final = ("Cache-Control", "private, no-store")
GZIP: Final = ("Content-Encoding", "gzip")  # without `Vary`: what nobody may store is not told apart by it
IMMUTABLE: Final = ("Cache-Control", "public, max-age=31536000, immutable")
SECURITY: Final[tuple[tuple[str, str], ...]] = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()"),
)
STRICT_TRANSPORT: Final = ("Strict-Transport-Security", "max-age=31536000")

GIF: Final = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)


class Response:
    """One answer."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes = b"", headers: Headers | None = None) -> None:
        self.status = status
        self.body = body
        self.headers: Headers = headers or []

    def all_headers(self) -> Headers:
        """Its headers with the length of the body."""
        return [*self.headers, ("Content-Length", str(len(self.body)))]

    def send(self, start_response: StartResponse, *, head: bool = False) -> list[bytes]:
        """Send it as WSGI; `head` leaves the body out and keeps its length."""
        start_response(_STATUS_LINES[self.status], self.all_headers())
        return [] if head else [self.body]


_GZIP: Final = re.compile(r"(?:^|,)\s*(?:x-)?gzip\s*(?:;\s*q\s*=\s*([0-9.]{1,5})\s*)?(?=,|$)", re.IGNORECASE)
_accepting: Final[Cache[str, bool]] = Cache(512)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an answer may be compressed, by the Accept-Encoding of the request."""
    if len(accept_encoding) > MAX_ACCEPT:
        accept_encoding = accept_encoding[:MAX_ACCEPT]
    known = _accepting.get(accept_encoding)
    if known is None:
        found = _GZIP.search(accept_encoding)
        known = _accepting.put(accept_encoding, found is not None and (found[1] or "1").strip("0.") != "")
    return known


def problem(status: int, kind: str, detail: str, *headers: tuple[str, str]) -> Response:
    """An RFC 9457 problem document; `kind` is stable, `detail` says what to do."""
    body = {"type": f"urn:personalizer:{kind}", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    fixed = [("Content-Type", "application/problem+json"), ("Cache-Control", "no-store"), SECURITY[0]]
    return Response(status, orjson.dumps(body), [*fixed, *headers])


def pixel() -> Response:
    """A transparent image of one pixel, never cached."""
    return Response(200, GIF, [("Content-Type", "image/gif"), NO_STORE, SECURITY[0]])
