"""How large a picture is, from the first bytes of its file.

What enters: a file's bytes. What leaves: its width and height, None where it is no picture that is known here.
Must not: raise for any bytes, or decode the picture.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

Size = tuple[float, float]

_VIEW_BOX = re.compile(rb"<svg\b[^>]*?\sviewBox=[\"']\s*[-\d.]+[\s,]+[-\d.]+[\s,]+([\d.]+)[\s,]+([\d.]+)\s*[\"']")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG's segments that say how large the picture is


def read_size(body: bytes) -> Size | None:
    """Width and height in pixels; of an SVG, those of its viewBox."""
    for start, read in _READERS:
        if body.startswith(start):
            try:
                width, height = read(body)
            except (struct.error, ValueError, IndexError):
                return None
            return (width, height) if width > 0 and height > 0 else None
    return None


def _png(body: bytes) -> Size:
    width, height = struct.unpack_from(">II", body, 16)
    return width, height


def _gif(body: bytes) -> Size:
    width, height = struct.unpack_from("<HH", body, 6)
    return width, height


def _jpeg(body: bytes) -> Size:
    place = 2
    while True:
        mark, length = struct.unpack_from(">xBH", body, place)
        if mark in _FRAMES:
            height, width = struct.unpack_from(">HH", body, place + 5)
            return width, height
        place += 2 + length


def _webp(body: bytes) -> Size:
    kind = body[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[24:27], "little"), 1 + int.from_bytes(body[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", body, 26)
    return width & 0x3FFF, height & 0x3FFF


def _svg(body: bytes) -> Size:
    found = _VIEW_BOX.search(body)
    if found is None:
        raise ValueError("no viewBox")
    return float(found[1]), float(found[2])


_READERS: tuple[tuple[bytes, Callable[[bytes], Size]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"GIF8", _gif),
    (b"\xff\xd8\xff", _jpeg),
    (b"RIFF", _webp),
    (b"<svg", _svg),
    (b"<?xml", _svg),
)
