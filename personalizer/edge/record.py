"""From what happened to an event row: the only place that knows how a decision becomes columns.

What enters: decisions, visitors, conversions. What leaves: rows for the journal. Must not: put an address, a name or
anything typed into a form into a row.
"""

from __future__ import annotations

from typing import Any

from personalizer.model import Decision, Visitor

Row = dict[str, Any]


def micros(now: float) -> int:
    """Epoch seconds as the lake's microseconds."""
    return int(now * 1_000_000)


def record_exposure(decision: Decision, visitor: Visitor, decision_id: str, now: float) -> Row:
    """A decision that was served, with every known fact."""
    row: Row = {
        "kind": "exposure",
        "ts": micros(now),
        "revision": decision.revision,
        "decision_id": decision_id,
        "visitor": visitor.id,
        "unit": decision.unit,
        "visit": visitor.visit,
        "page": decision.page,
        "icp": decision.icp,
        "persona": decision.persona,
        "sticky": decision.sticky,
        "propensity": decision.propensity,
        "explored": decision.explored,
        "reasons": decision.reasons,
        "consent": visitor.mode,
        "facts": decision.facts,
    }
    # What is null may be left out, and most rows are shorter for it.
    if decision.row is not None:
        row["row"] = decision.row
        row["holdout"] = decision.holdout
    if decision.variant is not None:
        row["variant"] = decision.variant
    if decision.experiment is not None:
        row["experiment"] = decision.experiment
        row["phase"] = decision.phase
        row["weight_epoch"] = decision.weight_epoch
        row["arm"] = decision.arm
    if decision.fit is not None:
        row["fit"] = decision.fit
        row["failed"] = decision.failed
    if decision.not_counted is not None:
        row["not_counted"] = decision.not_counted
    if visitor.arms:
        row["sticky_arms"] = [f"{seed}={arm}" for seed, arm in visitor.arms.items()]
    return row


def record_sign(kind: str, decision_id: str, client_ms: int | None, now: float) -> Row:
    """A sign of life from the page (`seen`, `engaged`, `click`, `scroll`); `client_ms` is the client's clock."""
    row: Row = {"kind": kind, "ts": micros(now), "decision_id": decision_id, "visitor": visitor_of(decision_id)}
    if kind == "engaged":
        row["goal"] = kind
    if client_ms is not None:
        row["client_ts"] = client_ms * 1000
    return row


def record_conversion(
    goal: str,
    visitor: str | None,
    decision_id: str | None,
    now: float,
    *,
    kind: str = "conversion",
    value: int | None = None,
    currency: str | None = None,
    conversion_id: str | None = None,
    lead_id: str | None = None,
    page: str | None = None,
    fit: float | None = None,
    failed: tuple[str, ...] | None = None,
    not_counted: str | None = None,
) -> Row:
    """A goal reached. `value` in minor units; a visitor nobody knows is kept too, and shown as an orphan."""
    return {
        "kind": kind,
        "ts": micros(now),
        "goal": goal,
        "visitor": visitor,
        "decision_id": decision_id,
        "value": value,
        "currency": currency,
        "conversion_id": conversion_id,
        "lead_id": lead_id,
        "page": page,
        "fit": fit,
        "failed": failed,
        "not_counted": not_counted,
    }


def record_refusal(reason: str, now: float) -> Row:
    """An event that was received and not accepted, so that accepted + refused = received."""
    return {"kind": "refused", "ts": micros(now), "refused_reason": reason}


def visitor_of(decision_id: str) -> str:
    """A decision id begins with the id of its visitor."""
    return decision_id.partition(".")[0]
