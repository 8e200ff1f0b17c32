"""Where marks stand: a page taken apart tells the same as the parser that walks all of it."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalizer.content.context import Context, _Walk, is_plain, scan_context, telling_pieces

MARKS = re.compile(r"pzh(\d+)z")


def walk_all(html: str) -> Context:
    """What the parser alone tells of the whole page."""
    context, met = Context(), Counter[str]()
    _Walk(html, MARKS, context, met)
    for mark in (Counter(MARKS.findall(html)) - met).elements():
        context.faults.append((int(mark), "inside a tag, a comment or a declaration"))
    return context


TEXTS = ["", " ", "a", "M", "&amp;", "&", "x > y", "'", '"', "/", "é\n", "ſ", "-->", "</", "<", "=", "&lt;script&gt;"]
VALUES = ["", "M", "/x?M", "https://M", "javascript:M", "a > b", "&quot;", "M M", "/M", "x='M'"]
NAMES = ["href", "class", "onclick", "data-x", "src", "style", "xlink:href", "HREF", "m", "srcdoc"]
ELEMENTS = [
    "a",
    "p",
    "img",
    "SPAN",
    "style",
    "script",
    "title",
    "textarea",
    "noscript",
    "template",
    "svg",
    "plaintext",
    "h1",
]


@st.composite
def attributes(draw: st.DrawFn) -> str:
    form = draw(
        st.sampled_from([' {}="{}"'] * 6 + [" {}='{}'", " {}={}", ' {} = "{}"', ' {}="{}', '\n{}="{}"', '{}="{}"'])
    )
    return draw(
        st.sampled_from([form.format(draw(st.sampled_from(NAMES)), draw(st.sampled_from(VALUES))), " M", " /", ""])
    )


@st.composite
def pieces(draw: st.DrawFn) -> str:
    element, text = draw(st.sampled_from(ELEMENTS)), draw(st.sampled_from(TEXTS))
    inside = "".join(draw(st.lists(attributes(), max_size=3)))
    start = f"<{element}{inside}{draw(st.sampled_from(['>'] * 8 + ['/>', ' >', '']))}"
    end = f"</{element}{draw(st.sampled_from(['>'] * 8 + [' >', ' x>', '']))}"
    whole, odd = start + text + end, [f"<!--{text}-->", f"<!{text}>", f"<?{text}>", f"<!--{text}", "<!doctype html>"]
    return draw(st.sampled_from([start, end, text, whole, whole, whole + "M", *odd]))


@given(st.lists(pieces(), max_size=8))
@settings(max_examples=1500)
def test_pieces_tell_the_same_as_the_whole(parts: list[str]) -> None:
    html = "".join(parts)
    for number in range(html.count("M")):
        html = html.replace("M", f"pzh{number}z", 1)
    told, whole = scan_context(html, MARKS), walk_all(html)
    assert sorted(told.faults) == sorted(whole.faults)
    assert (told.urls, told.styles) == (whole.urls, whole.styles)


PLAIN = [
    '<!doctype html><html lang="en"><body>a</body></html>',
    "text first <b>M</b>",
    '<a href="/x?M" class="y"\n id="z" hidden>a > b</a><br/>',
    "<style>p { color: #123; }</style><title>M</title><script></script>",
    '<!-- a - b --><noscript><img src="/x" alt=""></noscript>',
]
NOT_PLAIN = [
    "<a href='x'>", "<a href=x>", '<a href="x', "a < b", "<script>a<b</script>", "<style>", "</script>", "<p", "<!-->",
    "<!-- -- -->", "<?php ?>", '<a href="<">', "<script/>", "<title><b></title>", '<p\x0bx="1">', "<ſtyle>",
]  # fmt: skip


@pytest.mark.parametrize(("html", "plain"), [*((one, True) for one in PLAIN), *((one, False) for one in NOT_PLAIN)])
def test_what_is_plain(html: str, plain: bool) -> None:
    assert is_plain(html) is plain


def test_only_pieces_with_marks_and_styles_are_walked() -> None:
    html = "pzh0z<p>a</p><p>pzh1z</p><style>x</style>pzh2z<i>b</i><title>pzh3z</title>pzh4z"
    pieces = ["pzh0z", "<p>pzh1z", "<style>x</style>", "pzh2z", "<title>pzh3z</title>", "pzh4z"]
    assert telling_pieces(html, MARKS) == pieces


def test_a_long_page_that_is_not_plain_is_known_at_once() -> None:
    assert not is_plain('<p class="a" id="b">text</p>\n' * 20_000 + "<")
