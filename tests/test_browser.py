"""The pages in a real Chromium, with scripts and without: what a visitor sees, does, and tells by it."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from servers import (
    AT_HOME,
    CHROME,
    EXCLUDED,
    SOFTWARE_COMPANY,
    WORKSPACE,
    Client,
    Server,
    decision_of,
    demo_links,
    run_server,
    until,
)
from test_hostile import MARKUP, make_workspace

from personalizer.content.compile import Content
from personalizer.visitor.facts import TOKENS

LINKS = demo_links()
PAGES = ["/payroll", "/startup", "/_pz/thanks/payroll", *LINKS.values()]
PICTURES = [path for path in sorted((WORKSPACE / "templates/assets").glob("*.svg")) if "<text" in path.read_text()]
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",  # what scrolls smoothly cannot be clicked meanwhile
    f"--user-agent={CHROME}",  # a headless one names itself a robot
]
SHIFT = """
const done = arguments[0]; let sum = 0;
new PerformanceObserver(list => { for (const entry of list.getEntries()) sum += entry.value; })
  .observe({type: "layout-shift", buffered: true});
scrollTo(0, document.body.scrollHeight);
requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(sum), 100)));
"""


WIDEN = """
const [word] = arguments; const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const text = texts.currentNode; const within = text.parentElement.closest("script, style, noscript, dd");
  if (!within && text.data.trim()) text.data = text.data.replace(/\\S+/, word);
}
"""
TOUCHING = """
const texts = [...document.querySelectorAll("text")].map(one => [one.textContent, one.getBBox()]);
const reach = 6, found = [];
texts.forEach(([text, box], number) => {
  if (box.x < 90 || box.x + box.width > 550) found.push(text);
  for (const [other, its] of texts.slice(number + 1)) {
    const apart = box.x + box.width + reach < its.x || its.x + its.width + reach < box.x;
    if (!apart && box.y + box.height / 2 < its.y + its.height && its.y + its.height / 2 < box.y + box.height)
      found.push(text + " " + other);
  }
});
const stamp = document.querySelector("g rect")?.getBBox(), words = document.querySelector("g text")?.getBBox();
if (stamp && (words.x < stamp.x + 4 || words.x + words.width > stamp.x + stamp.width - 4)) found.push("the stamp");
return found;
"""
DECODE = """
const [packed, done] = arguments;
Promise.all(packed.map(async one => {
  const bytes = Uint8Array.from(atob(one), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
})).then(done, error => done(String(error)));
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("browser")
    with run_server(root / "data", workspace=make_workspace(root / "site")) as running:
        yield running


class Browser:
    """A Chromium with an empty profile, as somebody at an address."""

    def __init__(self, server: Server, profile: Path, *, scripts: bool = True) -> None:
        options = ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.chrome = Chrome(options, Service(shutil.which("chromedriver") or "chromedriver"))
        self.server = server
        self.origin = f"http://127.0.0.1:{server.port}"
        self.chrome.execute_cdp_cmd("Network.enable", {})
        self.move_to(SOFTWARE_COMPANY)

    def move_to(self, address: str) -> None:
        """Be at another address from now on."""
        self.chrome.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"X-Forwarded-For": address}})

    def open(self, path: str) -> str:
        """Open a page of the server; the decision id that came with it."""
        self.chrome.get(self.origin + path)
        return decision_of(self.find("html").get_attribute("data-pz-d") or "")

    def find(self, selector: str) -> WebElement:
        return self.chrome.find_element(By.CSS_SELECTOR, selector)

    def reads(self, selector: str, text: str) -> None:
        """Wait until an element of the page, perhaps of the next one, reads so."""

        def read() -> bool:
            try:
                return self.find(selector).text == text
            except WebDriverException:  # between two pages, for which the driver has several errors
                return False

        until(read)

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def fill(self, **typed: str) -> None:
        for name, value in typed.items():
            field = self.find(f"#f-{name}")
            if field.tag_name == "select":
                Select(field).select_by_visible_text(value)
            else:
                field.clear()
                field.send_keys(value)

    def told(self, kind: str, decision: str) -> list[dict[str, Any]]:
        """What the server journaled of this kind for a decision, once there is some."""
        return until(lambda: self.server.events(kind=kind, decision_id=decision))

    def complaints(self) -> list[str]:
        """Everything that the console says, violations of the page's policy among it."""
        return [entry["message"] for entry in self._log("browser")]

    def requests(self) -> list[str]:
        """The address of every request that was sent since this was last asked."""
        log = (orjson.loads(entry["message"])["message"] for entry in self._log("performance"))
        return [one["params"]["request"]["url"] for one in log if one["method"] == "Network.requestWillBeSent"]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.chrome.get_log(kind)  # type: ignore[no-untyped-call]
        return entries


@pytest.fixture(scope="module")
def browser(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(server, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.chrome.quit()


@pytest.fixture(scope="module")
def plain(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that runs no scripts."""
    browser = Browser(server, tmp_path_factory.mktemp("profile"), scripts=False)
    yield browser
    browser.chrome.quit()


@pytest.fixture(autouse=True)
def forgotten(request: pytest.FixtureRequest) -> None:
    """Every test begins as a new visitor at a company's address, with a desktop's screen."""
    for name in {"browser", "plain"} & set(request.fixturenames):
        browser: Browser = request.getfixturevalue(name)
        browser.chrome.delete_all_cookies()
        browser.chrome.set_window_size(1440, 900)
        browser.move_to(SOFTWARE_COMPANY)


# --- what is seen ---


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("size", [(1440, 900), (390, 844)], ids=["desktop", "phone"])
def test_a_page_is_whole_quiet_and_still(browser: Browser, path: str, size: tuple[int, int]) -> None:
    browser.chrome.set_window_size(*size)
    browser.complaints(), browser.requests()
    browser.open(path)
    assert browser.find("h1").is_displayed()
    assert browser.chrome.execute_async_script(SHIFT) == 0
    assert browser.chrome.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    images = "return [...document.images].filter(one => !(one.complete && one.naturalWidth)).map(one => one.src)"
    assert browser.chrome.execute_script(images) == []
    assert browser.complaints() == []
    sent = browser.requests()
    assert browser.origin + path in sent
    assert {f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, sent)} <= {browser.origin, "data://"}


@pytest.mark.parametrize("width", [320, 390])
def test_a_long_word_widens_no_page(browser: Browser, sample_content: Content, tmp_path: Path, width: int) -> None:
    fits = "return [innerWidth, document.documentElement.scrollWidth <= innerWidth]"
    word = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunter"
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    browser.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        for name, rendering in sample_content.renderings.ready.items():
            for values in ({}, dict.fromkeys(TOKENS, word)):
                page = tmp_path / "page.html"
                page.write_bytes(rendering.fill("", "", "", values))
                browser.chrome.get(page.as_uri())
                assert browser.chrome.execute_script(fits) == [width, True], (name, values)
            browser.chrome.execute_script(WIDEN, word)
            assert browser.chrome.execute_script(fits) == [width, True], (name, "in every text")
    finally:
        browser.chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_words_in_a_picture_keep_apart_in_a_wide_font(browser: Browser, picture: Path) -> None:
    browser.chrome.get(picture.as_uri())
    browser.chrome.execute_script("document.documentElement.setAttribute('font-family', 'DejaVu Sans, Verdana')")
    assert browser.chrome.execute_script(TOUCHING) == []


def test_what_the_ad_promised_is_on_the_page(browser: Browser) -> None:
    browser.open(LINKS["payroll-manager"])
    assert browser.find("h1").text == "Reconcile payroll at Nordlicht Software before pay day, not after"
    assert browser.find("html").get_attribute("data-pz-row") == "payroll-manager"


def test_a_page_is_14_kilobytes_at_most(server: Server) -> None:
    for path in PAGES:
        for address in (AT_HOME, SOFTWARE_COMPANY, EXCLUDED):
            page = Client(server, address).get(path)
            assert len(gzip.compress(page.body, 6)) <= 14 * 1024, path


@pytest.mark.parametrize("words", MARKUP)
def test_words_of_a_link_stay_words(browser: Browser, words: str) -> None:
    count = "return document.querySelectorAll('*').length"
    browser.open("/payroll?utm_term=plain")
    elements = browser.chrome.execute_script(count)
    browser.complaints()
    browser.open(f"/payroll?utm_term={quote(words)}")
    assert browser.find("h1").text == f"Payroll for {words}"
    assert browser.chrome.execute_script(count) == elements
    assert browser.complaints() == []


def test_a_font_of_the_theme_is_fetched_and_nothing_jumps(tmp_path: Path) -> None:
    site = make_workspace(tmp_path / "site")
    font = next(path for path in sorted(Path("/usr/share/fonts").rglob("*.ttf")))  # Chromium brings some
    shutil.copy(font, site / "templates/assets/brand.ttf")
    theme = site / "templates/theme.yaml"
    text = theme.read_text().replace("  headline: Helvetica", "  headline: Brand, Helvetica")
    theme.write_text(f"{text}font_files: [{{family: Brand, file: brand.ttf, weight: 700}}]\n")
    with run_server(tmp_path / "data", workspace=site) as server:
        browser = Browser(server, tmp_path / "profile")
        try:
            browser.open("/payroll")
            assert browser.chrome.execute_async_script(SHIFT) == 0
            load = "const done = arguments[0]; document.fonts.load('700 1em Brand').then(faces => done(faces.length))"
            assert browser.chrome.execute_async_script(load) == 1
            (address,) = {address for address in browser.requests() if address.endswith(".ttf")}
            assert address.startswith(f"{browser.origin}/_pz/assets/")
            assert not [message for message in browser.complaints() if "Security Policy" in message]
            family = "return getComputedStyle(document.querySelector('h1')).fontFamily.split(',')[0]"
            assert browser.chrome.execute_script(family) == "Brand"
        finally:
            browser.chrome.quit()


# --- what is told ---


def test_a_page_that_was_seen_says_so(browser: Browser) -> None:
    before = int(time.time() * 1000)
    decision = browser.open(LINKS["cfo"])
    (seen,) = browser.told("seen", decision)
    assert before <= seen["client_ts"] // 1000 <= time.time() * 1000


def test_a_click_on_the_call_to_action_is_a_conversion(browser: Browser) -> None:
    decision = browser.open(LINKS["cfo"])
    browser.click("[data-pz-goal=cta_click]")
    (conversion,) = browser.told("conversion", decision)
    assert conversion["goal"] == "cta_click"
    assert conversion["visitor"] == browser.server.exposures()[decision]["visitor"]
    until(lambda: "cta_click" in browser.chrome.get_cookie("pz")["value"])  # the answer follows the journal's row
    browser.open(LINKS["cfo"])
    assert browser.server.events(kind="exposure")[-1]["visit_goals"] == ["cta_click"]


def test_how_far_somebody_read_is_told_when_they_leave(browser: Browser) -> None:
    decision = browser.open("/payroll")
    browser.told("seen", decision)
    browser.chrome.execute_async_script(SHIFT)
    browser.chrome.get("about:blank")
    assert len(browser.told("scroll", decision)) == 1


def test_ten_seconds_of_attention_are_told_once(browser: Browser) -> None:
    first = browser.chrome.current_window_handle
    browser.chrome.switch_to.new_window("tab")  # the clock of a tab can be set forward, and not back
    try:
        decision = browser.open("/payroll")
        browser.told("seen", decision)
        assert not browser.server.events(kind="engaged", decision_id=decision)
        browser.chrome.execute_cdp_cmd("Emulation.setVirtualTimePolicy", {"policy": "advance", "budget": 60_000})
        assert len(browser.told("engaged", decision)) == 1
    finally:
        browser.chrome.close()
        browser.chrome.switch_to.window(first)


# --- what is done ---


def ask_for_a_demo(browser: Browser) -> None:
    """The whole journey of a lead: a slip that only the server sees, what it says, and the thanks."""
    decision = browser.open(LINKS["hr-director"])
    browser.fill(name="Ada Quill", email="ada@nordlicht", company="Nordlicht", employees="51 to 250")
    browser.click("#form .button")
    browser.reads("#e-email", "This is not an e-mail address. It looks like name@company.com.")
    browser.reads(".alert b", "Nothing is sent yet. Please check:")
    assert browser.find("#f-name").get_attribute("value") == "Ada Quill"
    assert browser.find("#f-employees").get_attribute("value") == "51 to 250"
    assert browser.find("h1").text == "Payslips everyone at Nordlicht Software understands"
    assert not browser.server.events(kind="lead", decision_id=decision)
    browser.fill(email="ada@nordlicht.example")
    browser.click("#form .button")
    browser.reads("h1", "Thank you. We will write to you within one working day")
    assert urlsplit(browser.chrome.current_url).path == "/_pz/thanks/payroll"
    (lead,) = browser.told("lead", decision)
    assert lead["goal"] == "demo_request"
    browser.click("main a")
    until(lambda: urlsplit(browser.chrome.current_url).path == "/payroll")


def test_a_lead_with_scripts(browser: Browser) -> None:
    browser.complaints()
    ask_for_a_demo(browser)
    # The one complaint is Chromium's own, about the status of the page with the mistake.
    assert all("422 (Unprocessable" in message for message in browser.complaints())


def test_a_lead_without_scripts(plain: Browser) -> None:
    ask_for_a_demo(plain)


def test_without_scripts_a_page_reads_the_same_and_its_pixel_counts(plain: Browser, browser: Browser) -> None:
    decision = plain.open(LINKS["payroll-manager"])
    assert len(plain.told("seen", decision)) == 1
    assert f"{plain.origin}/_pz/beacon.js" not in plain.requests()
    browser.open(LINKS["payroll-manager"])
    assert plain.find("body").text == browser.find("body").text


def test_who_does_not_want_to_be_remembered_is_not(browser: Browser) -> None:
    browser.open(LINKS["cfo"])
    cookie = browser.chrome.get_cookie("pz")
    assert cookie
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    browser.click(".foot form button")
    until(lambda: (browser.chrome.get_cookie("pz") or {}).get("value") == "out")
    until(lambda: browser.chrome.current_url == browser.origin + "/payroll")
    decision = browser.open(LINKS["cfo"])
    assert browser.server.exposures()[decision]["consent"] == "storage_free"
    assert browser.find("h1").text == "Your company closes payroll in one afternoon"


@pytest.mark.slow
def test_chromium_reads_compressed_pages_as_they_were(browser: Browser, sample_content: Content) -> None:
    """`make soak`: 10,000 random facts; here fewer."""
    draw = random.Random(3)
    ready = sorted(sample_content.renderings.ready.items())
    total, batch = 10_000 if os.environ.get("PERSONALIZER_SOAK") else 500, 100
    browser.open("/payroll")
    for start in range(0, total, batch):
        plain, packed = [], []
        for number in range(start, start + batch):
            value = "".join(draw.choices("abc <>&\"'äßไทย😀/?#{}%", k=draw.randrange(80)))
            filled = ("id.mac", "cfo", "holdout", dict.fromkeys(TOKENS, value))
            rendering = ready[number % len(ready)][1]
            plain.append(rendering.fill(*filled).decode())
            packed.append(b64encode(rendering.fill_gzip(*filled)).decode())
        assert browser.chrome.execute_async_script(DECODE, packed) == plain
