"""Dealing: the same arms as the `growthbook` package, even and independent, and nobody moves who need not."""

from __future__ import annotations

import random
from collections import Counter
from itertools import product

import pytest
from growthbook import Experiment, GrowthBook
from growthbook.core import chooseVariation, gbhash, getBucketRanges, inNamespace
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, chi2_contingency, chisquare

from personalizer.decision.assign import choose_arm, compile_ranges, hash_unit, in_namespace

WEIGHTS = [
    (0.5, 0.5),
    (0.9, 0.1),
    (1 / 3, 1 / 3, 1 / 3),
    (0.2, 0.3, 0.1, 0.4),
    (0.0, 1.0),
    tuple([1 / 7] * 7),
    tuple([1 / 26] * 26),
]
COVERAGES = [1.0, 0.0, 0.1, 0.5, 0.99]
SEEDS = ["holdout", "payroll-cfo:1", "payroll-cfo:2", "explore:startup", ""]
# One false alarm in 100,000 runs if the ids changed; they do not.
UNLIKELY = 1e-5


def units(count: int, seed: int = 1) -> list[str]:
    """Ids as the server makes them (16 characters of base64url), and some company domains."""
    made = random.Random(seed)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return ["".join(made.choices(letters, k=16)) for _ in range(count - 3)] + ["a.example", "xn--mller-kva.de", "1"]


PEOPLE = units(100_000)


def test_the_hash_is_growthbooks() -> None:
    for seed, unit in product(SEEDS, units(1_500)):
        assert hash_unit(seed, unit) == gbhash(seed, unit, 2)


@given(st.text(st.characters(max_codepoint=127), max_size=30), st.text(st.characters(max_codepoint=127), max_size=30))
def test_the_hash_is_growthbooks_for_any_ascii(seed: str, unit: str) -> None:
    assert hash_unit(seed, unit) == gbhash(seed, unit, 2)


@pytest.mark.parametrize("weights", WEIGHTS, ids=len)
@pytest.mark.parametrize("coverage", COVERAGES)
def test_ranges_and_arms_are_growthbooks(weights: tuple[float, ...], coverage: float) -> None:
    ranges = compile_ranges(weights, coverage)
    theirs = getBucketRanges(len(weights), coverage, list(weights))
    assert list(ranges) == theirs
    ends = {round(end * 10_000) + step for pair in theirs for end in pair for step in (-1, 0, 1)}
    for place in [n / 10_000 for n in {*range(0, 10_000, 11), *ends}]:
        arm = choose_arm(place, ranges)
        assert (-1 if arm is None else arm) == chooseVariation(place, theirs)


@pytest.mark.parametrize(
    "space", [("a", 0.0, 0.5), ("a", 0.5, 1.0), ("b", 0.25, 0.26), ("ns", 0.0, 1.0), ("ns", 0.3, 0.3)]
)
def test_namespaces_are_growthbooks(space: tuple[str, float, float]) -> None:
    people = units(3_000)
    ours = [in_namespace(unit, space) for unit in people]
    assert ours == [inNamespace(unit, space) for unit in people]
    assert sum(ours) == pytest.approx(len(people) * (space[2] - space[1]), abs=150)


@pytest.mark.parametrize(
    ("weights", "coverage", "space"),
    [((0.5, 0.5), 1.0, None), ((0.6, 0.3, 0.1), 0.7, ("shared", 0.1, 0.8)), ((0.25, 0.75), 0.4, ("x", 0.0, 0.5))],
)
def test_a_whole_experiment_deals_as_the_growthbook_sdk_does(
    weights: tuple[float, ...], coverage: float, space: tuple[str, float, float] | None
) -> None:
    ranges = compile_ranges(weights, coverage)
    experiment = Experiment(
        key="payroll-cfo",
        variations=list(range(len(weights))),
        weights=list(weights),
        coverage=coverage,
        namespace=space,
        seed="payroll-cfo:3",
        hashVersion=2,
    )
    for unit in units(1_000):
        theirs = GrowthBook(attributes={"id": unit}).run(experiment)
        inside = space is None or in_namespace(unit, space)
        arm = choose_arm(hash_unit("payroll-cfo:3", unit), ranges) if inside else None
        assert (arm is not None) == theirs.inExperiment
        assert (arm or 0) == theirs.value  # outside they serve the first, as we serve the baseline


# --- statistics over 100,000 ids ---


@pytest.fixture(scope="module")
def places() -> dict[str, list[float]]:
    """The place of each of 100,000 people for some seeds."""
    return {seed: [hash_unit(seed, unit) for unit in PEOPLE] for seed in SEEDS[:4]}


def count_arms(places: list[float], ranges: tuple[tuple[float, float], ...]) -> Counter[int | None]:
    counts: Counter[int | None] = Counter()
    for place, people in Counter(places).items():
        counts[choose_arm(place, ranges)] += people
    return counts


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.9, 0.1), (0.2, 0.3, 0.1, 0.4), tuple([1 / 26] * 26)], ids=len)
@pytest.mark.parametrize("coverage", [1.0, 0.3])
def test_people_fall_on_the_weights(
    places: dict[str, list[float]], weights: tuple[float, ...], coverage: float
) -> None:
    ranges = compile_ranges(weights, coverage)
    counts = count_arms(places["payroll-cfo:1"], ranges)
    expected: dict[int | None, float] = {arm: len(PEOPLE) * coverage * weight for arm, weight in enumerate(weights)}
    if coverage < 1:
        expected[None] = len(PEOPLE) * (1 - coverage)
    assert chisquare([counts[arm] for arm in expected], list(expected.values())).pvalue > UNLIKELY


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_places_are_even(places: dict[str, list[float]], seed: str) -> None:
    bins = Counter(int(place * 100) for place in places[seed])
    statistic = sum((bins[number] - 1000) ** 2 / 1000 for number in range(100))
    assert chi2.sf(statistic, 99) > UNLIKELY
    assert chi2.cdf(statistic, 99) > UNLIKELY  # nor too even to be chance


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_holdout_has_its_share(places: dict[str, list[float]], share: float) -> None:
    held = sum(place < share for place in places["holdout"])
    assert abs(held - len(PEOPLE) * share) < 4.5 * (len(PEOPLE) * share * (1 - share)) ** 0.5


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("payroll-cfo:1", "payroll-cfo:2"),  # a new phase deals anew
        ("payroll-cfo:1", "holdout"),
        ("payroll-cfo:2", "explore:startup"),
        ("holdout", "explore:startup"),
    ],
)
def test_one_deal_says_nothing_of_another(places: dict[str, list[float]], one: str, other: str) -> None:
    """Independence on the joint table of ten by ten."""
    joint = Counter((int(a * 10), int(b * 10)) for a, b in zip(places[one], places[other], strict=True))
    table = [[joint[(a, b)] for b in range(10)] for a in range(10)]
    assert chi2_contingency(table).pvalue > UNLIKELY


def test_a_namespace_says_nothing_of_the_arms(places: dict[str, list[float]]) -> None:
    inside = [in_namespace(unit, ("space", 0.0, 0.4)) for unit in PEOPLE]
    joint = Counter(zip(inside, (int(place * 10) for place in places["payroll-cfo:1"]), strict=True))
    assert chi2_contingency([[joint[(side, b)] for b in range(10)] for side in (True, False)]).pvalue > UNLIKELY


# --- nobody moves who need not ---


@given(
    st.lists(st.integers(1, 20), min_size=2, max_size=6),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 9_999),
)
def test_more_coverage_moves_nobody_from_arm_to_arm(parts: list[int], less: float, more: float, place: int) -> None:
    weights = [part / sum(parts) for part in parts]
    less, more = sorted([less, more])
    before = choose_arm(place / 10_000, compile_ranges(weights, less))
    after = choose_arm(place / 10_000, compile_ranges(weights, more))
    assert before is None or before == after


@given(st.lists(st.integers(0, 20), min_size=2, max_size=26).filter(any), st.integers(0, 9_999))
def test_full_coverage_leaves_nobody_out(parts: list[int], place: int) -> None:
    """But for the last ten-thousandth, which rounding of the weights' sum may cost."""
    arm = choose_arm(place / 10_000, compile_ranges([part / sum(parts) for part in parts], 1.0))
    assert arm is not None or place == 9_999
    assert arm is None or parts[arm] > 0
