"""The verdict: sentences that say what happened, how sure that is, what to do, and what is still unknown.

What enters: a comparison's figures. What leaves: sentences. Must not: claim more than the interval shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from personalizer.reports.result import Arm, Difference, Finding, Srm

ENOUGH_CONVERTERS = 25  # on each side: below it a rate's interval is as wide as most effects that one hopes for
ENOUGH_UNITS = 100

SRM_CAUSES = (
    "Usual causes: one version breaks or delays the beacon, so its visitors stay unconfirmed; traffic was sent to one "
    "version past the engine; a share was changed during the report's time; bots that see only one version."
)
PEEKING = (
    "Every interval is right for one look at a time planned beforehand. Whoever looks again and again, and stops when "
    "it looks good, is less sure than it says."
)

_ACTIONS = {
    ("experiment", "better"): "What to do: make `{arm}` what everybody gets here, or go on until the planned end.",
    ("experiment", "worse"): "What to do: keep `{baseline}`, and take `{arm}` out of the experiment.",
    ("row", "better"): "What to do: keep this variant.",
    ("row", "worse"): "What to do: take the variant back or rewrite it; the original does better for these visitors.",
    ("holdout", "better"): "What to do: keep personalizing this page.",
    ("holdout", "worse"): "What to do: look at each row of this page, and take back those that do worse.",
}


def judge(arm: Arm, base: Arm, low: float, high: float) -> Finding:
    """What the interval of `arm − base` shows, if both sides have enough of everything to say it."""
    if _short(arm) or _short(base):
        return "not enough data"
    if low > 0:
        return "better"
    return "worse" if high < 0 else "no difference shown"


def say_verdict(
    contest: str,
    arms: Sequence[Arm],
    differences: Sequence[Difference],
    srm: Srm,
    *,
    unmatured: int,
    epochs: int,
    confidence: float,
    noun: str,
) -> tuple[str, ...]:
    """The sentences of one comparison; `noun` is what one unit is. A failing SRM hides the verdict: the arms are not
    alike, whatever they show."""
    if srm.failed:
        return (_say_mismatch(srm, noun), SRM_CAUSES)
    level = f"{100 * confidence:.4g} %"
    said: list[str] = []
    if not differences:
        said.append(f"No verdict: there are no {noun}s to compare yet on " + " and ".join(_empty(arms)) + ".")
    for difference in differences:
        said += _say_difference(contest, arms, difference, level, noun)
    if len(differences) > 1:
        said.append(
            "Each arm is compared with the baseline alone; the more arms, the more often one looks different by chance."
        )
    if epochs > 1:
        said.append(
            f"The weights or the coverage changed while it ran. {noun.capitalize()}s of before and after are pooled, "
            "which misleads where conversion changed with time as well; `--since` the last change compares like with "
            "like."
        )
    if unmatured:
        said.append(
            f"Still unknown: the goal's window is open for {unmatured:,} of {sum(a.units for a in arms):,} {noun}s, "
            "whose conversions may still come."
        )
    return tuple(said)


def percent(*shares: float, sign: Literal["", "+"] = "") -> str:
    """0.1234 as 12.3 %, two shares as 5.3 to 10.1 %; below 1 % with two decimals. `+` also signs what is above 0."""
    values = (100 * share for share in shares)
    return " to ".join(f"{value:{sign}.{1 if abs(value) >= 1 or not value else 2}f}" for value in values) + " %"


def points(difference: float) -> str:
    """A difference of rates in percentage points."""
    return f"{100 * difference:+.2f}"


def _say_difference(contest: str, arms: Sequence[Arm], difference: Difference, level: str, noun: str) -> list[str]:
    arm, base = (next(a for a in arms if a.arm == name) for name in (difference.arm, difference.baseline))
    rates = f"{_fraction(arm)} against {_fraction(base)}"
    interval = f"between {points(difference.low)} and {points(difference.high)} points ({level} interval)"
    if difference.finding == "not enough data":
        missing = "; ".join(f"`{side.arm}` {_short(side, noun)}" for side in (arm, base) if _short(side, noun))
        return [
            f"Not enough data for a verdict on `{arm.arm}`: {rates}. The difference lies {interval}. "
            f"A verdict takes {ENOUGH_UNITS} {noun}s and {ENOUGH_CONVERTERS} converters on each side: {missing}."
        ]
    if difference.finding == "no difference shown":
        return [
            f"No difference shown between `{arm.arm}` and `{base.arm}`: {rates}. The true difference may lie anywhere "
            f"{interval}.",
            "What to do: leave it running, or decide by something else; smaller differences cannot be seen yet.",
        ]
    lift = (
        f", a lift of {percent(difference.lift, sign='+')} "
        f"({percent(difference.lift_low, difference.lift_high, sign='+')})"
        if difference.lift is not None and difference.lift_low is not None and difference.lift_high is not None
        else ""
    )
    action = _ACTIONS[contest, difference.finding].format(arm=arm.arm, baseline=base.arm)
    return [
        f"`{arm.arm}` does {difference.finding} than `{base.arm}`: {rates}{lift}; the difference lies {interval}.",
        action,
    ]


def _say_mismatch(srm: Srm, noun: str) -> str:
    shares = ", ".join(
        f"`{arm}` {srm.observed[arm]:,} of {sum(srm.observed.values()):,} instead of {percent(share)}"
        for arm, share in srm.expected.items()
    )
    return (
        f"No verdict: {noun}s did not fall on the arms as configured ({shares}; p = {srm.p:.2g}, off by "
        f"{percent(srm.imbalance or 0.0)}). The sides differ by more than what they were shown."
    )


def _short(arm: Arm, noun: str = "visitor") -> str:
    """What a side lacks for a verdict, in words; empty when it has enough."""
    lacks = []
    if arm.units < ENOUGH_UNITS:
        lacks.append(_count(ENOUGH_UNITS - arm.units, f"more {noun}"))
    if arm.converters < ENOUGH_CONVERTERS:
        lacks.append(_count(ENOUGH_CONVERTERS - arm.converters, "more converter"))
    return "needs " + " and ".join(lacks) if lacks else ""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _empty(arms: Sequence[Arm]) -> list[str]:
    return [f"`{arm.arm}`" for arm in arms if not arm.units]


def _fraction(arm: Arm) -> str:
    return f"{percent(arm.converters / arm.units)} ({arm.converters:,}/{arm.units:,})"
