"""Where marks stand in rendered HTML: how a visitor's word is escaped there, or that none may stand there.

What enters: HTML text and the pattern of its marks. What leaves: a `Context`. Must not: take for harmless a place
that a browser reads otherwise.

A parser decides. Most of a page is plain: tags with quoted attributes, closed before the next, and text. Such a page
falls into pieces that mean the same alone as together, so the parser walks only those with a mark in them.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

_URL_ATTRIBUTES = frozenset(
    ("href", "xlink:href", "src", "action", "formaction", "poster", "cite", "data", "ping", "background", "manifest")
)
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_SAFE_START = re.compile(r"^(https?://[^/?#]+[/?#]|/(?!/)|[?#])")


@dataclass(slots=True)
class Context:
    """`faults`: marks (by index) that stand where none may, and where; if there are none, `urls`: for every mark, in
    order, whether it stands in an address. `styles`: the text of each style block."""

    urls: list[bool] = field(default_factory=list)
    faults: list[tuple[int, str]] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)


def scan_context(html: str, marks: re.Pattern[str]) -> Context:
    """Where the marks of a whole page stand."""
    context, met = Context(), Counter[str]()
    for piece in telling_pieces(html, marks) if is_plain(html) else [html]:
        _Walk(piece, marks, context, met)
    for mark in (Counter(marks.findall(html)) - met).elements():
        context.faults.append((int(mark), "inside a tag, a comment or a declaration"))
    return context


# --- pieces that mean the same alone ---

# Inside these, text is not read as tags, by browsers or by this or that version of the parser.
_RAW = ("script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "plaintext")
_SPACE = r"[ \t\n\r\f]"
_ATTRIBUTES = rf"(?:{_SPACE}+[a-z@:_][a-z0-9@:._-]*(?:=\"[^\"<]*\")?)*{_SPACE}*"
_WHOLE = "|".join(rf"<{name}(?![^ \t\n\r\f>]){_ATTRIBUTES}>[^<]*</{name}{_SPACE}*>" for name in _RAW)
_OTHER = rf"(?!(?:{'|'.join(_RAW)})[ \t\n\r\f/>])[a-z][a-z0-9-]*"
_COMMENT = r"<!--(?!-?>)(?:[^<-]|-(?!-))*-->"
_TAG = re.compile(
    rf"<{_OTHER}{_ATTRIBUTES}/?>|</{_OTHER}{_SPACE}*>|{_WHOLE}|<!doctype html>|{_COMMENT}",
    re.IGNORECASE | re.ASCII,
)
_PLAIN = re.compile(f"[^<]*(?:(?:{_TAG.pattern})[^<]*)*", _TAG.flags)
_STYLE = re.compile("<style", re.IGNORECASE)


def is_plain(html: str) -> bool:
    """Whether each `<` of a page begins a tag or a comment that is closed before the next."""
    return _PLAIN.fullmatch(html) is not None


def telling_pieces(html: str, marks: re.Pattern[str]) -> list[str]:
    """Of a plain page the tags and texts that have a mark in them, each tag with the text behind it, and its styles."""
    starts = {match.start() for match in _STYLE.finditer(html)}
    starts.update(max(html.rfind("<", 0, match.start()), 0) for match in marks.finditer(html))
    return [_piece_at(html, start) for start in sorted(starts)]


def _piece_at(html: str, start: int) -> str:
    """The piece that begins with the `<` at `start`: a raw element alone, any other tag with the text behind it."""
    tag = _TAG.match(html, start)
    if tag is None:  # text before the first tag, or behind the end of a raw element
        start = html.find(">", start) + 1 if html[start] == "<" else start
        return html[start : _text_end(html, start)]
    if "<" in tag[0][1:]:
        return tag[0]
    return html[start : _text_end(html, tag.end())]


def _text_end(html: str, start: int) -> int:
    end = html.find("<", start)
    return len(html) if end < 0 else end


# --- the parser ---


class _Walk(HTMLParser):
    """Walks HTML and notes in `context` what it meets, in `met` how often it met each mark."""

    def __init__(self, html: str, marks: re.Pattern[str], context: Context, met: Counter[str]) -> None:
        super().__init__(convert_charrefs=True)
        self._marks = marks
        self._context = context
        self._met = met
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "style":
            self._context.styles.append("")
        bare = _QUOTED.sub("", self.get_starttag_text() or "")
        for mark in self._marks.findall(bare):
            self._context.faults.append((int(mark), f"in an attribute of <{tag}> without quotes"))
        for name, value in attrs:
            for found in self._marks.finditer(value or ""):
                self._meet(found[1], *_judge_attribute(tag, name, found.string[: found.start()]))

    def _meet(self, mark: str, url: bool, fault: str) -> None:
        self._met[mark] += 1
        self._context.urls.append(url)
        if fault:
            self._context.faults.append((int(mark), fault))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "style":
            self._context.styles[-1] += data
        for mark in self._marks.findall(data):
            self._meet(mark, False, f"inside <{self.cdata_elem}>" if self.cdata_elem in ("script", "style") else "")


def _judge_attribute(tag: str, name: str, before: str) -> tuple[bool, str]:
    """Whether a value that follows `before` in an attribute is part of an address, and what is wrong with its standing
    there."""
    if name.startswith("on") or name in ("style", "srcdoc", "srcset", "http-equiv"):
        return False, f"in the attribute {name} of <{tag}>"
    if name not in _URL_ATTRIBUTES:
        return False, ""
    if not _SAFE_START.match(before):
        return True, f"in the scheme or host of {name} of <{tag}>"
    return True, ""
