"""What visitors are declared to be, by signed links, answers of forms and allow-listed parameters, and how it is kept.

What enters: `pzs=`, a query string, answers; the workspace's custom facts. What leaves: claims, the short text in which
the cookie keeps them, and facts. Must not: raise for any text, believe a link that we did not sign, or take a name, an
e-mail address or anything else that nobody allowed.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import orjson

from personalizer.cache import Cache
from personalizer.model import CustomFact, Facts, FactType, Source, Value
from personalizer.visitor.cleaning import clean_text
from personalizer.visitor.company import parse_band, parse_domain
from personalizer.visitor.facts import FACT_TYPES
from personalizer.visitor.keys import SIGNATURE_LENGTH, Keys
from personalizer.visitor.query import read_parameters

PERSONA = "persona"  # what a signed link may name besides facts
DOMAIN = "company.domain"
MAX_LINK = 1000  # characters of `pzs=`
MAX_TEXT = 60  # characters of a value
MAX_KEPT = 400  # bytes that the cookie keeps

_PURPOSE = b"link"
_RANKS = {"u": 0, "f": 1, "s": 2}  # a claim replaces those of its own rank and of lower ones
_SOURCES = {"u": Source.URL, "f": Source.FORM, "s": Source.SIGNED}
_SIGNABLE: dict[str, FactType] = {DOMAIN: FactType.TEXT} | {
    name: kind for name, kind in FACT_TYPES.items() if name.startswith("person.")
}
_NUMBER = re.compile(r"-?\d{1,12}(?:[.,]\d{1,6})?")
_FLAGS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_FREE_MAIL = Path(__file__).parent / "data" / "free_mail.txt"


class Claim(NamedTuple):
    """One fact that was declared, as a cleaned text; `source` is `u`rl, `f`orm or `s`igned."""

    fact: str
    text: str
    source: str


class Declared(NamedTuple):
    """What claims make known, and the persona that a signed link names."""

    facts: Facts
    sources: dict[str, Source]
    persona: str | None


Claims = tuple[Claim, ...]


def sign_claims(told: Mapping[str, str], keys: Keys) -> str:
    """What `pzs=` carries: names and values in base64url, a dot, our signature. Anybody can read it."""
    payload = urlsafe_b64encode(orjson.dumps(dict(told))).rstrip(b"=")
    return f"{payload.decode('ascii')}.{keys.sign(payload, _PURPOSE)}"


def signed_names(custom: tuple[CustomFact, ...]) -> dict[str, FactType]:
    """What a signed link may declare, by the name that it has there."""
    own = {origin: fact.type for fact in custom for origin in fact.signed}
    return {PERSONA: FactType.TEXT, **_SIGNABLE, **own}


def link_claims(raw: str, signed: str, keys: Keys, custom: tuple[CustomFact, ...]) -> list[Claim]:
    """The claims of a link: of its allow-listed parameters in the query `raw`, and of `signed`, if we signed it."""
    claims = list(_url_claims(raw, custom)) if custom and raw else []
    told = _verify(signed, keys) if signed else {}
    for name, text in told.items():
        if name == PERSONA or name in _SIGNABLE:
            _claim(claims, name, _SIGNABLE.get(name, FactType.TEXT), text, "s")
    for fact in custom if told else ():
        _claim_first(claims, fact, fact.signed, told, "s")
    return claims


def form_claims(answers: Mapping[str, str], email: str, custom: tuple[CustomFact, ...]) -> list[Claim]:
    """The claims of a form: answers that the workspace asks for, and the company of a work e-mail address."""
    claims: list[Claim] = []
    for fact in custom:
        _claim_first(claims, fact, fact.form, answers, "f")
    domain = parse_domain(email.rpartition("@")[2])
    if domain is not None and not _is_free_mail(domain):
        _claim(claims, DOMAIN, FactType.TEXT, domain, "f")
    return claims


def keep_claims(kept: str, claims: Sequence[Claim], new_link: bool = False) -> str:
    """What the cookie keeps after `claims` came to what it kept before; the oldest go when it is too much.

    `new_link`: the visitor followed another link, whose promise goes before the persona that an older one named.
    """
    if not claims and not (kept and new_link):
        return kept
    before = _read(kept)
    now = {claim.fact: claim for claim in before if not (new_link and claim.fact == PERSONA)}
    for claim in claims:
        known = now.get(claim.fact)
        if known is None or _RANKS[known.source] <= _RANKS[claim.source]:
            if known != claim:
                now.pop(claim.fact, None)  # the newest come last
            now[claim.fact] = claim
    told = tuple(now.values())
    if told == before:
        return kept
    text = _write(told)
    while len(text) > MAX_KEPT:
        text = drop_oldest(text)
    return text


def drop_oldest(kept: str) -> str:
    """What is kept, without its oldest claim."""
    return _write(_read(kept)[1:])


def read_claims(kept: str, custom: tuple[CustomFact, ...]) -> Declared:
    """What is kept as facts, as far as the workspace still asks for it. They are shared."""
    key = (kept, custom)
    return _declared.get(key) or _declared.put(key, _declare(_read(kept), custom))


_declared: Cache[tuple[str, tuple[CustomFact, ...]], Declared] = Cache(8192)
_urls: Cache[tuple[str, tuple[CustomFact, ...]], Claims] = Cache(8192)
_CACHED_LENGTH = 500  # characters; longer queries are rare, and fill the memory


def _url_claims(raw: str, custom: tuple[CustomFact, ...]) -> Claims:
    key = (raw, custom)
    known = _urls.get(key)
    if known is not None:
        return known
    claims: list[Claim] = []
    found = read_parameters(raw, frozenset([origin for fact in custom for origin in fact.url]))
    for fact in custom if found else ():
        _claim_first(claims, fact, fact.url, found, "u")
    return _urls.put(key, tuple(claims)) if len(raw) <= _CACHED_LENGTH else tuple(claims)


def _verify(signed: str, keys: Keys) -> dict[str, str]:
    """What a signed link tells; nothing if it is not ours."""
    payload, _, signature = signed.rpartition(".")
    if not payload or len(signed) > MAX_LINK or len(signature) != SIGNATURE_LENGTH or not signed.isascii():
        return {}
    if not keys.verify(payload.encode("ascii"), signature, _PURPOSE):
        return {}
    told = orjson.loads(urlsafe_b64decode(payload + "=="))
    return {str(name): str(text) for name, text in told.items()}


def _claim_first(
    claims: list[Claim], fact: CustomFact, origins: tuple[str, ...], told: Mapping[str, str], source: str
) -> None:
    for origin in origins:
        if origin in told and _claim(claims, fact.name, fact.type, told[origin], source):
            return


def _claim(claims: list[Claim], fact: str, kind: FactType, text: str, source: str) -> bool:
    """Add a claim, if its text is a value of its kind."""
    cleaned = clean_text(text, MAX_TEXT)
    if parse_value(kind, cleaned) is None:
        return False
    claims.append(Claim(fact, cleaned, source))
    return True


def parse_value(kind: FactType, text: str) -> Value | None:
    """A declared text as a value of its kind; None when it is none."""
    if kind is FactType.NUMBER:
        number = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None
        return int(number) if number is not None and number.is_integer() else number
    if kind is FactType.FLAG:
        return _FLAGS.get(text.casefold())
    if kind is FactType.RANGE:
        return parse_band(text)
    return text or None


def _declare(claims: Claims, custom: tuple[CustomFact, ...]) -> Declared:
    own = {fact.name: fact for fact in custom}
    facts: Facts = {}
    sources: dict[str, Source] = {}
    persona: str | None = None
    for claim in claims:
        fact = own.get(claim.fact)
        if claim.fact == PERSONA:
            persona = claim.text
            continue
        if fact is not None:
            origins = {"u": fact.url, "f": fact.form, "s": fact.signed}[claim.source]
            kind = fact.type if origins else None
        else:
            kind = _SIGNABLE.get(claim.fact)
        value = parse_value(kind, claim.text) if kind is not None else None
        if claim.fact == DOMAIN:
            value = parse_domain(claim.text)
        if value is not None:
            facts[claim.fact] = value
            sources[claim.fact] = _SOURCES[claim.source]
    return Declared(facts, sources, persona)


def _write(claims: Sequence[Claim]) -> str:
    told = [[claim.fact, claim.text, claim.source] for claim in claims]
    return urlsafe_b64encode(orjson.dumps(told)).rstrip(b"=").decode("ascii") if told else ""


def _read(kept: str) -> Claims:
    """What `_write` wrote; it came in a cookie that we signed."""
    return tuple([Claim(*one) for one in orjson.loads(urlsafe_b64decode(kept + "=="))]) if kept else ()


@cache
def _free_mail() -> frozenset[str]:
    lines = _FREE_MAIL.read_text("utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def _is_free_mail(domain: str) -> bool:
    """Whether a domain, or one above it, gives addresses to anybody."""
    parts = domain.split(".")
    return any(".".join(parts[place:]) in _free_mail() for place in range(len(parts) - 1))
