"""The rules of visits and touches: when a visit begins, what stays fixed in it, and which link gets the credit.

What enters: what the cookie held and what this view shows. What leaves: what the cookie will hold, and `visit.*` facts.
Must not: read a request, a clock or a key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from personalizer.model import Facts
from personalizer.visitor.cookie import Memory
from personalizer.visitor.query import Query
from personalizer.visitor.touch import first_facts

VISIT_GAP: Final = 30 * 60  # seconds without a view after which the next one begins a new visit

_NEW_VISITOR: Final[Facts] = {"visit.count": 1, "visit.pages": (), "visit.goals": ()}

_DAY: Final = 86_400
_CLEARING: Final = frozenset({"search", "social", "email", "ads", "referral"})


def begin_memory(now: float, company: str, new_id: Callable[[], str]) -> Memory:
    """The memory of a new visitor whose first visit begins at `now`."""
    id_, seconds = new_id(), int(now)
    return Memory(id_, first_seen=seconds, last_seen=seconds, visits=1, visit=id_[:8], unit=id_, company=company)


def remember_view(
    memory: Memory, now: float, query: Query, referrer_kind: object, company: str, new_id: Callable[[], str]
) -> None:
    """Bring `memory` up to a view at `now`.

    30 minutes or more after the last view it begins a new visit; then `company` (a domain or `""`) and the unit are
    fixed. The last touch is the last link that said where it came from, by UTM values, `pz=` or a click id. It stays
    through later visits that came directly, and goes when a visit begins from another site without such a link. The
    first touch is the first of them that had UTM values; it stays for good.
    """
    seconds = int(now)
    if now - memory.last_seen >= VISIT_GAP:
        memory.visits += 1
        memory.visit = new_id()[:8]
        memory.unit = memory.id
        memory.company = company
        memory.away = (seconds - memory.last_seen) // _DAY
        if referrer_kind in _CLEARING:
            memory.last = ""
    if seconds > memory.last_seen:
        memory.last_seen = seconds
    if query.last:
        memory.last = query.last
        if not memory.first:
            memory.first = query.first


def tell_visit(memory: Memory | None, query: Query, facts: Facts) -> None:
    """Add `visit.*` and `first.*` of a memory to `facts`; without one what is known of a new visitor: it is empty."""
    if memory is None:
        facts.update(_NEW_VISITOR)
        return
    facts["visit.count"] = memory.visits
    facts["visit.pages"] = memory.pages
    facts["visit.goals"] = memory.goals
    if memory.away is not None:
        facts["visit.days_since_last"] = memory.away
    if memory.persona:
        facts["visit.persona"] = memory.persona
    if memory.icp:
        facts["visit.icp"] = memory.icp
    if memory.first:
        facts.update(query.first_facts if memory.first == query.first else first_facts(memory.first))


def freeze_company(found: Facts, frozen: str) -> Facts:
    """`company.*` facts within a visit: what the address tells, if it is still the visit's company.

    From another address only the frozen domain is known, and nothing when the visit began without a company.
    """
    if found.get("company.domain", "") == frozen:
        return found
    return {"company.domain": frozen} if frozen else {}
