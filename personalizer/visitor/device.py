"""What the visitor's agent says of itself: kind of device, system, browser, and whether it is a bot.

What enters: the User-Agent header and the client hints that Chromium sends unasked. What leaves: `device.*` facts.
Must not: raise, read more than 512 characters of the agent, or take a word from a hint that is not listed here.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ua_parser.core import Domain

from personalizer.cache import Cache
from personalizer.model import Facts
from personalizer.visitor.agent import Agent
from personalizer.visitor.bots import names_bot

MAX_AGENT: Final = 512  # characters

_OTHER: Final = "Other"  # ua-parser's word for "not recognized"
_NO_AGENT: Final[Facts] = {"device.bot": True}
# Its expressions for browsers search for unknown robots too, at ten times the cost of all others together.
_OF_BOTS: Final = Domain.OS | Domain.DEVICE


def lookup_device(agent: str) -> Facts:
    """`device.type os browser bot` of a User-Agent header; system and browser only where they are recognized.

    A robot has no browser, whatever it calls itself.
    """
    if len(agent) > MAX_AGENT:
        agent = agent[:MAX_AGENT]
    return _devices.get(agent) or _devices.put(agent, _lookup(agent))


_devices: Final[Cache[str, Facts]] = Cache(8192)


def apply_hints(facts: Facts, brands: str, mobile: str, platform: str) -> Facts:
    """The facts of an agent, with what `Sec-CH-UA`, `-Mobile` and `-Platform` say where the agent says less.

    Browsers that pass for Chrome name themselves in the brands; a phone or tablet that asks for desktop pages has the
    agent of a Linux desktop.
    """
    hint = _read_hint(brands, mobile, platform)
    if hint is _NO_HINT or facts["device.bot"]:
        return facts
    changed: Facts = {}
    if hint.browser and facts.get("device.browser") in _CHROME:
        changed["device.browser"] = hint.browser
    if facts.get("device.os") == "Linux" and facts["device.type"] == "desktop":
        if hint.system:
            changed["device.os"] = hint.system
        if hint.mobile or hint.system == "Android":
            changed["device.type"] = "mobile" if hint.mobile else "tablet"
    return {**facts, **changed} if changed else facts


class _Hint(NamedTuple):
    browser: str
    mobile: bool
    system: str


_NO_HINT: Final = _Hint("", False, "")
_MAX_HINT: Final = 256  # characters; browsers send about 70
_CHROME: Final = frozenset({"Chrome", "Chrome Mobile"})
_BRANDS: Final = {  # ua-parser's word for them
    "Brave": "Brave",
    "DuckDuckGo": "DuckDuckGo",
    "Microsoft Edge": "Edge",
    "Opera": "Opera",
    "Samsung Internet": "Samsung Internet",
    "Vivaldi": "Vivaldi",
    "YaBrowser": "Yandex Browser",
}
_SYSTEMS: Final = {'"Android"': "Android", '"Chrome OS"': "Chrome OS", '"Chromium OS"': "Chrome OS"}
_BRAND: Final = re.compile(r'"([^"]*)";v=')
_hints: Final[Cache[tuple[str, str, str], _Hint]] = Cache(1024)


def _read_hint(brands: str, mobile: str, platform: str) -> _Hint:
    key = (brands[:_MAX_HINT], mobile[:_MAX_HINT], platform[:_MAX_HINT])
    known = _hints.get(key)
    if known is None:
        named = [_BRANDS[brand] for brand in _BRAND.findall(key[0]) if brand in _BRANDS]
        hint = _Hint(named[0] if named else "", mobile == "?1", _SYSTEMS.get(platform, ""))
        known = _hints.put(key, _NO_HINT if hint == _NO_HINT else hint)
    return known


def _lookup(text: str) -> Facts:
    if not text.strip():
        return _NO_AGENT
    bot = names_bot(text)
    agent = Agent(text, _OF_BOTS if bot else Domain.ALL)
    facts: Facts = {"device.type": _device_type(agent), "device.bot": bot}
    if agent.os.family != _OTHER:
        facts["device.os"] = agent.os.family
    if agent.browser.family != _OTHER:
        facts["device.browser"] = agent.browser.family
    return facts


def _device_type(agent: Agent) -> str:
    if agent.is_tablet:
        return "tablet"
    if agent.is_mobile:
        return "mobile"
    return "desktop" if agent.is_pc else "other"
