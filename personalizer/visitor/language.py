"""Which language the browser asks for first.

What enters: the Accept-Language header. What leaves: the fact `language`, a primary tag as `de`. Must not: raise, or
negotiate; which copy answers it is the decision's business.
"""

from __future__ import annotations

import re
from typing import Final

from personalizer.cache import Cache
from personalizer.model import Facts

MAX_HEADER: Final = 200  # characters; browsers send far fewer

_RANGE: Final = re.compile(r"\s*([A-Za-z]{2,3})(?:-[A-Za-z0-9]{1,8})*\s*(?:;\s*[qQ]\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?")


def parse_language(header: str) -> Facts:
    """Lower-case primary tag of the range with the highest q, the first of equals; nothing when none is readable."""
    if len(header) > MAX_HEADER:
        header = header[:MAX_HEADER]
    found = _languages.get(header)
    return _languages.put(header, _parse(header)) if found is None else found


_languages: Final[Cache[str, Facts]] = Cache(2048)


def _parse(header: str) -> Facts:
    best, best_weight = "", 0.0
    for part in header.split(","):
        match = _RANGE.fullmatch(part)
        weight = min(float(match[2] or 1), 1.0) if match else 0.0
        if match and weight > best_weight:
            best, best_weight = match[1].lower(), weight
    return {"language": best} if best else {}
