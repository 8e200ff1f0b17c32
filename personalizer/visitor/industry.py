"""Industry codes and their names: NAICS of 2022 with what is left of 2007 to 2017, and SIC of 1987.

What enters: the kept lists. What leaves: every code of a fact, and the name of one. Must not: match; codes are compared
as text, and a shorter code is the beginning of all that lie within it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

_LISTS = Path(__file__).parent / "data"

CODED = {"company.naics": "naics.txt", "company.sic": "sic.txt"}  # fact → list


@cache
def load_codes(fact: str) -> Mapping[str, str]:
    """Name by code, of one of the facts in `CODED`. A sector of several numbers (`31-33`) is there as such too."""
    lines = (_LISTS / CODED[fact]).read_text("utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines)


class CodeNames:
    """The display forms of a fact's codes, in English. A code that is not listed has the name of what it lies in."""

    def __init__(self, fact: str) -> None:
        self._names = load_codes(fact)

    def get(self, text: str, default: str) -> str:
        for length in range(len(text), 1, -1):
            if name := self._names.get(text[:length]):
                return name
        return default


def say_code(fact: str, code: str) -> str:
    """A value as people read it: with its name if the fact is a code, as it is else."""
    if fact not in CODED:
        return code
    name = CodeNames(fact).get(code, "")
    return f"{code} ({name})" if name else code
