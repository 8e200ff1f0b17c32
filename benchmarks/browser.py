"""Row 11: served pages in Chromium, as a visitor's telephone meets them.

What enters: two workspaces, the example and the one that was generated. What leaves: `Findings`. Must not: need
anything from outside, or take Lighthouse's word for what Chromium itself can tell.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from benchmarks import BenchError
from benchmarks.figures import Figure, Findings, Say, Sheet, number
from benchmarks.machine import version_of
from benchmarks.peers import engine_settings, run_engine
from benchmarks.processes import ROOT, find_program, run_to_end
from benchmarks.sizes import Size
from benchmarks.workspace import PATH, Bench

LIGHTHOUSE = "lighthouse@12.2.3"  # the last that Node.js 18 and 20 run
EXAMPLE = "/payroll"

_HOME = ROOT / "build" / "lighthouse"
_PROGRAM = _HOME / "node_modules" / ".bin" / "lighthouse"
_INSTALL_SECONDS = 300
_RUN_SECONDS = 120
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
_RUNS = 3  # of each page, at most
_TRIES = 3  # of each run: now and then Lighthouse does not see its page begin, and asks to be run again

# Bytes of all that came but images, headers included, and how much the page moved while it came and was scrolled.
_LOOK = """
const done = arguments[0]; let shift = 0;
new PerformanceObserver(list => { for (const entry of list.getEntries()) shift += entry.value; })
  .observe({type: "layout-shift", buffered: true});
scrollTo(0, document.body.scrollHeight);
requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => {
  const images = ["img", "image", "input"], resources = performance.getEntriesByType("resource");
  const came = performance.getEntriesByType("navigation")
    .concat(resources.filter(entry => !images.includes(entry.initiatorType)));
  done({shift, bytes: came.reduce((sum, entry) => sum + entry.transferSize, 0)});
}, 100)));
"""


class _Page(NamedTuple):
    """What was seen of one page; `scores` of Lighthouse, 0 to 100."""

    path: str
    scores: list[float]
    shift: float
    kilobytes: float
    readable: float  # share of the words that are there without script


def measure_browser(bench: Bench, size: Size, say: Say) -> Findings:
    """Both pages. Raises BenchError without Chromium; without Lighthouse only its score is missing."""
    chromium = find_program("chromium", "chromium")
    found = Findings()
    runs = min(size.rounds, _RUNS)
    try:
        _install_lighthouse(say)
    except BenchError as error:
        found.notes.append(f"Row 11, performance: not measured: {error}")
        runs = 0
    pages = []
    for path, settings in _sites(bench).items():
        with run_engine(settings, bench.folder / "browser.log") as peer:
            url = f"http://127.0.0.1:{peer.port}{path}"
            say(f"Chromium: {path}")
            shift, kilobytes, readable = _look(chromium, url, bench.folder / f"profile{path.replace('/', '-')}")
            scores = [_score(chromium, url, bench.folder, say) for _ in range(runs)]
            pages.append(_Page(path, scores, shift, kilobytes, readable))
    found.notes.append(f"Row 11 in Chromium {version_of(chromium)}; Lighthouse's usual telephone, {LIGHTHOUSE}.")
    _add_figures(found, pages)
    return found


def _sites(bench: Bench) -> dict[str, dict[str, str]]:
    """By the path of its page: the settings under which each workspace is served."""
    secret, data = secrets.token_hex(32), bench.folder
    names = ("GEO_CITY", "GEO_ASN", "GEO_CONNECTION", "GEO_ANONYMOUS", "COMPANIES")
    example = {"WORKSPACE": str(ROOT), "DATA": str(data / "data-example"), "SECRET_KEY": secret, "WORKERS": "1"}
    return {
        EXAMPLE: example | dict.fromkeys(names, "sample"),
        PATH: engine_settings(bench, data / "data-browser", secret),
    }


def _add_figures(found: Findings, pages: Sequence[_Page]) -> None:
    for page in pages:
        if page.scores:
            found.figures.append(Figure("11", f"Lighthouse performance, {page.path}", tuple(page.scores), 100))
        found.figures += [
            Figure("11", f"KB on the wire before images, {page.path}", (page.kilobytes,), 14, at_most=True),
            Figure("11", f"layout shift, {page.path}", (page.shift,), 0, at_most=True),
            Figure("11", f"share of the words readable without script, {page.path}", (page.readable,), 1),
        ]
    lines = [
        (
            page.path,
            f"{statistics.median(page.scores):.0f}" if page.scores else "–",
            number(page.kilobytes),
            f"{page.shift:.3f}",
            f"{page.readable:.0%}",
        )
        for page in pages
    ]
    columns = ("page", "Lighthouse performance", "KB before images", "layout shift", "readable without script")
    found.sheets.append(Sheet("In Chromium", columns, lines))
    found.rounds["browser"] = [page._asdict() for page in pages]


# --- Chromium ---


def _look(chromium: str, url: str, profile: Path) -> tuple[float, float, float]:
    """How much the page moves, its KB, and what share of its words is there without script."""
    with _browse(chromium, url, profile, scripts=True) as browser:
        seen: dict[str, Any] = browser.execute_async_script(_LOOK)
        words = browser.find_element(By.TAG_NAME, "body").text.split()
    with _browse(chromium, url, profile.with_name(profile.name + "-plain"), scripts=False) as browser:
        plain = set(browser.find_element(By.TAG_NAME, "body").text.split())
    return seen["shift"], seen["bytes"] / 1024, sum(word in plain for word in words) / len(words)


@contextlib.contextmanager
def _browse(chromium: str, url: str, profile: Path, *, scripts: bool) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, "--window-size=412,823", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    try:
        browser = Chrome(options, Service(find_program("chromedriver", "chromium-driver")))
    except WebDriverException as error:
        raise BenchError(f"Chromium does not start: {error.msg}") from error
    try:
        browser.get(url)
        yield browser
    finally:
        browser.quit()


# --- Lighthouse ---


def _install_lighthouse(say: Say) -> None:
    """Into build/. Raises BenchError when it cannot be had."""
    find_program("node", "nodejs")
    if _PROGRAM.exists():
        return
    say("installing Lighthouse")
    _HOME.mkdir(parents=True, exist_ok=True)
    npm = [find_program("npm", "npm"), "install", "--prefix", str(_HOME), "--save-exact", "--no-audit", "--no-fund"]
    run_to_end("Lighthouse", [*npm, LIGHTHOUSE], _INSTALL_SECONDS)


def _score(chromium: str, url: str, folder: Path, say: Say) -> float:
    """Lighthouse's score of a page, 0 to 100. Raises BenchError when it fails every time."""
    say(f"Lighthouse: {url}")
    for _ in range(_TRIES - 1):
        with contextlib.suppress(BenchError):
            return _run_lighthouse(chromium, url, folder)
    return _run_lighthouse(chromium, url, folder)


def _run_lighthouse(chromium: str, url: str, folder: Path) -> float:
    environ = {**os.environ, "CHROME_PATH": chromium, "TMPDIR": str(folder)}
    flags = f"--chrome-flags={' '.join(_FLAGS)}"
    command = [str(_PROGRAM), url, "--quiet", "--only-categories=performance", "--output=json", flags]
    told = json.loads(run_to_end("Lighthouse", command, _RUN_SECONDS, environ))
    if told.get("runtimeError"):
        raise BenchError(f"Lighthouse: {told['runtimeError']['message']}")
    return float(told["categories"]["performance"]["score"]) * 100
