"""Rendering: whatever a fact holds, the page stays the page; tokens, fallbacks, names of countries, CSP, forms."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import orjson
import pytest
from conftest import SMALL, Files, write_workspace
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from personalizer.config import load_settings
from personalizer.content.compile import Content, check_workspace, load_content
from personalizer.content.copy import Marks, Token
from personalizer.content.pages import FormState
from personalizer.content.render import TOKEN_LIMIT, Rendering
from personalizer.model import Facts
from personalizer.visitor.facts import FACTS, TOKENS
from personalizer.visitor.geo import open_geo
from personalizer.visitor.industry import say_code
from personalizer.visitor.place_names import name_place

Write = Callable[[Files], Path]

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": '"><img src=x onerror=alert(1)>',
    "apostrophe": "' onmouseover='alert(1)",
    "backtick": "`onfocus=alert(1) autofocus",
    "address": "javascript:alert(1)",
    "host": "//evil.example/x",
    "path": "../../admin",
    "template": "{{7*7}}{% for x in range(9) %}${7*7}<%= 7*7 %>",
    "token": "{{ company.name | x }}",
    "entities": "&lt;script&gt;&#60;b&#62;&quot;&amp",
    "title": "</title><script>alert(1)</script>",
    "comment": "--><script>alert(1)</script><!--",
    "cdata": "]]><b>",
    "line breaks": "a\r\nSet-Cookie: x=1\r\n\r\n<b>",
    "nul": "a\x00b<\x00script>",
    "surrogate": "a\ud800<b>",
    "bidi": "\u202e<b>gnp.exe",
    "long": "<" * 5_000,
    "thai": "ผู้อำนวยการฝ่ายการเงิน",
    "markdown": "**b** [x](javascript:alert(1)) ![i](x)",
    "percent": "%3Cscript%3E%00%2e%2e",
}


class Tree(HTMLParser):
    """The shape of a page (tags, attributes' names, nesting), its texts, its elements and their attributes' values."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.shape: list[tuple[str, ...]] = []
        self.texts: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.values: list[tuple[str, str, str]] = []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append((tag, *(name for name, _ in attrs)))
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.values += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self.shape.append(("/", tag))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.shape.append(("comment", data))

    def handle_decl(self, decl: str) -> None:
        self.shape.append(("declaration", decl))


def fill(rendering: Rendering, **facts: str) -> bytes:
    return rendering.fill("decision.mac", "row", "arm", {name.replace("__", "."): v for name, v in facts.items()})


def fill_all(rendering: Rendering, value: str) -> bytes:
    """The page with every token that there is set to `value`."""
    return rendering.fill("decision.mac", "row", "arm", dict.fromkeys(TOKENS, value))


@pytest.fixture(scope="module")
def controls(sample_content: Content) -> dict[str, Tree]:
    """Every shipped page with harmless facts."""
    ready = sample_content.renderings.ready
    assert len(ready) >= 12
    return {shown: Tree(fill_all(rendering, "Acme")) for shown, rendering in ready.items()}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_fact_changes_the_shape_of_a_shipped_page(
    sample_content: Content, controls: dict[str, Tree], value: str
) -> None:
    for shown, rendering in sample_content.renderings.ready.items():
        control, hostile = controls[shown], Tree(fill_all(rendering, value))
        assert hostile.shape == control.shape, shown
        for (tag, name, address), (_, _, meant) in zip(hostile.values, control.values, strict=True):
            if name in ("href", "src", "action"):
                assert address.partition("?")[0] == meant.partition("?")[0], (shown, tag)


def test_the_shipped_pages_have_tokens_to_attack(sample_content: Content) -> None:
    changed = [
        shown
        for shown, rendering in sample_content.renderings.ready.items()
        if fill_all(rendering, "Acme") != fill_all(rendering, "Ostwind")
    ]
    assert len(changed) >= 5


# --- one place at a time ---


def piece(template: str, fallback: str = "you") -> Rendering:
    """A rendering of `template`, in which `@` stands for a token of company.name."""
    marks = Marks("0a1b2c3d")
    while "@" in template:
        template = template.replace("@", marks.add(Token("company.name", fallback)), 1)
    return Rendering(template, marks, {}, "en", frozenset())


PLACES = [
    "<p>@</p>",
    "<p>x@y@z</p>",
    '<p title="@">x</p>',
    "<p title='a @'>x</p>",
    '<meta name="description" content="@">',
    "<title>@</title>",
    "<textarea>@</textarea>",
    '<img src="/x.png" alt="@">',
    '<input value="@" placeholder="@">',
    '<a href="/x/@">x</a>',
    '<a href="https://a.example/x?q=@#@">x</a>',
]


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=40)
@given(st.text(max_size=80) | st.text(st.sampled_from("<>\"'`&;=/# \n\x00ab"), max_size=80))
def test_any_text_stays_text_wherever_it_stands(place: str, value: str) -> None:
    shown = value[:TOKEN_LIMIT].encode("utf-8", "replace").decode()
    control, tree = Tree(fill(piece(place), company__name="x")), Tree(fill(piece(place), company__name=value))
    assert tree.shape == control.shape
    if "href" in place:
        address = next(v for _, name, v in tree.values if name == "href")
        assert unquote(address) == unquote(place.split('"')[1].replace("@", "\0")).replace("\0", shown)
        assert re.fullmatch(r"[!-~]*", address)
    elif "=" in place:
        found = [v for _, name, v in tree.values if name in ("title", "content", "alt", "value", "placeholder")]
        assert all(v in (shown, f"a {shown}") for v in found) and found
    elif not place.startswith(("<title", "<textarea")):  # html.parser reads those two as markup, browsers as text
        assert "".join(tree.texts) == place.removeprefix("<p>").removesuffix("</p>").replace("@", shown)


def test_a_fact_that_looks_like_a_mark_is_text() -> None:
    assert fill(piece("<p>@ @</p>"), company__name="pz0a1b2c3dh1z") == b"<p>pz0a1b2c3dh1z pz0a1b2c3dh1z</p>"


def test_a_fact_is_cut_and_a_fallback_is_not() -> None:
    rendering = piece("<p>@</p>", fallback="w" * 100)
    assert fill(rendering, company__name="n" * 100) == b"<p>" + b"n" * TOKEN_LIMIT + b"</p>"
    assert fill(rendering) == b"<p>" + b"w" * 100 + b"</p>"


def test_an_empty_fact_is_known() -> None:
    assert fill(piece("<p>@</p>"), company__name="") == b"<p></p>"


# --- copy ---


def page_of(workspace: Write, copy: str, **files: str) -> Content:
    named = {f"variants/pages/home/{name}.yaml": text for name, text in files.items()}
    return load_content(workspace({"variants/pages/home/page.yaml": f"path: /home\ncopy:\n{copy}", **named}))


def headline(content: Content, shown: str = "home/original", **facts: str) -> str:
    found = re.search(r"<h1[^>]*>(.*?)</h1>", fill(content.renderings.ready[shown], **facts).decode(), re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("written", "known", "unknown"),
    [
        ("{{ company.name | Your company }} pays", "A&amp;B pays", "Your company pays"),
        ("{{company.name|you}}, {{ company.name | You }}!", "A&amp;B, A&amp;B!", "you, You!"),
        ('{{ company.name | <b>\\"you\\"</b> }}', "A&amp;B", "&lt;b&gt;&quot;you&quot;&lt;/b&gt;"),
        ("{{ company.name | a | b }}", "A&amp;B", "a | b"),
        ("{% if x %} {# y #} <b>", "{% if x %} {# y #} &lt;b&gt;", "{% if x %} {# y #} &lt;b&gt;"),
    ],
)
def test_tokens_and_fallbacks(workspace: Write, written: str, known: str, unknown: str) -> None:
    content = page_of(workspace, f'  headline: "{written}"\n')
    assert headline(content, company__name="A&B") == known
    assert headline(content) == unknown


def test_a_variant_has_the_originals_copy_but_for_what_differs(workspace: Write) -> None:
    content = page_of(
        workspace,
        '  headline: "{{ company.name | You }}"\n  link: "/go?to={{ utm.term | it }}"\n',
        other='for: {when: {language: de}}\ncopy: {headline: "Hallo {{ geo.city | Welt }}"}\n',
    )
    page = fill(content.renderings.ready["home/other"], geo__city="Ulm", utm__term="a b&c/d").decode()
    assert headline(content, "home/other", geo__city="Ulm") == "Hallo Ulm"
    assert 'href="/go?to=a%20b%26c%2Fd"' in page
    assert headline(content, company__name="X") == "X"


@pytest.mark.parametrize(
    ("language", "code", "name"),
    [
        ("en", "DE", "Germany"),
        ("de", "DE", "Deutschland"),
        ("de-CH", "GB", "Vereinigtes Königreich"),
        ("th", "DE", "เยอรมนี"),
        ("id", "DE", "Jerman"),
        ("en", "XX", "XX"),
        ("xx", "DE", "Germany"),  # a language that nobody has names in
    ],
)
def test_countries_are_named_in_the_pages_language(workspace: Write, language: str, code: str, name: str) -> None:
    page = f'path: /home\nlanguage: {language}\ncopy: {{headline: "in {{{{ geo.country | your country }}}}"}}\n'
    content = load_content(workspace({"variants/pages/home/page.yaml": page}))
    assert headline(content, geo__country=code) == f"in {name}"
    assert headline(content) == "in your country"
    assert f'<html lang="{language}"'.encode() in fill(content.renderings.ready["home/original"])


MUNICH = {"en": "Munich", "de": "München", "fr": "Munich", "ja": "ミュンヘン", "pt-BR": "Munique"}
BAVARIA = {"en": "Bavaria", "de": "Bayern", "fr": "Bavière", "pt-BR": "Baviera"}


@pytest.mark.parametrize(
    ("language", "city", "region"),
    [
        ("en", "Munich", "Bavaria"),
        ("de", "München", "Bayern"),
        ("de-AT", "München", "Bayern"),
        ("fr", "Munich", "Bavière"),
        ("ja", "ミュンヘン", "Bavaria"),  # the file has no such name of the region
        ("pt-BR", "Munique", "Baviera"),
        ("pt", "Munique", "Baviera"),
        ("th", "Munich", "Bavaria"),  # City files have no Thai
    ],
)
def test_places_are_named_in_the_pages_language(
    workspace: Write, tmp_path: Path, language: str, city: str, region: str
) -> None:
    """From a City file's record to the page; what rules compare and what is journaled stays as it was."""
    path = tmp_path / "city.mmdb"
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="City")
    record = {"city": {"names": MUNICH}, "subdivisions": [{"iso_code": "BY", "names": BAVARIA}]}
    writer.insert_network(IPSet(["192.0.2.0/24"]), record)
    writer.to_db_file(str(path))
    facts = open_geo(load_settings({"geo_city": str(path)}, environ={})).lookup("192.0.2.1")
    assert facts == {"geo.city": "Munich", "geo.region": "BY"}
    assert orjson.loads(orjson.dumps(facts)) == facts
    copy = '{headline: "{{ geo.city | a }}, {{ geo.region | b }}"}'
    document = f"path: /home\nlanguage: {language}\ncopy: {copy}"
    content = load_content(workspace({"variants/pages/home/page.yaml": document}))
    page = content.renderings.ready["home/original"]
    for _ in range(2):  # also when it is remembered
        assert f">{city}, {region}</h1>" in page.fill("", "", "", facts).decode()
    assert ">Munich, BY</h1>" in page.fill("", "", "", {"geo.city": "Munich", "geo.region": "BY"}).decode()


@pytest.mark.parametrize(
    ("fact", "code", "name"),
    [
        ("company.naics", "513210", "Software Publishers"),
        ("company.naics", "31-33", "Manufacturing"),
        ("company.naics", "33", "Manufacturing"),
        ("company.naics", "541199", "All Other Legal Services"),
        ("company.naics", "541190", "Other Legal Services"),  # not listed: what it lies in
        ("company.naics", "99", "99"),
        ("company.sic", "7372", "Prepackaged software"),
        ("company.sic", "737", "Business Services"),
        ("company.sic", "x", "x"),
    ],
)
def test_industry_codes_are_shown_by_name(workspace: Write, fact: str, code: str, name: str) -> None:
    content = page_of(workspace, f'  headline: "{{{{ {fact} | a }}}}"\n')
    assert f">{name}</h1>" in content.renderings.ready["home/original"].fill("", "", "", {fact: code}).decode()
    assert say_code(fact, code) == (code if name == code else f"{code} ({name})")


def test_a_places_name_is_cleaned_and_escaped(workspace: Write) -> None:
    content = page_of(workspace, '  headline: "{{ geo.city | a }}"\n')
    page = content.renderings.ready["home/original"]
    for name, shown in (("<b>\u202eX", "&lt;b&gt;X"), (7, "Y"), ("\u200b", "Y")):
        facts: Facts = {"geo.city": name_place("Y", {"en": name})}
        assert f">{shown}</h1>" in page.fill("", "", "", facts).decode()


def test_a_variant_for_a_language_speaks_it(workspace: Write) -> None:
    content = page_of(workspace, '  headline: "{{ geo.country | x }}"\n', deutsch="for: {language: de}\ncopy: {}\n")
    assert headline(content, "home/deutsch", geo__country="DE") == "Deutschland"
    assert headline(content, geo__country="DE") == "Germany"


def test_rich_text_is_markdown_without_html(workspace: Write) -> None:
    text = (
        "  headline: x\n  text: |\n    **Dear {{ company.name | you }}**, [read](/more?q={{ utm.term | x }})\n"
        "    <script>alert(1)</script> [bad](javascript:alert(1)) [data](data:text/html,x)\n"
    )
    content = page_of(workspace, text)
    page = fill(content.renderings.ready["home/original"], company__name="<b>*A*</b>", utm__term="a&b").decode()
    assert "<strong>Dear &lt;b&gt;*A*&lt;/b&gt;</strong>" in page
    assert 'href="/more?q=a%26b"' in page
    assert "&lt;script&gt;" in page and "<script" not in page
    assert 'href="javascript' not in page and 'href="data' not in page


def test_the_decisions_own_marks_are_filled(workspace: Write) -> None:
    form = "  headline: x\n  form: {fields: [{name: email}]}\n"
    page = page_of(workspace, form).renderings.ready["home/original"].fill("id.mac", "cfo", "cfo-b", {}).decode()
    assert 'data-pz-row="cfo" data-pz-arm="cfo-b"' in page
    assert 'name="d" value="id.mac"' in page


def test_every_token_is_a_text_fact() -> None:
    """Numbers, lists and bands have no display form yet."""
    assert {FACTS[name].type.value for name in TOKENS} == {"text"}


# --- what the browser may run ---


def test_the_policy_allows_exactly_the_style_that_the_page_has(sample_content: Content) -> None:
    for shown, rendering in sample_content.renderings.ready.items():
        page = fill_all(rendering, "<style>x</style>").decode()
        styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
        hashes = [base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in styles]
        allowed = re.findall(r"'sha256-([^']+)'", rendering.csp)
        assert allowed == hashes and len(hashes) == 1, shown
        assert "unsafe" not in rendering.csp
        for rule in ("default-src 'none'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"):
            assert rule in rendering.csp.split("; ")


def test_shipped_pages_keep_to_their_own_policy(sample_content: Content) -> None:
    """No inline script, handler or style attribute, and nothing that is fetched from elsewhere."""
    for shown, rendering in sample_content.renderings.ready.items():
        for tag, attributes in Tree(fill_all(rendering, "Acme")).elements:
            assert "style" not in attributes and not any(name.startswith("on") for name in attributes), (shown, tag)
            assert tag != "script" or "src" in attributes, shown
            fetched = [attributes.get("src", ""), attributes.get("srcset", "")]
            if tag == "link" and attributes["rel"] != "canonical":
                fetched.append(attributes["href"])
            assert not any(address.startswith(("http:", "https:", "//")) for address in fetched), (shown, tag)


def test_a_page_without_style_allows_none(workspace: Write) -> None:
    rendering = load_content(workspace({})).renderings.ready["unavailable"]
    assert "style-src 'none'" in rendering.csp and "frame-src 'none'" in rendering.csp


def test_an_embed_may_be_framed_and_nothing_else(workspace: Write) -> None:
    landing = SMALL["templates/landing.html"].replace("form: {type: form}", "form: {type: form}\n  film: {type: embed}")
    landing = landing.replace(
        "</body>", '<iframe src="{{ copy.film.src }}" title="{{ copy.film.title }}"></iframe></body>'
    )
    page = "path: /home\ncopy: {headline: x, film: {src: 'https://film.example/v/1?a=b', title: Film}}\n"
    content = load_content(workspace({"templates/landing.html": landing, "variants/pages/home/page.yaml": page}))
    assert "frame-src https://film.example;" in content.renderings.ready["home/original"].csp


def test_assets_are_named_by_their_content(workspace: Write) -> None:
    landing = SMALL["templates/landing.html"].replace("</body>", "<img src=\"{{ asset('a/b.svg') }}\"></body>")
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><use href="#x"/></svg>'
    renderings = load_content(
        workspace({"templates/landing.html": landing, "templates/assets/a/b.svg": svg})
    ).renderings
    name = f"{hashlib.sha256(svg).hexdigest()[:12]}/a/b.svg"
    assert renderings.assets[name].body == svg
    assert renderings.assets[name].mimetype == "image/svg+xml"
    assert f'src="/_pz/assets/{name}"'.encode() in fill(renderings.ready["home/original"])


# --- forms that come back ---


@pytest.mark.parametrize("typed", [*HOSTILE.values(), "pz00000000h0z"], ids=[*HOSTILE.keys(), "mark"])
def test_what_was_typed_is_shown_again_as_text(sample_content: Content, typed: str) -> None:
    typed = typed.encode("utf-8", "replace").decode()  # a form is decoded so
    renderings = sample_content.renderings
    source = renderings.sources["payroll/cfo"]
    fields = [field.name for field in renderings.forms[("payroll/cfo", "form")].fields]

    def again(value: str) -> Tree:
        state = FormState(dict.fromkeys(fields, value), {"email": f"{value} is no address."})
        return Tree(fill_all(source.render(renderings.templates, state), "Acme"))

    control, hostile = again("nobody@a.example"), again(typed)
    assert hostile.shape == control.shape
    assert [v for tag, name, v in hostile.values if (tag, name) == ("input", "value")].count(typed) == 5
    assert any(f"{typed} is no address." in text for text in hostile.texts)


def test_typed_template_syntax_is_not_a_token(workspace: Write) -> None:
    content = page_of(workspace, "  headline: x\n  form: {fields: [{name: email}]}\n")
    source = content.renderings.sources["home/original"]
    page = source.render(content.renderings.templates, FormState({"email": "{{ company.name | x }}"}, {}))
    assert b'value="{{ company.name | x }}"' in fill(page, company__name="Acme")


def test_a_form_leads_to_a_thank_you_page(workspace: Write) -> None:
    form = '  form: {fields: [{name: email}], thanks_headline: "Thanks <you>", thanks_text: Soon}\n'
    content = page_of(workspace, "  headline: x\n" + form)
    assert headline(content, "home/thanks") == "Thanks &lt;you&gt;"


def test_a_token_in_a_form_is_refused(tmp_path: Path) -> None:
    """Forms are shown as they are written; a token there would be printed literally."""
    form = "{button: 'Call {{ company.name | us }}', fields: [{name: email}]}"
    page = f"path: /p\ncopy:\n  headline: Hello\n  form: {form}\n"
    root = write_workspace(tmp_path, {**SMALL, "variants/pages/p/page.yaml": page})
    (problem,) = check_workspace(root).problems
    assert (problem.file.name, problem.line, problem.key) == ("page.yaml", 4, "copy.form")
    assert "not filled inside a form" in problem.message
