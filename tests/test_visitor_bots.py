"""Robots and people: how many are told apart, on lists that the kept one was not made from, and at what cost."""

from __future__ import annotations

import json
import random
import re
import string
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from test_visitor_headers import make_agents

from personalizer.visitor import bots, device
from personalizer.visitor.agent import Agent
from personalizer.visitor.bots import names_bot
from personalizer.visitor.device import MAX_AGENT, lookup_device

DATA = Path(bots.__file__).parent / "data"


def installed(package: str, path: str) -> Path:
    """A file or folder of an installed package, which is not imported for it."""
    spec = find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations))) / path


# --- lists that others keep ---

CASES = installed("device_detector", "tests/fixtures/upstream")  # Matomo's
_AGENT = re.compile(r"^\s*(?:- )?user_agent: (['\"]?)(.+)\1$", re.MULTILINE)
_BROWSER = re.compile(r"^  client:\s+type: browser$", re.MULTILINE)


def read_cases(*names: str) -> Iterator[tuple[str, str]]:
    """Agents of these files, each with the case that it belongs to. Agents over several lines are left out."""
    for name in names:
        for case in re.split(r"^-(?=\s)", (CASES / name).read_text("utf-8"), flags=re.MULTILINE):
            if found := _AGENT.search(case):
                yield found[2].replace("\\/", "/"), case


def read_robots() -> list[str]:
    return [agent for agent, _ in read_cases("bots.yml")]


def read_browsers() -> list[str]:
    """Agents with which, Matomo says, somebody browses: without programs on a phone that name its system only."""
    names = sorted(path.name for path in CASES.glob("*.yml") if path.name != "bots.yml")
    agents = [agent for agent, case in read_cases(*names) if _BROWSER.search(case)]
    return [agent for agent in agents if not re.search("^Dalvik/|CFNetwork", agent)]


def read_common_browsers() -> list[str]:
    """What real visitors of many sites sent."""
    lines = installed("fake_useragent", "data/browsers.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["useragent"] for line in lines]


def share(agents: list[str]) -> float:
    """How many of these agents are a robot's."""
    return sum(names_bot(agent[:MAX_AGENT]) for agent in agents) / len(agents)


def test_robots_of_another_list_are_found() -> None:
    robots = read_robots()
    assert len(robots) > 1300
    assert share(robots) >= 0.98
    alone = sum(Agent(agent[:MAX_AGENT]).is_bot for agent in robots) / len(robots)
    assert alone < 0.55, "what ua-parser finds by itself: the kept list is worth its keep"


def test_people_of_other_lists_are_people() -> None:
    browsers, common = read_browsers(), read_common_browsers()
    assert len(browsers) > 30_000
    assert share(browsers) <= 0.005
    assert len(common) > 5000
    assert share(common) == 0


# --- the kept list ---


def test_the_names_are_those_of_the_package(tmp_path: Path) -> None:
    """The script writes the file again, byte for byte."""
    for name in ("crawlers.py", "crawlers.txt"):
        (tmp_path / name).write_bytes((DATA / name).read_bytes())
    (tmp_path / "crawlers.txt").unlink()
    subprocess.run([sys.executable, tmp_path / "crawlers.py"], check=True, timeout=60)
    assert (tmp_path / "crawlers.txt").read_bytes() == (DATA / "crawlers.txt").read_bytes()


def test_the_packages_own_examples_are_found() -> None:
    examples = [agent for entry in CRAWLER_USER_AGENTS_DATA for agent in entry["instances"]]
    assert len(examples) > 2000
    assert share(examples) > 0.999


def test_every_line_says_what_it_is() -> None:
    lines = (DATA / "agents.txt").read_text("utf-8").splitlines()
    kinds = {line.split(" ")[0] for line in lines if line and not line.startswith("#")}
    assert kinds == {"bot", "person", "include"}


IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
ANDROID = (
    "Mozilla/5.0 (Linux; Android 14; SM-S918B Build/UP1A.231005.007; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/131.0.6778.39 Mobile Safari/537.36"
)
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
CHROME = f"{WINDOWS} Chrome/131.0.0.0 Safari/537.36"


@pytest.mark.parametrize(
    "agent",
    [
        CHROME,
        f"{CHROME} OPR/115.0.0.0",
        IPHONE,
        # In-app browsers: people who came from an ad.
        f"{IPHONE} [FBAN/FBIOS;FBAV/490.0.0.40.109;FBBV/660;FBDV/iPhone14,5;FBMD/iPhone;FBSN/iOS;FBLC/de_DE;FBOP/5]",
        f"{ANDROID} [FB_IAB/FB4A;FBAV/490.0.0.46.109;]",
        f"{IPHONE} Instagram 360.0.0.30.85 (iPhone14,5; iOS 18_1; de_DE; de; scale=3.00; 1170x2532; 674117118)",
        f"{IPHONE} [LinkedInApp]/9.30.1234",
        f"{ANDROID} [LinkedInApp]/4.1.1017",
        f"{IPHONE} Safari Line/14.19.0",
        f"{ANDROID} Line/14.19.0/IAB",
        f"{IPHONE} MicroMessenger/8.0.53(0x18003531) NetType/WIFI Language/en",
        f"{IPHONE} Snapchat/13.20.0.37 (like Safari/8618.2.12, panda)",
        f"{IPHONE} musical_ly_37.2.0 JsSdk/2.0 NetType/WIFI Channel/App Store ByteLocale/de",
        f"{IPHONE} BytedanceWebview/d8a21c6",
        f"{IPHONE} [Pinterest/iOS]",
        f"{IPHONE} Twitter for iPhone/10.70",
        f"{IPHONE} GSA/344.0.695551749 Safari/604.1",
        f"{IPHONE} DuckDuckGo/7 Safari/605.1.15",
        f"{IPHONE} KAKAOTALK 10.9.5",
        f"{IPHONE} NAVER(inapp; search; 2000; 12.8.50; 14)",
        f"{IPHONE} Viber/23.4",
        f"{ANDROID} WhatsApp",
        f"{ANDROID} Reddit/2024",
        f"{WINDOWS} Teams/1.6.00 Chrome/114.0.5735.289 Electron/25.8.4 Safari/537.36",
        f"{WINDOWS} Slack/4.39.95 Chrome/126.0.6478.185 Electron/31.1.0 Safari/537.36 Sonic Slack_SSB/4.39.95",
        # Devices and a build with a robot's name.
        "Mozilla/5.0 (Linux; Android 6.0; CUBOT DINOSAUR) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 "
        "Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/490.0.0.46.109;]",
        "Mozilla/5.0 (Linux; Android 6.0; POWER BOT Build/MRA58K) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/54.0.2840.85 Mobile Safari/537.36",
        "Mozilla/5.0 (Linux; Android 15; CPH2557 Build/AP3A.240617.008; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Version/4.0 Chrome/142.0.7444.142 Mobile Safari/537.36 Instagram 406.0.0.58.159 Android",
        # What is old or rare, and a person's.
        "Opera/9.80 (J2ME/MIDP; Opera Mini/9.80 (J2ME/22.478; U; en) Presto/2.5.25 Version/10.54",
        "Mozilla/5.0 (Mobile; Nokia_8110_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5",
        "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0)",
        "Mozilla/5.0 (PlayStation; PlayStation 5/6.00) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    ],
)
def test_a_persons_browser(agent: str) -> None:
    assert not names_bot(agent)


@pytest.mark.parametrize(
    "agent",
    [
        # Links that are looked at before anybody clicks them.
        "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        "Slack-ImgProxy (+https://api.slack.com/robots)",
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
        "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com",
        "WhatsApp/2.23.20.0",
        "TelegramBot (like TwitterBot)",
        "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
        "Iframely/1.3.1 (+https://iframely.com/docs/about)",
        "Barracuda Sentinel (EE)",
        "Mozilla/4.0 (compatible; ms-office; MSOffice 16)",
        "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)",
        # Browsers without a person.
        f"{WINDOWS} HeadlessChrome/126.0.0.0 Safari/537.36",
        "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1",
        f"{CHROME} Chrome-Lighthouse",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/534.34 (KHTML, like Gecko) wkhtmltopdf Safari/534.34",
        # Answer engines.
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; ChatGPT-User/1.0; +https://openai.com/bot",
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Perplexity-User/1.0)",
        "Claude-User/1.0",
        # Whoever judges ads and pages.
        "AdsBot-Google (+http://www.google.com/adsbot.html)",
        "Mediapartners-Google",
        f"{ANDROID} (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        f"{WINDOWS[:-1]}; BingPreview/1.0b) Chrome/131.0.0.0 Safari/537.36",
        # Programs.
        *("curl/8.5.0", "Wget/1.21.4", "python-requests/2.32.3", "Go-http-client/2.0", "okhttp/4.12.0", "node-fetch"),
        *("axios/1.7", "Java/17.0.1", "Dalvik/2.1.0 (Linux; U; Android 12)", "ApacheBench/2.3", "HTTPie/3.2.2"),
        *("PostmanRuntime/7.42", "UptimeRobot/2.0", "kube-probe/1.30", "Mozilla/5.0", "x", "$1 \\1 ((("),
    ],
)  # fmt: skip
def test_a_robot(agent: str) -> None:
    assert names_bot(agent)


# --- what it costs ---

_FRAGMENTS = (
    *("Mozilla/5.0 ", "AppleWebKit/", "Chrome/", "Version/", "Safari/", ".0.0.0.0.", "1.1.1.1.", "Android ", "iPhone"),
    *("Linux; U; ", "Windows NT ", "CrOS ", "HTC", "SAMSUNG", "Nokia", "BlackBerry", " Build/", "Opera Mini/", "; "),
    *("bot", "Bot/", "spider", "Crawl", "(((((", ";;;;;", "www", "a.b@c-d.", "(compatible;", "CUBOT "),
)


def make_hostile(seed: int) -> list[str]:
    """512 characters each: noise, one fragment without end, salads of what expressions look for, names cut short."""
    dice = random.Random(seed)
    names = [line.replace("\\", "") for line in (DATA / "crawlers.txt").read_text("utf-8").splitlines()[2:]]
    makers: tuple[Callable[[], str], ...] = (
        lambda: "".join(dice.choices(string.printable, k=MAX_AGENT)),
        lambda: "".join(map(chr, dice.choices(range(0x20, 0x2FF), k=MAX_AGENT))),
        lambda: "Mozilla/5.0 (Linux; Android " + "".join(dice.choices("0123456789.;_ ", k=MAX_AGENT)),
        lambda: dice.choice(_FRAGMENTS) * MAX_AGENT,
        lambda: "".join(dice.choices(_FRAGMENTS, k=MAX_AGENT)),
        lambda: "".join(word + dice.choice(string.ascii_letters) for word in dice.choices(_FRAGMENTS, k=MAX_AGENT)),
        lambda: "".join(name[:-1] + dice.choice("; ") for name in dice.choices(names, k=MAX_AGENT)),
        lambda: "".join(dice.choices(names, k=MAX_AGENT)).swapcase(),
    )
    return [maker()[:MAX_AGENT] for maker in makers * 250]


def cost(look_up: Callable[[str], object], agent: str) -> float:
    """Microseconds of a processor. What is slow by its nature is slow three times; nothing here remembers an agent."""
    times = []
    for _ in range(3):
        began = time.thread_time_ns()
        look_up(agent)
        times.append(time.thread_time_ns() - began)
    return min(times) / 1000


@pytest.mark.parametrize(
    ("look_up", "limit"), [(names_bot, 20), (device._lookup, 300)], ids=["robot or not", "the whole agent"]
)
def test_hostile_agents_cost_little(look_up: Callable[[str], object], limit: float) -> None:
    """All but one in a hundred."""
    costs = sorted(cost(look_up, agent) for agent in make_hostile(1))
    assert costs[len(costs) * 99 // 100] <= limit


def test_a_robot_has_no_browser() -> None:
    agents = make_agents()
    facts = {agent: lookup_device(agent) for agent in agents}
    robots = [agent for agent in agents if facts[agent]["device.bot"]]
    assert 10 < len(robots) < 30
    assert not any("device.browser" in facts[agent] for agent in robots)
