"""Ids for visitors on whose device nothing is kept: a keyed hash over a salt that lives for one day.

What enters: address, agent, host and the day. What leaves: an id that is the same all day in every worker, and that
nobody can trace back or carry into the next day. Must not: keep a salt, or anything of a visitor, after its day.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from personalizer.errors import PersonalizerError
from personalizer.visitor.secretfile import read_secret

DAY = 86_400  # seconds


class DailyId(NamedTuple):
    """`visitor` has 16 characters, `visit` 8; both are of base64url. A storage-free visit lasts the UTC day."""

    visitor: str
    visit: str


class Salts:
    """The day's salt: a file in `folder` named by its UTC day, which all workers share; earlier days are deleted.

    `fixed` is a salt to use on every day instead of files, for tools that must leave a server's files alone.
    """

    def __init__(self, folder: Path, fixed: bytes | None = None) -> None:
        self._folder = folder
        self._fixed = fixed
        self._today = (-1, b"")

    def daily_id(self, now: float, address: str, agent: str, host: str) -> DailyId:
        """The id of whoever has this address, agent and host on the UTC day of `now` (seconds since 1970)."""
        message = "\0".join((address, agent, host)).encode("utf-8", "replace")
        digest = hashlib.blake2b(message, digest_size=18, key=self._salt(now), person=b"storage-free").digest()
        text = urlsafe_b64encode(digest).decode("ascii")
        return DailyId(text[:16], text[16:])

    def _salt(self, now: float) -> bytes:
        if self._fixed is not None:
            return self._fixed
        day = int(now // DAY)
        known, salt = self._today
        # Days only go forward: a view whose clock was read just before midnight takes the new day's salt.
        if day > known:
            salt = self._change_salt(datetime.fromtimestamp(day * DAY, UTC).date().isoformat())
            self._today = (day, salt)
        return salt

    def _change_salt(self, day: str) -> bytes:
        try:
            salt = read_secret(self._folder / day)
            for file in self._folder.iterdir():
                if file.name.lstrip(".") < day:  # with what a killed process left half made
                    file.unlink(missing_ok=True)
        except (PersonalizerError, OSError):
            # A full or read-only disk at midnight must not cost a page; until tomorrow this worker's ids are its own.
            salt = secrets.token_bytes(32)
        return salt
