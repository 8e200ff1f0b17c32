"""The trace of a decision, for people: every rule of every step, true, false or unknown, and where facts came from.

What enters: what `decide` was given, and its decision. What leaves: a `Trace`. Must not: decide anything; it asks the
same compiled rules again and shows what they say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from personalizer.decision.assign import hash_unit
from personalizer.decision.conditions import Compare, Condition, build_condition
from personalizer.decision.decide import PROOF, PROOF_OR_LOOKUP, deal, evidence_of, find_arm, find_company
from personalizer.decision.fit import FitModel
from personalizer.decision.index import RuleIndex
from personalizer.decision.recognize import Known, recognize
from personalizer.decision.registry import Experiment, Page, Registry
from personalizer.model import Decision, Facts, Source, Value, Visitor


@dataclass(frozen=True, slots=True)
class Leaf:
    """One comparison: its sentence, its verdict (None: unknown), and the fact it asked about."""

    sentence: str
    verdict: bool | None
    fact: str
    value: Value | None
    source: Source | None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: an ICP, a persona or a row, what it says, and whether the step chose it."""

    key: str
    sentence: str
    verdict: bool | None
    chosen: bool
    leaves: tuple[Leaf, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its number, its name, what came of it in words, and its rules in the order in which they are tried."""

    number: int
    name: str
    outcome: str
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """All steps, the source of every known fact, and the chance of each arm for a visitor who is new."""

    steps: tuple[Step, ...]
    sources: Mapping[str, Source]
    chances: Mapping[str, float]


def trace_decision(registry: Registry, visitor: Visitor, decision: Decision) -> Trace:
    """Why `decision` is what it is."""
    page = registry.pages[decision.page]
    facts = dict(decision.facts)
    if decision.icp:
        facts["icp"] = decision.icp
    if decision.persona:
        facts["persona"] = decision.persona
    view = _View(registry, page, visitor, facts, recognize(registry, visitor), decision)
    reasons = " ".join(decision.reasons)
    steps = (
        Step(0, "recognize", _say_ad(decision)),
        Step(1, "excluded", _refused(view, "excluded"), view.rules(page.excluded, decision.icp, facts)),
        Step(2, "negative", _refused(view, "negative"), view.negative_rules()),
        Step(3, "ICP", decision.icp or "none", view.rules(page.icps, decision.icp, facts)),
        Step(4, "persona", decision.persona or "none", view.persona_rules()),
        Step(5, "row", decision.row or "none: the original", view.rules(page.row_index, decision.row, facts)),
        Step(6, "holdout", _say_holdout(page, visitor, decision)),
        Step(7, "experiment", _say_experiment(registry, page, visitor, decision)),
        Step(8, "fit", _say_fit(view), view.fit_rules()),
    )
    shown = Step(9, "served", f"{decision.shown} (HTTP {decision.status}); {reasons}")
    sources = {name: view.known.source(name) for name in decision.facts}
    return Trace((*steps, shown), sources, arm_chances(registry, page, visitor, decision))


@dataclass(frozen=True, slots=True)
class _View:
    registry: Registry
    page: Page
    visitor: Visitor
    facts: Facts
    known: Known
    decision: Decision

    def rules(self, index: RuleIndex | None, chosen: str | None, facts: Facts) -> tuple[Rule, ...]:
        return (
            tuple(self._rule(key, condition, key == chosen, facts) for key, condition in index.rules) if index else ()
        )

    def negative_rules(self) -> tuple[Rule, ...]:
        """Each negative ICP, judged by the evidence that it may act on."""
        rules = []
        for key, condition in self.page.negative.rules:
            allowed = PROOF_OR_LOOKUP if self.registry.icps[key].lookup else PROOF
            evidence = evidence_of(self.page, self.known, allowed)
            # What is no evidence is hidden only from a rule that is true of all that is known.
            shown = evidence if condition.test(self.facts) is True else self.facts
            rules.append(self._rule(key, condition, key == self.decision.icp, shown))
        return tuple(rules)

    def persona_rules(self) -> tuple[Rule, ...]:
        index = self.registry.personas_of.get(self.decision.icp or "")
        return self.rules(index, self.decision.persona, self.facts)

    def fit_rules(self) -> tuple[Rule, ...]:
        """Each criterion of the ICP; chosen are those whose points count."""
        fit = self.fit
        if fit is None:
            return ()
        rules = []
        for one, verdict in zip(fit.criteria, fit.judge(self.decision.facts).verdicts, strict=True):
            key = f"{one.name} ({one.points:+g})"
            rules.append(Rule(key, one.sentence, verdict, verdict is True, self._leaves(one.leaves, self.facts)))
        return tuple(rules)

    @property
    def fit(self) -> FitModel | None:
        icp = self.registry.icps.get(self.decision.icp or "")
        return icp.fit if icp is not None else None

    def _rule(self, key: str, condition: Condition, chosen: bool, facts: Facts) -> Rule:
        return Rule(key, condition.sentence, condition.test(facts), chosen, self._leaves(condition.leaves, facts))

    def _leaves(self, leaves: tuple[Compare, ...], facts: Facts) -> tuple[Leaf, ...]:
        return tuple(
            Leaf(
                build_condition(leaf).sentence,
                build_condition(leaf).test(facts),
                leaf.fact,
                facts.get(leaf.fact),
                self.known.source(leaf.fact) if leaf.fact in self.decision.facts else None,
            )
            for leaf in leaves
        )


def _say_ad(decision: Decision) -> str:
    parts = [str(decision.facts[name]) for name in ("ad.campaign", "ad.ad_set", "ad.ad") if name in decision.facts]
    return f"ad {'.'.join(parts)}" if parts else "no ad recognized"


def _refused(view: _View, kind: str) -> str:
    icp = view.registry.icps.get(view.decision.icp or "")
    if icp is not None and icp.kind == kind:
        return f"{icp.key}: refused"
    return "goes on" if view.page.negative or view.page.excluded else "none defined"


def _say_holdout(page: Page, visitor: Visitor, decision: Decision) -> str:
    if decision.row is None:
        return "no row, nobody to hold out"
    share = page.rows[decision.row].holdout
    if not share:
        return "share 0: nobody is held out of this row"
    if visitor.unit is None:
        return f"share {share:.0%}; no id, so not held out"
    place = hash_unit("holdout", visitor.unit)
    return f"share {share:.0%}; this person's number is {place:.4f}: {'held out' if place < share else 'personalized'}"


def _say_experiment(registry: Registry, page: Page, visitor: Visitor, decision: Decision) -> str:
    experiment = _experiment_of(registry, page, decision)
    if experiment is None:
        return "none on this row"
    if decision.holdout == "in":
        return f"{experiment.key}: held out, so not dealt"
    reason, index = find_arm(experiment, visitor)
    arm = experiment.arms[index] if index is not None else f"baseline {experiment.arms[0]}, outside the experiment"
    company = find_company(experiment, visitor)
    unit = f", unit company {company}" if company and visitor.unit else ""
    return f"{experiment.key}, phase {experiment.phase}{unit}: {arm} ({reason})"


def _say_fit(view: _View) -> str:
    fit = view.fit
    if fit is None:
        return "no criteria" if view.decision.icp else "no ICP"
    judged = fit.judge(view.decision.facts)
    teams = "".join(f"; {team} {score:g}" for team, score in judged.teams.items())
    failed = f"; fails {', '.join(judged.failed)}" if judged.failed else ""
    return f"{judged.score:g} of {fit.best:g} points{teams}{failed}"


def arm_chances(registry: Registry, page: Page, visitor: Visitor, decision: Decision) -> dict[str, float]:
    """The probability of each thing a new visitor with these facts could be shown; they sum to 1. The arm of a company
    is no chance any more."""
    if decision.row is None:
        return {"original": 1.0}
    row = page.rows[decision.row]
    chances = {"holdout": row.holdout} if row.holdout else {}
    rest = 1 - row.holdout
    experiment = _experiment_of(registry, page, decision)
    if experiment is None or not experiment.running:
        return {**chances, "personalized": rest}
    company = find_company(experiment, visitor)
    if company is not None:
        _, index = deal(experiment, company)
        return {**chances, "personalized" if index is None else experiment.arms[index]: rest}
    dealt = {arm: rest * chance for arm, chance in zip(experiment.arms, experiment.chances, strict=True)}
    outside = rest - sum(dealt.values())
    return {**chances, **dealt, **({"personalized": outside} if outside > 1e-9 else {})}


def _experiment_of(registry: Registry, page: Page, decision: Decision) -> Experiment | None:
    key = page.rows[decision.row].experiment if decision.row else None
    return registry.experiments[key] if key else None
