"""Which facts can be known here: through the files that settings name, account lists, and ads that declare them.

What enters: rules, documents and settings. What leaves: the setting that a fact wants for, and warnings noted in the
documents. Must not: open a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from personalizer.config import Settings
from personalizer.content.load import Documents, Loaded
from personalizer.content.proof import Rule
from personalizer.content.rules import Rules

_SOURCES = {  # facts by their beginning → settings of which one must name a file for them to be known
    "geo.": ("geo_city", "geo_enterprise"),
    "network.asn": ("geo_asn", "geo_isp", "geo_enterprise"),
    "network.org": ("geo_asn", "geo_isp", "geo_enterprise"),
    "network.kind": ("geo_connection", "geo_anonymous", "geo_enterprise"),
    "network.anonymous": ("geo_anonymous",),
    "company.": ("companies",),
}
FROM_LISTS = ("company.name", "company.lists", "company.tier", "company.relation")  # once the domain is known


def missing_setting(fact: str, settings: Settings) -> str | None:
    """The setting without which no file here tells `fact`; None if one does, or if it comes from elsewhere."""
    for beginning, names in _SOURCES.items():
        if fact.startswith(beginning) and not any(getattr(settings, name) for name in names):
            return f"PERSONALIZER_{names[0].upper()}"
    return None


def lint_sources(documents: Documents, rules: Rules, settings: Settings) -> None:
    """Warn of rules that cannot be true for want of facts: no file, no account list and no ad tells them; and of
    dealing to companies where none is known.

    Where no setting names any file at all, this is no place that serves, and nothing is said about files.
    """
    names = {name for group in _SOURCES.values() for name in group}
    if not any(getattr(settings, name) for name in names):
        return
    declared = {fact for one in documents.campaigns.values() for ad_set in one.doc.ad_sets for fact in ad_set.declares}
    sources = _Sources(settings, declared, bool(documents.accounts))
    for key, rule in rules.icps.items():
        sources.lint(documents.icps[key], ("match",), rule)
    for key, rule in rules.personas.items():
        sources.lint(documents.personas[key], ("match",), rule)
    for row, rule in rules.rows.items():
        sources.lint(documents.variants[row], ("for",), rule)
    setting = missing_setting("company.domain", settings)
    for experiment in documents.experiments.values():
        doc = experiment.doc
        if setting is not None and doc.unit == "company" and doc.status != "stopped":
            what = "no company is ever known here, so each visitor is dealt to alone."
            experiment.warn(("unit",), what, f"Set {setting}, or write `visitor`.")


class _Sources:
    def __init__(self, settings: Settings, declared: set[str], lists: bool) -> None:
        self._settings = settings
        self._declared = declared
        self._lists = lists

    def lint(self, loaded: Loaded[Any], path: tuple[str, ...], rule: Rule) -> None:
        missing = self._missing(rule)
        if missing:
            fact, setting = min(missing.items())
            what = f"cannot be true here: no file, no account list and no ad tells `{fact}`."
            other = ", or let an ad set declare it" if fact.startswith("company.") else ""
            loaded.warn(path, what, f"Set {setting}{other}.")

    def _missing(self, rule: Rule) -> Mapping[str, str]:
        """Facts that every case of the rule demands and nothing tells, with the setting that each wants for."""
        if not rule.cases:
            return {}
        wanted: dict[str, str] = {}
        for case in rule.cases:
            lacking = {fact: self._lacking(fact) for fact, demand in case.items() if demand.known}
            wanted |= {fact: setting for fact, setting in lacking.items() if setting is not None}
            if not any(lacking.values()):
                return {}
        return wanted

    def _lacking(self, fact: str) -> str | None:
        if fact in self._declared:
            return None
        if fact in FROM_LISTS and self._lists and self._lacking("company.domain") is None:
            return None
        return missing_setting(fact, self._settings)
