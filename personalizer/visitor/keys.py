"""The keys that sign what a browser keeps for us: the cookie, and ids of decisions.

What enters: secrets. What leaves: short signatures, and whether one is ours. Must not: encrypt; what is signed can be
read by whoever holds it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final

from personalizer.config import Settings
from personalizer.visitor.secretfile import read_secret

SIGNATURE_LENGTH: Final = 28  # hexadecimal digits: 4 of the key's id, 24 of the MAC (96 bits)

_KEY_ID: Final = 4
_DECISION: Final = b"decision"
_DECISION_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,80}")


class Keys:
    """Signing keys, the newest first: the first signs, all verify, so a key can be changed without losing anybody.

    A signature is the key's id and a keyed BLAKE2b MAC, 28 hexadecimal digits. `purpose` (≤ 16 bytes) keeps a
    signature made for one thing from passing for another.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        # Secrets have any length; BLAKE2b's keys have at most 64 bytes.
        keys = [hashlib.blake2b(secret, digest_size=32, person=b"personalizer-key").digest() for secret in secrets]
        self._keys = {hashlib.blake2b(key, digest_size=2, person=b"key-id").hexdigest(): key for key in keys}
        self._newest = next(iter(self._keys))
        self._started: dict[tuple[str, bytes], hashlib.blake2b] = {}  # MACs, by key id and purpose

    def sign(self, message: bytes, purpose: bytes) -> str:
        """The signature of `message`, by the newest key."""
        return self._newest + self._mac(self._newest, message, purpose)

    def verify(self, message: bytes, signature: str, purpose: bytes) -> bool:
        """Whether `signature` is one of ours for `message`; any text is answered."""
        key_id = signature[:_KEY_ID]
        if key_id not in self._keys or not signature.isascii():
            return False
        return hmac.compare_digest(self._mac(key_id, message, purpose), signature[_KEY_ID:])

    def _mac(self, key_id: str, message: bytes, purpose: bytes) -> str:
        started = self._started.get((key_id, purpose))
        if started is None:  # one that has taken the key is copied faster than made
            started = hashlib.blake2b(digest_size=12, key=self._keys[key_id], person=purpose)
            self._started[key_id, purpose] = started
        mac = started.copy()
        mac.update(message)
        return mac.hexdigest()


def load_keys(settings: Settings) -> Keys:
    """Keys from the setting, else from `secret` in the data directory, which is made at the first start.

    Raises SettingError when that file is readable by others, StartError when it cannot be made.
    """
    return Keys(settings.secret_key or (read_secret(settings.data / "secret"),))


def make_decision_token(decision_id: str, keys: Keys) -> str:
    """`<decision id>.<signature>`, as pages carry it. The id is of base64url characters and dots."""
    return f"{decision_id}.{keys.sign(decision_id.encode(), _DECISION)}"


def read_decision_token(token: str, keys: Keys) -> str | None:
    """The decision id in a token; None when it is not ours. Any text is answered."""
    decision_id, _, signature = token[:128].rpartition(".")
    if not _DECISION_ID.fullmatch(decision_id) or not keys.verify(decision_id.encode(), signature, _DECISION):
        return None
    return decision_id
