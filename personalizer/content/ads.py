"""Campaigns → what recognizing an ad tells: tables from `pz=` and from UTM values to declared facts.

What enters: campaign documents. What leaves: `Ads`, for step 0 of the decision. Must not: guess; an ad that is not
recognized tells only what all ad sets of its campaign agree on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from personalizer.content import models
from personalizer.content.load import Documents, Loaded
from personalizer.decision.ads import AdIndex, Campaign, UtmIndex
from personalizer.decision.parse import FactSchema, compile_condition
from personalizer.model import Facts, FactType, Range, Value
from personalizer.visitor.cleaning import clean_text

_DECLARABLE = ("company.", "person.", "custom.")


def compile_ads(documents: Documents, schema: FactSchema) -> AdIndex:
    """Every campaign, ad set and ad, ready to be recognized; mistakes are reported in the documents."""
    campaigns: dict[str, Campaign] = {}
    refs: dict[str, Facts] = {}
    utm: UtmIndex = {}
    for key, loaded in documents.campaigns.items():
        audience = _audience_facts(documents, loaded)
        base: Facts = {"ad.platform": loaded.doc.platform, "ad.campaign": key, **audience}
        by_content: dict[str, Facts] = {}
        by_id: dict[str, Facts] = {}
        sets = []
        for place, ad_set in enumerate(loaded.doc.ad_sets):
            declared = _declared_facts(loaded, ad_set.declares, ("ad_sets", place, "declares"), schema)
            if ad_set.persona:
                declared["ad.persona"] = ad_set.persona
            sets.append({**base, **declared})
            for ad in ad_set.ads:
                told: Facts = {**base, **declared, "ad.ad_set": ad_set.key, "ad.ad": ad.key}
                if ad.headlines:
                    told["ad.headline"] = ad.headlines[0]
                refs[f"{key}.{ad_set.key}.{ad.key}"] = told
                by_content.setdefault(_folded(ad.content or ad.key), told)
                if ad.id:
                    by_id.setdefault(_folded(ad.id), told)
        campaigns[key] = Campaign(key, loaded.doc.page, by_content, by_id, _agreed(sets))
        _index_utm(utm, key, loaded)
    return AdIndex(campaigns, refs, utm)


def _audience_facts(documents: Documents, loaded: Loaded[models.Campaign]) -> Facts:
    key = loaded.doc.audience
    audience = documents.workspace.doc.audiences.get(key) if key else None
    if key is None or audience is None:
        return {}
    return {"ad.audience": key, "audience.key": key, "audience.relation": audience.relation}


def _declared_facts(
    loaded: Loaded[models.Campaign], declares: Mapping[str, Any], path: tuple[str | int, ...], schema: FactSchema
) -> Facts:
    facts: Facts = {}
    for name, claim in declares.items():
        place = (*path, name)
        if name in schema.types and not name.startswith(_DECLARABLE):
            loaded.report(place, "cannot be declared by an ad.", "Targeting declares company, person and custom facts.")
            continue
        _, mistakes = compile_condition({name: claim}, schema)
        for mistake in mistakes:
            loaded.report((*path, *mistake.path), mistake.message, mistake.remedy)
        if mistakes:
            continue
        value = _claimed_value(claim, schema.types[name]) if name in schema.types else None
        if value is None:
            loaded.report(
                place, "is not one value or one range.", "Write a value, or `between: [51, 1000]`, `gte: 51`."
            )
        else:
            facts[name] = value
    return facts


def _claimed_value(claim: Any, kind: FactType) -> Value | None:
    """What a targeting claim makes known: a value, a list, or a number's range; the caller checked its type."""
    if not isinstance(claim, Mapping):
        claim = {"has" if kind is FactType.LIST else "eq": claim}
    if len(claim) != 1:
        return None
    (op, operand), *_ = claim.items()
    if kind is FactType.NUMBER and op != "eq":
        return None
    if op in ("has", "has_all"):
        return tuple(clean_text(item) for item in ([operand] if isinstance(operand, str) else operand))
    if op == "between":
        return Range(*operand)
    if op == "gte":
        return Range(operand, math.inf)
    if op == "lte":
        return Range(-math.inf, operand)
    if op != "eq":
        return None
    if kind is FactType.RANGE:
        return Range(operand, operand)
    return clean_text(operand) if isinstance(operand, str) else operand


def _agreed(sets: list[dict[str, Value]]) -> Facts:
    first, *others = sets
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def _folded(text: str) -> str:
    """A text as the visitor's is compared with it: cleaned by the same rule, folded."""
    return clean_text(text).casefold()


def _index_utm(
    utm: dict[tuple[str, ...], dict[tuple[str, ...], str]], key: str, loaded: Loaded[models.Campaign]
) -> None:
    values = {f"utm.{name}": value for name, value in loaded.doc.utm.model_dump().items() if value is not None}
    if not values:
        return
    shape = tuple(sorted(values))
    folded = tuple(_folded(values[fact]) for fact in shape)
    table = utm.setdefault(shape, {})
    if folded in table:
        loaded.report(
            ("utm",),
            f"campaign {table[folded]} has the same values.",
            f"Tell them apart in one value, here or in campaigns/{table[folded]}.yaml.",
        )
    table.setdefault(folded, key)
