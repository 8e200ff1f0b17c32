"""The statistics of a first report: intervals for rates, for their difference and their ratio, and the SRM test.

What enters: counts. What leaves: plain numbers. Must not: know arms, goals or words; round; read anything.

All intervals are for one look at a time that was planned beforehand; none of them allows for repeated looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

from scipy.special import (
    chdtrc,
    ndtri,
)  # the normal quantile and chi-square's upper tail, without scipy.stats' slow start

SMALLEST_EXPECTED = 5.0  # units an arm should have before chi-square is a fair approximation (Cochran 1954)


class Interval(NamedTuple):
    """Both ends of a confidence interval."""

    low: float
    high: float


class Fit(NamedTuple):
    """How well counts fit the shares that were configured: p, and the largest gap between a share and its target."""

    p: float
    imbalance: float


def wilson_interval(successes: int, trials: int, confidence: float) -> Interval:
    """Wilson's score interval for a rate (Wilson 1927): right also near 0 and 1. Without trials: everything, 0 to 1."""
    if not trials:
        return Interval(0.0, 1.0)
    z = _quantile(confidence)
    rate = successes / trials
    centre = rate + z * z / (2 * trials)
    half = z * sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    # At the borders the formula gives 0 and 1 but for rounding.
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == trials else (centre + half) / scale
    return Interval(low, high)


def newcombe_interval(successes: int, trials: int, base: int, base_trials: int, confidence: float) -> Interval:
    """Newcombe's hybrid score interval for the rate `successes/trials` minus the rate `base/base_trials`.

    Method 10 of Newcombe 1998: each rate's distance to its own Wilson limits, joined as squares. Needs trials in both.
    """
    p, q = successes / trials, base / base_trials
    (p_low, p_high), (q_low, q_high) = (
        wilson_interval(successes, trials, confidence),
        wilson_interval(base, base_trials, confidence),
    )
    difference = p - q
    return Interval(
        difference - sqrt((p - p_low) ** 2 + (q_high - q) ** 2),
        difference + sqrt((p_high - p) ** 2 + (q - q_low) ** 2),
    )


def lift_interval(successes: int, trials: int, base: int, base_trials: int, confidence: float) -> Interval | None:
    """Interval for the relative lift, `rate / base rate − 1`; None where the base has no success: nothing to divide by.

    Dividing the difference's interval by the observed base rate would treat that rate as known. Instead a ratio r is
    inside when the hybrid score interval of `rate − r · base rate` holds 0 (Donner and Zou 2012, MOVER-R). For r = 1
    that is Newcombe's interval itself, so the lift's interval excludes 0 exactly when the difference's does.
    """
    if not base:
        return None
    p, q = successes / trials, base / base_trials
    (p_low, p_high), (q_low, q_high) = (
        wilson_interval(successes, trials, confidence),
        wilson_interval(base, base_trials, confidence),
    )
    # The ends solve (p − r·q)² = (p − limit of p)² + r²·(q − limit of q)², a quadratic in r.
    lower = p_low * (2 * p - p_low)
    root = sqrt(max(0.0, (p * q) ** 2 - lower * q_high * (2 * q - q_high)))
    low = lower / (p * q + root) if lower else 0.0  # this form of the root holds also where the quadratic turns over
    bottom = q_low * (2 * q - q_low)
    root = sqrt(max(0.0, (p * q) ** 2 - bottom * p_high * (2 * p - p_high)))
    high = (p * q + root) / bottom
    return Interval(low - 1, high - 1)


def srm_test(observed: Sequence[int], shares: Sequence[float]) -> Fit | None:
    """Sample ratio mismatch: chi-square of the counts against configured shares (they are scaled to sum to 1).

    None when the counts are too few for the test. A unit where the share is 0 cannot be chance: p is 0.
    """
    units, total = sum(observed), sum(shares)
    if not units or not total:
        return None
    targets = [share / total for share in shares]
    imbalance = max(abs(count / units - target) for count, target in zip(observed, targets, strict=True))
    if any(count and not target for count, target in zip(observed, targets, strict=True)):
        return Fit(0.0, imbalance)
    tested = [(count, units * target) for count, target in zip(observed, targets, strict=True) if target]
    if len(tested) < 2 or min(expected for _, expected in tested) < SMALLEST_EXPECTED:
        return None
    statistic = sum((count - expected) ** 2 / expected for count, expected in tested)
    return Fit(float(chdtrc(len(tested) - 1, statistic)), imbalance)


def _quantile(confidence: float) -> float:
    return float(ndtri((1 + confidence) / 2))
