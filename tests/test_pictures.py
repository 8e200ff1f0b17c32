"""How large a picture is, and that copy which says otherwise is told so."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Files
from hypothesis import given
from hypothesis import strategies as st

from personalizer.content.compile import check_workspace
from personalizer.content.pictures import Size, read_size

Write = Callable[[Files], Path]

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 1200, 630) + b"\x08\x02"
JPEG = (
    b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xc4\0\x04ab"
    b"\xff\xc2\0\x11\x08" + struct.pack(">HH", 630, 1200) + b"\x03"
)


def webp(kind: bytes, rest: bytes) -> bytes:
    return b"RIFF\0\0\0\0WEBP" + kind + b"\0\0\0\0" + rest


PICTURES: dict[str, tuple[bytes, Size | None]] = {
    "png": (PNG, (1200, 630)),
    "gif": (b"GIF89a" + struct.pack("<HH", 1200, 630), (1200, 630)),
    "jpeg": (JPEG, (1200, 630)),
    "webp lossy": (webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 1200, 630)), (1200, 630)),
    "webp lossless": (webp(b"VP8L", b"\x2f" + (1199 | 629 << 14).to_bytes(4, "little")), (1200, 630)),
    "webp extended": (webp(b"VP8X", b"\0" * 4 + b"\xaf\x04\0\x75\x02\0"), (1200, 630)),
    "svg": (b"<svg xmlns='x' viewBox='0 0 640 600.5' width='1'>", (640, 600.5)),
    "svg after a prologue": (b'<?xml version="1.0"?>\n<svg viewBox="-1,-1, 12 , 6">', (12, 6)),
    "svg without a size": (b"<svg xmlns='x'>", None),
    "svg without room": (b"<svg viewBox='0 0 0 6'>", None),
    "svg with a wild number": (b"<svg viewBox='0 0 1.2.3 6'>", None),
    "cut short": (PNG[:20], None),
    "jpeg without a frame": (b"\xff\xd8\xff\xe0\0\x04ab", None),
    "a paper": (b"%PDF-1.4", None),
    "nothing": (b"", None),
}


@pytest.mark.parametrize(("body", "size"), PICTURES.values(), ids=PICTURES)
def test_the_size_of_a_picture(body: bytes, size: Size | None) -> None:
    assert read_size(body) == size


@given(st.sampled_from(sorted(PICTURES)), st.binary(max_size=60), st.integers(0, 40))
def test_any_bytes_are_answered(kind: str, noise: bytes, place: int) -> None:
    body = PICTURES[kind][0]
    size = read_size(body[:place] + noise + body[place:])
    assert size is None or min(size) > 0


LANDING = """\
---
slots: {headline: {type: text}, picture: {type: image}}
---
<!doctype html><title>{{ copy.headline }}</title>
<img src="{{ copy.picture.src }}" alt="" width="{{ copy.picture.width }}" height="{{ copy.picture.height }}">
"""


def problems(write: Write, width: int, height: int) -> list[str]:
    copy = {"headline": "Welcome", "picture": {"src": "a.png", "alt": "", "width": width, "height": height}}
    files = {"variants/pages/home/page.yaml": {"path": "/home", "copy": copy}, "templates/landing.html": LANDING}
    checked = check_workspace(write({**files, "templates/assets/a.png": PNG}))
    return [f"{problem.key}: {problem.message} {problem.remedy}" for problem in checked.problems]


@pytest.mark.parametrize(("width", "height"), [(1200, 630), (600, 315), (601, 315), (2400, 1260)])
def test_a_picture_in_its_proportions(workspace: Write, width: int, height: int) -> None:
    assert problems(workspace, width, height) == []


@pytest.mark.parametrize(("width", "height"), [(630, 1200), (1200, 675), (100, 100)])
def test_a_picture_in_other_proportions(workspace: Write, width: int, height: int) -> None:
    (problem,) = problems(workspace, width, height)
    assert problem == (
        f"copy.picture.width: a.png is not in the proportions {width} × {height}. "
        "Write `width: 1200, height: 630`, or less of both in the same proportions."
    )
