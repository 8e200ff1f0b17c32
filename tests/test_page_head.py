"""What search engines, shared links and browsers read in the head of every shipped page, and the files it names."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Files, write_workspace
from servers import WORKSPACE, Client, run_server
from test_render import Tree

from personalizer.config import shipped
from personalizer.content.compile import Content, check_workspace, load_content
from personalizer.content.pages import THANKS, UNAVAILABLE

Write = Callable[[Files], Path]

CONTENT = load_content(shipped("variants").parent)
READY = CONTENT.renderings.ready
PAGES = sorted(shown for shown in READY if shown.split("/")[0] != UNAVAILABLE and shown.split("/")[1] != THANKS)
OTHERS = sorted(READY.keys() - set(PAGES))
HOST = "https://" + CONTENT.registry.site.hosts[0]


class Head:
    """A page's metas by name or property, its links by what they are, and its title."""

    def __init__(self, body: bytes) -> None:
        tree = Tree(body)
        self.html = next(attributes for tag, attributes in tree.elements if tag == "html")
        self.metas: dict[str, str] = {}
        self.links: dict[str, dict[str, str]] = {}
        self.addresses = [value for _, name, value in tree.values if name in ("src", "href")]
        for tag, attributes in tree.elements:
            name = attributes.get("name") or attributes.get("property")
            if tag == "meta" and name:
                assert name not in self.metas, f"{name} twice"
                self.metas[name] = attributes["content"]
            if tag == "link":
                self.links[attributes["rel"]] = attributes
        self.title = body.decode().partition("<title>")[2].partition("</title>")[0]
        assert [tag for tag, _ in tree.elements].count("title") == 1


def head(shown: str, content: Content = CONTENT) -> Head:
    """As a previewer of links gets it: without facts."""
    return Head(content.renderings.ready[shown].fill("decision.mac", "row", "arm", {}))


def asset(address: str, content: Content = CONTENT) -> bytes:
    """The file at an address of this site."""
    return content.renderings.assets[address.removeprefix("/_pz/assets/")].body


def test_there_are_pages_and_variants() -> None:
    assert len(PAGES) >= 10
    assert {"payroll/original", "payroll/cfo", "startup/original"} <= set(PAGES)
    assert set(OTHERS) >= {UNAVAILABLE, f"payroll/{THANKS}"}


@pytest.mark.parametrize("shown", PAGES)
def test_the_head_of_a_page(shown: str) -> None:
    page, path = head(shown), CONTENT.registry.pages[shown.partition("/")[0]].path
    assert page.metas["robots"] == "noindex", "pages for ads are not to be listed"
    assert page.links["canonical"]["href"] == HOST + path, "one address for all variants, without a query"
    assert page.html["lang"] == READY[shown].language
    assert page.metas["viewport"] == "width=device-width, initial-scale=1"
    assert 0 < len(page.title) <= 70
    assert 50 <= len(page.metas["description"]) <= 170
    assert "alternate" not in page.links


@pytest.mark.parametrize("shown", PAGES)
def test_a_shared_link(shown: str) -> None:
    metas = head(shown).metas
    assert metas["og:title"] and metas["og:title"] == metas["og:title"].strip()
    assert metas["og:description"] == metas["description"]
    assert metas["og:url"] == HOST + CONTENT.registry.pages[shown.partition("/")[0]].path
    assert (metas["og:type"], metas["og:site_name"]) == ("website", CONTENT.registry.site_name)
    assert metas["twitter:card"] == "summary_large_image"
    picture = asset(metas["og:image"].removeprefix(HOST))
    assert metas["og:image"].startswith(f"{HOST}/_pz/assets/")
    assert picture.startswith(b"\x89PNG")
    size = struct.unpack(">II", picture[16:24])
    assert size == (int(metas["og:image:width"]), int(metas["og:image:height"])) == (1200, 630)
    assert metas["og:image:alt"]


def test_variants_are_shared_in_their_own_words() -> None:
    words = {shown: (head(shown).metas["og:title"], head(shown).metas["og:description"]) for shown in PAGES}
    assert len(set(words.values())) == len(words)


@pytest.mark.parametrize("shown", OTHERS)
def test_pages_in_between_are_not_listed(shown: str) -> None:
    page = head(shown)
    assert page.metas["robots"] == "noindex"
    assert page.title
    assert "canonical" not in page.links


@pytest.mark.parametrize("shown", READY)
def test_icon_and_colour_on_every_page(shown: str) -> None:
    page = head(shown)
    assert asset(page.links["icon"]["href"]).startswith(b"<svg")
    assert page.metas["theme-color"] == "#0a5c43"


@pytest.mark.parametrize("shown", READY)
def test_every_file_is_named_by_its_content(shown: str) -> None:
    """Nothing of a page is fetched from an address whose content could change, but the beacon and the pixel."""
    files = [address for address in head(shown).addresses if address.startswith("/_pz/")]
    named = [address for address in files if address.startswith("/_pz/assets/")]
    assert {address.partition("?")[0] for address in files} - set(named) == {"/_pz/beacon.js", "/_pz/seen.gif"}
    assert len(named) >= 2
    for address in named:
        assert hashlib.sha256(asset(address)).hexdigest().startswith(address.split("/")[3])


def test_a_page_that_may_be_listed_says_nothing(workspace: Write) -> None:
    page = {"path": "/home", "index": True, "copy": {"headline": "Welcome"}}
    files = {"variants/pages/home/page.yaml": page, "templates/base.html": BASE, "templates/landing.html": BARE}
    home = head("home/original", load_content(workspace(files)))
    assert "robots" not in home.metas
    assert (home.title, home.metas["og:title"]) == ("Welcome", "Welcome")
    assert home.metas["twitter:card"] == "summary", "without a picture"
    assert not {"description", "og:description", "og:image"} & home.metas.keys()
    assert "icon" not in home.links


BASE = (WORKSPACE / "templates/base.html").read_text()
BARE = '---\nslots: {headline: {type: text, required: true}}\n---\n{% extends "base.html" %}\n'
FONT = {
    "templates/theme.yaml": {
        "fonts": {"body": "Brand Sans, 'Segoe UI', sans-serif"},
        "font_files": [
            {"family": "Brand Sans", "file": "brand größe.woff2", "weight": "300 800"},
            {"family": "Brand Sans", "file": "italic.ttf", "style": "italic"},
        ],
    },
    "templates/base.html": BASE,
    "templates/landing.html": BARE,
    "templates/assets/brand größe.woff2": b"wOF2 of no use",
    "templates/assets/italic.ttf": b"no use either",
    "templates/assets/paper.pdf": b"%PDF-1.4",
    "templates/assets/photo.webp": b"RIFF",
}


def test_fonts_of_the_theme(workspace: Write) -> None:
    body = load_content(workspace(FONT)).renderings.ready["home/original"].fill("", "", "", {}).decode()
    digest = hashlib.sha256(b"wOF2 of no use").hexdigest()[:12]
    address = f"/_pz/assets/{digest}/brand%20gr%C3%B6%C3%9Fe.woff2"
    assert f'font-family: "Brand Sans"; src: url({address}); font-weight: 300 800; font-style: normal;' in body
    assert f'<link rel="preload" href="{address}" as="font" crossorigin>' in body
    assert "--body: Brand Sans, 'Segoe UI', sans-serif;" in body
    assert "font-style: italic" in body


@pytest.mark.parametrize(
    ("font", "words"),
    [
        ({"family": "Brand", "file": "none.woff2"}, "there is no file templates/assets/none.woff2"),
        ({"family": "Brand", "file": "paper.pdf"}, "paper.pdf is no font for the web"),
        ({"family": 'x"; } body { display: none', "file": "italic.ttf"}, "Use letters, digits, spaces and -."),
        ({"family": "Brand", "file": "italic.ttf", "weight": "bold; }"}, "Write a weight as 400"),
        ({"family": "Brand", "file": "italic.ttf", "weight": 4000}, "Write a weight as 400"),
    ],
)
def test_a_font_that_is_none(workspace: Write, font: dict[str, object], words: str) -> None:
    problems = check_workspace(workspace({**FONT, "templates/theme.yaml": {"font_files": [font]}})).problems
    assert any(words in f"{problem.message} {problem.remedy}" for problem in problems), problems


def test_files_are_served_as_what_they_are(tmp_path: Path) -> None:
    """Whatever the machine knows of endings; and a paper for whoever fills in a form is listed nowhere."""
    site = write_workspace(tmp_path / "site", FONT)
    assets = load_content(site).renderings.assets
    with run_server(tmp_path / "data", workspace=site) as server:
        visitor = Client(server)
        (preloaded,) = re.findall(r'href="(\S+?woff2)"', visitor.get("/home", Host="www.shop.example").text)
        addresses = [preloaded, *(f"/_pz/assets/{name}" for name in assets if name.isascii())]
        answers = [visitor.get(address, Host="www.shop.example") for address in addresses]
        assert visitor.get("/favicon.ico", Host="www.shop.example").status == 404, "the theme has none"
    assert {answer.status for answer in answers} == {200}
    kinds = {answer.headers["Content-Type"]: answer.headers["X-Robots-Tag"] for answer in answers}
    assert kinds == {
        "font/woff2": "noindex",
        "font/ttf": "noindex",
        "application/pdf": "noindex",
        "image/webp": None,
    }
