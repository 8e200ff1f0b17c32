"""Reads one request: WSGI environ → raw facts and who it is.

What enters: an environ, the site's rules, the time. What leaves: a `Reading`. Must not: raise for anything that a
visitor sends, read a clock, or keep an address anywhere but in memory.
"""

from __future__ import annotations

import os
from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from personalizer.cache import Cache
from personalizer.config import Network, Settings
from personalizer.model import Facts, Mode, SiteRules, Source, Value, Visitor
from personalizer.visitor.address import Client, ClientRule
from personalizer.visitor.agent import load_resolver
from personalizer.visitor.company import Companies
from personalizer.visitor.cookie import OPT_OUT, Memory, find_cookie, read_cookie
from personalizer.visitor.declared import Claim, keep_claims, link_claims, read_claims
from personalizer.visitor.device import apply_hints, lookup_device
from personalizer.visitor.facts import FACTS
from personalizer.visitor.geo import Geo
from personalizer.visitor.keys import Keys, load_keys
from personalizer.visitor.language import parse_language
from personalizer.visitor.local_time import time_facts
from personalizer.visitor.lookups import Lookups, companies_of, geo_of, open_lookups
from personalizer.visitor.query import Query, parse_query
from personalizer.visitor.referrer import parse_referrer
from personalizer.visitor.salt import Salts
from personalizer.visitor.touch import read_touch
from personalizer.visitor.visit import begin_memory, freeze_company, remember_view, tell_visit

Environ = dict[str, Any]

_READ_HERE = ("utm", "first", "click", "referrer", "geo", "network", "company", "device", "language", "visit", "time")
_GROUPS: Final = {name: name.partition(".")[0] for name in FACTS}
_NO_FACTS: Final[Facts] = {}
_NO_ARMS: Final[dict[str, str]] = {}
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


def _name_sources(remembered: tuple[str, ...]) -> Mapping[str, Source]:
    """The source of every fact that is read here, known or not, when the groups `remembered` come from the cookie."""
    sources = {name: Source(fact.origin) for name, fact in FACTS.items() if _GROUPS[name] in _READ_HERE}
    # Companies of account lists are joined in the decision; those read here are looked up.
    sources.update({name: Source.LOOKUP for name in sources if _GROUPS[name] == "company"})
    return sources | {name: Source.COOKIE for name in sources if _GROUPS[name] in remembered}


_SOURCES: Final = {  # by what is remembered: the touch, and the company
    (False, False): _name_sources(()),
    (True, False): _name_sources(("utm", "click")),
    (False, True): _name_sources(("company",)),
    (True, True): _name_sources(("utm", "click", "company")),
}


class Reading:
    """What one request tells. `memory` is what the cookie should hold after it; None: write no cookie.

    `new` says that no cookie of ours came along. `address` is for limiting rates and must never be stored.
    `duplicated` flags that a parameter of ours came twice.
    """

    __slots__ = ("address", "duplicated", "https", "memory", "new", "visitor")

    def __init__(self, visitor: Visitor, memory: Memory | None, new: bool, client: Client, duplicated: bool) -> None:
        self.visitor = visitor
        self.memory = memory
        self.new = new
        self.https = client.https
        self.address = client.address
        self.duplicated = duplicated


def make_id() -> str:
    """16 characters of base64url that nobody can guess."""
    return b2a_base64(os.urandom(12), newline=False).translate(_URL_SAFE).decode("ascii")


class VisitorReader:
    """Everything that reading a visitor takes, opened once a process. `new_id` is `make_id`, or repeats itself."""

    def __init__(
        self,
        geo: Geo,
        companies: Companies,
        keys: Keys,
        salts: Salts,
        trusted_proxies: Sequence[Network] = (),
        new_id: Callable[[], str] = make_id,
    ) -> None:
        self.keys = keys
        self.lookups: Lookups = {}  # what `take` took
        self._geo = geo
        self._companies = companies
        self._salts = salts
        self._trusted = trusted_proxies
        self._clients = ClientRule(trusted_proxies)
        self._shared: Cache[tuple[tuple[str, Value], ...], Facts] = Cache(16_384)
        self._domains: Cache[str, Facts] = Cache(4096)
        self._new_id = new_id

    def read(self, environ: Environ, site: SiteRules, now: float, *, page_view: bool = True) -> Reading:
        """Read a request at `now` (seconds since 1970).

        `page_view` False is for beacons, conversions and forms: they neither begin nor prolong a visit, and a stranger
        who sends one is not remembered.
        """
        client = self._clients.read(environ)
        facts = self._request_facts(environ, client, site, now)
        query = parse_query(environ.get("QUERY_STRING", ""))
        cookie = find_cookie(environ.get("HTTP_COOKIE", ""))
        mode = _choose_mode(environ, cookie, facts, site)
        memory: Memory | None = None
        found = _NO_FACTS
        new = True
        if mode is Mode.PERSISTENT:
            memory = read_cookie(cookie, self.keys, now)
            new = memory is None
            found = self._lookup_company(client)
            if page_view:
                memory = self._remember_view(memory, now, query, facts, found)
        company = freeze_company(found, memory.company) if memory is not None else found
        touch = query.touch
        if touch is not None:
            facts.update(query.facts)
        elif memory is not None and memory.last:
            touch = read_touch(memory.last)
            facts.update(touch.facts)
        tell_visit(memory, query, facts)
        facts.update(company)
        if memory is not None:
            id_, visit = memory.id, memory.visit
        else:
            id_, visit = self._name_stranger(environ, client, mode, now)
        bot = facts["device.bot"]
        visitor = Visitor(
            facts=facts,
            sources=_SOURCES[query.touch is None, company is not found],
            id=id_,
            visit=visit,
            unit=memory.unit if memory is not None and not bot else None,
            mode=mode,
            arms=memory.arms if memory is not None else _NO_ARMS,
            ad_ref=(touch.ad_ref or None) if touch is not None else None,
            not_counted="bot" if bot else "internal" if client.is_internal(site) else None,
        )
        if page_view and (query.signed or site.custom):
            claims = link_claims(environ.get("QUERY_STRING", ""), query.signed, self.keys, site.custom)
            self.declare(visitor, memory, claims, site, new_link=query.touch is not None)
        elif memory is not None and memory.declared:
            self.declare(visitor, memory, (), site, new_link=page_view and query.touch is not None)
        return Reading(visitor, memory, new, client, query.duplicated)

    def declare(
        self,
        visitor: Visitor,
        memory: Memory | None,
        claims: Sequence[Claim],
        site: SiteRules,
        *,
        new_link: bool = False,
    ) -> None:
        """Add to a visitor what was declared of them, now by `claims` and before; whom we remember keeps it.

        It replaces what the request tells, and a company that is named replaces the one of the address.
        """
        kept = keep_claims(memory.declared if memory is not None else "", claims, new_link)
        if memory is not None:
            memory.declared = kept
        if not kept:
            return
        told = read_claims(kept, site.custom)
        facts, sources = visitor.facts, {**visitor.sources, **told.sources}
        domain = told.facts.get("company.domain")
        if domain is not None:
            if visitor.company is None:
                visitor.company = str(facts.get("company.domain", ""))
            company = self._find_domain(str(domain))
            domain = company.get("company.domain", domain)  # a company's own of several domains
            if domain != facts.get("company.domain"):
                for name in [name for name in facts if name.startswith("company.")]:
                    del facts[name]
                facts.update(company)
                sources.update({name: Source.LOOKUP for name in company if name != "company.domain"})
        facts.update(told.facts)
        if domain is not None:
            facts["company.domain"] = domain
        visitor.sources = sources
        visitor.persona = told.persona

    def take(self, lookups: Lookups) -> None:
        """From now on look up in these files. What the old ones told is forgotten; no request waits."""
        self.lookups = lookups
        self._geo, self._companies = geo_of(lookups), companies_of(lookups)
        self._shared = Cache(16_384)
        self._domains = Cache(4096)
        self._clients = ClientRule(self._trusted)  # last: a client that it makes is looked up in the new files

    def _request_facts(self, environ: Environ, client: Client, site: SiteRules, now: float) -> Facts:
        """What the address, the headers and the clock tell, before anything of a visitor is read or kept."""
        address = client.facts
        if address is None:
            address = client.facts = self._share(self._geo.lookup(client.address))
        device = lookup_device(environ.get("HTTP_USER_AGENT", ""))
        brands = environ.get("HTTP_SEC_CH_UA")
        if brands is not None:  # Chromium sends the other two along
            mobile, platform = environ.get("HTTP_SEC_CH_UA_MOBILE", ""), environ.get("HTTP_SEC_CH_UA_PLATFORM", "")
            device = apply_hints(device, brands, mobile, platform)
        return {
            **address,
            **device,
            **parse_referrer(environ.get("HTTP_REFERER", ""), site.hosts),
            **parse_language(environ.get("HTTP_ACCEPT_LANGUAGE", "")),
            **time_facts(now, address.get("geo.timezone"), site.timezone),
        }

    def _lookup_company(self, client: Client) -> Facts:
        company = client.company
        if company is None:
            company = client.company = self._share(self._companies.lookup(client.address, client.facts or _NO_FACTS))
        return company

    def _find_domain(self, domain: str) -> Facts:
        found = self._domains.get(domain)
        return self._domains.put(domain, self._companies.find_domain(domain)) if found is None else found

    def _share(self, facts: Facts) -> Facts:
        """Addresses of one place or one company have the same facts: once in memory, they stay near the processor."""
        key = tuple(facts.items())
        return self._shared.get(key) or self._shared.put(key, facts)

    def _remember_view(self, memory: Memory | None, now: float, query: Query, facts: Facts, found: Facts) -> Memory:
        """Persistent mode only: what the cookie should hold after this view."""
        domain = str(found.get("company.domain", ""))
        if memory is None:
            memory = begin_memory(now, domain, self._new_id)
        remember_view(memory, now, query, facts.get("referrer.kind"), domain, self._new_id)
        return memory

    def _name_stranger(self, environ: Environ, client: Client, mode: Mode, now: float) -> tuple[str, str]:
        """Visitor and visit of somebody we do not remember: for today in storage-free mode, else for this request."""
        if mode is Mode.STORAGE_FREE:
            agent, host = environ.get("HTTP_USER_AGENT", ""), environ.get("HTTP_HOST", "")
            return self._salts.daily_id(now, client.address, agent, host)
        return self._new_id(), self._new_id()[:8]


def open_visitor_reader(settings: Settings) -> VisitorReader:
    """A reader over the files that the settings name, with the data directory's secret and salts.

    Raises DataError, SettingError or StartError with what is wrong and what to do.
    """
    load_resolver()
    lookups = open_lookups(settings)
    reader = VisitorReader(
        Geo(), Companies(), load_keys(settings), Salts(settings.data / "salt"), settings.trusted_proxies
    )
    reader.take(lookups)
    return reader


def _choose_mode(environ: Environ, cookie: str, facts: Facts, site: SiteRules) -> Mode:
    """Storage-free for whoever refused, here or by their browser's signal; else by the first rule that holds."""
    if cookie == OPT_OUT or environ.get("HTTP_SEC_GPC") == "1" or environ.get("HTTP_DNT") == "1":
        return Mode.STORAGE_FREE
    for predicate, mode in site.privacy:
        if predicate is None or predicate(facts) is True:
            return mode
    return Mode.STORAGE_FREE
