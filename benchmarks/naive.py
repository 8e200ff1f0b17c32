"""The naive version: the same page as one writes it in an afternoon, with the libraries that everybody knows.

What enters: the rules as plain data, the look-up files, a Redis. What leaves: a Flask app. Must not: be slower than
such code is, or faster: no cache and no index of our own, and nothing done twice.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import geoip2.database
import maxminddb
import redis
import user_agents
from flask import Flask, Response, make_response, render_template, request
from geoip2.errors import AddressNotFoundError
from itsdangerous import BadSignature, URLSafeSerializer

from benchmarks.page import read_template
from benchmarks.workspace import PATH, Bench

HOLDOUT = 0.2

Facts = dict[str, Any]
Rule = Mapping[str, Any]


def create_naive_app(bench: Bench, redis_port: int, secret: str) -> Flask:
    """The app, with its files open and its rules read."""
    rules = json.loads(bench.rules.read_text("utf-8"))
    original, variants = _format_copy(rules["original"]), _format_variants(rules)
    cities = geoip2.database.Reader(bench.city)
    companies = maxminddb.open_database(bench.companies)
    stream = redis.Redis(port=redis_port)
    cookies = URLSafeSerializer(secret)
    app = Flask("naive", template_folder=str(_write_template(bench.folder / "naive")))
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True

    @app.get(PATH)
    def show_page() -> Response:
        memory = _read_cookie(cookies)
        facts = _read_request(cities, companies)
        icp, persona = _find_profile(rules, facts, memory)
        row = _find_row(rules, facts, icp, persona)
        variant, arm = _deal(row, memory["visitor"])
        decision = uuid.uuid4().hex
        exposure = {"decision": decision, "visitor": memory["visitor"], "icp": icp, "persona": persona, "arm": arm}
        stream.xadd("exposures", {"json": json.dumps({**facts, **exposure, "row": row})}, maxlen=100_000)
        tokens = {
            "company": facts.get("company.name") or "Your company",
            "industry": facts.get("company.industry") or "trading",
            "city": facts.get("geo.city") or "your warehouse",
            "term": facts.get("utm.term") or "stock control",
        }
        copy = {**original, **variants.get(variant, {})}
        html = render_template(
            "offer.html", copy=_fill(copy, tokens), pz={"decision": decision, "row": row or "", "arm": arm}
        )
        response = make_response(html)
        memory |= {"persona": persona, "icp": icp, "pages": ["offer"]}
        response.set_cookie("pz", cookies.dumps(memory), max_age=31_536_000, httponly=True, samesite="Lax", secure=True)
        response.headers["Cache-Control"] = "private, no-store"
        return response

    return app


def _read_cookie(cookies: URLSafeSerializer) -> dict[str, Any]:
    try:
        memory: dict[str, Any] = cookies.loads(request.cookies.get("pz", ""))
    except BadSignature:
        memory = {"visitor": uuid.uuid4().hex, "visits": 0}
    memory["visits"] += 1
    return memory


def _read_request(cities: geoip2.database.Reader, companies: maxminddb.Reader) -> Facts:
    """Everything that rules ask about, and what a report will want to know."""
    facts: Facts = {f"utm.{name[4:]}": value for name, value in request.args.items() if name.startswith("utm_")}
    agent = user_agents.parse(request.user_agent.string)
    facts["device.type"] = "mobile" if agent.is_mobile else "tablet" if agent.is_tablet else "desktop"
    facts["device.os"], facts["device.browser"], facts["device.bot"] = (
        agent.os.family,
        agent.browser.family,
        agent.is_bot,
    )
    facts["language"] = request.accept_languages.best
    facts["referrer"] = request.referrer
    address = request.headers.get("X-Forwarded-For", request.remote_addr or "").rpartition(",")[2].strip()
    try:
        city = cities.city(address)
        facts["geo.country"], facts["geo.city"] = city.country.iso_code, city.city.name
        facts["geo.region"], facts["geo.timezone"] = city.subdivisions.most_specific.iso_code, city.location.time_zone
    except AddressNotFoundError:
        pass
    record = companies.get(address)
    if isinstance(record, dict):
        company: dict[str, Any] = record["company"]  # type: ignore[assignment]
        facts |= {f"company.{name}": value for name, value in company.items()}
    return facts


# --- rules ---


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "in": lambda value, operand: value in operand,
    "between": lambda value, operand: operand[0] <= value <= operand[1],
    "lt": lambda value, operand: value < operand,
    "contains": lambda value, operand: any(word in value.lower() for word in operand),
}


def matches(rule: Rule, facts: Facts) -> bool:
    """Whether every part of the rule holds; a missing fact holds nothing."""
    for name, wanted in rule.items():
        if name == "any":
            if not any(matches(part, facts) for part in wanted):
                return False
            continue
        value = facts.get(name)
        if value is None:
            return False
        if not isinstance(wanted, dict):
            if value != wanted:
                return False
        elif not all(_OPERATORS[operator](value, operand) for operator, operand in wanted.items()):
            return False
    return True


def _find_profile(rules: Any, facts: Facts, memory: dict[str, Any]) -> tuple[str | None, str | None]:
    """The first ICP that matches, then the ad's persona, the remembered one, or the first of the ICP that matches."""
    icp = next((key for key, one in rules["icps"].items() if matches(one["match"], facts)), None)
    campaign = rules["campaigns"].get(facts.get("utm.campaign"))
    declared = campaign["ad_sets"][0].get("persona") if campaign else None
    if declared or memory.get("persona"):
        return icp, declared or memory["persona"]
    if icp is None:
        return None, None
    personas = rules["personas"].items()
    return icp, next((key for key, one in personas if icp in one["icps"] and matches(one["match"], facts)), None)


def _find_row(rules: Any, facts: Facts, icp: str | None, persona: str | None) -> str | None:
    for key in (facts.get("utm.campaign"), persona, icp):
        if key in rules["variants"]:
            return str(key)
    for key, variant in rules["variants"].items():
        when = variant.get("for", {}).get("when")
        if when and matches(when, facts):
            return str(key)
    return None


def _deal(row: str | None, visitor: str) -> tuple[str | None, str]:
    """The variant and the arm: held out, one of the experiment's two, or the row's own."""
    if row is None:
        return None, "original"
    if _share("holdout", visitor) < HOLDOUT:
        return None, "holdout"
    if row == "campaign-0":
        arm = "campaign-0" if _share("first", visitor) < 0.5 else "campaign-0-b"
        return arm, arm
    return row, "personalized"


def _share(seed: str, visitor: str) -> float:
    return int(hashlib.md5(f"{seed}:{visitor}".encode()).hexdigest()[:8], 16) / 0x1_0000_0000


# --- copy ---

_NAMES = {"company.name": "company", "company.industry": "industry", "geo.city": "city", "utm.term": "term"}


def _format_variants(rules: Any) -> dict[str | None, Any]:
    return {key: _format_copy(variant["copy"]) for key, variant in rules["variants"].items()}


def _format_copy(value: Any) -> Any:
    """The copy with its tokens as `str.format` writes them: `{{ company.name | Your company }}` → `{company}`."""
    if isinstance(value, list):
        return [_format_copy(item) for item in value]
    if isinstance(value, dict):
        return {name: _format_copy(item) for name, item in value.items()}
    parts = value.split("{{")
    return parts[0] + "".join(
        f"{{{_NAMES[part.split('|')[0].strip()]}}}{part.partition('}}')[2]}" for part in parts[1:]
    )


def _fill(value: Any, tokens: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_fill(item, tokens) for item in value]
    if isinstance(value, dict):
        return {name: _fill(item, tokens) for name, item in value.items()}
    return value.format(**tokens) if "{" in value else value


def _write_template(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "offer.html").write_text(read_template(), "utf-8")
    return folder
