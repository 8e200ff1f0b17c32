"""What a visitor's browser remembers for us: the `pz` cookie.

What enters: a cookie value, or a `Memory` to keep. What leaves: the other one. Must not: raise for any value, believe
one that we did not sign, or grow past 1,000 bytes.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from binascii import a2b_base64
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field

import orjson

from personalizer.visitor.keys import SIGNATURE_LENGTH, Keys
from personalizer.visitor.query import UTM_NAMES, Touch

COOKIE_NAME = "pz"
OPT_OUT = "out"  # the cookie's value after a refusal: nothing is kept about this visitor
MAX_AGE = 365 * 86_400  # seconds since the last view, after which a cookie is a stranger's
MAX_COOKIE = 1000  # bytes of the value
MAX_PAGES = 10
MAX_GOALS = 20
MAX_UTM = 80  # bytes of a remembered UTM value

_FORMAT = 1  # raise it when the fields of `Memory` change; older cookies are then new visitors
_START = f";{COOKIE_NAME}="
_PURPOSE = b"cookie"
_MAX_PAYLOAD = MAX_COOKIE - SIGNATURE_LENGTH
_STANDARD_ALPHABET = bytes.maketrans(b"-_", b"+/")  # `urlsafe_b64decode`, at half its price
_NO_FIRST = ("", "", "")
_NO_TOUCH = Touch()


@dataclass(slots=True)
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
    company: str = ""
    away: int | None = None
    last: Touch = _NO_TOUCH
    first: tuple[str, str, str] = _NO_FIRST
    persona: str = ""
    icp: str = ""
    goals: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()
    arms: Mapping[str, str] = field(default_factory=dict)

    def add_view(self, page: str, persona: str | None, icp: str | None, arms: Mapping[str, str]) -> None:
        """Remember that `page` was shown. None leaves the persona or ICP as it was; `arms` are added."""
        self.pages = (*(seen for seen in self.pages if seen != page), page)[-MAX_PAGES:]
        self.persona = persona or self.persona
        self.icp = icp or self.icp
        self.arms = {**self.arms, **arms}

    def add_goal(self, goal: str) -> None:
        """Remember that `goal` was reached."""
        self.goals = (*(reached for reached in self.goals if reached != goal), goal)[-MAX_GOALS:]


def find_cookie(header: str) -> str:
    """The value of our cookie in a Cookie header, the first of several; `""` without one."""
    cookies = ";" + header.replace("; ", ";")  # servers join the cookies of several headers without the space
    start = cookies.find(_START)
    return cookies[start + len(_START) :].partition(";")[0].strip() if start >= 0 else ""


def read_cookie(value: str, keys: Keys, now: float) -> Memory | None:
    """What the cookie holds; None when it is empty, forged, damaged, of an older format, or out of date."""
    if not value or len(value) > MAX_COOKIE or not value.isascii():
        return None
    payload = value[:-SIGNATURE_LENGTH].encode("ascii")
    if not keys.verify(payload, value[-SIGNATURE_LENGTH:], _PURPOSE):
        return None
    try:
        data = a2b_base64(payload.translate(_STANDARD_ALPHABET) + b"==")
        form, *head, last, first, persona, icp, goals, pages, arms = orjson.loads(data)
        fields = (*head, Touch(*last), tuple(first), persona, icp, tuple(goals), tuple(pages), arms)
        memory = Memory(*fields)
    except (ValueError, TypeError):  # one of ours, of another format
        return None
    return memory if form == _FORMAT and now - memory.last_seen <= MAX_AGE else None


def write_cookie(memory: Memory, keys: Keys) -> str:
    """The cookie's value, at most `MAX_COOKIE` bytes of base64url.

    What does not fit goes in this order: oldest pages, oldest goals, first touch, click id, last touch, oldest arms.
    """
    payload = _encode(memory)
    if len(payload) > _MAX_PAYLOAD:
        memory = copy(memory)
        while len(payload) > _MAX_PAYLOAD:
            _evict(memory)
            payload = _encode(memory)
    return payload.decode("ascii") + keys.sign(payload, _PURPOSE)


def _encode(memory: Memory) -> bytes:
    fields = (
        _FORMAT,
        memory.id,
        memory.first_seen,
        memory.last_seen,
        memory.visits,
        memory.visit,
        memory.unit,
        memory.company,
        memory.away,
        _shorten_touch(memory.last) if any(memory.last) else (),
        [_shorten(text) for text in memory.first],
        memory.persona,
        memory.icp,
        memory.goals,
        memory.pages,
        memory.arms,
    )
    return urlsafe_b64encode(orjson.dumps(fields)).rstrip(b"=")


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


def _shorten_touch(touch: Touch) -> list[str]:
    utm = len(UTM_NAMES)
    return [*map(_shorten, touch[:utm]), *touch[utm:]]


def _shorten(text: str) -> str:
    return text if len(text) * 4 <= MAX_UTM else text.encode()[:MAX_UTM].decode("utf-8", "ignore")
