"""An ICP's `fit` → the criteria that step 8 judges an account by.

What enters: an ICP's document and what compiles its conditions. What leaves: a `FitModel`, or None for an ICP without
`fit`. Must not: judge anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from personalizer.content import models
from personalizer.content.load import Loaded
from personalizer.content.yaml import KeyPath
from personalizer.decision.conditions import Condition
from personalizer.decision.fit import DIMENSIONS, Criterion, FitModel, Judgements, affordability, authority

Compile = Callable[[Loaded[Any], Any, KeyPath], Condition]


def compile_fit(
    icp: Loaded[models.Icp], custom: Mapping[str, models.CustomFact], compile_: Compile, known: Judgements
) -> FitModel | None:
    """The written criteria, then what decision maker and price floor say by themselves. `known` is where the model
    remembers."""
    doc = icp.doc
    if doc.fit is None:
        return None
    criteria = []
    for dimension in DIMENSIONS:
        for place, one in enumerate(getattr(doc.fit, dimension)):
            when = compile_(icp, one.when, ("fit", dimension, place, "when"))
            facts = tuple({leaf.fact for leaf in when.leaves})
            criteria.append(Criterion(dimension, one.why, one.points, when.sentence, when, facts, when.leaves))
    if doc.decision_maker is not None:
        who = doc.decision_maker
        criteria.append(authority(who.titles, who.years, who.points))
    if doc.business is not None and doc.business.price_floor:
        budget = "custom.budget" if "budget" in custom and custom["budget"].type == "number" else None
        criteria.append(affordability(doc.business.price_floor, budget, doc.business.points))
    teams = {team: {str(dimension): weight for dimension, weight in one.items()} for team, one in doc.teams.items()}
    return FitModel(criteria, teams, known)
