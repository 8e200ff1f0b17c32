"""Limits on what one sender may send: sizes, how often a form, and from where.

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


class BodyRefused(Exception):
    """The body is larger than this route reads, or only a part of it came; `answer` says so."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.status)
        self.answer = answer


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


def is_cross_site(environ: Mapping[str, Any]) -> bool:
    """Whether a browser says that another site's page sent this; old browsers and programs say nothing."""
    return environ.get("HTTP_SEC_FETCH_SITE", "same-origin") not in ("same-origin", "same-site", "none")


def read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """The request's body. Raises BodyRefused, before reading more than `limit` bytes."""
    length = int(environ.get("CONTENT_LENGTH") or -1)  # the server has seen to it that it is a number
    body: bytes = environ["wsgi.input"].read(limit + 1) if length <= limit else b""
    if max(length, len(body)) > limit:
        detail = f"The body may have {limit:,} bytes at most."
        raise BodyRefused(problem(413, "too-large", detail, ("Connection", "close")))
    if len(body) < length:  # whoever hung up in the middle must not be taken for having said all of it
        raise BodyRefused(problem(400, "incomplete", f"Only {len(body):,} of {length:,} bytes arrived."))
    return body
