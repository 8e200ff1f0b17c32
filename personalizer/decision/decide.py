"""The decision: which page, variant and arm a visitor gets, and why. One screen of named steps, 0 to 7.

What enters: a registry, the page asked for, a visitor as read. What leaves: a `Decision`. Must not: do I/O, read a
clock or throw dice; the edge, the preview, the CLI and the replay all call `decide`, so they cannot disagree.
"""

from __future__ import annotations

from personalizer.decision.assign import choose_arm, hash_unit, in_namespace
from personalizer.decision.choose import choose
from personalizer.decision.recognize import Known, recognize
from personalizer.decision.registry import Choice, Experiment, Icp, Page, Registry, Row, Target
from personalizer.model import Decision, Facts, Reason, Source, Visitor

ORIGINAL = "original"
PROOF = frozenset((Source.SIGNED, Source.FORM, Source.LIST))
PROOF_OR_LOOKUP = PROOF | {Source.LOOKUP}


def decide(registry: Registry, page_key: str, visitor: Visitor) -> Decision:
    """Everything the engine chooses for one view of `page_key`. Pure: the same input gives the same decision."""
    page = registry.pages[page_key]
    known = recognize(registry, visitor)  # 0
    decision = Decision(page.key, registry.revision[:12], visitor.not_counted, known.facts)
    choice = choose(registry, page, known.facts)  # 1 to 5, as far as facts alone decide them
    refused = _refuse(registry, page, visitor, known, choice, decision)  # 1, 2
    if refused is not None:
        _send_away(page, refused, decision)
    else:
        row = _take_choice(page, choice, decision)  # 3, 4, 5
        if row is not None and not _hold_out(row, visitor, decision):  # 6
            _deal_arm(registry, row, visitor, decision)  # 7
        decision.shown = f"{page.key}/{decision.variant or ORIGINAL}"
    if decision.facts.get("company.relation") == "competitor":
        decision.not_counted = decision.not_counted or "competitor"
    return decision


# --- steps 1 and 2: who is refused ---


def _refuse(
    registry: Registry, page: Page, visitor: Visitor, known: Known, choice: Choice, decision: Decision
) -> Target | None:
    if choice.excluded is not None:
        decision.icp = choice.excluded
        decision.reasons.append(Reason.EXCLUDED)
        return registry.icps[choice.excluded].target
    icp = _find_negative(registry, page, known, choice) if choice.negatives else None
    if icp is None:
        return None
    if visitor.unit and icp.exploration > hash_unit(f"explore:{icp.key}", visitor.unit):
        decision.explored = True
        decision.propensity = icp.exploration
        decision.reasons.append(Reason.EXPLORED)
        return None
    decision.icp = icp.key
    decision.propensity = 1 - icp.exploration if visitor.unit else 1.0
    decision.reasons.append(Reason.NEGATIVE_ICP)
    return icp.target


def _find_negative(registry: Registry, page: Page, known: Known, choice: Choice) -> Icp | None:
    """The first negative ICP that also matches when it sees only facts that prove something: a wrong refusal is the
    dear error."""
    for key in choice.negatives:
        icp = registry.icps[key]
        proof = PROOF_OR_LOOKUP if icp.lookup else PROOF
        if icp.match.test(evidence_of(page, known, proof)) is True:
            return icp
    return None


def evidence_of(page: Page, known: Known, allowed: frozenset[Source]) -> Facts:
    """The facts that negative ICPs ask about and that come from `allowed` sources; the rest is unknown to them."""
    asked = (name for name in page.negative.facts if name in known.facts)
    return {name: known.facts[name] for name in asked if known.source(name) in allowed}


def _send_away(page: Page, target: Target, decision: Decision) -> None:
    """What a refused visitor is shown: another page, a variant of this one, another address, or that there is none."""
    if target.kind == "redirect":
        decision.shown, decision.status = target.key, 302
        return
    decision.status = 451 if decision.reasons[-1] is Reason.EXCLUDED else 200
    if target.kind == "page":
        decision.shown = f"{target.key}/{ORIGINAL}"
    elif target.kind == "variant":
        decision.shown, decision.variant = f"{page.key}/{target.key}", target.key
    else:
        decision.shown = "unavailable"


# --- steps 3 to 5: who it is, and what is written for them ---


def _take_choice(page: Page, choice: Choice, decision: Decision) -> Row | None:
    decision.icp = choice.icp
    decision.persona = choice.persona
    decision.reasons.extend(choice.reasons)
    if choice.row is None:
        return None
    row = page.rows[choice.row]
    decision.row = row.key
    decision.variant = row.variant
    return row


# --- steps 6 and 7: what they get ---


def _hold_out(row: Row, visitor: Visitor, decision: Decision) -> bool:
    """One hash a person for the whole workspace, so shares may differ between rows without shuffling anybody."""
    if not row.holdout or visitor.unit is None:
        return False
    if hash_unit("holdout", visitor.unit) < row.holdout:
        decision.holdout = "in"
        decision.variant = None
        decision.propensity *= row.holdout
        decision.reasons.append(Reason.HOLDOUT)
        return True
    decision.holdout = "out"
    decision.propensity *= 1 - row.holdout
    return False


def _deal_arm(registry: Registry, row: Row, visitor: Visitor, decision: Decision) -> None:
    experiment = registry.experiments[row.experiment] if row.experiment else None
    if experiment is None:
        if visitor.unit is None:
            decision.reasons.append(_why_no_unit(visitor))
        return
    reason, index = find_arm(experiment, visitor)
    decision.reasons.append(reason)
    if index is None:
        if reason in (Reason.NOT_IN_NAMESPACE, Reason.NOT_COVERED):
            decision.propensity *= 1.0 - sum(experiment.chances)
        return
    decision.experiment = experiment.key
    decision.phase = experiment.phase
    decision.weight_epoch = experiment.weight_epoch
    decision.arm = experiment.arms[index]
    decision.sticky = reason is Reason.STICKY
    decision.propensity *= experiment.chances[index]
    decision.variant = None if decision.arm == ORIGINAL else decision.arm


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
