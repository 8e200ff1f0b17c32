"""gzip without compressing at request time: what is always the same is deflated once, what a view fills in is stored.

What enters: the pieces of a page. What leaves: one gzip member (RFC 1952) that says the same. Must not: compress what a
visitor can choose together with anything else, or its length would tell what it is equal to (BREACH).

A deflate stream (RFC 1951) is a row of blocks. A piece that was flushed ends on a whole byte and refers to nothing
before itself, so such pieces may be joined, with blocks of stored bytes between them.
"""

from __future__ import annotations

import zlib
from typing import Final

from zlib_ng.zlib_ng import crc32

_HEAD: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"  # gzip, deflate, no name, no time, smallest, no system
_END: Final = b"\x03\x00"  # an empty last block
_LONGEST: Final = 0xFFFF  # bytes of one stored block


def deflate_pieces(pieces: list[bytes]) -> list[bytes]:
    """What `join_gzip` needs of a page whose every second piece, from the second on, is a hole."""
    return [_HEAD + _deflate(pieces[0]), *(_deflate(piece) for piece in pieces[1:])]


def join_gzip(pieces: list[bytes], deflated: list[bytes]) -> bytes:
    """The gzip form of `pieces`; `deflated` has those of them that are not holes."""
    parts = deflated.copy()
    for place in range(1, len(pieces), 2):
        parts[place] = _store(pieces[place])
    body = b"".join(pieces)
    parts.append(_END + crc32(body).to_bytes(4, "little") + len(body).to_bytes(4, "little"))
    return b"".join(parts)


def _deflate(piece: bytes) -> bytes:
    if not piece:
        return b""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL)
    deflated = deflater.compress(piece) + deflater.flush(zlib.Z_SYNC_FLUSH)
    stored = _store(piece)
    return deflated if len(deflated) < len(stored) else stored


def _store(piece: bytes) -> bytes:
    size = len(piece)
    if 0 < size <= _LONGEST:
        return b"\x00" + (size | (_LONGEST - size) << 16).to_bytes(4, "little") + piece
    blocks = [_store(piece[start : start + _LONGEST]) for start in range(0, size, _LONGEST)]
    return b"".join(blocks)
