"""Names of places in several languages: a fact is the English name (or the code), a page shows its own language's.

What enters: names as City files have them. What leaves: texts that know their other names, and what chooses among them.
Must not: change what rules compare or what is journaled; both see the fact alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from personalizer.visitor.cleaning import clean_text

_FILE_LANGUAGES = ("pt-BR", "zh-CN")  # what City files call two languages, of which they have one form only


class PlaceName(str):
    """A fact's text, with other names by language, as the file has them."""

    __slots__ = ("names",)
    names: Mapping[str, Any]

    def __new__(cls, text: str, names: Mapping[str, Any] = MappingProxyType({})) -> PlaceName:
        place = super().__new__(cls, text)
        place.names = names
        return place

    def __str__(self) -> str:
        return self  # `str()` of a fact is what a page shows: it must not lose the names on the way


class PlaceNames:
    """Display forms of places in one language. Like a dictionary it has a default for those without a name in it."""

    def __init__(self, language: str) -> None:
        primary = language.partition("-")[0]
        near = (name for name in _FILE_LANGUAGES if name.startswith(f"{primary}-"))
        self._languages = tuple(dict.fromkeys((language, primary, *near)))

    def get(self, text: str, default: str) -> str:
        if isinstance(text, PlaceName):
            for language in (*self._languages, "en"):
                name = text.names.get(language)
                if isinstance(name, str):
                    return clean_text(name) or default
        return default


def name_place(text: str, names: object) -> str:
    """`text`, with those of `names` that differ from it; without any it is the text alone."""
    other = {language: name for language, name in names.items() if name != text} if isinstance(names, dict) else {}
    return PlaceName(text, other) if other else text
