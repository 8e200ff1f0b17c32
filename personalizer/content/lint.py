"""What only shows when documents are read together: references, duplicates, and rows that cannot mean what they say.

What enters: loaded documents and each page's row keys in order. What leaves: problems, noted in the documents.
Must not: check what one document alone can tell (its model does).
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from personalizer.content import models
from personalizer.content.custom import lint_custom
from personalizer.content.load import Documents, Loaded
from personalizer.content.values import check_country, check_language
from personalizer.content.yaml import KeyPath

_FOLDERS = {"ICP": "icps", "persona": "personas", "campaign": "campaigns", "page": "pages", "goal": "goals"} | {
    "account list": "accounts",
    "audience": "audiences",
}


def lint_documents(documents: Documents, rows: Mapping[str, tuple[str, ...]]) -> None:
    """Report every broken reference and contradiction of a workspace."""
    _Lint(documents, rows).run()


class _Lint:
    def __init__(self, documents: Documents, rows: Mapping[str, tuple[str, ...]]) -> None:
        self._documents = documents
        self._workspace = documents.workspace
        self._rows = rows
        self._named_on: dict[str, set[str]] = {}  # of each page, the names of its variants' files
        for folder, name in documents.named:
            if folder.startswith("pages/") and name != "page":
                self._named_on.setdefault(folder.removeprefix("pages/"), set()).add(name)
        self._goals = {*documents.workspace.doc.goals, *models.BUILT_IN_GOALS}

    def run(self) -> None:
        lint_custom(self._documents)
        for icp in self._documents.icps.values():
            self._lint_icp(icp)
        for persona in self._documents.personas.values():
            self._lint_persona(persona)
        for campaign in self._documents.campaigns.values():
            self._lint_campaign(campaign)
        for page in self._documents.pages.values():
            self._lint_page(page)
        for (page_key, name), variant in self._documents.variants.items():
            self._lint_variant(page_key, name, variant)
        for experiment in self._documents.experiments.values():
            self._lint_experiment(experiment)
        _report_equal_priorities(self._documents.icps, "icps")
        _report_equal_priorities(self._documents.personas, "personas")
        self._report_equal_paths()
        self._report_equal_rows()
        self._report_shared_rows()
        self._report_mixed_namespaces()

    def _refer(self, owner: Loaded[Any], path: KeyPath, kind: str, key: str | None, known: Collection[str]) -> bool:
        """Whether `key` names one of the known; reported with the nearest right name if not, and if there is none."""
        if key is None or key in known:
            return True
        if self._is_named(kind, key):
            return False  # its own mistakes are reported where they stand
        near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
        there = f"There are {', '.join(sorted(known))}." if known else f"There is no {kind} yet."
        owner.report(path, f"there is no {kind} `{key}`.", f"Did you mean `{near[0]}`?" if near else there)
        return False

    def _is_named(self, kind: str, key: str) -> bool:
        """Whether there is a file, or a key of workspace.yaml, of that name, though it could not be read."""
        if kind in ("goal", "audience") and self._workspace.source.data is None:
            return True
        return (_FOLDERS.get(kind, kind), key) in self._documents.named

    # --- documents ---

    def _lint_icp(self, icp: Loaded[models.Icp]) -> None:
        doc = icp.doc
        if not doc.match and icp.whole:
            icp.report(("match",), "is empty, so it would match everybody.", "Write at least one condition.")
        if doc.serve is not None:
            self._lint_serve(icp, doc.serve)
        if doc.kind == "ideal" and doc.serve is not None and icp.whole:
            icp.report(("serve",), "an ideal ICP is served its page's rows.", "Remove `serve`, or make it negative.")
        if doc.teams and doc.fit is None:
            icp.report(("teams",), "weigh nothing, as there is no `fit`.", "Write `fit: {ready: […]}`.", warning=True)

    def _lint_serve(self, icp: Loaded[models.Icp], serve: models.Serve) -> None:
        given = [name for name in ("page", "variant", "redirect") if getattr(serve, name) is not None]
        if len(given) != 1 and icp.whole:
            icp.report(("serve",), "should name exactly one place.", "Write page, variant or redirect.")
        self._refer(icp, ("serve", "page"), "page", serve.page, self._documents.pages)
        if serve.variant is not None:
            lacking = [
                key
                for key, page in self._documents.pages.items()
                if page.doc.considers(icp.doc.product) and serve.variant not in self._published(key)
            ]
            if lacking:
                icp.report(
                    ("serve", "variant"),
                    f"page {lacking[0]} has no published variant `{serve.variant}`.",
                    "Write it for each page, or name a page instead.",
                )

    def _lint_persona(self, persona: Loaded[models.Persona]) -> None:
        for place, key in enumerate(persona.doc.icps or ()):
            if self._refer(persona, ("icps", place), "ICP", key, self._documents.icps):
                kind = self._documents.icps[key].doc.kind
                if kind != "ideal":
                    persona.report(
                        ("icps", place), f"ICP {key} is {kind}; nobody in it is spoken to.", "Name an ideal one."
                    )

    def _lint_campaign(self, campaign: Loaded[models.Campaign]) -> None:
        doc = campaign.doc
        self._refer(campaign, ("page",), "page", doc.page, self._documents.pages)
        self._refer(campaign, ("audience",), "audience", doc.audience, self._workspace.doc.audiences)
        if doc.starts and doc.ends and doc.starts > doc.ends:
            campaign.report(("ends",), "is before `starts`.", "Both days belong to the campaign.")
        names: set[str] = set()
        for place, ad_set in enumerate(doc.ad_sets):
            path = ("ad_sets", place)
            self._refer(campaign, (*path, "persona"), "persona", ad_set.persona, self._documents.personas)
            for number, country in enumerate(ad_set.countries):
                _report_value(campaign, (*path, "countries", number), check_country(country.casefold()))
            if ad_set.key in names:
                campaign.report((*path, "key"), f"there is an ad set `{ad_set.key}` already.", "Rename one.")
            names.add(ad_set.key)
        self._lint_ads(campaign)

    def _lint_ads(self, campaign: Loaded[models.Campaign]) -> None:
        contents: dict[str, str] = {}
        for place, ad_set in enumerate(campaign.doc.ad_sets):
            keys: set[str] = set()
            for number, ad in enumerate(ad_set.ads):
                path = ("ad_sets", place, "ads", number)
                if ad.key in keys:
                    campaign.report((*path, "key"), f"there is an ad `{ad.key}` already.", "Rename one.")
                    continue
                keys.add(ad.key)
                content = (ad.content or ad.key).casefold()
                if content in contents:
                    campaign.report(
                        (*path, "content" if ad.content else "key"),
                        f"ad {contents[content]} has the utm_content `{content}` too, so links cannot tell them apart.",
                        "Give one of them another `content`.",
                    )
                contents.setdefault(content, f"{ad_set.key}.{ad.key}")

    def _lint_page(self, page: Loaded[models.Page]) -> None:
        goals = page.doc.goals
        if goals is not None:
            self._refer(page, ("goals", "primary"), "goal", goals.primary, self._goals)
            for place, goal in enumerate(goals.secondary):
                self._refer(page, ("goals", "secondary", place), "goal", goal, self._goals)
        self._lint_forms(page, page.doc.copy_)

    def _lint_forms(self, owner: Loaded[Any], copy: Mapping[str, Any]) -> None:
        for slot, value in copy.items():
            if isinstance(value, dict) and "fields" in value and value.get("goal") is not None:
                self._refer(owner, ("copy", slot, "goal"), "goal", str(value["goal"]), self._goals)

    def _lint_variant(self, page: str, name: str, variant: Loaded[models.Variant]) -> None:
        self._lint_forms(variant, variant.doc.copy_)
        if name in ("original", "thanks"):
            variant.report((), f"`{name}` is the engine's own word.", "Give the variant another name.")
        whom = variant.doc.for_
        if whom is None:
            self._lint_loose_variant(page, name, variant)
            return
        self._refer(variant, ("for", "accounts"), "account list", whom.accounts, self._documents.accounts)
        self._refer(variant, ("for", "campaign"), "campaign", whom.campaign, self._documents.campaigns)
        self._refer(variant, ("for", "persona"), "persona", whom.persona, self._documents.personas)
        self._refer(variant, ("for", "audience"), "audience", whom.audience, self._workspace.doc.audiences)
        if whom.language is not None:
            _report_value(variant, ("for", "language"), check_language(whom.language))
        if self._refer(variant, ("for", "icp"), "ICP", whom.icp, self._documents.icps) and whom.icp:
            kind = self._documents.icps[whom.icp].doc.kind
            if kind != "ideal":
                variant.report(("for", "icp"), f"{whom.icp} is {kind}, so no row is reached.", "Use the ICP's `serve`.")
        if variant.whole and not any(getattr(whom, one) is not None for one in type(whom).model_fields):
            variant.report(("for",), "is for nobody.", "Name a persona, icp, campaign, accounts, audience or `when`.")

    def _lint_loose_variant(self, page: str, name: str, variant: Loaded[models.Variant]) -> None:
        experiments = (one.doc for one in self._documents.experiments.values())
        served = (one.doc.serve for one in self._documents.icps.values() if one.doc.serve)
        if any(one.page == page and name in one.arms for one in experiments) or any(s.variant == name for s in served):
            return
        if variant.doc.status == "published" and variant.whole:
            variant.report(
                (),
                "has no `for` and is no arm of an experiment, so nobody would see it.",
                "Say whom it is for: `for: {…}`.",
            )

    def _lint_experiment(self, experiment: Loaded[models.Experiment]) -> None:
        doc = experiment.doc
        self._refer(experiment, ("goal",), "goal", doc.goal, self._goals)
        for place, goal in enumerate(doc.guardrails):
            self._refer(experiment, ("guardrails", place), "goal", goal, self._goals)
        if doc.namespace and doc.namespace.range[0] >= doc.namespace.range[1]:
            experiment.report(("namespace", "range"), "is empty.", "Write [0, 0.5].")
        if not self._refer(experiment, ("page",), "page", doc.page, self._documents.pages):
            return
        published = self._published(doc.page)
        for place, arm in enumerate(doc.arms):
            if arm in doc.arms[:place]:
                experiment.report(("arms", place), f"`{arm}` is an arm already.", "Name each arm once.")
            elif arm != "original":
                self._refer(experiment, ("arms", place), f"published variant of {doc.page}", arm, published)
        baseline = self._documents.variants.get((doc.page, doc.arms[0]))
        is_row = doc.arms[0] in self._rows.get(doc.page, ())
        if doc.arms[0] == "original" or (baseline and baseline.whole and doc.arms[0] in published and not is_row):
            experiment.report(
                ("arms", 0),
                f"the baseline `{doc.arms[0]}` has no row, so nobody would take part.",
                "The first arm is a variant with a `for`; whoever its row admits takes part.",
            )

    def _published(self, page: str) -> set[str]:
        """Variants of a page that are published, or meant to be: of one that cannot be read nobody knows."""
        variants = {name: self._documents.variants.get((page, name)) for name in self._named_on.get(page, ())}
        return {name for name, variant in variants.items() if variant is None or variant.doc.status == "published"}

    # --- the workspace as a whole ---

    def _report_equal_paths(self) -> None:
        paths: dict[str, str] = {}
        for key, page in self._documents.pages.items():
            if ("path",) in page.source.unsaid:
                continue  # it has none that can be used; that is reported
            if page.doc.path in paths:
                page.report(
                    ("path",),
                    f"page {paths[page.doc.path]} has the path {page.doc.path} too.",
                    f"Change this one, or that of pages/{paths[page.doc.path]}/page.yaml.",
                )
            paths.setdefault(page.doc.path, key)
        for key, page in self._documents.pages.items():
            for place, retired in enumerate(page.doc.retired_paths):
                if retired in paths:
                    what = f"page {paths[retired]} has or had the path {retired} too."
                    page.report(
                        ("retired_paths", place), what, f"Remove it here, or in pages/{paths[retired]}/page.yaml."
                    )
                paths.setdefault(retired, key)

    def _report_equal_rows(self) -> None:
        seen: dict[str, str] = {}
        for (page, name), variant in self._documents.variants.items():
            if variant.doc.for_ is None or variant.doc.status != "published" or variant.doc.order is not None:
                continue
            key = f"{page}\0{variant.doc.for_.model_dump_json()}"
            if key in seen:
                variant.report(
                    ("for",),
                    f"variant {seen[key]} of {page} is for exactly the same visitors, so one of them is never shown.",
                    f"Make them arms of an experiment, or change this `for` or that of pages/{page}/{seen[key]}.yaml.",
                )
            seen.setdefault(key, name)

    def _report_shared_rows(self) -> None:
        rows: dict[tuple[str, str], str] = {}
        for key, experiment in self._documents.experiments.items():
            if experiment.doc.status != "running" or ("page",) in experiment.source.unsaid:
                continue
            row = (experiment.doc.page, experiment.doc.arms[0])
            if row in rows:
                experiment.report(
                    ("arms", 0),
                    f"experiment {rows[row]} runs on this row already.",
                    f"Stop this one, or that of experiments/{rows[row]}.yaml.",
                )
            rows.setdefault(row, key)

    def _report_mixed_namespaces(self) -> None:
        units: dict[str, tuple[str, str]] = {}
        for key, experiment in self._documents.experiments.items():
            doc = experiment.doc
            if doc.namespace is None or doc.status != "running":
                continue
            other, unit = units.setdefault(doc.namespace.key, (key, doc.unit))
            if unit != doc.unit:
                what = f"{other} shares the namespace {doc.namespace.key} and deals to another unit ({unit})"
                experiment.warn(("unit",), f"{what}, so one person may be in both.", "Give both the same unit.")


def _report_value(owner: Loaded[Any], path: KeyPath, complaint: tuple[str, str] | None) -> None:
    if complaint is not None:
        owner.report(path, *complaint)


def _report_equal_priorities(documents: Mapping[str, Loaded[Any]], folder: str) -> None:
    seen: dict[tuple[str, int], str] = {}
    for key, loaded in documents.items():
        priority = loaded.doc.priority
        if priority is None:
            continue
        kind = getattr(loaded.doc, "kind", "")
        if (kind, priority) in seen:
            other = seen[(kind, priority)]
            remedy = f"Change this one, or that of {folder}/{other}.yaml."
            loaded.report(("priority",), f"{other} has priority {priority} too.", remedy)
        seen.setdefault((kind, priority), key)
