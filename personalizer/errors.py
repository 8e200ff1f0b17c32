"""The exception tree. What enters: what went wrong, where, and what to do. What leaves: one sentence for a person.

PersonalizerError              anything this package raises on purpose; the CLI prints it and exits 1
├── ContentError               the workspace has problems; carries all of them
├── SettingError               a setting has a value that cannot be used
├── StartError                 the server cannot start here: port taken, data in use, directory not writable
├── DataError                  a file we read (geo, company, journal, lake) is missing or damaged
├── JournalRefused             a row could not be kept: disk full or failing; nothing of it is in the journal
└── SimulationError            the simulated population could not be sent as declared

Must not: be raised for what a visitor sends; bad requests are answered, not raised.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class PersonalizerError(Exception):
    """Something is wrong that a person can mend; the message says what, where, and how."""


class SettingError(PersonalizerError):
    """A setting has a value that cannot be used."""


class StartError(PersonalizerError):
    """The server cannot start in this place."""


class DataError(PersonalizerError):
    """A file that should be read is missing or damaged."""


class JournalRefused(PersonalizerError):
    """The journal could not keep a row; whoever sent it must not be told that it was accepted."""


class SimulationError(PersonalizerError):
    """The simulated population could not be sent as its rates file declares."""


@dataclass(frozen=True, order=True, slots=True)
class Problem:
    """One mistake in a workspace: where it stands, what is wrong, what to write instead.

    `line` counts from 1; 0 means the file as a whole. `key` is the dotted path inside the document.
    A `warning` is printed and does not stop a publish; everything else does.
    """

    file: Path
    line: int
    key: str
    message: str
    remedy: str = ""
    warning: bool = False

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else str(self.file)
        key = f" {self.key}:" if self.key else ""
        level = "warning: " if self.warning else ""
        remedy = f" {self.remedy}" if self.remedy else ""
        return f"{where}: {level}{key.lstrip()} {self.message}{remedy}".replace(":  ", ": ")


class ContentError(PersonalizerError):
    """A workspace has mistakes; `problems` lists every one of them."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
