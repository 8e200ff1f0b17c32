"""Secrets that every process of this server shares: a file in the data directory, made once.

What enters: a path. What leaves: the secret in it. Must not: ever hold half a secret, or be readable by other users.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from personalizer.errors import SettingError, StartError

MIN_LENGTH = 32  # characters


def read_secret(path: Path) -> bytes:
    """The secret at `path`; the first process that asks makes it (mode 0600), and all others get the same.

    Raises SettingError when other users can read it or it is too short, StartError when it cannot be made.
    """
    try:
        if not path.exists():
            _make_secret(path)
        mode = path.stat().st_mode
        secret = path.read_bytes().strip()
    except OSError as error:
        raise StartError(
            f"{path} cannot be made or read ({error.strerror}). Choose a data directory of your own."
        ) from error
    if mode & 0o077:
        raise SettingError(f"{path} can be read by other users. Run `chmod 600 {path}`, or delete it to get a new one.")
    if len(secret) < MIN_LENGTH:
        raise SettingError(f"{path} has fewer than {MIN_LENGTH} characters. Delete it to get a new one.")
    return secret


def _make_secret(path: Path) -> None:
    """Written whole under another name, then linked: of processes that race one wins, and nobody reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_urlsafe(32).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
