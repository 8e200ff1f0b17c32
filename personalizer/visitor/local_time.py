"""What time it is where the visitor is.

What enters: a moment and time zones. What leaves: `time.*` facts. Must not: read a clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from personalizer.cache import Cache
from personalizer.model import Facts

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def time_facts(now: float, zone: object, site_zone: str) -> Facts:
    """`time.hour weekday date` at `now` (seconds since 1970) in `zone`, else, if it is no zone's name, the site's."""
    key = (int(now // 60), zone if isinstance(zone, str) else site_zone, site_zone)
    return _minutes.get(key) or _minutes.put(key, _in_minute(*key))


_minutes: Cache[tuple[int, str, str], Facts] = Cache(2048)


def _in_minute(minute: int, zone: str, site_zone: str) -> Facts:
    local = datetime.fromtimestamp(minute * 60, _zone(zone) or _zone(site_zone) or UTC)
    return {"time.hour": local.hour, "time.weekday": _WEEKDAYS[local.weekday()], "time.date": local.date().isoformat()}


@lru_cache(maxsize=512)
def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # a look-up file may hold any text
        return None
