"""What a visitor's browser remembers for us: the `pz` cookie.

What enters: a cookie value, or a `Memory` to keep. What leaves: the other one. Must not: raise for any value, believe
one that we did not sign, or grow past 1,000 bytes.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from copy import copy
from dataclasses import dataclass

import orjson

from personalizer.cache import Cache
from personalizer.visitor.keys import SIGNATURE_LENGTH, Keys
from personalizer.visitor.query import UTM_NAMES, Touch

COOKIE_NAME = "pz"
OPT_OUT = "out"  # the cookie's value after a refusal: nothing is kept about this visitor
MAX_AGE = 365 * 86_400  # seconds since the last view, after which a cookie is a stranger's
MAX_COOKIE = 1000  # bytes of the value
MAX_PAGES = 10
MAX_GOALS = 20
MAX_UTM = 80  # bytes of a remembered UTM value

_FORMAT = "1"  # raise it when the fields of `Memory` change; older cookies are then new visitors
_START = f";{COOKIE_NAME}="
_PURPOSE = b"cookie"
_MAX_PAYLOAD = MAX_COOKIE - SIGNATURE_LENGTH
_BETWEEN, _WITHIN = "!", "*"  # separators of fields, and of items in a field
_NO_FIRST = ("", "", "")
_NO_TOUCH = Touch()
_NO_ARMS: dict[str, str] = {}


@dataclass(slots=True, init=False)
class Memory:
    """Everything the cookie holds, to be changed while the request is answered. Times are whole seconds since 1970.

    `company` (a domain; `""`: none) and `unit` are fixed at the first view of the visit. `away` is the whole days
    between this visit and the one before. `first` has source, medium and campaign of the first touch. The latest page
    and goal come last; `arms` maps `"<experiment>:<phase>"` to the arm, the oldest first.
    """

    id: str
    first_seen: int
    last_seen: int
    visits: int
    visit: str
    unit: str
    company: str
    away: int | None
    last: Touch
    first: tuple[str, str, str]
    persona: str
    icp: str
    goals: tuple[str, ...]
    pages: tuple[str, ...]
    arms: dict[str, str]

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
        last: Touch = _NO_TOUCH,
        first: tuple[str, str, str] = _NO_FIRST,
        persona: str = "",
        icp: str = "",
        goals: tuple[str, ...] = (),
        pages: tuple[str, ...] = (),
        arms: dict[str, str] = _NO_ARMS,
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
        form, id_, visit, unit, began, last_seen, visits, away, company, *rest = payload.split(_BETWEEN)
        persona, icp, goals, pages, arms, first, last = rest
        memory = Memory(
            id_,
            int(began),
            int(last_seen),
            int(visits),
            visit,
            unit or id_,
            company,
            int(away) if away else None,
            _read_touch(last) if last else _NO_TOUCH,
            _read_first(first) if first else _NO_FIRST,
            persona,
            icp,
            tuple(goals.split(_WITHIN)) if goals else (),
            tuple(pages.split(_WITHIN)) if pages else (),
            dict([arm.split("=") for arm in arms.split(_WITHIN)]) if arms else {},
        )
    except (ValueError, TypeError):  # one of ours, of another format
        return None
    return memory if form == _FORMAT and now - memory.last_seen <= MAX_AGE else None


def write_cookie(memory: Memory, keys: Keys) -> str:
    """The cookie's value, at most `MAX_COOKIE` bytes of characters that a cookie may have.

    What does not fit goes in this order: oldest pages, oldest goals, first touch, click id, last touch, oldest arms.
    """
    payload = _encode(memory)
    if len(payload) > _MAX_PAYLOAD:
        memory = copy(memory)
        while len(payload) > _MAX_PAYLOAD:
            _evict(memory)
            payload = _encode(memory)
    return payload + keys.sign(payload.encode("ascii"), _PURPOSE)


def _encode(memory: Memory) -> str:
    # Keys, ids and domains have none of the separators in them; what a link said may, and is encoded.
    return _BETWEEN.join(
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
            _write_texts(memory.first),
            _write_texts(memory.last),
        )
    )


_touches: Cache[str, Touch] = Cache(16_384)
_firsts: Cache[str, tuple[str, str, str]] = Cache(8192)
_written: Cache[tuple[str, ...], str] = Cache(16_384)


def _read_touch(encoded: str) -> Touch:
    return _touches.get(encoded) or _touches.put(encoded, Touch(*_read_texts(encoded)))


def _read_first(encoded: str) -> tuple[str, str, str]:
    first = _firsts.get(encoded)
    if first is None:
        source, medium, campaign = _read_texts(encoded)
        first = _firsts.put(encoded, (source, medium, campaign))
    return first


def _read_texts(encoded: str) -> list[str]:
    texts: list[str] = orjson.loads(urlsafe_b64decode(encoded + "=="))
    return texts


def _write_texts(texts: tuple[str, ...]) -> str:
    """What a link said, with its UTM values shortened; links repeat, so that this is seldom worked out."""
    if texts in (_NO_FIRST, _NO_TOUCH):
        return ""
    written = _written.get(texts)
    if written is None:
        utm = len(UTM_NAMES)
        shortened = [*map(_shorten, texts[:utm]), *texts[utm:]]
        written = _written.put(texts, urlsafe_b64encode(orjson.dumps(shortened)).rstrip(b"=").decode("ascii"))
    return written


def _evict(memory: Memory) -> None:
    if memory.pages:
        memory.pages = memory.pages[1:]
    elif memory.goals:
        memory.goals = memory.goals[1:]
    elif memory.first != _NO_FIRST:
        memory.first = _NO_FIRST
    elif memory.last.click_id:
        memory.last = memory.last._replace(click_kind="", click_id="")
    elif any(memory.last):
        memory.last = _NO_TOUCH
    else:
        memory.arms = dict(list(memory.arms.items())[1:])


def _shorten(text: str) -> str:
    return text if len(text) * 4 <= MAX_UTM else text.encode()[:MAX_UTM].decode("utf-8", "ignore")
