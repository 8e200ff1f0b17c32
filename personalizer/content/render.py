"""Rendering: a template is rendered once, at publish, into byte pieces with typed, escaped holes.

What enters: HTML text in which marks stand for tokens. What leaves: a `Rendering`; filling it is one pass and a join.
Must not: see a request before the pieces are made; what arrives in a request only ever fills a hole, escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from html import escape
from typing import Final, Protocol
from urllib.parse import quote

from personalizer.cache import Cache
from personalizer.content.context import scan_context
from personalizer.content.copy import Marks, Token
from personalizer.content.deflate import deflate_pieces, join_gzip
from personalizer.model import Facts

TOKEN_LIMIT: Final = 60  # characters of a fact that a page shows

DECISION, ROW, ARM = "pz.decision", "pz.row", "pz.arm"
_SYSTEM: Final = (DECISION, ROW, ARM)


class MisplacedTokens(Exception):
    """Tokens stand where no visitor's word may: in a script, a style, a comment, a tag, or an address's host."""

    def __init__(self, faults: list[tuple[Token, str]]) -> None:
        """`faults`: each such token, and where it stands in words (`inside <script>`)."""
        super().__init__(f"{len(faults)} misplaced tokens")
        self.faults = faults


def escape_text(text: str, limit: int | None = TOKEN_LIMIT) -> bytes:
    """A fact for HTML text or a quoted attribute."""
    return escape(text[:limit], quote=True).encode("utf-8", "replace")


def escape_url(text: str, limit: int | None = TOKEN_LIMIT) -> bytes:
    """A fact for the path or query of an address inside an attribute."""
    return quote(text[:limit].encode("utf-8", "replace"), safe="").encode()


Escape = Callable[..., bytes]

_ESCAPED: Final[dict[Escape, Cache[str, bytes]]] = {escape_text: Cache(49_152), escape_url: Cache(8192)}  # 15 MB


class DisplayNames(Protocol):
    """Display forms of a fact's values; a dictionary is one."""

    def get(self, text: str, default: str, /) -> str: ...


class Rendering:
    """One variant of one page, ready to serve: static pieces, and holes for facts and for the decision's own marks."""

    __slots__ = ("_arm", "_decision", "_deflated", "_facts", "_pieces", "_row", "csp", "language")

    def __init__(
        self, html: str, marks: Marks, names: Mapping[str, DisplayNames], language: str, frames: frozenset[str]
    ) -> None:
        """`names` gives the display form of a fact's values (`geo.country` → `DE` → `Germany`).

        Raises MisplacedTokens.
        """
        scan = scan_context(html, marks.pattern)
        if scan.faults:
            raise MisplacedTokens([(marks.tokens[index], where) for index, where in scan.faults])
        parts = marks.pattern.split(html)  # text, index, text, index, …, text
        self._pieces: list[bytes] = [part.encode() if place % 2 == 0 else b"" for place, part in enumerate(parts)]
        self._deflated: list[bytes] = []
        self._facts: list[tuple[int, str, bytes, Escape, Cache[str, bytes], DisplayNames | None]] = []
        places: dict[str, list[int]] = {name: [] for name in _SYSTEM}
        for count, url in enumerate(scan.urls):
            place = 2 * count + 1
            token = marks.tokens[int(parts[place])]
            if token.fact in places:
                places[token.fact].append(place)
            else:
                escaper = escape_url if url else escape_text
                fallback = escaper(token.fallback, None)
                known = _ESCAPED[escaper]
                self._facts.append((place, token.fact, fallback, escaper, known, names.get(token.fact)))
        self._decision, self._row, self._arm = (tuple(places[name]) for name in _SYSTEM)
        self.language = language
        self.csp = _content_security_policy(scan.styles, frames)

    def dead_links(self) -> list[str]:
        """Names that a link leads to (`href="#name"`) and nothing on the page has as its id."""
        html = b"\0".join(self._pieces)  # searched as bytes, because thousands of variants are
        linked = {rest.partition(b'"')[0] for rest in html.split(b' href="#')[1:]} - {
            b"",
            b"top",
        }  # which are always there
        return sorted(name.decode() for name in linked if b"\0" not in name and b'id="%b"' % name not in html)

    def deflate(self) -> None:
        """Get ready for `fill_gzip`: takes some hundred µs, so it is done when content is published."""
        self._deflated = deflate_pieces(self._pieces)

    def fill(self, decision: str, row: str, arm: str, facts: Facts) -> bytes:
        """The page for one view. `decision` is the signed decision id; `row` and `arm` are keys of content."""
        return b"".join(self._fill(decision, row, arm, facts))

    def fill_gzip(self, decision: str, row: str, arm: str, facts: Facts) -> bytes:
        """The same page, compressed."""
        return join_gzip(self._fill(decision, row, arm, facts), self._deflated)

    def _fill(self, decision: str, row: str, arm: str, facts: Facts) -> list[bytes]:
        pieces = self._pieces.copy()
        for place, fact, fallback, escaper, known, names in self._facts:
            value = facts.get(fact)
            if value is None:
                pieces[place] = fallback
            else:
                text = str(value)
                if names is not None:
                    text = names.get(text, text)
                text = text[:TOKEN_LIMIT]
                pieces[place] = known.get(text) or known.put(text, escaper(text))
        for places, text in ((self._decision, decision), (self._row, row), (self._arm, arm)):
            encoded = text.encode()
            for place in places:
                pieces[place] = encoded
        return pieces


def system_marks(marks: Marks) -> dict[str, str]:
    """Marks for what each view fills in: the signed decision id, the row, the arm."""
    return {name.removeprefix("pz."): marks.add(Token(name, "")) for name in _SYSTEM}


def _content_security_policy(styles: list[str], frames: frozenset[str]) -> str:
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in styles)
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src {hashes or chr(39) + 'none' + chr(39)}",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            f"frame-src {' '.join(sorted(frames)) or chr(39) + 'none' + chr(39)}",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )
