"""Shapes that cross rooms: facts and their values, a visitor, a decision.

What enters and leaves: nothing; these are plain records, changed by nobody but their maker. Must not: import any room,
do I/O, read a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple, TypeAlias


class Range(NamedTuple):
    """A number known to lie between two bounds, both inclusive ("51–1000 employees"); exact when they are the same."""

    low: float
    high: float


Value: TypeAlias = str | int | float | bool | Range | tuple[str, ...]
"""What a known fact can be. An unknown fact is absent; there is no null."""

Facts: TypeAlias = dict[str, Value]
"""Facts by name. They are shared between requests: whoever did not make a dictionary of facts must not change it. (It
is no `Mapping`, because compiled code asks a dictionary three times as fast.)"""


class FactType(StrEnum):
    """How a fact compares: see `docs/conditions.md`."""

    TEXT = "text"
    NUMBER = "number"
    RANGE = "range"  # always a Range
    FLAG = "flag"
    LIST = "list"  # of text


class CustomFact(NamedTuple):
    """A fact that the workspace declares, and the names under which links, forms and signed links tell it."""

    name: str
    type: FactType
    url: tuple[str, ...] = ()
    form: tuple[str, ...] = ()
    signed: tuple[str, ...] = ()


class Source(StrEnum):
    """Where a fact came from. What a visitor could have typed (`url`, `ad`) proves less than the rest."""

    URL = "url"
    AD = "ad"
    SIGNED = "signed"
    FORM = "form"
    COOKIE = "cookie"
    LIST = "list"
    LOOKUP = "lookup"
    DERIVED = "derived"


class Mode(StrEnum):
    """What may be kept about a visitor: see `docs/events-and-privacy.md`."""

    PERSISTENT = "persistent"
    STORAGE_FREE = "storage_free"


class Reason(StrEnum):
    """Why a step of the decision ended as it did. The list is closed; reports and tests rely on it."""

    EXCLUDED = "EXCLUDED"  # an excluded ICP matched: the visitor may not be served
    NEGATIVE_ICP = "NEGATIVE_ICP"  # a negative ICP matched on facts that are evidence
    EXPLORED = "EXPLORED"  # a negative ICP matched, and this visitor is in its exploration share
    MATCHED = "MATCHED"  # the ICP's or persona's own rule is true
    PRESUMED = "PRESUMED"  # no ICP matched; the declared persona's first ICP that is not ruled out
    OUTSIDE_ICP = "OUTSIDE_ICP"  # the declared persona does not belong to the matched ICP, and wins
    NO_ICP = "NO_ICP"
    DECLARED_BY_LINK = "DECLARED_BY_LINK"  # a signed link names the persona
    DECLARED_BY_AD = "DECLARED_BY_AD"
    REMEMBERED = "REMEMBERED"  # the cookie names the persona
    NO_PERSONA = "NO_PERSONA"
    ROW = "ROW"  # a row of the page's table admits the visitor
    NO_ROW = "NO_ROW"
    HOLDOUT = "HOLDOUT"
    STICKY = "STICKY"  # the arm seen before
    ASSIGNED = "ASSIGNED"  # the arm that the hash deals
    NOT_IN_NAMESPACE = "NOT_IN_NAMESPACE"
    NOT_COVERED = "NOT_COVERED"
    STOPPED = "STOPPED"
    NO_ID = "NO_ID"  # storage-free: nobody to deal to
    CONSENT = "CONSENT"
    BOT = "BOT"


Predicate: TypeAlias = Callable[[Facts], bool | None]
"""A compiled condition: true, false, or None for unknown."""


@dataclass(frozen=True, slots=True)
class SiteRules:
    """What reading a visitor needs to know of the workspace.

    `privacy` is tried in order, the first whose predicate is true (or None: always) gives the mode.
    `internal` networks are served and never counted. `timezone` is an IANA name, `hosts` are lower-case. `custom` are
    the facts of the workspace's own.
    """

    hosts: tuple[str, ...]
    language: str
    timezone: str
    privacy: tuple[tuple[Predicate | None, Mode], ...]
    internal: tuple[IPv4Network | IPv6Network, ...]
    custom: tuple[CustomFact, ...] = ()


# The two records below are made for every page. They are not frozen and their `__init__` is written out, because
# compiled code runs what dataclasses write as slowly as any Python. There `copy.copy` fails on them;
# `dataclasses.replace` works.


@dataclass(slots=True, init=False)
class Visitor:
    """One request, read: raw facts and who it is. What the registry adds (ad, lists) comes in the decision.

    `id` names the visitor (16 ASCII characters); `unit` is whom an experiment deals to, None when nobody may be.
    `sources` may also name facts that are not known here. `arms` are the sticky arms that the cookie carried,
    `"<experiment>:<phase>"` → arm. `ad_ref` is `pz=`, verbatim. `persona` is the one that a signed link names.
    `company` is the visit's company (`""`: none) where a link or form declared one; None: it is the fact.
    `not_counted` says why this visit is served and logged but never counted, None when it counts.
    """

    facts: Facts
    sources: Mapping[str, Source]
    id: str
    visit: str
    unit: str | None
    mode: Mode
    arms: dict[str, str]
    ad_ref: str | None
    not_counted: str | None
    persona: str | None
    company: str | None

    def __init__(
        self,
        facts: Facts,
        sources: Mapping[str, Source],
        id: str,
        visit: str,
        unit: str | None,
        mode: Mode,
        arms: dict[str, str],
        ad_ref: str | None = None,
        not_counted: str | None = None,
        persona: str | None = None,
        company: str | None = None,
    ) -> None:
        self.facts = facts
        self.sources = sources
        self.id = id
        self.visit = visit
        self.unit = unit
        self.mode = mode
        self.arms = arms
        self.ad_ref = ad_ref
        self.not_counted = not_counted
        self.persona = persona
        self.company = company


@dataclass(slots=True, init=False)
class Decision:
    """Everything the engine chose for one visit. Field names are the event columns of the same name.

    It begins as the decision that changes nothing, the original for everybody, and the steps fill it in.
    `page` is the page asked for; `shown` is what is served: `"<page>/<variant>"`, `"unavailable"` (in another language
    than the site's `"unavailable/<language>"`), or a redirect URL.
    `holdout` is None (nobody is held out here), `"in"` (held out: sees the original) or `"out"`. `unit` is whom the arm
    was dealt to: the company's domain in an experiment that deals to companies, everywhere else the visitor's unit.
    `facts` are the visitor's, with what step 0 added from the registry. `fit` is the score of an ICP that has criteria,
    and `failed` are those that the account fails.
    """

    page: str
    shown: str
    status: int
    variant: str | None
    row: str | None
    icp: str | None
    persona: str | None
    experiment: str | None
    phase: int | None
    weight_epoch: int | None
    arm: str | None
    unit: str | None
    sticky: bool
    propensity: float
    holdout: str | None
    explored: bool
    fit: float | None
    failed: tuple[str, ...] | None
    reasons: list[Reason]
    revision: str
    not_counted: str | None
    facts: Facts

    def __init__(self, page: str, revision: str, not_counted: str | None, facts: Facts) -> None:
        self.page = page
        self.shown = ""
        self.status = 200
        self.variant = None
        self.row = None
        self.icp = None
        self.persona = None
        self.experiment = None
        self.phase = None
        self.weight_epoch = None
        self.arm = None
        self.unit = None
        self.sticky = False
        self.propensity = 1.0
        self.holdout = None
        self.explored = False
        self.fit = None
        self.failed = None
        self.reasons = []
        self.revision = revision
        self.not_counted = not_counted
        self.facts = facts
