"""Hostile input over real HTTP: nothing of it is executed, reflected as markup, believed, or slow, or ends a worker.

The server here trusts no proxy, and its original page shows facts of the URL at every kind of place: text, title,
attribute and address.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest
from servers import (
    EXCLUDED,
    STARTUP,
    WORKSPACE,
    Answer,
    Client,
    Server,
    decision_of,
    environment,
    quickly,
    raw_request,
    raw_status,
    run_server,
)

from personalizer.app import create_edge_app
from personalizer.config import load_settings
from personalizer.content.compile import load_content
from personalizer.edge.state import open_edge
from personalizer.visitor.read import open_visitor_reader

SLOW = 0.25  # seconds
FORM = "/_pz/form/payroll/form"
TOKENS = {
    "headline: Payroll that closes itself": 'headline: "Payroll for {{ utm.term | everybody }}"\n'
    '  cta_url: "/startup?from={{ utm.campaign | ad }}"',
    "title: Payroll that closes itself – Paydesk": 'title: "Payroll – {{ utm.content | Paydesk }}"',
    "eyebrow: For companies of 10 to 5,000 people": 'eyebrow: "You came from {{ utm.source | somewhere }}"',
    "alt: A pay run for 248 people.": "alt: A pay run for {{ utm.term | 248 people }}.",
}
SHOWN = ("utm_term", "utm_campaign", "utm_content", "utm_source")


def make_workspace(root: Path) -> Path:
    """The sample workspace, its original page showing what the link says."""
    for name in ("variants", "templates"):
        shutil.copytree(WORKSPACE / name, root / name)
    page = root / "variants/pages/payroll/page.yaml"
    text = page.read_text()
    for plain, token in TOKENS.items():
        assert plain in text
        text = text.replace(plain, token)
    page.write_text(text)
    return root


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("hostile")
    with run_server(root / "data", workspace=make_workspace(root / "site"), TRUSTED_PROXIES="") as running:
        workers = running.workers()
        yield running
        assert running.workers() == workers, "a worker had to be started again"
        assert "Traceback" not in running.log.read_text()


# --- a page, parsed ---


class Dom(HTMLParser):
    """A page as a parser sees it: tags with their attributes, and texts, in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.nodes: list[tuple[str, ...]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.nodes.append(("tag", tag))
        self.nodes += [("attribute", tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self.nodes.append(("end", tag))

    def handle_data(self, data: str) -> None:
        self.nodes.append(("text", data))

    def handle_comment(self, data: str) -> None:
        self.nodes.append(("comment", data))


MARK = "Zq9Zq"  # what the control's link says, so that the places where it is shown are known


@pytest.fixture(scope="module")
def control(server: Server) -> list[tuple[str, ...]]:
    query = "&".join(f"{name}={MARK}" for name in SHOWN)
    nodes = Dom(Client(server).get(f"/payroll?{query}").text).nodes
    places = [node for node in nodes if MARK in node[-1]]
    assert len(places) >= 6
    assert {node[0] for node in places} == {"text", "attribute"}
    return nodes


def shown_words(answer: Answer, control: list[tuple[str, ...]]) -> list[str]:
    """What a page shows where the control shows its mark. Everywhere else the two must be the same to a parser."""
    nodes = Dom(answer.text).nodes
    assert len(nodes) == len(control)
    words = []
    for node, expected in zip(nodes, control, strict=True):
        if MARK in expected[-1]:
            before, _, after = expected[-1].partition(MARK)
            assert node[:-1] == expected[:-1]
            assert node[-1].startswith(before)
            assert node[-1].endswith(after)
            words.append(node[-1][len(before) : len(node[-1]) - len(after)])
        elif not (expected[0] == "attribute" and is_token(expected)):
            assert node == expected
    return words


def is_token(node: tuple[str, ...]) -> bool:
    """Whether an attribute carries the decision id, which differs from page to page."""
    return node[2] in ("data-pz-d", "src") or (node[1:3] == ("input", "value") and node[-1].count(".") == 2)


# --- words that want to be more ---


MARKUP = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title><svg onload=alert(1)>",
    "<!--",
    "--><b>",
    "]]>",
    "&lt;script&gt;",
    "&#60;b&#62;",
    "{{7*7}}",
    "{{ config }}",
    "{% include 'base.html' %}",
    "${7*7}#{7*7}<%= 7*7 %>",
    "javascript:alert(1)",
    "//evil.example",
    "=cmd|'/c calc'!A1",
    "%{(#x=1)}",
    "pz00000000h0z",
    "\\u003cscript\\u003e",
]


@pytest.mark.parametrize("words", MARKUP)
def test_markup_and_templates_are_words(server: Server, control: list[tuple[str, ...]], words: str) -> None:
    query = "&".join(f"{name}={quote(words)}" for name in SHOWN)
    answer = Client(server).get(f"/payroll?{query}")
    assert answer.status == 200
    shown = shown_words(answer, control)
    assert set(shown) <= {words, quote(words, safe="")}
    assert shown.count(quote(words, safe="")) >= 1, "an address shows it encoded"


CLEANED = [
    ("%0d%0aX-Evil:%201%0d%0a%0d%0a%3Cp%3E", "X-Evil: 1<p>"),
    ("a%00b%01%7f", "ab"),
    ("%ff%fe", "%FF%FE"),
    ("%ed%a0%80", "%ED%A0%80"),
    ("%e2%80%aeevil%e2%80%8b", "evil"),
    ("%ef%bc%9cscript%ef%bc%9e", "<script>"),  # full-width forms are folded first, and escaped afterwards
    ("%00", None),
    ("%20%20", None),
    ("x" * 5000, "x" * 60),
    ("%F0%9F%92%B6" * 300, "💶" * 60),
]


@pytest.mark.parametrize(("raw", "shown"), CLEANED, ids=range(len(CLEANED)))
def test_a_value_is_cleaned_by_the_one_rule(
    server: Server, control: list[tuple[str, ...]], raw: str, shown: str | None
) -> None:
    answer = Client(server).get(f"/payroll?utm_term={raw}&utm_campaign={MARK}&utm_content={MARK}&utm_source={MARK}")
    assert answer.status == 200
    assert "X-Evil" not in answer.headers
    words = set(shown_words(answer, control)) - {MARK}
    assert words == {shown} if shown else words <= {"everybody", "248 people"}


def test_of_duplicates_the_first_one_counts(server: Server, control: list[tuple[str, ...]]) -> None:
    others = "&".join(f"{name}={MARK}" for name in SHOWN if name != "utm_term")
    answer = Client(server).get(f"/payroll?utm_term=first&utm_term=second&utm%5Fterm=third&{others}")
    assert set(shown_words(answer, control)) == {"first", MARK}


HEADERS = (
    "User-Agent",
    "Referer",
    "Accept-Language",
    "Cookie",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "Accept",
    "DNT",
)


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize(
    "value", [b"<script>alert(1)</script>", b"{{7*7}}", b"\xff\xfe\x80", b"," * 30_000, b"a;q=" * 12_000]
)
def test_headers_are_read_and_never_shown(
    server: Server, control: list[tuple[str, ...]], name: str, value: bytes
) -> None:
    query = "&".join(f"{each}={MARK}" for each in SHOWN)
    sent = raw_request(f"/payroll?{query}".encode(), f"{name}: ".encode() + value)
    answer = quickly(server, sent)
    assert raw_status(answer) == 200
    page = answer.partition(b"\r\n\r\n")[2].decode()
    assert set(shown_words(Answer(200, None, page.encode()), control)) == {MARK}  # type: ignore[arg-type]


def test_a_refused_address_is_not_repeated(server: Server) -> None:
    for path in ("/<script>alert(1)</script>", "/_pz/<script>", "/_pz/form/<script>/x", "/%3Cscript%3E"):
        for accept in ("text/html", "*/*"):
            answer = Client(server, Accept=accept).get(quote(path, safe="/%"))
            assert answer.status == 404
            assert "script" not in answer.text


# --- addresses ---


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/payroll/../startup", {404}),
        ("/payroll/%2e%2e/startup", {404}),
        ("/./payroll", {404}),
        ("//payroll", {404}),
        ("//evil.example/payroll/", {404}),
        ("/payroll;x=1", {404}),
        ("/PAYROLL", {404}),
        ("/payroll%00", {404}),
        ("/payroll%0d%0aX-Evil:%201/", {404}),
        ("/payroll%2f", {308}),
        ("/payroll%2F%2F", {308}),
        ("/%70ayroll", {200}),
        ("/_pz/assets/..%2f..%2fvariants%2fworkspace.yaml", {404}),
        ("/_pz/assets/%2e%2e/beacon.js", {404}),
        ("/_pz/thanks/../original", {404}),
        ("/_pz/thanks/payroll/../..", {404}),
        ("/%ff%fe%80", {404}),
        ("/" + "a/" * 2000, {404}),
        ("/_pz/form/" + "x" * 5000, {404}),
    ],
)
def test_path_tricks_lead_nowhere(server: Server, path: str, statuses: set[int]) -> None:
    answer = Client(server).get(path)
    assert answer.status in statuses
    assert answer.headers.get("Location") in (None, "/payroll")
    assert "X-Evil" not in answer.headers


# --- who somebody claims to be ---


def test_forwarding_headers_of_strangers_are_ignored(server: Server) -> None:
    for claimed in (EXCLUDED, STARTUP, "127.0.0.1", f"{EXCLUDED}, 127.0.0.1", "<script>", "::1"):
        answer = Client(server, claimed, X_Forwarded_Proto="https", Forwarded=f"for={claimed};proto=https").get(
            "/payroll"
        )
        assert answer.status == 200
        assert "Secure" not in answer.headers["Set-Cookie"]
        row = server.exposures()[decision_of(answer.token)]
        assert not any(row.get(name) for name in ("geo_country", "company_name", "network_kind", "icp"))


def test_a_forged_cookie_is_a_new_visitor(server: Server) -> None:
    visitor = Client(server)
    visitor.get("/payroll")
    real = visitor.cookie
    swapped = ("A" if real[0] != "A" else "B") + real[1:]
    forgeries = [
        swapped,
        real[:-1],
        real + "A",
        real[::-1],
        real.lower(),
        real[:20],
        "pz",
        "a" * 1000,
        "=",
        '"',
        "%00",
        "1",
    ]
    known = {row["visitor"] for row in server.exposures().values()}
    for forged in forgeries:
        answer = Client(server, Cookie=f"pz={forged}").get("/payroll")
        assert answer.status == 200
        assert answer.headers["Set-Cookie"].startswith("pz=")
        row = server.exposures()[decision_of(answer.token)]
        assert row["visitor"] not in known
        assert row["visit_count"] == 1
        known.add(row["visitor"])
    answers = [visitor.get("/payroll"), Client(server, Cookie=f"a=b; pz={real}; pz={swapped}").get("/payroll")]
    exposures = server.exposures()
    assert len({exposures[decision_of(answer.token)]["visitor"] for answer in answers}) == 1, "of two the first counts"


# --- all at once ---

PIECES = [
    b"<script>alert(1)</script>", b"{{7*7}}", b"%0d%0aX-Evil: 1", b"%00", b"\x00", b"%ff", b"\xff", b"%e2%80%ae",
    b"'\">", b"../", b"//", b"%2e%2e%2f", b"%", b"%u0041", b"&", b"=", b"+", b";", b"?", b"#", b"\r\n", b"\t", b" ",
    b"a" * 300, b"pz=", b"q4-cfo.cfo-51-1000.roi-calc", b"utm_term", b"utm_source=", b"gclid=", b"d=", b"null", b"NaN",
    b"goal=cta_click", b"value=", b"1e999", b"-1", b"[]", b"{}", b'{"d":1,"e":[{"k":"seen"}]}',
    b'{"goal":"cta_click","value":1}', b"\xf0\x9f\x92\xb6", b"__proto__", b"constructor", b"${x}",
]  # fmt: skip
GETS = [
    b"/payroll", b"/startup", b"/payroll/", b"/_pz/convert.gif", b"/_pz/seen.gif", b"/_pz/thanks/payroll",
    b"/_pz/assets/", b"/_pz/form/", b"/_pz/beacon.js", b"/healthz", b"/readyz", b"/",
]  # fmt: skip
POSTS = [b"/_pz/e", b"/_pz/convert", b"/_pz/consent", b"/_pz/form/payroll/form"]
METHODS = [b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT", b"TRACE", b"CONNECT", b"BREW"]
NAMES = [
    b"Cookie", b"User-Agent", b"Referer", b"Accept-Language", b"X-Forwarded-For", b"Host", b"Content-Type", b"Accept",
    b"Sec-GPC", b"Content-Length", b"Transfer-Encoding", b"Sec-Fetch-Site", b"Origin", b"Range", b"If-None-Match",
    b"Expect", b"X-Decision-Id",
]  # fmt: skip
ANSWERED = {0, 200, 204, 202, 303, 308, 400, 403, 404, 405, 413, 414, 417, 422, 429, 431}


def random_request(dice: random.Random) -> bytes:
    def words(most: int) -> bytes:
        return b"".join(dice.choices(PIECES, k=dice.randint(0, most)))

    method, paths = dice.choice([(b"GET", GETS), (b"POST", POSTS)])
    path = dice.choice(paths) + (words(2) if dice.random() < 0.2 else b"")
    if dice.random() < 0.7:
        path += b"?" + b"&".join(words(4) for _ in range(dice.randint(0, 4)))
    if dice.random() < 0.8:  # most are well-formed up to the query, so that they get past the HTTP parser
        path = quote_from_bytes(path, safe="/?&=%+;:@!$'()*,.-_~{}|").encode()
    headers = [dice.choice(NAMES) + b": " + words(3).replace(b"\r\n", b" ") for _ in range(dice.randint(0, 3))]
    body = words(dice.choice([1, 6])) if dice.random() < 0.5 else b""
    if body:
        headers.append(b"Content-Length: %d" % len(body))
    return raw_request(path, *headers, method=method if dice.random() < 0.8 else dice.choice(METHODS)) + body


def test_5000_random_requests(server: Server, control: list[tuple[str, ...]]) -> None:
    dice = random.Random(60)
    statuses: Counter[int] = Counter()
    tags = Counter(node[1] for node in control if node[0] == "tag")
    for _ in range(5000):
        sent = random_request(dice)
        answer = quickly(server, sent)
        status = raw_status(answer)
        assert status in ANSWERED, sent
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"\r\nx-evil" not in head.lower(), sent
        assert status or not answer, sent
        if status == 200 and b"<h1>Payroll for" in body:
            assert Counter(node[1] for node in Dom(body.decode()).nodes if node[0] == "tag") == tags, sent
        statuses[status] += 1
    assert statuses[200] > 500
    assert statuses[202] > 0
    assert statuses[400] > 500


# --- the last door ---


def test_what_should_never_happen_is_logged_and_answered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = load_settings({"data": str(tmp_path), "workspace": str(WORKSPACE)}, environment({}))
    edge = open_edge(settings, load_content(WORKSPACE), open_visitor_reader(settings))
    sent: list[str] = []

    def start_response(status: str, headers: Any, *_: Any) -> Any:
        sent.append(status)

    app = create_edge_app(edge)
    unlikely: Any = {"HTTP_HOST": "localhost", "REQUEST_METHOD": "GET", "PATH_INFO": "/payroll", "HTTP_COOKIE": 7}
    body = b"".join(app.wsgi_app(unlikely, start_response))
    assert sent == ["500 Internal Server Error"]
    assert b"urn:personalizer:internal" in body
    assert "Traceback" in caplog.text
    edge.events.close()
    edge.leads.close()
