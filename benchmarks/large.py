"""A large workspace: as many ICPs and variants as asked for, with the shipped templates and real pages of copy.

What enters: a directory and sizes. What leaves: a workspace that `personalizer check` finds nothing wrong with. Must
not: differ between two runs of the same sizes, but for the `edition`, which stands in every page's title.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import market
from benchmarks.workspace import HOST
from personalizer.config import shipped
from personalizer.content.yaml import parse_yaml

TECHNOLOGIES = ("sap", "datev", "shopify", "salesforce", "netsuite", "workday", "hubspot", "dynamics")
PERSONAS = 200  # of which every fourth belongs to some ICPs only
CAMPAIGNS = 100


class Scale(NamedTuple):
    """How large: ICPs, variants, and the pages that share these variants."""

    icps: int = 10_000
    variants: int = 5_000
    pages: int = 20


def write_large(root: Path, scale: Scale, edition: int = 1) -> Path:
    """Write the workspace into `root`, which is its directory afterwards."""
    if not (root / "templates").exists():
        shutil.copytree(shipped("templates"), root / "templates")
    for name, document in _documents(scale, edition).items():
        path = root / "variants" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_as_yaml(document), "utf-8")
    return root


def _as_yaml(document: dict[str, Any]) -> str:
    """A key a line, as people write it; what is below is JSON, which is YAML."""
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in document.items())


def _documents(scale: Scale, edition: int) -> dict[str, dict[str, Any]]:
    draw = random.Random(4)
    site = {"name": "Stockwise", "hosts": [HOST], "timezone": "Europe/Berlin"}
    documents: dict[str, dict[str, Any]] = {"workspace": {"site": site, "goals": {"demo_request": {}}}}
    for number in range(scale.icps):
        documents[f"icps/icp-{number}"] = _icp(number, draw)
    for number in range(PERSONAS):
        documents[f"personas/persona-{number}"] = _persona(number, scale.icps, draw)
    for number in range(CAMPAIGNS):
        documents[f"campaigns/campaign-{number}"] = _campaign(number, scale.pages)
    original, copies = _copies()
    for number in range(scale.pages):
        copy = original | {"title": f"Page {number}, edition {edition}"}
        page = {"path": f"/page-{number}", "goals": {"primary": "demo_request"}, "copy": copy}
        documents[f"pages/page-{number}/page"] = page
    for number in range(scale.variants):
        copy = copies[number % len(copies)] | {"title": f"Variant {number}, edition {edition}"}
        documents[f"pages/page-{number % scale.pages}/variant-{number}"] = {"for": _whom(number, scale), "copy": copy}
    return documents


def _icp(number: int, draw: random.Random) -> dict[str, Any]:
    low, high = draw.choice(market.SIZES)
    match: dict[str, Any] = {
        "company.industry": draw.choice(market.INDUSTRIES),
        "company.employees": {"between": [low + number, high + number]},
        "geo.country": {"in": list(draw.choice(list(market.REGIONS.values())))},
    }
    if number % 2:
        match["company.technologies"] = {"has_any": draw.sample(TECHNOLOGIES, 3)}
    if number % 5 == 0:
        match["not"] = {"company.relation": {"in": ["competitor", "customer"]}}
    document = {"name": f"ICP {number}", "match": match, "business": {"deal_size": 20_000, "sales_cycle_days": 45}}
    if number % 100 == 99:
        document |= {"kind": "negative", "evidence": "lookup"}
    return document


def _persona(number: int, icps: int, draw: random.Random) -> dict[str, Any]:
    words = draw.sample(market.KEYWORDS, 4)
    titles = draw.sample(list(market.ROLES), 2)
    document: dict[str, Any] = {
        "name": f"Persona {number}",
        "match": {"any": [{"person.title": {"contains": titles}}, {"utm.term": {"contains": words}}]},
    }
    if number % 4 == 0:
        ideal = [one for one in range(icps) if one % 100 != 99]
        document["icps"] = [f"icp-{one}" for one in sorted(draw.sample(ideal, min(len(ideal), 20)))]
    return document


def _campaign(number: int, pages: int) -> dict[str, Any]:
    ads = [{"key": f"ad-{ad}", "headlines": [f"Stockwise {ad}"]} for ad in range(10)]
    return {
        "platform": "linkedin",
        "page": f"page-{number % pages}",
        "utm": {"source": "linkedin", "medium": "paid_social", "campaign": f"campaign-{number}"},
        "ad_sets": [{"key": "all", "persona": f"persona-{number % PERSONAS}", "ads": ads}],
    }


def _copies() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The copy of the shipped page, and what its variants change of it."""
    folder = shipped("variants") / "pages" / "payroll"
    read = {path.stem: parse_yaml(path.read_text("utf-8"), path).data["copy"] for path in sorted(folder.glob("*.yaml"))}
    original = read.pop("page")
    return original, list(read.values())


def _whom(number: int, scale: Scale) -> dict[str, Any]:
    """Of every five variants: three for an ICP, one for a persona in an ICP, one for a condition."""
    icp = {"icp": f"icp-{number * 7 % scale.icps // 100 * 100 + number % 99}"}
    if number % 5 == 3:
        return icp | {"persona": f"persona-{number % PERSONAS | 1}"}  # one that belongs to every ICP
    if number % 5 == 4:
        return {"when": {"company.employees": {"gte": number}, "company.industry": market.INDUSTRIES[number % 25]}}
    return icp
