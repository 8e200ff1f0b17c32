"""500 user agents, spelled from tables of systems and versions.

What enters: nothing. What leaves: `AGENTS`, the same at every run. Must not: hold one copied from a log.
"""

from __future__ import annotations

import random
from itertools import product

COUNT = 500

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_DESKTOPS = (
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "X11; CrOS x86_64 14541.0.0",
)
_PHONES = ("K", "Pixel 7", "Pixel 8 Pro", "SM-S918B", "SM-A546E", "SM-G991U", "M2101K6G", "CPH2449", "moto g power")
_CHROME = range(118, 142)
_FIREFOX = range(115, 145)
_IOS = tuple(product(range(15, 19), range(7)))


def _desktop_agents() -> list[str]:
    chrome = [
        f"Mozilla/5.0 ({system}) {_WEBKIT} Chrome/{version}.0.0.0 Safari/537.36"
        for system, version in product(_DESKTOPS, _CHROME)
    ]
    edge = [
        f"Mozilla/5.0 ({system}) {_WEBKIT} Chrome/{version}.0.0.0 Safari/537.36 Edg/{version}.0.0.0"
        for system, version in product(_DESKTOPS[:2], _CHROME)
    ]
    opera = [
        f"Mozilla/5.0 ({_DESKTOPS[0]}) {_WEBKIT} Chrome/{version}.0.0.0 Safari/537.36 OPR/{version - 14}.0.0.0"
        for version in _CHROME
    ]
    firefox = [
        f"Mozilla/5.0 ({system}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"
        for system, version in product(_DESKTOPS[:3], _FIREFOX)
    ]
    safari = [
        f"Mozilla/5.0 ({_DESKTOPS[1]}) {_SAFARI} Version/{major}.{minor} Safari/605.1.15" for major, minor in _IOS
    ]
    return chrome + edge + opera + firefox + safari


def _mobile_agents() -> list[str]:
    android = [
        f"Mozilla/5.0 (Linux; Android {10 + version % 6}; {phone}) {_WEBKIT} Chrome/{version}.0.0.0 "
        "Mobile Safari/537.36"
        for phone, version in product(_PHONES, _CHROME)
    ]
    samsung = [
        f"Mozilla/5.0 (Linux; Android 13; {phone}) {_WEBKIT} SamsungBrowser/{major}.0 Chrome/{major + 92}.0.0.0 "
        "Mobile Safari/537.36"
        for phone, major in product(_PHONES[3:6], range(22, 29))
    ]
    apple = [
        f"Mozilla/5.0 ({device} CPU {system} {major}_{minor} like Mac OS X) {_SAFARI} "
        f"Version/{major}.{minor} Mobile/15E148 Safari/604.1"
        for (device, system), (major, minor) in product((("iPhone;", "iPhone OS"), ("iPad;", "OS")), _IOS)
    ]
    in_app = [
        f"Mozilla/5.0 (iPhone; CPU iPhone OS {major}_{minor} like Mac OS X) {_SAFARI} Mobile/15E148 "
        f"[LinkedInApp]/9.30.{minor}"
        for major, minor in _IOS
    ]
    return android + samsung + apple + in_app


def new_agent(number: int) -> str:
    """An agent that is none of `AGENTS` and no other number's: one of theirs, of a build of its own."""
    return AGENTS[number % COUNT] + f" Build/{number:06}"


AGENTS: tuple[str, ...] = tuple(random.Random(1).sample(_desktop_agents() + _mobile_agents(), COUNT))
