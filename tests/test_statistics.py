"""The report's statistics against statsmodels, scipy, and their own definitions."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from personalizer.reports.statistics import lift_interval, newcombe_interval, srm_test, wilson_interval

CONFIDENCE = st.sampled_from([0.8, 0.95, 0.999])


@st.composite
def rates(draw: st.DrawFn) -> tuple[int, int]:
    trials = draw(st.integers(1, 5000))
    return draw(st.integers(0, trials)), trials


@given(rates(), CONFIDENCE)
def test_wilson_is_statsmodels(rate: tuple[int, int], confidence: float) -> None:
    expected = proportion_confint(*rate, alpha=1 - confidence, method="wilson")
    assert wilson_interval(*rate, confidence) == pytest.approx(expected, abs=1e-9)


@given(rates(), rates(), CONFIDENCE)
def test_newcombe_is_statsmodels(arm: tuple[int, int], base: tuple[int, int], confidence: float) -> None:
    expected = confint_proportions_2indep(*arm, *base, method="newcomb", compare="diff", alpha=1 - confidence)
    assert newcombe_interval(*arm, *base, confidence) == pytest.approx(expected, abs=1e-9)


def test_newcombe_of_the_paper() -> None:
    """Newcombe 1998, table II, example (a): 56/70 against 48/80, method 10."""
    assert newcombe_interval(56, 70, 48, 80, 0.95) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@given(rates(), rates(), CONFIDENCE)
def test_lift_and_difference_agree_on_zero(arm: tuple[int, int], base: tuple[int, int], confidence: float) -> None:
    lift = lift_interval(*arm, *base, confidence)
    difference = newcombe_interval(*arm, *base, confidence)
    if lift is None:
        assert base[0] == 0
        return
    for ours, theirs in zip(lift, difference, strict=True):
        assert abs(ours) < 1e-6 or abs(theirs) < 1e-6 or (ours > 0) == (theirs > 0)
    assert lift.low <= (arm[0] / arm[1]) / (base[0] / base[1]) - 1 + 1e-9
    assert lift.high >= (arm[0] / arm[1]) / (base[0] / base[1]) - 1 - 1e-9


@given(rates().filter(lambda r: r[0] > 0), rates().filter(lambda r: r[0] > 0), CONFIDENCE)
def test_lift_ends_are_where_the_hybrid_interval_touches_zero(
    arm: tuple[int, int], base: tuple[int, int], confidence: float
) -> None:
    """At an end r the distance p − r·q equals the joined distances to the limits: the definition, not the formula."""
    lift = lift_interval(*arm, *base, confidence)
    assert lift is not None
    p, q = arm[0] / arm[1], base[0] / base[1]
    arm_ends, base_ends = wilson_interval(*arm, confidence), wilson_interval(*base, confidence)
    lower, upper = (lift.low + 1, arm_ends.low, base_ends.high), (lift.high + 1, arm_ends.high, base_ends.low)
    for r, arm_end, base_end in (lower, upper):
        joined = (p - arm_end) ** 2 + (r * (base_end - q)) ** 2
        assert (p - r * q) ** 2 == pytest.approx(joined, rel=1e-6, abs=1e-12)


def test_lift_interval_holds_the_truth_as_often_as_it_says() -> None:
    dice = random.Random(7)
    held, rounds, units = 0, 2000, 400
    for _ in range(rounds):
        arm = sum(dice.random() < 0.12 for _ in range(units))
        base = sum(dice.random() < 0.08 for _ in range(units))
        lift = lift_interval(arm, units, base, units, 0.95)
        held += lift is not None and lift.low <= 0.5 <= lift.high
    assert 0.935 <= held / rounds <= 0.975


@given(st.lists(st.integers(30, 4000), min_size=2, max_size=6))
@settings(max_examples=50)
def test_srm_is_chi_square(observed: list[int]) -> None:
    shares = [1.0 + place for place in range(len(observed))]
    expected = [sum(observed) * share / sum(shares) for share in shares]
    fit = srm_test(observed, shares)
    if min(expected) < 5:
        assert fit is None
        return
    assert fit is not None
    assert fit.p == pytest.approx(chisquare(observed, expected).pvalue, abs=1e-12)
    gaps = [abs(count / sum(observed) - share / sum(shares)) for count, share in zip(observed, shares, strict=True)]
    assert fit.imbalance == pytest.approx(max(gaps))


@pytest.mark.parametrize(
    ("observed", "shares", "p"),
    [((10, 3), (1.0, 0.0), 0.0), ((5000, 5000), (0.5, 0.5), 1.0), ((5200, 4800), (0.5, 0.5), 6.334e-05)],
)
def test_srm_cases(observed: tuple[int, int], shares: tuple[float, float], p: float) -> None:
    fit = srm_test(observed, shares)
    assert fit is not None and fit.p == pytest.approx(p, rel=1e-3)


@pytest.mark.parametrize("observed", [(0, 0), (4, 4), (100, 0)])
def test_srm_says_nothing_on_too_few(observed: tuple[int, int]) -> None:
    assert srm_test(observed, (0.98, 0.02)) is None


def test_no_trials_and_borders() -> None:
    assert wilson_interval(0, 0, 0.95) == (0.0, 1.0)
    assert wilson_interval(0, 10, 0.95).low == 0.0
    assert wilson_interval(10, 10, 0.95).high == 1.0
    assert lift_interval(5, 10, 0, 10, 0.95) is None
    nothing = lift_interval(0, 10, 5, 10, 0.95)
    assert nothing is not None and nothing.low == -1.0 and nothing.high < 0.2
