"""Money: how many minor units a currency's unit has. What enters: an ISO 4217 code. What leaves: 100, 1 or 1,000.

Must not: convert between currencies.
"""

from __future__ import annotations

from functools import lru_cache

from babel.numbers import get_currency_precision


@lru_cache(maxsize=512)
def minor_units(currency: str) -> int:
    """Minor units in one unit: 100 cents in a euro, 1 yen in a yen, 1,000 fils in a dinar."""
    return int(10 ** get_currency_precision(currency))
