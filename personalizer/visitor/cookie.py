"""What a visitor's browser remembers for us: the `pz` cookie.

What enters: a cookie value, or a `Memory` to keep. What leaves: the other one. Must not: raise for any value, believe
one that we did not sign, or grow past 1,000 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from personalizer.visitor.declared import drop_oldest
from personalizer.visitor.keys import SIGNATURE_LENGTH, Keys
from personalizer.visitor.touch import read_touch, write_touch

COOKIE_NAME: Final = "pz"
OPT_OUT: Final = "out"  # the cookie's value after a refusal: nothing is kept about this visitor
MAX_AGE: Final = 365 * 86_400  # seconds since the last view, after which a cookie is a stranger's
MAX_COOKIE: Final = 1000  # bytes of the value
MAX_PAGES: Final = 10
MAX_GOALS: Final = 20

_FIELDS: Final = 16  # and one more where something is declared
_FORMAT: Final = "1"  # raise it when the fields of `Memory` change; older cookies are then new visitors
_ALONE: Final = f"{COOKIE_NAME}="
_START: Final = f";{_ALONE}"
_PURPOSE: Final = b"cookie"
_MAX_PAYLOAD: Final = MAX_COOKIE - SIGNATURE_LENGTH
_BETWEEN: Final = "!"  # between fields
_WITHIN: Final = "*"  # between items of a field
_NO_ARMS: Final[dict[str, str]] = {}


@dataclass(slots=True, init=False)
class Memory:
    """Everything the cookie holds, to be changed while the request is answered. Times are whole seconds since 1970.

    `company` (a domain; `""`: none) and `unit` are fixed at the first view of the visit. `away` is the whole days
    between this visit and the one before. `last` and `first` are the last and the first touch, as `touch.py` writes
    them (`""`: none). The latest page and goal come last; `arms` maps `"<experiment>:<phase>"` to the arm, the oldest
    first. `declared` is what links and forms told, as `declared.py` writes it.
    """

    id: str
    first_seen: int
    last_seen: int
    visits: int
    visit: str
    unit: str
    company: str
    away: int | None
    last: str
    first: str
    persona: str
    icp: str
    goals: tuple[str, ...]
    pages: tuple[str, ...]
    arms: dict[str, str]
    declared: str

    def __init__(  # written out, because compiled code runs one that dataclasses write as slowly as any Python
        self,
        id: str,
        first_seen: int,
        last_seen: int,
        visits: int,
        visit: str,
        unit: str,
        company: str = "",
        away: int | None = None,
        last: str = "",
        first: str = "",
        persona: str = "",
        icp: str = "",
        goals: tuple[str, ...] = (),
        pages: tuple[str, ...] = (),
        arms: dict[str, str] = _NO_ARMS,
        declared: str = "",
    ) -> None:
        self.id = id
        self.first_seen = first_seen
        self.last_seen = last_seen
        self.visits = visits
        self.visit = visit
        self.unit = unit
        self.company = company
        self.away = away
        self.last = last
        self.first = first
        self.persona = persona
        self.icp = icp
        self.goals = goals
        self.pages = pages
        self.arms = arms
        self.declared = declared

    def add_view(self, page: str, persona: str | None, icp: str | None) -> None:
        """Remember that `page` was shown. None leaves the persona or ICP as it was."""
        if not self.pages or self.pages[-1] != page:
            self.pages = (*[seen for seen in self.pages if seen != page], page)[-MAX_PAGES:]
        self.persona = persona or self.persona
        self.icp = icp or self.icp

    def add_arm(self, seed: str, arm: str) -> None:
        """Remember the arm of `"<experiment>:<phase>"`."""
        if self.arms.get(seed) != arm:
            self.arms = {**self.arms, seed: arm}

    def add_goal(self, goal: str) -> None:
        """Remember that `goal` was reached."""
        self.goals = (*[reached for reached in self.goals if reached != goal], goal)[-MAX_GOALS:]


def find_cookie(header: str) -> str:
    """The value of our cookie in a Cookie header, the first of several; `""` without one."""
    if header.startswith(_ALONE):
        return header[len(_ALONE) :].partition(";")[0].strip()
    cookies = ";" + header.replace("; ", ";")  # servers join the cookies of several headers without the space
    start = cookies.find(_START)
    return cookies[start + len(_START) :].partition(";")[0].strip() if start >= 0 else ""


def read_cookie(value: str, keys: Keys, now: float) -> Memory | None:
    """What the cookie holds; None when it is empty, forged, damaged, of an older format, or out of date."""
    if not value or len(value) > MAX_COOKIE or not value.isascii():
        return None
    payload = value[:-SIGNATURE_LENGTH]
    if not keys.verify(payload.encode("ascii"), value[-SIGNATURE_LENGTH:], _PURPOSE):
        return None
    try:
        # In the order of `_encode`.
        part = payload.split(_BETWEEN)
        if part[0] != _FORMAT or not _FIELDS <= len(part) <= _FIELDS + 1:
            return None
        memory = Memory(
            id=part[1],
            first_seen=int(part[4]),
            last_seen=int(part[5]),
            visits=int(part[6]),
            visit=part[2],
            unit=part[3] or part[1],
            company=part[8],
            away=int(part[7]) if part[7] else None,
            last=part[15],
            first=part[14],
            persona=part[9],
            icp=part[10],
            goals=_split(part[11]),
            pages=_split(part[12]),
            arms=dict([arm.split("=") for arm in part[13].split(_WITHIN)]) if part[13] else {},
            declared=part[16] if len(part) > _FIELDS else "",
        )
    except ValueError:  # one of ours, of another format
        return None
    return memory if now - memory.last_seen <= MAX_AGE else None


def _split(texts: str) -> tuple[str, ...]:
    return tuple(texts.split(_WITHIN)) if texts else ()


def write_cookie(memory: Memory, keys: Keys) -> str:
    """The cookie's value, at most `MAX_COOKIE` bytes of characters that a cookie may have.

    What does not fit goes in this order: oldest pages, oldest goals, first touch, oldest declarations, click id, last
    touch, oldest arms.
    """
    payload = _encode(memory)
    if len(payload) > _MAX_PAYLOAD:
        memory = replace(memory)
        while len(payload) > _MAX_PAYLOAD:
            _evict(memory)
            payload = _encode(memory)
    return payload + keys.sign(payload.encode("ascii"), _PURPOSE)


def _encode(memory: Memory) -> str:
    # Keys, ids and domains have none of the separators in them; what a link said may, and is encoded.
    payload = _BETWEEN.join(
        (
            _FORMAT,
            memory.id,
            memory.visit,
            memory.unit if memory.unit != memory.id else "",
            str(memory.first_seen),
            str(memory.last_seen),
            str(memory.visits),
            "" if memory.away is None else str(memory.away),
            memory.company,
            memory.persona,
            memory.icp,
            _WITHIN.join(memory.goals),
            _WITHIN.join(memory.pages),
            _WITHIN.join([f"{seed}={arm}" for seed, arm in memory.arms.items()]),
            memory.first,
            memory.last,
        )
    )
    return f"{payload}{_BETWEEN}{memory.declared}" if memory.declared else payload


def _evict(memory: Memory) -> None:
    if memory.pages:
        memory.pages = memory.pages[1:]
    elif memory.goals:
        memory.goals = memory.goals[1:]
    elif memory.first:
        memory.first = ""
    elif memory.declared:
        memory.declared = drop_oldest(memory.declared)
    elif memory.last:
        touch = read_touch(memory.last)
        memory.last = write_touch(touch._replace(click_kind="", click_id="")) if touch.click_id else ""
    else:
        memory.arms = dict(list(memory.arms.items())[1:])
