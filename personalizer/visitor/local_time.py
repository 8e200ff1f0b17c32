"""What time it is where the visitor is.

What enters: a moment and time zones. What leaves: `time.*` facts. Must not: read a clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from personalizer.cache import Cache
from personalizer.model import Facts

_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def time_facts(now: float, zone: object, site_zone: str) -> Facts:
    """`time.hour weekday date` at `now` (seconds since 1970) in `zone`, else, if it is no zone's name, the site's."""
    minute = int(now // 60)
    key = zone if isinstance(zone, str) else site_zone
    found = _latest.get(key)
    if found is None or found[0] != minute or found[1] != site_zone:
        found = _latest.put(key, (minute, site_zone, _in_minute(minute, key, site_zone)))
    return found[2]


_latest: Final[Cache[str, tuple[int, str, Facts]]] = Cache(2048)  # zone → minute, the site's zone, what they make


def _in_minute(minute: int, zone: str, site_zone: str) -> Facts:
    local = datetime.fromtimestamp(minute * 60, _zone(zone) or _zone(site_zone) or UTC)
    return {"time.hour": local.hour, "time.weekday": _WEEKDAYS[local.weekday()], "time.date": local.date().isoformat()}


@lru_cache(maxsize=512)
def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # a look-up file may hold any text
        return None
