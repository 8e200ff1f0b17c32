"""How much of one text another says again, in any language: by groups of three letters.

What enters: two texts. What leaves: a share from 0 to 1. Must not: know a language; endings differ from word to word,
and Thai has no spaces between words.
"""

from __future__ import annotations

import unicodedata

SIZE = 3


def likeness(told: str, shown: str) -> float:
    """The share of `told`'s groups of letters that `shown` has too; 0 where there is nothing to compare."""
    groups = letter_groups(told)
    return len(groups & letter_groups(shown)) / len(groups) if groups else 0.0


def letter_groups(text: str) -> frozenset[str]:
    """Groups of letters within the text's words, folded. A word's beginning counts as a letter and its end does not, so
    that `closes` is nearly `close`."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = "".join(letter if _belongs(letter) else " " for letter in folded).split()
    marked = (f"^{word}" for word in words)
    return frozenset(word[place : place + SIZE] for word in marked for place in range(len(word) - SIZE + 1))


def _belongs(letter: str) -> bool:
    """Letters, digits, and the vowels and tones that some scripts set above and below them."""
    return letter.isalnum() or unicodedata.category(letter).startswith("M")
