"""Documents → a registry and its renderings: everything a request needs, worked out at publish.

What enters: a workspace directory. What leaves: `Content`, immutable and named by a content hash; or ContentError with
every problem. Must not: leave anything to be parsed, looked for or checked when a visitor arrives.
"""

from __future__ import annotations

import gc
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from personalizer.cache import Cache
from personalizer.config import Settings
from personalizer.content import models
from personalizer.content.ads import compile_ads
from personalizer.content.advice import advise
from personalizer.content.considered import Considered, Considering
from personalizer.content.counters import Counter, Deal
from personalizer.content.custom import compile_custom, compile_derived, extend_schema
from personalizer.content.files import hash_files
from personalizer.content.fit import compile_fit
from personalizer.content.language import UNAVAILABLE, primary, unavailable_pages
from personalizer.content.lint import lint_documents
from personalizer.content.load import Documents, Loaded, load_documents
from personalizer.content.money import minor_units
from personalizer.content.order import precedence, row_rank
from personalizer.content.pages import Renderings, render_workspace
from personalizer.content.reach import lint_contradictions
from personalizer.content.rules import Rules, find_rules
from personalizer.content.values import CHECKS
from personalizer.content.yaml import KeyPath
from personalizer.decision.assign import compile_ranges
from personalizer.decision.conditions import All, Compare, Condition, Node, build_condition
from personalizer.decision.fit import REMEMBERED_FITS, Judgements
from personalizer.decision.index import REMEMBERED, Answers, RuleIndex
from personalizer.decision.parse import FactSchema, compile_condition
from personalizer.decision.registry import Experiment, Goal, Icp, Page, Persona, Registry, Row, Target
from personalizer.errors import ContentError, Problem
from personalizer.model import Facts, FactType, Mode, Predicate, SiteRules
from personalizer.visitor.cleaning import clean_text
from personalizer.visitor.facts import FACT_TYPES, FACTS
from personalizer.visitor.industry import CODED, load_codes

NEVER_RULES = ("click.id",)  # kept verbatim for the ad platforms, never a rule's input
SCHEMA = FactSchema(
    {name: kind for name, kind in FACT_TYPES.items() if name not in NEVER_RULES},
    {name: fact.values for name, fact in FACTS.items() if fact.values},
    {name: load_codes(name) for name in CODED},
    CHECKS,
)


@dataclass(frozen=True, slots=True)
class Content:
    """A compiled workspace: the registry that decisions read, and what can be shown.

    `privacy` has as conditions what `registry.site` has as their tests.
    """

    registry: Registry
    renderings: Renderings
    privacy: tuple[tuple[Condition | None, Mode], ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """What `check` found: the documents, every problem, and the compiled content if nothing forbids it."""

    documents: Documents
    problems: list[Problem]
    content: Content | None


def check_workspace(root: Path, settings: Settings | None = None) -> Checked:
    """Read, check and compile the workspace in `root`, and warn of what may not be meant; never raises for what is in
    it. With `settings`, also warns of rules that cannot be true with the files that these name."""
    with collecting_later():
        documents = load_documents(root)
        content, rules = _compile(documents)
        advise(documents, content.registry, rules, settings)
    problems = documents.problems
    right = all(problem.warning for problem in problems)
    return Checked(documents, problems, content if right else None)


def load_content(root: Path) -> Content:
    """The compiled workspace. Raises ContentError with every mistake."""
    with collecting_later():
        documents = load_documents(root)
        content, _ = _compile(documents)
    mistakes = [problem for problem in documents.problems if not problem.warning]
    if mistakes:
        raise ContentError(mistakes)
    return content


@contextmanager
def collecting_later() -> Iterator[None]:
    """Without garbage collection: of content hardly anything is garbage, and to look for it takes a tenth longer."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _compile(documents: Documents) -> tuple[Content, Rules]:
    """Everything made of the documents, with every mistake noted in them."""
    compiler = _Compiler(documents)
    registry = compiler.compile()
    lint_documents(documents, {page.key: tuple(page.rows) for page in registry.pages.values()})
    lint_contradictions(documents, registry)
    rules = find_rules(documents, registry)
    return Content(registry, render_workspace(documents), tuple(compiler.privacy)), rules


def apply_counters(content: Content, counters: Mapping[str, Counter]) -> Content:
    """The same content with each experiment's phase and weight epoch from the engine's counters."""
    registry = content.registry
    experiments = {
        key: replace(one, phase=counters[key].phase, weight_epoch=counters[key].weight_epoch)
        if key in counters
        else one
        for key, one in registry.experiments.items()
    }
    return replace(content, registry=replace(registry, experiments=experiments))


def deals_of(registry: Registry) -> dict[str, Deal]:
    """What each experiment that may deal says about dealing."""
    return {
        key: Deal(one.arms, one.weights, one.coverage, "company" if one.by_company else "visitor")
        for key, one in registry.experiments.items()
    }


def privacy_tests(rules: Iterable[tuple[Condition | None, Mode]]) -> tuple[tuple[Predicate | None, Mode], ...]:
    """Privacy rules as reading a visitor needs them."""
    return tuple((when.test if when else None, mode) for when, mode in rules)


class _Compiler:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._workspace = documents.workspace
        self._site = documents.workspace.doc.site
        self.privacy: list[tuple[Condition | None, Mode]] = []
        self._custom = compile_custom(documents.workspace.doc)
        self._schema = extend_schema(SCHEMA, self._custom)
        self._answers: Answers = Cache(REMEMBERED)  # of this registry's indexes
        self._judgements: Judgements = Cache(REMEMBERED_FITS)  # of this registry's fit models
        self._ideal: tuple[str, ...] = ()  # the ICPs of personas that name none: this very tuple

    def compile(self) -> Registry:
        documents, workspace = self._documents, self._workspace.doc
        icps = self._icps()
        personas = self._personas(icps)
        considering = Considering(icps, personas, self._ideal, self._answers)
        experiments = self._experiments()
        published = self._documents.published()
        return Registry(
            revision=hash_files(documents.files),
            site=self._site_rules(),
            site_name=self._site.name,
            currency=self._site.currency,
            icps=icps,
            personas=personas,
            personas_of=considering.personas_by_icp(),
            ads=compile_ads(documents, self._schema),
            accounts=self._accounts(),
            pages={
                key: self._page(page, published[key], considering.of_page(page.doc), experiments)
                for key, page in documents.pages.items()
            },
            paths={page.doc.path: key for key, page in documents.pages.items()},
            retired={path: key for key, page in documents.pages.items() for path in page.doc.retired_paths},
            experiments=experiments,
            goals={**{key: _goal(key, models.Goal(), self._site) for key in models.BUILT_IN_GOALS}}
            | {key: _goal(key, goal, self._site) for key, goal in workspace.goals.items()},
            derive=compile_derived(self._workspace, self._condition),
            unavailable=unavailable_pages(documents),
        )

    # --- site ---

    def _site_rules(self) -> SiteRules:
        for place, rule in enumerate(self._workspace.doc.privacy):
            when = self._condition(self._workspace, rule.when, ("privacy", place, "when")) if rule.when else None
            if rule.mode == "consent":
                self._workspace.report(
                    ("privacy", place, "mode"),
                    "`consent` is not built yet, and serving without asking would break its promise.",
                    "Write `storage_free`, which keeps nothing on the device.",
                )
            else:
                self.privacy.append((when, Mode(rule.mode)))
        internal = []
        for place, text in enumerate(self._workspace.doc.internal):
            try:
                internal.append(ipaddress.ip_network(text))
            except ValueError as error:
                self._workspace.report(("internal", place), f"{error}.", "Write a network as 203.0.113.0/28.")
        try:
            ZoneInfo(self._site.timezone)
        except (KeyError, ValueError, OSError):
            self._workspace.report(
                ("site", "timezone"), f"there is no time zone {self._site.timezone!r}.", "Write Europe/Berlin."
            )
        return SiteRules(
            hosts=tuple(self._site.hosts),
            language=self._site.language,
            timezone=self._site.timezone,
            privacy=privacy_tests(self.privacy),
            internal=tuple(internal),
            custom=self._custom,
        )

    def _condition(self, owner: Loaded[Any], data: Any, path: KeyPath) -> Condition:
        """The condition at `path`, or, with its mistakes reported, one that stands in for it."""
        condition, mistakes = compile_condition(data, self._schema)
        for mistake in mistakes:
            owner.report((*path, *mistake.path), mistake.message, mistake.remedy)
        return condition or build_condition(All(()))

    # --- who ---

    def _icps(self) -> dict[str, Icp]:
        compiled = {}
        for key, loaded in self._documents.icps.items():
            compiled[key] = (self._condition(loaded, loaded.doc.match, ("match",)), loaded.doc)
        ranked = sorted(compiled, key=lambda key: precedence(compiled[key][1].priority, compiled[key][0], key))
        return {
            key: Icp(
                key=key,
                name=doc.name,
                kind=doc.kind,
                product=doc.product,
                match=match,
                order=order,
                target=_target(doc.serve),
                lookup=doc.evidence == "lookup",
                exploration=doc.exploration,
                fit=compile_fit(
                    self._documents.icps[key], self._workspace.doc.custom, self._condition, self._judgements
                ),
            )
            for order, key in enumerate(ranked)
            for match, doc in [compiled[key]]
        }

    def _personas(self, icps: Mapping[str, Icp]) -> dict[str, Persona]:
        self._ideal = tuple(icp.key for icp in icps.values() if icp.kind == "ideal")
        compiled = {
            key: (self._condition(loaded, loaded.doc.match, ("match",)) if loaded.doc.match else None, loaded.doc)
            for key, loaded in self._documents.personas.items()
        }
        ranked = sorted(compiled, key=lambda key: precedence(compiled[key][1].priority, compiled[key][0], key))
        return {
            key: Persona(key, doc.name, self._ideal if doc.icps is None else tuple(doc.icps), match, order)
            for order, key in enumerate(ranked)
            for match, doc in [compiled[key]]
        }

    def _accounts(self) -> dict[str, Facts]:
        gathered: dict[str, list[tuple[str, models.Account]]] = {}
        for key, lines in self._documents.accounts.items():
            for line in lines:
                gathered.setdefault(line.account.domain, []).append((key, line.account))
        return {domain: _account(entries) for domain, entries in gathered.items()}

    # --- what ---

    def _experiments(self) -> dict[str, Experiment]:
        result = {}
        for key, loaded in self._documents.experiments.items():
            doc = loaded.doc
            if doc.status == "draft":
                continue
            weights = tuple([1 / len(doc.arms)] * len(doc.arms) if doc.weights is None else doc.weights)
            if len(weights) != len(doc.arms):
                message = f"there are {len(doc.arms)} arms and {len(weights)} weights."
                loaded.report(("weights",), message, "Give each arm one weight.")
            elif abs(sum(weights) - 1) > 0.001:
                message = f"the weights {list(weights)} make {sum(weights):g} together."
                loaded.report(("weights",), message, "Let them make 1.")
            space = doc.namespace
            result[key] = Experiment(
                key=key,
                page=doc.page,
                row=doc.arms[0],
                arms=tuple(doc.arms),
                weights=weights,
                coverage=doc.coverage,
                ranges=compile_ranges(weights, doc.coverage),
                namespace=(space.key, space.range[0], space.range[1]) if space else None,
                running=doc.status == "running",
                goal=doc.goal,
                by_company=doc.unit == "company",
            )
        return result

    def _page(
        self,
        page: Loaded[models.Page],
        variants: Mapping[str, Loaded[models.Variant]],
        considered: Considered,
        experiments: Mapping[str, Experiment],
    ) -> Page:
        share = self._workspace.doc.holdout if page.doc.holdout is None else page.doc.holdout
        # Of several experiments on a row at most one runs; it goes before those that were stopped.
        last_running = sorted(experiments.values(), key=lambda one: one.running)
        by_row = {one.row: one.key for one in last_running if one.page == page.key}
        ranked = []
        for name, variant in variants.items():
            row = self._row(name, variant, share, by_row.get(name))
            if row is not None:
                ranked.append((row_rank(name, variant.doc), row))
        ranked.sort(key=lambda pair: pair[0])
        rows = {row.key: row for _, row in ranked}
        goals = page.doc.goals
        language = page.doc.language or self._site.language
        return Page(
            key=page.key,
            path=page.doc.path,
            product=page.doc.product,
            language=language,
            rows=rows,
            row_index=RuleIndex([(row.key, row.match) for row in rows.values()], self._answers),
            variants=frozenset(variants),
            goals=(goals.primary, *goals.secondary) if goals else (),
            icps=considered.ideal,
            presumed=considered.presumed,
            negative=considered.negative,
            excluded=considered.excluded,
            index=page.doc.index,
            unavailable=unavailable_pages(self._documents).get(primary(language), UNAVAILABLE),
        )

    def _row(self, name: str, variant: Loaded[models.Variant], share: float, experiment: str | None) -> Row | None:
        whom = variant.doc.for_
        if whom is None:
            return None
        when = self._condition(variant, whom.when, ("for", "when")) if whom.when else None
        return Row(
            key=name,
            match=build_condition(_row_node(whom, when)),
            accounts=whom.accounts,
            campaign=whom.campaign,
            persona=whom.persona,
            icp=whom.icp,
            audience=whom.audience,
            language=whom.language,
            when=when,
            holdout=share if variant.doc.holdout is None else variant.doc.holdout,
            experiment=experiment,
        )


_ROW_FACTS = (  # in the order in which rows are ranked
    ("accounts", "company.lists", FactType.LIST, "has"),
    ("campaign", "ad.campaign", FactType.TEXT, "eq"),
    ("persona", "persona", FactType.TEXT, "eq"),
    ("icp", "icp", FactType.TEXT, "eq"),
    ("audience", "audience.key", FactType.TEXT, "eq"),
    ("language", "language", FactType.TEXT, "eq"),
)


def _row_node(whom: models.For, when: Condition | None) -> Node:
    leaves: list[Node] = [
        Compare(fact, kind, op, getattr(whom, name))
        for name, fact, kind, op in _ROW_FACTS
        if getattr(whom, name) is not None
    ]
    if when is not None:
        leaves.append(when.node)
    return leaves[0] if len(leaves) == 1 else All(tuple(leaves))


def _target(serve: models.Serve | None) -> Target:
    if serve is not None:
        if serve.page is not None:
            return Target("page", serve.page)
        if serve.variant is not None:
            return Target("variant", serve.variant)
        if serve.redirect is not None:
            return Target("redirect", serve.redirect)
    return Target("unavailable")


def _account(entries: list[tuple[str, models.Account]]) -> Facts:
    first = entries[0][1]
    told = {"company.name": first.name, "company.tier": first.tier, "company.relation": first.relation}
    known: Facts = {name: clean_text(value) for name, value in told.items() if value}
    return {"company.lists": tuple(key for key, _ in entries), **known}


def _goal(key: str, goal: models.Goal, site: models.Site) -> Goal:
    value = round(goal.value * minor_units(site.currency)) if goal.value is not None else None
    return Goal(key, goal.kind, goal.window, value, goal.once)
