"""Dealing: a unit and a seed give a number in [0, 1); ranges turn it into an arm. The same arms as any GrowthBook SDK.

What enters: ASCII unit ids, seeds, weights. What leaves: places in ranges. Must not: keep state or use a random source.
Source: GrowthBook SDK build-your-own reference (hash v1 and v2, getBucketRanges, inNamespace, chooseVariation).
"""

from __future__ import annotations

from collections.abc import Sequence

from fnv_hash_fast import fnv1a_32


def hash_unit(seed: str, unit: str) -> float:
    """GrowthBook's hash v2: a multiple of 1/10,000 in [0, 1), uniform over units and independent across seeds."""
    return (fnv1a_32(str(fnv1a_32((seed + unit).encode())).encode()) % 10_000) / 10_000


def in_namespace(unit: str, namespace: tuple[str, float, float]) -> bool:
    """Whether the unit falls into `(key, start, end)` of a namespace; hash v1, in thousandths, end excluded."""
    key, start, end = namespace
    return start <= (fnv1a_32((unit + "__" + key).encode()) % 1000) / 1000 < end


def compile_ranges(weights: Sequence[float], coverage: float) -> tuple[tuple[float, float], ...]:
    """One hash range an arm: it starts where the weights before it end, and covers `coverage` of its own weight.

    A unit's arm stays when coverage grows; weights must sum to 1 (checked when content is compiled).
    """
    ranges = []
    start = 0.0
    for weight in weights:
        ranges.append((start, start + coverage * weight))
        start += weight
    return tuple(ranges)


def choose_arm(place: float, ranges: Sequence[tuple[float, float]]) -> int | None:
    """Index of the range that holds `place`, None outside all of them."""
    for index, (low, high) in enumerate(ranges):
        if low <= place < high:
            return index
    return None
