"""The one cleaning rule for text that strangers send: query values, titles, answers, words in look-up files.

What enters: decoded text. What leaves: text that is safe to compare, log and show once escaped, in the sender's case.
Must not: decode, escape, or change the case; comparing is case-folded where the comparing is done.
"""

from __future__ import annotations

import sys
import unicodedata

LIMIT = 200  # characters

# Controls, format characters (bidi overrides, zero-width), surrogates, and the two separators that break lines.
_UNWANTED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def clean_text(text: str, limit: int = LIMIT) -> str:
    """`text` without control and format characters, in NFKC, trimmed, at most `limit` characters; may be empty.

    Cleaning twice changes nothing. Look-alike letters of other alphabets stay what they are: they compare as different.
    The same text is the same object: what many links or companies say is in memory once.
    """
    if not (text.isascii() and text.isprintable()):
        kept = "".join(char for char in text if unicodedata.category(char) not in _UNWANTED)
        text = unicodedata.normalize("NFKC", kept)
    return sys.intern(text.strip()[:limit].rstrip())
