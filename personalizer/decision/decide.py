"""The decision: which page, variant and arm a visitor gets, and why. One screen of named steps, 0 to 7.

What enters: a registry, the page asked for, a visitor as read. What leaves: a `Decision`. Must not: do I/O, read a
clock or throw dice; the edge, the preview, the CLI and the replay all call `decide`, so they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

from personalizer.decision.assign import choose_arm, hash_unit, in_namespace
from personalizer.decision.recognize import Added, recognize
from personalizer.decision.registry import Experiment, Icp, Page, Registry, Row, Target
from personalizer.model import Decision, Facts, Reason, Source, Value, Visitor

ORIGINAL = "original"
PROOF = frozenset((Source.SIGNED, Source.FORM, Source.LIST))
PROOF_OR_LOOKUP = PROOF | {Source.LOOKUP}


@dataclass(slots=True)
class _Draft:
    """The decision while its steps fill it in."""

    icp: str | None = None
    persona: str | None = None
    row: Row | None = None
    variant: str | None = None
    holdout: str | None = None
    experiment: Experiment | None = None
    arm: str | None = None
    sticky: bool = False
    propensity: float = 1.0
    explored: bool = False


def decide(registry: Registry, page_key: str, visitor: Visitor) -> Decision:
    """Everything the engine chooses for one view of `page_key`. Pure: the same input gives the same decision."""
    page = registry.pages[page_key]
    reasons: list[Reason] = []
    draft = _Draft()
    facts, added = recognize(registry, visitor)  # 0
    refused = _refuse(registry, page, visitor, facts, added, draft, reasons)  # 1, 2
    if refused is None:
        _choose_icp_and_persona(registry, page, facts, draft, reasons)  # 3, 4
        _choose_row(page, facts, draft, reasons)  # 5
        if draft.row is not None:
            draft.variant = draft.row.variant
            if not _hold_out(draft.row, visitor, draft, reasons):  # 6
                _deal_arm(registry, draft.row, visitor, draft, reasons)  # 7
    return _finish(registry, page, visitor, facts, draft, reasons, refused)


# --- steps 1 and 2: who is refused ---


def _refuse(
    registry: Registry,
    page: Page,
    visitor: Visitor,
    facts: dict[str, Value],
    added: Added,
    draft: _Draft,
    reasons: list[Reason],
) -> Target | None:
    excluded = page.excluded.first(facts)
    if excluded is not None:
        draft.icp = excluded
        reasons.append(Reason.EXCLUDED)
        return registry.icps[excluded].target
    icp = find_negative(registry, page, visitor, facts, added)
    if icp is None:
        return None
    if visitor.unit and icp.exploration > hash_unit(f"explore:{icp.key}", visitor.unit):
        draft.explored = True
        draft.propensity = icp.exploration
        reasons.append(Reason.EXPLORED)
        return None
    draft.icp = icp.key
    draft.propensity = 1 - icp.exploration if visitor.unit else 1.0
    reasons.append(Reason.NEGATIVE_ICP)
    return icp.target


def find_negative(registry: Registry, page: Page, visitor: Visitor, facts: Facts, added: Added) -> Icp | None:
    """The first negative ICP that matches, also when it sees only facts that prove something: a wrong refusal is the
    dear error. None acts against a persona that an ad declares or against a target account."""
    if not page.negative or "ad.persona" in facts or facts.get("company.relation") == "target":
        return None
    for key in page.negative.true_rules(facts):
        icp = registry.icps[key]
        proof = PROOF_OR_LOOKUP if icp.lookup else PROOF
        if icp.match.test(evidence_of(page, visitor, facts, added, proof)) is True:
            return icp
    return None


def evidence_of(
    page: Page, visitor: Visitor, facts: Facts, added: Added, allowed: frozenset[Source]
) -> dict[str, Value]:
    """The facts that negative ICPs ask about and that come from `allowed` sources; the rest is unknown to them."""
    known = (name for name in page.negative.facts if name in facts)
    return {name: facts[name] for name in known if (added.get(name) or visitor.sources[name]) in allowed}


# --- steps 3 and 4: who it is ---


def _choose_icp_and_persona(
    registry: Registry, page: Page, facts: dict[str, Value], draft: _Draft, reasons: list[Reason]
) -> None:
    draft.icp = page.icps.first(facts)
    declared = facts.get("ad.persona")
    remembered = facts.get("visit.persona")
    if declared in registry.personas:
        _declare(registry, page, facts, str(declared), draft, reasons)
    elif not (remembered in registry.personas and _remember(registry, page, facts, str(remembered), draft, reasons)):
        reasons.append(Reason.MATCHED if draft.icp else Reason.NO_ICP)
        index = registry.personas_of.get(draft.icp) if draft.icp else None
        draft.persona = index.first(facts) if index else None
        reasons.append(Reason.MATCHED if draft.persona else Reason.NO_PERSONA)
    if draft.icp:
        facts["icp"] = draft.icp
    if draft.persona:
        facts["persona"] = draft.persona


def _declare(registry: Registry, page: Page, facts: Facts, persona: str, draft: _Draft, reasons: list[Reason]) -> None:
    """An ad's promise is kept: its persona is served, inside the matched ICP or with one that is not ruled out."""
    draft.persona = persona
    if draft.icp in registry.personas[persona].icps:
        reasons.append(Reason.MATCHED)
    else:
        reasons.append(Reason.OUTSIDE_ICP if draft.icp else Reason.PRESUMED)
        draft.icp = _presume(registry, page, facts, persona)
        if draft.icp is None and reasons[-1] is Reason.PRESUMED:
            reasons[-1] = Reason.NO_ICP
    reasons.append(Reason.DECLARED_BY_AD)


def _remember(registry: Registry, page: Page, facts: Facts, persona: str, draft: _Draft, reasons: list[Reason]) -> bool:
    """Whether the remembered persona still fits: it belongs to the matched ICP, or to one that is not ruled out."""
    if draft.icp:
        if draft.icp not in registry.personas[persona].icps:
            return False
        reasons.append(Reason.MATCHED)
    else:
        presumed = _presume(registry, page, facts, persona)
        if presumed is None:
            return False
        draft.icp = presumed
        reasons.append(Reason.PRESUMED)
    draft.persona = persona
    reasons.append(Reason.REMEMBERED)
    return True


def _presume(registry: Registry, page: Page, facts: Facts, persona: str) -> str | None:
    """The first of the persona's ICPs that this page considers and that the facts do not rule out."""
    considered = page.ideal
    for key in registry.personas[persona].icps:
        if key in considered and registry.icps[key].match.test(facts) is not False:
            return key
    return None


# --- steps 5 to 7: what they get ---


def _choose_row(page: Page, facts: Facts, draft: _Draft, reasons: list[Reason]) -> None:
    key = page.row_index.first(facts)
    draft.row = page.rows[key] if key else None
    reasons.append(Reason.ROW if key else Reason.NO_ROW)


def _hold_out(row: Row, visitor: Visitor, draft: _Draft, reasons: list[Reason]) -> bool:
    """One hash a person for the whole workspace, so shares may differ between rows without shuffling anybody."""
    if not row.holdout or visitor.unit is None:
        return False
    if hash_unit("holdout", visitor.unit) < row.holdout:
        draft.holdout = "in"
        draft.variant = None
        draft.propensity *= row.holdout
        reasons.append(Reason.HOLDOUT)
        return True
    draft.holdout = "out"
    draft.propensity *= 1 - row.holdout
    return False


def _deal_arm(registry: Registry, row: Row, visitor: Visitor, draft: _Draft, reasons: list[Reason]) -> None:
    experiment = registry.experiments[row.experiment] if row.experiment else None
    if experiment is None:
        if visitor.unit is None:
            reasons.append(_why_no_unit(visitor))
        return
    reason, index = find_arm(experiment, visitor)
    reasons.append(reason)
    if index is None:
        if reason in (Reason.NOT_IN_NAMESPACE, Reason.NOT_COVERED):
            draft.propensity *= 1.0 - sum(experiment.chances)
        return
    draft.experiment = experiment
    draft.arm = experiment.arms[index]
    draft.sticky = reason is Reason.STICKY
    draft.propensity *= experiment.chances[index]
    draft.variant = None if draft.arm == ORIGINAL else draft.arm


def find_arm(experiment: Experiment, visitor: Visitor) -> tuple[Reason, int | None]:
    """The visitor's arm and why; None is the baseline, outside the experiment."""
    if not experiment.running:
        return Reason.STOPPED, None
    if visitor.unit is None:
        return _why_no_unit(visitor), None
    seed = f"{experiment.key}:{experiment.phase}"
    seen = visitor.arms.get(seed)
    if seen in experiment.arms:
        return Reason.STICKY, experiment.arms.index(seen)
    if experiment.namespace and not in_namespace(visitor.unit, experiment.namespace):
        return Reason.NOT_IN_NAMESPACE, None
    index = choose_arm(hash_unit(seed, visitor.unit), experiment.ranges)
    return (Reason.NOT_COVERED, None) if index is None else (Reason.ASSIGNED, index)


def _why_no_unit(visitor: Visitor) -> Reason:
    return Reason.BOT if visitor.facts.get("device.bot") else Reason.NO_ID


# --- the record ---


def _finish(
    registry: Registry,
    page: Page,
    visitor: Visitor,
    facts: dict[str, Value],
    draft: _Draft,
    reasons: list[Reason],
    refused: Target | None,
) -> Decision:
    shown, status = f"{page.key}/{draft.variant or ORIGINAL}", 200
    if refused is not None:
        shown, status, draft.variant = _refusal(page, refused, reasons[-1])
    facts.pop("icp", None)
    facts.pop("persona", None)
    competitor = "competitor" if facts.get("company.relation") == "competitor" else None
    experiment = draft.experiment
    return Decision(
        page=page.key,
        shown=shown,
        status=status,
        variant=draft.variant,
        row=draft.row.key if draft.row else None,
        icp=draft.icp,
        persona=draft.persona,
        experiment=experiment.key if experiment else None,
        phase=experiment.phase if experiment else None,
        weight_epoch=experiment.weight_epoch if experiment else None,
        arm=draft.arm,
        sticky=draft.sticky,
        propensity=draft.propensity,
        holdout=draft.holdout,
        explored=draft.explored,
        reasons=tuple(reasons),
        revision=registry.revision[:12],
        not_counted=visitor.not_counted or competitor,
        facts=facts,
    )


def _refusal(page: Page, target: Target, reason: Reason) -> tuple[str, int, str | None]:
    """What a refused visitor is shown: its name, the HTTP status, and the variant column."""
    status = 451 if reason is Reason.EXCLUDED else 200
    if target.kind == "redirect":
        return target.key, 302, None
    if target.kind == "page":
        return f"{target.key}/{ORIGINAL}", status, None
    if target.kind == "variant":
        return f"{page.key}/{target.key}", status, target.key
    return "unavailable", status, None
