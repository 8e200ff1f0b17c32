"""Limits on what one sender may send: sizes, and how often a form.

What enters: an environ or an address. What leaves: a body, or a refusal. Must not: wait, or remember an address longer
than a minute or in more than a bounded table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from personalizer.edge.respond import Response, problem

MAX_QUERY = 8 * 1024
MAX_FORM = 64 * 1024
MAX_SIGNALS = 16 * 1024


class TooLarge(Exception):
    """The body is larger than this route reads."""


class RateLimit:
    """At most `per_minute` calls a minute and sender, counted in fixed windows; `most` senders are remembered."""

    def __init__(self, per_minute: int, most: int = 10_000) -> None:
        self._per_minute = per_minute
        self._most = most
        self._minute = 0
        self._counts: dict[str, int] = {}

    def allows(self, sender: str, now: float) -> bool:
        """Count one call of `sender` at `now` (epoch seconds)."""
        minute = int(now // 60)
        if minute != self._minute or len(self._counts) >= self._most:
            self._minute, self._counts = minute, {}
        count = self._counts.get(sender, 0) + 1
        self._counts[sender] = count
        return count <= self._per_minute


def read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """The request's body. Raises TooLarge before reading more than `limit` bytes."""
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isdigit() and int(length) > limit:
        raise TooLarge
    body: bytes = environ["wsgi.input"].read(limit + 1)
    if len(body) > limit:
        raise TooLarge
    return body


def refuse_size(limit: int) -> Response:
    """413, naming the limit."""
    return problem(413, "too-large", f"The body may have {limit:,} bytes at most.", ("Connection", "close"))
