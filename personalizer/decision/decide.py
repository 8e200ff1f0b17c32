"""The decision: which page, variant and arm a visitor gets, and why. One screen of named steps, 0 to 8.

What enters: a registry, the page asked for, a visitor as read. What leaves: a `Decision`. Must not: do I/O, read a
clock or throw dice; the edge, the preview, the CLI and the replay all call `decide`, so they cannot disagree.
"""

from __future__ import annotations

from typing import Final

from personalizer.decision.assign import choose_arm, hash_unit, in_namespace
from personalizer.decision.recognize import Known, recognize
from personalizer.decision.registry import Experiment, Icp, Page, Registry, Row, Target
from personalizer.model import Decision, Facts, Reason, Source, Visitor

ORIGINAL: Final = "original"
PROOF: Final = frozenset((Source.SIGNED, Source.FORM, Source.LIST))
PROOF_OR_LOOKUP: Final = PROOF | {Source.LOOKUP}


def decide(registry: Registry, page_key: str, visitor: Visitor) -> Decision:
    """Everything the engine chooses for one view of `page_key`. Pure: the same input gives the same decision."""
    page = registry.pages[page_key]
    known = recognize(registry, visitor)  # 0
    decision = Decision(page.key, registry.revision[:12], visitor.not_counted, known.facts)
    decision.unit = visitor.unit
    refused = _refuse(registry, page, visitor, known, decision)  # 1, 2
    if refused is not None:
        _send_away(registry, page, refused, decision)
    else:
        _choose_icp_and_persona(registry, page, visitor, decision)  # 3, 4
        row = _choose_row(page, decision)  # 5
        if row is not None and not _hold_out(row, visitor, decision):  # 6
            _deal_arm(registry, row, visitor, decision)  # 7
        decision.shown = f"{page.key}/{decision.variant or ORIGINAL}"
    if decision.icp is not None:
        _judge_fit(registry.icps[decision.icp], decision)  # 8
    if decision.facts.get("company.relation") == "competitor":
        decision.not_counted = decision.not_counted or "competitor"
    return decision


# --- steps 1 and 2: who is refused ---


def _refuse(registry: Registry, page: Page, visitor: Visitor, known: Known, decision: Decision) -> Target | None:
    excluded = page.excluded.first(known.facts)
    if excluded is not None:
        decision.icp = excluded
        decision.reasons.append(Reason.EXCLUDED)
        return registry.icps[excluded].target
    icp = find_negative(registry, page, known)
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


def find_negative(registry: Registry, page: Page, known: Known) -> Icp | None:
    """The first negative ICP that matches, also when it sees only facts that prove something: a wrong refusal is the
    dear error. None acts against a persona that a link or an ad declares, or against a target account."""
    facts = known.facts
    if not page.negative or known.promised or facts.get("company.relation") == "target":
        return None
    for key in page.negative.true_rules(facts):
        icp = registry.icps[key]
        proof = PROOF_OR_LOOKUP if icp.lookup else PROOF
        if icp.match.test(evidence_of(page, known, proof)) is True:
            return icp
    return None


def evidence_of(page: Page, known: Known, allowed: frozenset[Source]) -> Facts:
    """The facts that negative ICPs ask about and that come from `allowed` sources; the rest is unknown to them."""
    asked = (name for name in page.negative.facts if name in known.facts)
    return {name: known.facts[name] for name in asked if known.source(name) in allowed}


def _send_away(registry: Registry, page: Page, target: Target, decision: Decision) -> None:
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
        language = decision.facts.get("language", "")
        decision.shown = registry.unavailable.get(str(language), page.unavailable)


# --- steps 3 and 4: who it is ---


def _choose_icp_and_persona(registry: Registry, page: Page, visitor: Visitor, decision: Decision) -> None:
    facts = decision.facts
    decision.icp = page.icps.first(facts)
    declared = facts.get("ad.persona")
    remembered = facts.get("visit.persona")
    if visitor.persona in registry.personas:
        _declare(registry, page, str(visitor.persona), Reason.DECLARED_BY_LINK, decision)
    elif declared in registry.personas:
        _declare(registry, page, str(declared), Reason.DECLARED_BY_AD, decision)
    elif not (remembered in registry.personas and _remember(registry, page, str(remembered), decision)):
        decision.reasons.append(Reason.MATCHED if decision.icp else Reason.NO_ICP)
        index = registry.personas_of.get(decision.icp) if decision.icp else None
        decision.persona = index.first(facts) if index else None
        decision.reasons.append(Reason.MATCHED if decision.persona else Reason.NO_PERSONA)


def _declare(registry: Registry, page: Page, persona: str, by: Reason, decision: Decision) -> None:
    """A link's or an ad's promise is kept: its persona is served, inside the matched ICP or with one that is not ruled
    out."""
    decision.persona = persona
    if decision.icp in page.presumed[persona].keys:
        decision.reasons.append(Reason.MATCHED)
    else:
        matched = decision.icp
        decision.icp = page.presumed[persona].first(decision.facts)
        if matched:
            decision.reasons.append(Reason.OUTSIDE_ICP)
        else:
            decision.reasons.append(Reason.PRESUMED if decision.icp else Reason.NO_ICP)
    decision.reasons.append(by)


def _remember(registry: Registry, page: Page, persona: str, decision: Decision) -> bool:
    """Whether the remembered persona still fits: it belongs to the matched ICP, or to one that is not ruled out."""
    if decision.icp:
        if decision.icp not in page.presumed[persona].keys:
            return False
        decision.reasons.append(Reason.MATCHED)
    else:
        presumed = page.presumed[persona].first(decision.facts)
        if presumed is None:
            return False
        decision.icp = presumed
        decision.reasons.append(Reason.PRESUMED)
    decision.persona = persona
    decision.reasons.append(Reason.REMEMBERED)
    return True


# --- steps 5 to 7: what they get ---


def _choose_row(page: Page, decision: Decision) -> Row | None:
    facts = decision.facts
    if decision.icp:
        facts["icp"] = decision.icp
    if decision.persona:
        facts["persona"] = decision.persona
    key = page.row_index.first(facts)
    if decision.icp:
        del facts["icp"]
    if decision.persona:
        del facts["persona"]
    if key is None:
        decision.reasons.append(Reason.NO_ROW)
        return None
    row = page.rows[key]
    decision.row = row.key
    decision.variant = row.variant
    decision.reasons.append(Reason.ROW)
    return row


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
    if experiment.by_company:
        decision.unit = find_company(experiment, visitor) or visitor.unit
    decision.sticky = reason is Reason.STICKY
    decision.propensity *= experiment.chances[index]
    decision.variant = None if decision.arm == ORIGINAL else decision.arm


def find_arm(experiment: Experiment, visitor: Visitor) -> tuple[Reason, int | None]:
    """The visitor's arm and why; None is the baseline, outside the experiment."""
    if not experiment.running:
        return Reason.STOPPED, None
    if visitor.unit is None:
        return _why_no_unit(visitor), None
    company = find_company(experiment, visitor)
    if company is not None:  # whatever the cookie says: all of its people see one arm
        return deal(experiment, company)
    seen = visitor.arms.get(f"{experiment.key}:{experiment.phase}")
    if seen in experiment.arms:
        return Reason.STICKY, experiment.arms.index(seen)
    return deal(experiment, visitor.unit)


def find_company(experiment: Experiment, visitor: Visitor) -> str | None:
    """The company that an experiment deals to: the one that was known at the visit's first view, and stays for it. What
    an ad or a list adds, or a link or form declares, is no part of that."""
    if not experiment.by_company:
        return None
    domain = visitor.facts.get("company.domain") if visitor.company is None else visitor.company
    return str(domain) if domain else None


def deal(experiment: Experiment, unit: str) -> tuple[Reason, int | None]:
    """What the hash deals to a unit that has seen no arm."""
    if experiment.namespace and not in_namespace(unit, experiment.namespace):
        return Reason.NOT_IN_NAMESPACE, None
    index = choose_arm(hash_unit(f"{experiment.key}:{experiment.phase}", unit), experiment.ranges)
    return (Reason.NOT_COVERED, None) if index is None else (Reason.ASSIGNED, index)


def _why_no_unit(visitor: Visitor) -> Reason:
    return Reason.BOT if visitor.facts.get("device.bot") else Reason.NO_ID


# --- step 8: how good an account it is ---


def _judge_fit(icp: Icp, decision: Decision) -> None:
    if icp.fit is not None:
        fit = icp.fit.judge(decision.facts)
        decision.fit = fit.score
        decision.failed = fit.failed
