"""Facts of single headers: referrer, agent, language; and of the clock."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import user_agents
from hypothesis import given
from hypothesis import strategies as st

from personalizer.visitor import referrer
from personalizer.visitor.agent import Agent
from personalizer.visitor.device import MAX_AGENT, apply_hints, lookup_device
from personalizer.visitor.facts import DEVICE_TYPES, REFERRER_KINDS
from personalizer.visitor.language import parse_language
from personalizer.visitor.local_time import time_facts
from personalizer.visitor.referrer import parse_referrer

CASES = Path(__file__).parent / "cases"
HOSTS = ("www.paydesk.example",)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case["why"] + case["referer"])
        for case in json.loads((CASES / "referrers.json").read_text())
    ],
)
def test_referrer(case: dict[str, Any]) -> None:
    expected = {"referrer.domain": case["domain"], "referrer.kind": case["kind"]}
    assert parse_referrer(case["referer"], HOSTS) == {name: value for name, value in expected.items() if value}


@pytest.mark.parametrize("host", ["a." * 200 + "example", "x" * 254])
def test_a_very_long_referrer_host_is_unreadable(host: str) -> None:
    assert parse_referrer(f"https://{host}/", HOSTS) == {}


def test_a_long_referrer_path_does_not_matter() -> None:
    assert parse_referrer("https://www.bing.com/" + "x" * 9000, HOSTS)["referrer.kind"] == "search"


def test_referrer_list_is_well_formed() -> None:
    lines = [line for line in referrer._LIST.read_text().splitlines() if line and not line.startswith("#")]
    hosts = [line.split()[1] for line in lines]
    assert {line.split()[0] for line in lines} <= set(REFERRER_KINDS) - {"direct", "internal"}
    assert len(hosts) == len(set(hosts)) == len(lines)
    assert all(host == host.lower() and "." in host for host in hosts)


@given(st.text())
def test_any_referrer_is_answered(header: str) -> None:
    for text in (header, f"https://{header}", f"https://google.com{header}"):
        assert parse_referrer(text, HOSTS).get("referrer.kind", "direct") in REFERRER_KINDS


WINDOWS, MAC, LINUX = "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64"
PHONES = (
    "Linux; Android 14; Pixel 8",
    "Linux; Android 13; SM-S918B",
    "Linux; Android 11; Redmi Note 9 Pro",
    "Linux; Android 10; K",
)
TABLETS = ("Linux; Android 13; SM-X700", "Linux; Android 9; KFMAWI", "Linux; Android 12; Lenovo TB-J606F")
KIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"


def make_agents() -> list[str]:
    """Several hundred agents in the shapes that browsers, apps, mail programs, tools and crawlers send."""
    agents = []
    for version, system in itertools.product(range(88, 140, 8), (WINDOWS, MAC, LINUX, "X11; CrOS x86_64 14541.0.0")):
        agents.append(f"Mozilla/5.0 ({system}) {KIT} Chrome/{version}.0.0.0 Safari/537.36")
        agents.append(f"Mozilla/5.0 ({system}) {KIT} Chrome/{version}.0.0.0 Safari/537.36 Edg/{version}.0.{version}.1")
        agents.append(f"Mozilla/5.0 ({system}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0")
        agents.append(f"Mozilla/5.0 ({system}) {KIT} Chrome/{version}.0.0.0 Safari/537.36 OPR/{version - 14}.0.0.0")
    for version, phone in itertools.product(range(90, 140, 10), PHONES):
        agents.append(f"Mozilla/5.0 ({phone}) {KIT} Chrome/{version}.0.0.0 Mobile Safari/537.36")
        agents.append(
            f"Mozilla/5.0 ({phone}) {KIT} SamsungBrowser/{version // 5}.0 Chrome/{version}.0.0.0 Mobile Safari/537.36"
        )
        agents.append(
            f"Mozilla/5.0 ({phone}; wv) {KIT} Version/4.0 Chrome/{version}.0.0.0 Mobile Safari/537.36 [FB_IAB/FB4A;]"
        )
        agents.append(f"Mozilla/5.0 (Android 13; Mobile; rv:{version}.0) Gecko/{version}.0 Firefox/{version}.0")
    for version, tablet in itertools.product(range(90, 140, 10), TABLETS):
        agents.append(f"Mozilla/5.0 ({tablet}) {KIT} Chrome/{version}.0.0.0 Safari/537.36")
    for major, minor in itertools.product(range(9, 19), (0, 3)):
        phone, pad = (
            f"iPhone; CPU iPhone OS {major}_{minor} like Mac OS X",
            f"iPad; CPU OS {major}_{minor} like Mac OS X",
        )
        for device in (phone, pad):
            agents.append(f"Mozilla/5.0 ({device}) {APPLE} Version/{major}.{minor} Mobile/15E148 Safari/604.1")
            agents.append(f"Mozilla/5.0 ({device}) {APPLE} CriOS/{100 + major}.0 Mobile/15E148 Safari/604.1")
            agents.append(f"Mozilla/5.0 ({device}) {APPLE} Mobile/15E148 [LinkedInApp]/9.1.{major}")
    for major in range(11, 19):
        agents.append(f"Mozilla/5.0 ({MAC}) {APPLE} Version/{major}.1 Safari/605.1.15")
    return agents + RARE_AGENTS


RARE_AGENTS = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    f"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) {KIT} Chrome/120.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "AdsBot-Google (+http://www.google.com/adsbot.html)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "curl/8.5.0",
    "python-requests/2.32.3",
    "Go-http-client/2.0",
    "Wget/1.21.4",
    "okhttp/4.12.0",
    "Dalvik/2.1.0 (Linux; U; Android 12; SM-G991B Build/SP1A)",
    "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
    "Mozilla/5.0 (compatible; MSIE 9.0; Windows Phone OS 7.5; Trident/5.0; IEMobile/9.0; SAMSUNG; SGH-i917)",
    "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; ARM; Trident/6.0)",
    "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.1; Trident/6.0; Microsoft Outlook 15.0.4420)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:38.0) Gecko/20100101 Thunderbird/38.2.0 Lightning/4.0.2",
    "Opera/9.80 (J2ME/MIDP; Opera Mini/9.80 (J2ME/22.478; U; en) Presto/2.5.25 Version/10.54",
    "BlackBerry9700/5.0.0.862 Profile/MIDP-2.1 Configuration/CLDC-1.1 VendorID/331",
    "Mozilla/5.0 (PlayBook; U; RIM Tablet OS 2.0.1; en-US) AppleWebKit/535.8 (KHTML, like Gecko) Version/7.2",
    "Mozilla/5.0 (SymbianOS/9.4; Series60/5.0 NokiaN97-1/12.0.024) AppleWebKit/525 (KHTML, like Gecko) BrowserNG/7.1",
    "Mozilla/5.0 (PlayStation 4 3.11) AppleWebKit/537.73 (KHTML, like Gecko)",
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) Version/6.0 TV Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36",
    "x",
    "$1 \\1 (((",
    "Mozilla/5.0 (iPhone;" * 20,
]  # fmt: skip


def describe(agent: user_agents.parsers.UserAgent) -> dict[str, Any]:
    flags = ("is_mobile", "is_tablet", "is_pc", "is_bot", "is_touch_capable", "is_email_client")
    return {
        "os": agent.os,
        "browser": agent.browser,
        "device": agent.device,
        "text": str(agent),
        **{flag: getattr(agent, flag) for flag in flags},
    }


def test_the_rust_engine_says_what_user_agents_says() -> None:
    agents = make_agents()
    assert len(set(agents)) > 300
    different = [agent for agent in agents if describe(Agent(agent)) != describe(user_agents.parse(agent))]
    assert different == []


@pytest.mark.parametrize(
    "agent, expected",
    [
        (f"Mozilla/5.0 ({WINDOWS}) {KIT} Chrome/126.0.0.0 Safari/537.36", ("desktop", "Windows", "Chrome", False)),
        (f"Mozilla/5.0 ({MAC}) {APPLE} Version/17.1 Safari/605.1.15", ("desktop", "Mac OS X", "Safari", False)),
        (f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) {APPLE} Version/17.0 Mobile/15E148 Safari/604.1",
         ("mobile", "iOS", "Mobile Safari", False)),
        (f"Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) {APPLE} Version/17.0 Mobile/15E148 Safari/604.1",
         ("tablet", "iOS", "Mobile Safari", False)),
        (f"Mozilla/5.0 ({TABLETS[0]}) {KIT} Chrome/120.0.0.0 Safari/537.36", ("tablet", "Android", "Chrome", False)),
        (RARE_AGENTS[0], ("other", None, None, True)),
        (RARE_AGENTS[1], ("mobile", "Android", None, True)),
        ("curl/8.5.0", ("other", None, None, True)),
        ("gibberish", ("other", None, None, True)),
        ("", (None, None, None, True)),
        ("   ", (None, None, None, True)),
    ],
)  # fmt: skip
def test_device_facts(agent: str, expected: tuple[Any, ...]) -> None:
    names = ("device.type", "device.os", "device.browser", "device.bot")
    assert lookup_device(agent) == {
        name: value for name, value in zip(names, expected, strict=True) if value is not None
    }


def test_agents_are_cut() -> None:
    chrome = f"Mozilla/5.0 ({WINDOWS}) {KIT} Chrome/126.0.0.0 Safari/537.36"
    assert lookup_device(chrome.ljust(MAX_AGENT) + "Googlebot/2.1")["device.bot"] is False
    assert lookup_device(chrome.ljust(MAX_AGENT - 20) + "Googlebot/2.1")["device.bot"] is True


_LINUX = f"Mozilla/5.0 (X11; Linux x86_64) {KIT} Chrome/126.0.0.0 Safari/537.36"
_WINDOWS = f"Mozilla/5.0 ({WINDOWS}) {KIT} Chrome/126.0.0.0 Safari/537.36"
_GREASE = '"Not/A)Brand";v="8", "Chromium";v="126"'


@pytest.mark.parametrize(
    ("agent", "hints", "changed"),
    [
        (_WINDOWS, (f'{_GREASE}, "Google Chrome";v="126"', "?0", '"Windows"'), {}),
        (_WINDOWS, (f'{_GREASE}, "Brave";v="126"', "?0", '"Windows"'), {"device.browser": "Brave"}),
        (_WINDOWS, (f'{_GREASE}, "<script>";v="126"', "?1", '"Android"'), {}),
        (f"{_WINDOWS} Edg/126.0", (f'{_GREASE}, "Brave";v="1"', "?0", '"Windows"'), {}),
        (_LINUX, (_GREASE, "?0", '"Linux"'), {}),
        (_LINUX, (_GREASE, "?1", '"Android"'), {"device.os": "Android", "device.type": "mobile"}),
        (_LINUX, (_GREASE, "?0", '"Android"'), {"device.os": "Android", "device.type": "tablet"}),
        (_LINUX, (_GREASE, "?0", '"Chrome OS"'), {"device.os": "Chrome OS"}),
        (_LINUX, (_GREASE, "?1", '"Elsewhere"'), {"device.type": "mobile"}),
        (_LINUX, ("x" * 5000, "?" * 5000, '"' * 5000), {}),
        ("Googlebot/2.1", (f'{_GREASE}, "Brave";v="126"', "?1", '"Android"'), {}),
    ],
)
def test_hints_count_where_the_agent_says_less(
    agent: str, hints: tuple[str, str, str], changed: dict[str, str]
) -> None:
    facts = lookup_device(agent)
    before = dict(facts)
    assert apply_hints(facts, *hints) == {**before, **changed}
    assert facts == before


@given(st.text(), st.text(), st.text())
def test_any_hint_is_answered_from_a_closed_list(brands: str, mobile: str, platform: str) -> None:
    facts = apply_hints(lookup_device(_LINUX), f'"Brave";v=1, {brands}', mobile, platform)
    assert facts["device.browser"] in ("Brave", "Chrome") and facts["device.type"] in DEVICE_TYPES


@given(st.text())
def test_any_agent_is_answered(header: str) -> None:
    assert lookup_device(header).get("device.type", "other") in DEVICE_TYPES


@pytest.mark.parametrize(
    "header, language",
    [
        ("de-DE,de;q=0.9,en;q=0.8", "de"),
        ("en;q=0.8, th", "th"),
        ("en;q=0.5,id-ID;q=0.9", "id"),
        ("EN-us", "en"),
        ("zh-Hant-TW,zh;q=0.9", "zh"),
        ("fil", "fil"),
        ("fr;q=0.7,de;q=0.7", "fr"),
        ("de;q=0,en;q=0.1", "en"),
        ("*,en;q=0.5", "en"),
        ("de ; q = 0.5 , en;q=0.4", "de"),
        ("en;q=0.9,de;q=9", "en"),
        ("", None),
        ("*", None),
        ("de;q=0", None),
        ("x", None),
        ("german", None),
        ("../../etc/passwd", None),
        ("<script>,de", "de"),
        ("en\r\nX: y", None),
        ("de" + ",en" * 10_000, "de"),
    ],
)
def test_language(header: str, language: str | None) -> None:
    assert parse_language(header) == ({"language": language} if language else {})


@given(st.text())
def test_any_accept_language_is_answered(header: str) -> None:
    language = parse_language(header).get("language", "en")
    assert isinstance(language, str) and language.isascii() and language.isalpha() and language == language.lower()


NEW_YEAR = datetime(2026, 12, 31, 23, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "zone, site_zone, expected",
    [
        ("Europe/Berlin", "UTC", (0, "fri", "2027-01-01")),
        ("America/New_York", "UTC", (18, "thu", "2026-12-31")),
        ("Asia/Kathmandu", "UTC", (5, "fri", "2027-01-01")),
        (None, "Asia/Jakarta", (6, "fri", "2027-01-01")),
        ("No/Such", "Asia/Jakarta", (6, "fri", "2027-01-01")),
        ("../../etc/passwd", "UTC", (23, "thu", "2026-12-31")),
        ("\0", "UTC", (23, "thu", "2026-12-31")),
        ("x" * 5000, "UTC", (23, "thu", "2026-12-31")),
        ("No/Such", "No/Such", (23, "thu", "2026-12-31")),
    ],
)
def test_local_time(zone: str | None, site_zone: str, expected: tuple[int, str, str]) -> None:
    facts = time_facts(NEW_YEAR, zone, site_zone)
    assert (facts["time.hour"], facts["time.weekday"], facts["time.date"]) == expected


def test_local_time_changes_with_the_minute() -> None:
    assert time_facts(NEW_YEAR + 29 * 60 + 59, None, "UTC")["time.hour"] == 23
    assert time_facts(NEW_YEAR + 30 * 60, None, "UTC")["time.hour"] == 0
