"""A User-Agent header as `user_agents` reads it, by ua-parser's Rust engine.

What enters: the header. What leaves: an `Agent`. Must not: make a fact of it (`device.py` does, and is compiled to C,
where a class of another library cannot be extended).
"""

from __future__ import annotations

from functools import cache

from ua_parser.core import OS, Device, Domain
from ua_parser.core import UserAgent as Browser
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver

from personalizer.visitor import python_engine
from personalizer.visitor.bots import load_rules

python_engine.put_off()
from user_agents.parsers import (  # noqa: E402 - only now, without that engine
    UserAgent,
    parse_browser,
    parse_device,
    parse_operating_system,
)


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
