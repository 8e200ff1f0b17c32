"""What `check` says of experiments that take too long at their page's traffic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Files
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_effectsize
from test_check_rules import row, said_of

from personalizer.content.traffic import LONGEST, visitors_needed

Write = Callable[[Files], Path]


@pytest.mark.parametrize("rate", [0.005, 0.02, 0.05, 0.2])
@pytest.mark.parametrize("win", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("share", [0.5, 0.2])
def test_the_visitors_needed_are_those_of_a_power_analysis(rate: float, win: float, share: float) -> None:
    """statsmodels' figure, by the arcsine's effect size; rules of thumb may differ by some per cent."""
    effect = proportion_effectsize(rate * (1 + win), rate)
    smaller = NormalIndPower().solve_power(effect, alpha=0.05, power=0.8, ratio=(1 - share) / share)
    assert visitors_needed(rate, win, [1 - share, share]) == pytest.approx(smaller / share, rel=0.08)


def test_the_arm_that_is_hardest_to_tell_decides() -> None:
    two, three = [0.5, 0.5], [1 / 3] * 3
    assert visitors_needed(0.05, 0.2, three) == pytest.approx(1.5 * visitors_needed(0.05, 0.2, two))
    assert visitors_needed(0.05, 0.2, [0.5, 0.4, 0.1]) > visitors_needed(0.05, 0.2, three)
    assert visitors_needed(0.05, 0.2, [1, 0]) == float("inf")


def planned(
    workspace: Write,
    traffic: int | None,
    experiment: Any = None,
    goals: Any = None,
    variant: Any = None,
    holdout: float = 0,
) -> list[str]:
    """What is said of an experiment that looks for +20 % of `demo` on a page with so many visitors a month."""
    page: dict[str, Any] = {"path": "/home", "copy": {"headline": "Hi"}}
    if traffic is not None:
        page["visitors_per_month"] = traffic
    site = {"site": {"name": "S", "hosts": ["a.example"]}, "holdout": holdout, "goals": goals or {"demo": {}}}
    one = {"page": "home", "arms": ["a", "b"], "goal": "demo", "smallest_win": 0.2, **(experiment or {})}
    files = {
        "variants/workspace.yaml": site,
        "variants/pages/home/page.yaml": page,
        "variants/pages/home/a.yaml": row({"when": {"geo.country": "DE"}}, **(variant or {})),
        "variants/pages/home/b.yaml": {"copy": {}},
        "variants/pages/home/c.yaml": {"copy": {}, "status": "published" if len(one["arms"]) > 2 else "draft"},
        "variants/experiments/x.yaml": {key: value for key, value in one.items() if value is not None},
    }
    return said_of(workspace(files))


# +20 % of 5 % takes 16,632 visitors: 6 months of 2,772.
ENOUGH, TOO_FEW = 2_800, 2_700


def test_an_experiment_that_takes_too_long_is_named_with_what_is_assumed(workspace: Write) -> None:
    assert LONGEST == 6
    assert planned(workspace, ENOUGH) == []
    [said] = planned(workspace, 1_000)
    assert said.startswith(
        "experiments/x.yaml:1: warning: smallest_win: +20% of `demo` takes 17 months to see at 1,000"
    )
    assert "if all of them match the row and 5.0% reach the goal, and 4 years if 2.0% do." in said
    assert "What helps: a `smallest_win` of 0.4" in said and "Declare `goals.demo.rate`" in said


@pytest.mark.parametrize(
    ("traffic", "settings"),
    [
        (ENOUGH, {"holdout": 0.2}),
        (ENOUGH, {"variant": {"holdout": 0.1}}),
        (ENOUGH, {"experiment": {"coverage": 0.9}}),
        (ENOUGH, {"experiment": {"namespace": {"key": "n", "range": [0, 0.9]}}}),
        (ENOUGH, {"experiment": {"weights": [0.7, 0.3]}}),
        (ENOUGH, {"experiment": {"arms": ["a", "b", "c"]}}),
        (ENOUGH, {"experiment": {"smallest_win": 0.18}}),
        (ENOUGH, {"experiment": {"status": "draft"}, "holdout": 0.2}),
        (ENOUGH, {"goals": {"demo": {"rate": 0.04}}}),
        (1, {"experiment": {"coverage": 0}}),
    ],
)
def test_what_keeps_visitors_out_makes_it_longer(workspace: Write, traffic: int, settings: dict[str, Any]) -> None:
    [said] = planned(workspace, traffic, **settings)
    assert said.startswith("experiments/x.yaml:1: warning: smallest_win: ")
    declared = "rate" in str(settings)
    assert ("Declare" in said) is not declared and (" if 2.0% do" in said) is not declared


@pytest.mark.parametrize(
    "settings",
    [
        {"goals": {"demo": {"rate": 0.2}}},
        {"experiment": {"smallest_win": 0.3}},
        {"experiment": {"smallest_win": None}},
        {"experiment": {"status": "stopped"}},
        {"goals": {"demo": {"kind": "revenue"}}},
        {"holdout": 0.9, "variant": {"holdout": 0}, "goals": {"demo": {"rate": 0.06}}},
    ],
)
def test_what_can_be_answered_or_is_not_stated_is_fine(workspace: Write, settings: dict[str, Any]) -> None:
    assert planned(workspace, TOO_FEW, **settings) == []


def test_without_stated_traffic_nothing_is_said(workspace: Write) -> None:
    assert planned(workspace, None) == []
    [said] = planned(workspace, TOO_FEW)
    assert "takes 6.2 months" in said


@pytest.mark.parametrize(
    ("settings", "help_"),
    [
        ({"holdout": 0.5}, "let everybody take part (holdout, `coverage`, `namespace`, 17 months)"),
        ({"experiment": {"weights": [0.8, 0.2]}}, "even `weights`"),
        ({"experiment": {"arms": ["a", "b", "c"]}}, "two arms"),
    ],
)
def test_it_says_what_would_help(workspace: Write, settings: dict[str, Any], help_: str) -> None:
    [said] = planned(workspace, 1_000, **settings)
    assert help_ in said
    assert help_ not in "".join(planned(workspace, 1_000))
