"""Reads one request: WSGI environ → raw facts and who it is.

What enters: an environ, the site's rules, the time. What leaves: a `Reading`. Must not: raise for anything that a
visitor sends, read a clock, or keep an address anywhere but in memory.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from personalizer.config import Network, Settings
from personalizer.model import Facts, Mode, SiteRules, Source, Value, Visitor
from personalizer.visitor.address import Client, ClientRule
from personalizer.visitor.company import Companies, open_companies
from personalizer.visitor.cookie import OPT_OUT, Memory, find_cookie, read_cookie
from personalizer.visitor.device import load_resolver, lookup_device
from personalizer.visitor.facts import FACTS
from personalizer.visitor.geo import Geo, open_geo
from personalizer.visitor.keys import Keys, load_keys
from personalizer.visitor.language import parse_language
from personalizer.visitor.local_time import time_facts
from personalizer.visitor.query import Touch, parse_query
from personalizer.visitor.referrer import parse_referrer
from personalizer.visitor.salt import Salts
from personalizer.visitor.visit import begin_memory, freeze_company, remember_view, visit_facts

Environ = Mapping[str, Any]

_READ_HERE = ("utm", "first", "click", "referrer", "geo", "network", "company", "device", "language", "visit", "time")
_GROUPS = {name: name.partition(".")[0] for name in FACTS}
_NO_FACTS: Facts = {}
_NO_TOUCH = Touch()
_NO_ARMS: Mapping[str, str] = {}


def _name_sources(remembered: tuple[str, ...]) -> Mapping[str, Source]:
    """The source of every fact that is read here, known or not, when the groups `remembered` come from the cookie."""
    sources = {name: Source(fact.origin) for name, fact in FACTS.items() if _GROUPS[name] in _READ_HERE}
    # Companies of account lists are joined in the decision; those read here are looked up.
    sources.update({name: Source.LOOKUP for name in sources if _GROUPS[name] == "company"})
    return sources | {name: Source.COOKIE for name in sources if _GROUPS[name] in remembered}


_SOURCES = {  # by what is remembered: the touch, and the company
    (False, False): _name_sources(()),
    (True, False): _name_sources(("utm", "click")),
    (False, True): _name_sources(("company",)),
    (True, True): _name_sources(("utm", "click", "company")),
}


class Reading(NamedTuple):
    """What one request tells. `memory` is what the cookie should hold after it; None: write no cookie.

    `new` says that no cookie of ours came along. `address` is for limiting rates and must never be stored.
    `duplicated` flags that a parameter of ours came twice.
    """

    visitor: Visitor
    memory: Memory | None
    new: bool
    https: bool
    address: str
    duplicated: bool


class VisitorReader:
    """Everything that reading a visitor takes, opened once a process. `new_id` makes 16 characters of base64url."""

    def __init__(
        self,
        geo: Geo,
        companies: Companies,
        keys: Keys,
        salts: Salts,
        trusted_proxies: Sequence[Network] = (),
        new_id: Callable[[], str] = lambda: secrets.token_urlsafe(12),
    ) -> None:
        self.keys = keys
        self._geo = geo
        self._companies = companies
        self._salts = salts
        self._clients = ClientRule(trusted_proxies)
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
        memory = read_cookie(cookie, self.keys, now) if mode is Mode.PERSISTENT else None
        new = memory is None
        found = self._companies.lookup(client.address, facts) if mode is Mode.PERSISTENT else _NO_FACTS
        if page_view and mode is Mode.PERSISTENT:
            memory = self._remember_view(memory, now, query.touch, facts, found)
        company = freeze_company(found, memory.company) if memory else found
        touch = query.touch or (memory.last if memory else _NO_TOUCH)
        facts.update(query.facts or touch.facts)
        facts.update(visit_facts(memory))
        facts.update(company)
        id_, visit = (memory.id, memory.visit) if memory else self._name_stranger(environ, client, mode, now)
        visitor = Visitor(
            facts=facts,
            sources=_SOURCES[query.touch is None, company is not found],
            id=id_,
            visit=visit,
            unit=memory.unit if memory and not facts["device.bot"] else None,
            mode=mode,
            arms=memory.arms if memory else _NO_ARMS,
            ad_ref=touch.ad_ref or None,
            not_counted=_why_not_counted(facts, client, site),
        )
        return Reading(visitor, memory, new, client.https, client.address, query.duplicated)

    def _request_facts(self, environ: Environ, client: Client, site: SiteRules, now: float) -> dict[str, Value]:
        """What the address, the headers and the clock tell, before anything of a visitor is read or kept."""
        facts = {
            **self._geo.lookup(client.address),
            **lookup_device(environ.get("HTTP_USER_AGENT", "")),
            **parse_referrer(environ.get("HTTP_REFERER", ""), site.hosts),
            **parse_language(environ.get("HTTP_ACCEPT_LANGUAGE", "")),
        }
        facts.update(time_facts(now, facts.get("geo.timezone"), site.timezone))
        return facts

    def _remember_view(
        self, memory: Memory | None, now: float, touch: Touch | None, facts: Facts, found: Facts
    ) -> Memory:
        """Persistent mode only: what the cookie should hold after this view."""
        domain = str(found.get("company.domain", ""))
        if memory is None:
            memory = begin_memory(now, domain, self._new_id)
        remember_view(memory, now, touch, facts.get("referrer.kind"), domain, self._new_id)
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
    return VisitorReader(
        open_geo(settings),
        open_companies(settings),
        load_keys(settings),
        Salts(settings.data / "salt"),
        settings.trusted_proxies,
    )


def _choose_mode(environ: Environ, cookie: str, facts: Facts, site: SiteRules) -> Mode:
    """Storage-free for whoever refused, here or by their browser's signal; else by the first rule that holds."""
    if cookie == OPT_OUT or environ.get("HTTP_SEC_GPC") == "1" or environ.get("HTTP_DNT") == "1":
        return Mode.STORAGE_FREE
    for predicate, mode in site.privacy:
        if predicate is None or predicate(facts) is True:
            return mode
    return Mode.STORAGE_FREE


def _why_not_counted(facts: Facts, client: Client, site: SiteRules) -> str | None:
    if facts["device.bot"]:
        return "bot"
    for network in site.internal:
        if client.ip is not None and client.ip in network:
            return "internal"
    return None
