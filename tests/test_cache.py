"""The bounded memory: it gives back what was put in, and never holds more than it may."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from personalizer.cache import Cache

SIZE = 8


@given(st.lists(st.integers(0, 30)))
def test_it_never_grows_and_never_lies(keys: list[int]) -> None:
    cache: Cache[int, str] = Cache(SIZE)
    for key in keys:
        found = cache.get(key)
        assert found in (None, str(key))
        assert cache.put(key, str(key)) == cache.get(key) == str(key)
        assert sum(cache.get(one) is not None for one in range(31)) <= SIZE


def test_what_is_asked_for_stays() -> None:
    cache: Cache[int, int] = Cache(SIZE)
    cache.put(0, 0)
    for number in range(1, 1000):
        cache.put(number, number)
        assert cache.get(0) == 0
    assert cache.get(1) is None
