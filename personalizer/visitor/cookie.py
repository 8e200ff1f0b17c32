"""What a visitor's browser remembers for us: the `pz` cookie.

What enters: a cookie value, or a `Memory` to keep. What leaves: the other one. Must not: raise for any value, believe
one that we did not sign, or grow past 1,000 bytes.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import orjson

from personalizer.visitor.keys import SIGNATURE_LENGTH, Keys
from personalizer.visitor.query import Touch

COOKIE_NAME = "pz"
OPT_OUT = "out"  # the cookie's value after a refusal: nothing is kept about this visitor
MAX_AGE = 365 * 86_400  # seconds since the last view, after which a cookie is a stranger's
MAX_COOKIE = 1000  # bytes of the value
MAX_PAGES = 10
MAX_GOALS = 20
MAX_UTM = 80  # bytes of a remembered UTM value

_FORMAT = 1  # raise it when the fields of `Memory` change; older cookies are then new visitors
_PURPOSE = b"cookie"
_MAX_PAYLOAD = MAX_COOKIE - SIGNATURE_LENGTH
_NO_FIRST = ("", "", "")


class Memory(NamedTuple):
    """Everything the cookie holds. Times are whole seconds since 1970; `""` means that there is none.

    `company` and `unit` are frozen at the first view of the visit. `away` is the whole days between this visit and the
    one before it. `first` has source, medium and campaign of the first touch. The latest page and goal are the last
    ones; `arms` maps `"<experiment>:<phase>"` to the arm, the oldest first.
    """

    id: str
    first_seen: int
    last_seen: int
    visits: int
    visit: str
    unit: str
    company: str = ""
    away: int | None = None
    last: Touch = Touch()
    first: tuple[str, str, str] = _NO_FIRST
    persona: str = ""
    icp: str = ""
    goals: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()
    arms: Mapping[str, str] = MappingProxyType({})

    def after_view(self, page: str, persona: str | None, icp: str | None, arms: Mapping[str, str]) -> Memory:
        """What to remember once `page` is shown. None keeps the persona or ICP as it was; `arms` are added."""
        return self._replace(
            pages=(*(seen for seen in self.pages if seen != page), page)[-MAX_PAGES:],
            persona=persona or self.persona,
            icp=icp or self.icp,
            arms={**self.arms, **arms},
        )

    def after_goal(self, goal: str) -> Memory:
        """What to remember once `goal` is reached."""
        return self._replace(goals=(*(reached for reached in self.goals if reached != goal), goal)[-MAX_GOALS:])


def find_cookie(header: str) -> str:
    """The value of our cookie in a Cookie header, the first of several; `""` without one."""
    for part in header.split(";"):
        name, _, value = part.partition("=")
        if name.strip() == COOKIE_NAME:
            return value.strip()
    return ""


def read_cookie(value: str, keys: Keys, now: float) -> Memory | None:
    """What the cookie holds; None when it is empty, forged, damaged, of an older format, or out of date."""
    payload = value[:-SIGNATURE_LENGTH]
    if not payload or len(value) > MAX_COOKIE or not value.isascii():
        return None
    if not keys.verify(payload.encode("ascii"), value[-SIGNATURE_LENGTH:], _PURPOSE):
        return None
    try:
        form, *head, last, first, persona, icp, goals, pages, arms = orjson.loads(urlsafe_b64decode(payload + "=="))
        fields = (*head, Touch(*last), tuple(first), persona, icp, tuple(goals), tuple(pages), arms)
        memory = Memory._make(fields)
    except (ValueError, TypeError):  # one of ours, of another format
        return None
    return memory if form == _FORMAT and now - memory.last_seen <= MAX_AGE else None


def write_cookie(memory: Memory, keys: Keys) -> str:
    """The cookie's value, at most `MAX_COOKIE` bytes of base64url.

    What does not fit goes in this order: oldest pages, oldest goals, first touch, click id, last touch, oldest arms.
    """
    source, medium, campaign = map(_shorten, memory.first)
    memory = memory._replace(last=_shorten_touch(memory.last), first=(source, medium, campaign))
    payload = _encode(memory)
    while len(payload) > _MAX_PAYLOAD:
        memory = _evict(memory)
        payload = _encode(memory)
    return payload.decode("ascii") + keys.sign(payload, _PURPOSE)


def _encode(memory: Memory) -> bytes:
    *head, last, first, persona, icp, goals, pages, arms = memory
    fields = [_FORMAT, *head, [*last] if any(last) else [], first, persona, icp, goals, pages, dict(arms)]
    return urlsafe_b64encode(orjson.dumps(fields)).rstrip(b"=")


def _evict(memory: Memory) -> Memory:
    if memory.pages:
        return memory._replace(pages=memory.pages[1:])
    if memory.goals:
        return memory._replace(goals=memory.goals[1:])
    if memory.first != _NO_FIRST:
        return memory._replace(first=_NO_FIRST)
    if memory.last.click_id:
        return memory._replace(last=memory.last._replace(click_kind="", click_id=""))
    if any(memory.last):
        return memory._replace(last=Touch())
    return memory._replace(arms=dict(list(memory.arms.items())[1:]))


def _shorten_touch(touch: Touch) -> Touch:
    source, medium, campaign, term, content, id_, *rest = touch
    return Touch(*map(_shorten, (source, medium, campaign, term, content, id_)), *rest)


def _shorten(text: str) -> str:
    return text if len(text) * 4 <= MAX_UTM else text.encode()[:MAX_UTM].decode("utf-8", "ignore")
