"""How long an experiment takes at its page's traffic.

What enters: documents of experiments and their pages. What leaves: months, and warnings noted in the documents. Must
not: know how an experiment goes (reports do), or pretend to know a rate that nobody has declared.

The rule is the one of docs/experiments.md: two proportions, 80 % power at the 95 % level, with the variance of the rate
half-way between. What nobody has declared is taken at its best, so that a warning holds whatever it turns out to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from personalizer.content import models
from personalizer.content.load import Documents, Loaded
from personalizer.content.rules import is_right

LONGEST = 6  # months; people delete cookies, seasons and offers change

_SQUARES = 8  # (1.96 + 0.84)², rounded up as in the docs
_ASSUMED = (0.05, 0.02)  # rates of a goal of which none is declared: the best and the worst that is usual


def visitors_needed(rate: float, smallest_win: float, weights: Sequence[float]) -> float:
    """Visitors, in all arms together, until each arm can be told from the baseline, the first.

    `rate` is the baseline's, `smallest_win` relative to it.
    """
    better = min(rate * (1 + smallest_win), 1.0)
    middle, apart = (rate + better) / 2, better - rate
    if apart <= 0 or not all(weights):
        return float("inf")
    return max(_SQUARES * middle * (1 - middle) / apart**2 * (1 / weights[0] + 1 / weight) for weight in weights[1:])


def lint_traffic(documents: Documents) -> None:
    """Warn of experiments that take longer than `LONGEST` even if all visitors of the page take part."""
    for experiment in documents.experiments.values():
        doc, page = experiment.doc, documents.pages.get(experiment.doc.page)
        goal = documents.workspace.doc.goals.get(doc.goal, models.Goal())
        if page is None or page.doc.visitors_per_month is None or doc.smallest_win is None or goal.kind != "binary":
            continue
        if doc.status == "stopped" or not (is_right(experiment) and is_right(page)):
            continue
        _lint_experiment(documents, experiment, page.doc.visitors_per_month, doc.smallest_win, goal.rate)


def _lint_experiment(
    documents: Documents,
    experiment: Loaded[models.Experiment],
    traffic: int,
    win: float,
    rate: float | None,
) -> None:
    doc = experiment.doc
    weights = doc.weights or [1 / len(doc.arms)] * len(doc.arms)
    share = _share_taking_part(documents, doc)
    rates = _ASSUMED if rate is None else (rate,)
    months = [visitors_needed(one, win, weights) / (traffic * share) if share else float("inf") for one in rates]
    if months[0] <= LONGEST:
        return
    worst = f", and {_say(months[-1])} if {rates[-1]:.1%} do" if len(rates) > 1 else ""
    what = (
        f"+{win:.0%} of `{doc.goal}` takes {_say(months[0])} to see at {traffic:,} visitors a month, if all of them "
        f"match the row and {rates[0]:.1%} reach the goal{worst}."
    )
    remedies = list(_remedies(documents, doc, months[0]))
    unknown = "" if rate is not None else f" Declare `goals.{doc.goal}.rate` if you know it."
    experiment.warn(("smallest_win",), what, f"What helps: {'; '.join(remedies)}.{unknown}")


def _share_taking_part(documents: Documents, doc: models.Experiment) -> float:
    """The share of the row's visitors who are in the experiment."""
    page = documents.pages[doc.page].doc
    variant = documents.variants.get((doc.page, doc.arms[0]))
    shares = (variant.doc.holdout if variant else None, page.holdout, documents.workspace.doc.holdout)
    holdout = next(share for share in shares if share is not None)
    space = doc.namespace.range[1] - doc.namespace.range[0] if doc.namespace else 1.0
    return (1 - holdout) * doc.coverage * space


def _remedies(documents: Documents, doc: models.Experiment, months: float) -> Iterator[str]:
    """What of the document shortens it, the most effective last."""
    share = _share_taking_part(documents, doc)
    if share < 1:
        whole = f", {_say(months * share)}" if share else ""
        yield f"let everybody take part (holdout, `coverage`, `namespace`{whole})"
    if doc.weights and max(doc.weights) - min(doc.weights) > 0.01:
        yield "even `weights`"
    if len(doc.arms) > 2:
        yield "two arms"
    yield f"a `smallest_win` of {doc.smallest_win * 2 if doc.smallest_win else 1:g}, which takes a quarter of the time"
    yield "a goal that more visitors reach"


def _say(months: float) -> str:
    if months == float("inf"):
        return "for ever"
    if months < 10:
        return f"{months:.1f} months"
    return f"{months:.0f} months" if months < 24 else f"{months / 12:.0f} years"
