"""One line of a CSV file → its cells.

What enters: a line. What leaves: its cells, or what is wrong with it. Must not: read on in the next line for the end of
a quote; one that was forgotten would swallow whatever follows.
"""

from __future__ import annotations

import csv


class BrokenLineError(Exception):
    """A line that has no clear cells: what is wrong, what to write, and in which cell, if that is known."""

    def __init__(self, message: str, remedy: str, cell: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.cell = cell


def split_line(line: str, delimiter: str = ",") -> list[str]:
    """The cells of a line; none of an empty one. Raises BrokenLineError."""
    try:
        return next(csv.reader((line,), delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise _explain(line, delimiter, str(error)) from error


def is_text(line: str) -> bool:
    """Whether a line, read with surrogates for what is no UTF-8, has nothing of a binary file."""
    return not any((char < " " and char not in "\t\r\n") or "\ud800" <= char <= "\udfff" for char in line)


def _explain(line: str, delimiter: str, error: str) -> BrokenLineError:
    if "unexpected end" in error:
        # Read leniently, the cell that was never closed is the last one.
        last = len(next(csv.reader((line,), delimiter=delimiter))) - 1
        what = "the quote that opens here is never closed."
        return BrokenLineError(what, "Close it in the same line; a cell has no line breaks.", last)
    if "expected after" in error:
        remedy = "Quote the whole cell, and write a quote within it twice."
        return BrokenLineError("has a cell that goes on after its closing quote.", remedy)
    return BrokenLineError(f"cannot be read ({error}).", "Save the file again as CSV (UTF-8).")
