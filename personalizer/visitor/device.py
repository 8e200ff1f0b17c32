"""What the visitor's agent says of itself: kind of device, system, browser, and whether it is a bot.

What enters: the User-Agent header. What leaves: `device.*` facts. Must not: raise, or read more than 512 characters.
"""

from __future__ import annotations

from functools import cache

from ua_parser.core import OS, Device, Domain
from ua_parser.core import UserAgent as Browser
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver
from user_agents.parsers import UserAgent, parse_browser, parse_device, parse_operating_system

from personalizer.cache import Cache
from personalizer.model import Facts
from personalizer.visitor.bots import load_rules, names_bot

MAX_AGENT = 512  # characters

_OTHER = "Other"  # ua-parser's word for "not recognized"
_NO_AGENT: Facts = {"device.bot": True}
# Its expressions for browsers search for unknown robots too, at ten times the cost of all others together.
_OF_BOTS = Domain.OS | Domain.DEVICE


class Agent(UserAgent):  # type: ignore[misc]  # user_agents is untyped
    """`user_agents`' object, filled by ua-parser's Rust engine; its own constructor would use the Python one."""

    def __init__(self, agent: str, domains: Domain = Domain.ALL) -> None:
        found = load_resolver()(agent, domains)
        browser, system, device = found.user_agent or Browser(), found.os or OS(), found.device or Device()
        self.ua_string = agent
        self.browser = parse_browser(browser.family, browser.major, browser.minor, browser.patch)
        self.os = parse_operating_system(system.family, system.major, system.minor, system.patch)
        self.device = parse_device(device.family, device.brand, device.model)


@cache
def load_resolver() -> Resolver:
    """The Rust engine; compiling its expressions, and those of robots, takes a fifth of a second, once a process."""
    load_rules()
    return Resolver(load_lazy_builtins())


def lookup_device(agent: str) -> Facts:
    """`device.type os browser bot` of a User-Agent header; system and browser only where they are recognized.

    A robot has no browser, whatever it calls itself.
    """
    if len(agent) > MAX_AGENT:
        agent = agent[:MAX_AGENT]
    return _devices.get(agent) or _devices.put(agent, _lookup(agent))


_devices: Cache[str, Facts] = Cache(8192)


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


def _device_type(agent: UserAgent) -> str:
    if agent.is_tablet:
        return "tablet"
    if agent.is_mobile:
        return "mobile"
    return "desktop" if agent.is_pc else "other"
