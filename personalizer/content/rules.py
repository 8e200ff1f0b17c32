"""Every rule of a workspace that can be reasoned about, and those that nobody can ever meet.

What enters: documents and the registry made of them. What leaves: `Rules`, and problems noted in the documents. Must
not: reason about a document that has mistakes; what it says is not what its author means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from personalizer.content import models
from personalizer.content.load import Documents, Loaded
from personalizer.content.proof import Rule
from personalizer.decision.conditions import All, Compare, Node
from personalizer.decision.registry import Registry, Row
from personalizer.model import FactType


@dataclass(frozen=True, slots=True)
class Rules:
    """What ICPs, personas and rows match, in the order in which they are tried; rows by (page, variant)."""

    icps: Mapping[str, Rule]
    personas: Mapping[str, Rule]
    rows: Mapping[tuple[str, str], Rule]


def find_rules(documents: Documents, registry: Registry) -> Rules:
    """The rules of all documents without a mistake. Those that are never true are reported and left out."""
    icps = {key: (documents.icps[key], ("match",), icp.match.node) for key, icp in registry.icps.items()}
    personas = {
        key: (documents.personas[key], ("match",), persona.match.node)
        for key, persona in registry.personas.items()
        if persona.match is not None
    }
    rows = {
        (page.key, row.key): (documents.variants[(page.key, row.key)], ("for",), _row_node(documents, row))
        for page in registry.pages.values()
        for row in page.rows.values()
    }
    return Rules(_possible(icps), _possible(personas), _possible(rows))


def is_right(loaded: Loaded[Any]) -> bool:
    """Whether a document has no mistake so far; warnings are none."""
    return loaded.whole and all(problem.warning for problem in loaded.source.problems)


def _possible(written: Mapping[Any, tuple[Loaded[Any], tuple[str, ...], Node]]) -> dict[Any, Rule]:
    rules = {}
    for key, (loaded, path, node) in written.items():
        if not is_right(loaded):
            continue
        rule = Rule(node)
        if rule.never:
            loaded.report(path, "can never be true: its parts exclude each other.", "Change or remove one of them.")
        else:
            rules[key] = rule
    return rules


def _row_node(documents: Documents, row: Row) -> Node:
    """What a row demands, with what follows from its campaign: the audience is the campaign's, or there is none."""
    campaign = documents.campaigns.get(row.campaign or "")
    if campaign is None:
        return row.match.node
    return All((row.match.node, _audience_leaf(campaign.doc)))


def _audience_leaf(campaign: models.Campaign) -> Compare:
    if campaign.audience is None:
        return Compare("audience.key", FactType.TEXT, "known", False)
    return Compare("audience.key", FactType.TEXT, "eq", campaign.audience)
