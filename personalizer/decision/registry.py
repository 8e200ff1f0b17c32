"""The registry: all content, checked and compiled; immutable, named by a content hash, swapped whole.

What enters: compiled parts from `content/`. What leaves: what `decide` reads, ready to use. Must not: read files or
parse conditions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from personalizer.decision.ads import AdIndex
from personalizer.decision.conditions import Condition
from personalizer.decision.fit import FitModel
from personalizer.decision.index import RuleIndex
from personalizer.model import Facts, SiteRules, Value


@dataclass(frozen=True, slots=True)
class Target:
    """Where a refused visitor goes: a page's original, a variant of the page asked for, or another address.

    `kind` `unavailable` is the default page. `key` is a page, a variant, or a URL.
    """

    kind: Literal["page", "variant", "redirect", "unavailable"]
    key: str = ""


@dataclass(frozen=True, slots=True)
class Icp:
    """One ICP. `order` is its place among those of its kind; `lookup` says that look-ups are evidence too; `fit` judges
    accounts, None where nothing is written about it."""

    key: str
    name: str
    kind: Literal["ideal", "negative", "excluded"]
    product: str | None
    match: Condition
    order: int
    target: Target
    lookup: bool
    exploration: float
    fit: FitModel | None = None


@dataclass(frozen=True, slots=True)
class Persona:
    """One persona. `icps` in the order in which they are presumed; `match` None means declared only."""

    key: str
    name: str
    icps: tuple[str, ...]
    match: Condition | None
    order: int


@dataclass(frozen=True, slots=True)
class Experiment:
    """A random split on one row. `arms[0]` is the baseline; `ranges` are hash ranges, one an arm.

    `phase` and `weight_epoch` come from the engine's counters, not from content. `original` may be an arm. `by_company`
    deals to companies, where the visit's company is known.
    """

    key: str
    page: str
    row: str
    arms: tuple[str, ...]
    weights: tuple[float, ...]
    coverage: float
    ranges: tuple[tuple[float, float], ...]
    namespace: tuple[str, float, float] | None
    running: bool
    goal: str
    phase: int = 1
    weight_epoch: int = 1
    by_company: bool = False

    @property
    def chances(self) -> tuple[float, ...]:
        """The probability of each arm for a new unit; what is missing to 1 stays outside the experiment."""
        space = self.namespace[2] - self.namespace[1] if self.namespace else 1.0
        return tuple(space * (high - low) for low, high in self.ranges)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a page's who-gets-what table: a variant and whom it is for (None: does not matter).

    `match` says the same as a condition over the facts and the pseudo-facts `icp` and `persona`.
    """

    key: str
    match: Condition
    accounts: str | None
    campaign: str | None
    persona: str | None
    icp: str | None
    audience: str | None
    language: str | None
    when: Condition | None
    holdout: float
    experiment: str | None

    @property
    def variant(self) -> str:
        """The variant it serves: a row is named by its variant."""
        return self.key


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its path, its rows in order, and which ICPs it considers. `variants` are all that may be served."""

    key: str
    path: str
    product: str | None
    language: str
    rows: dict[str, Row]  # in order: the first that matches wins
    row_index: RuleIndex
    variants: frozenset[str]
    goals: tuple[str, ...]  # the primary goal first
    icps: RuleIndex  # ideal ICPs that it considers, in order: those of its product and those without one
    presumed: dict[str, RuleIndex]  # by persona: those of them that the persona belongs to, until one is ruled out
    negative: RuleIndex
    excluded: RuleIndex
    index: bool = False  # whether search engines may list it
    unavailable: str = "unavailable"  # what is shown to who is refused, if nothing is there in their own language


@dataclass(frozen=True, slots=True)
class Goal:
    """A kind of thing done. `window` in seconds after the first exposure; `value` in minor units of the currency."""

    key: str
    kind: str
    window: int
    value: int | None
    once: Literal["unit", "id"]


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything a decision reads. `revision` is the content hash (hex); events carry its first 12 digits."""

    revision: str
    site: SiteRules
    site_name: str
    currency: str
    icps: dict[str, Icp]
    personas: dict[str, Persona]
    personas_of: dict[str, RuleIndex]  # an ICP's personas that have a match, in order
    ads: AdIndex
    accounts: dict[str, Facts]  # by domain: every list that names it; name, tier, relation from the first
    pages: dict[str, Page]
    paths: dict[str, str]  # URL path → page
    retired: dict[str, str]  # earlier URL path → page
    experiments: dict[str, Experiment]
    goals: dict[str, Goal]
    derive: tuple[tuple[str, tuple[tuple[Condition, Value], ...]], ...]
    unavailable: dict[str, str]  # by language: what is shown to who is refused
