"""Pages over real HTTP: who gets what, what comes with it, who is remembered, and that `explain` says the same."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from servers import (
    AT_HOME,
    CHROME,
    EXCLUDED,
    FRANCE,
    OFFICE,
    SOFTWARE_COMPANY,
    STARTUP,
    TARGET_ACCOUNT,
    WORKSPACE,
    Answer,
    Client,
    Server,
    decision_of,
    demo_links,
    environment,
    raw_request,
    raw_status,
    run_server,
    send_raw,
)

from personalizer.cli.explain import Explanation, build_environ, explain_request, open_reader
from personalizer.cli.live import load_live
from personalizer.config import load_settings
from personalizer.content.links import ad_links
from personalizer.content.load import load_documents
from personalizer.edge.page import arm_label

LINKS = demo_links()
ORIGINAL = "Payroll that closes itself"
YEAR = str(365 * 86_400)
FORM_FACTOR = {
    "phone": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.0 Mobile/15E148 Safari/604.1",
    "robot": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_server(tmp_path_factory.mktemp("pages") / "data") as running:
        yield running


def headline(answer: Answer) -> str:
    found = re.search(r"<h1>(.*?)</h1>", answer.text)
    assert found, answer.text[:300]
    return found[1]


def exposure(server: Server, answer: Answer) -> dict[str, object]:
    """The one exposure that was journaled for a page."""
    return server.exposures()[decision_of(answer.token)]


# --- who gets what ---


def test_the_demo_links_show_each_persona_their_own_copy(server: Server) -> None:
    headlines = {}
    for persona in ("cfo", "hr-director", "payroll-manager"):
        answer = Client(server, SOFTWARE_COMPANY).get(LINKS[persona])
        assert (answer.status, answer.mark("row")) == (200, persona)
        assert "Nordlicht Software" in headline(answer)
        assert exposure(server, answer)["persona"] == persona
        headlines[persona] = headline(answer)
    assert len(set(headlines.values())) == 3
    assert ORIGINAL not in headlines.values()


def test_a_token_that_is_not_known_is_its_fallback(server: Server) -> None:
    answer = Client(server, AT_HOME).get(LINKS["hr-director"])
    assert headline(answer) == "Payslips everyone at your company understands"


def test_a_fresh_visitor_without_parameters_gets_the_original(server: Server) -> None:
    answer = Client(server, AT_HOME).get("/payroll")
    assert answer.status == 200
    assert (headline(answer), answer.mark("row"), answer.mark("arm")) == (ORIGINAL, "", "original")


@pytest.mark.parametrize("path", ["/payroll", LINKS["cfo"], "/startup"])
def test_the_excluded_region_is_told_so(server: Server, path: str) -> None:
    answer = Client(server, EXCLUDED).get(path)
    assert answer.status == 451
    assert headline(answer) == "Paydesk is not offered where you are"
    assert exposure(server, answer)["reasons"] == ["EXCLUDED"]


def test_the_negative_icp_gets_the_page_that_helps_it(server: Server) -> None:
    answer = Client(server, STARTUP).get("/payroll")
    assert (answer.status, headline(answer)) == (200, "You do not need us yet")
    assert exposure(server, answer)["icp"] == "startup"


def test_a_negative_icp_does_not_act_against_an_ad_for_a_persona(server: Server) -> None:
    answer = Client(server, STARTUP).get(LINKS["hr-director"])
    assert headline(answer) == "Payslips everyone at Tinyforge understands"


def test_one_account_has_a_page_of_its_own_and_some_are_held_out_of_it(server: Server) -> None:
    # A fifth is held out: that nobody is happens once in 10⁷ runs.
    answers = [Client(server, TARGET_ACCOUNT).get("/payroll") for _ in range(80)]
    shown = {answer.mark("arm"): headline(answer) for answer in answers}
    assert shown == {"personalized": "Halden Group, every payroll in one close", "holdout": ORIGINAL}
    rows = server.exposures()
    for answer in answers:
        row = rows[decision_of(answer.token)]
        assert (row["row"], row["holdout"]) == ("tier-1", "in" if answer.mark("arm") == "holdout" else "out")


@pytest.mark.parametrize(
    ("who", "reason"), [({"agent": FORM_FACTOR["robot"]}, "bot"), ({"address": OFFICE}, "internal")]
)
def test_who_is_not_counted_is_served_and_logged(server: Server, who: dict[str, str], reason: str) -> None:
    answer = Client(server, **who).get(LINKS["hr-director"])
    assert (answer.status, answer.mark("row")) == (200, "hr-director")
    assert exposure(server, answer)["not_counted"] == reason


def test_a_robot_is_not_remembered_and_gets_the_baseline(server: Server) -> None:
    robot = Client(server, agent=FORM_FACTOR["robot"])
    answers = [robot.get(LINKS["cfo"]) for _ in range(20)]
    assert {(answer.mark("row"), answer.mark("arm")) for answer in answers} == {("cfo", "personalized")}
    assert robot.cookie == ""


# --- what comes with a page ---


def test_headers_of_a_page(server: Server) -> None:
    answer = Client(server).get("/payroll")
    expected = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    }
    assert {name: answer.headers[name] for name in expected} == expected
    assert re.fullmatch(r"pz;dur=\d+\.\d{3}", answer.headers["Server-Timing"])
    assert "Strict-Transport-Security" not in answer.headers
    assert answer.mark("d") == answer.token
    assert re.fullmatch(r"[\w-]{16}\.[\w-]+\.[\w-]{20,}", answer.token)


def test_the_policy_allows_this_style_and_nothing_else(server: Server) -> None:
    answer = Client(server).get("/payroll")
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": f"'sha256-{digest}'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "frame-src": "'none'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert not re.search(r"<script(?! src=\"/_pz/beacon\.js\" defer></script>)|\sstyle=|\son\w+=", answer.text)


def test_head_is_the_same_without_a_body_and_is_not_logged(server: Server) -> None:
    visitor = Client(server)
    page, head = visitor.get("/payroll"), visitor.ask("HEAD", "/payroll")
    assert (head.status, head.body) == (200, b"")
    assert sorted(head.headers) == sorted(page.headers)
    varying = {"X-Decision-Id", "Server-Timing", "Set-Cookie", "Date"}
    assert all(head.headers[name] == value for name, value in page.headers.items() if name.title() not in varying)
    assert head.headers["Content-Length"] == str(len(page.body))
    assert exposure(server, page)
    assert not server.events(decision_id=decision_of(head.token))


def test_assets_are_named_by_their_content_and_may_not_run(server: Server) -> None:
    visitor = Client(server)
    (path,) = set(re.findall(r"/_pz/assets/\w{12}/pay-run\.svg", visitor.get("/payroll").text))
    asset = visitor.get(path)
    assert (asset.status, asset.headers["Content-Type"]) == (200, "image/svg+xml")
    assert hashlib.sha256(asset.body).hexdigest()[:12] in path
    assert asset.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "default-src 'none'" in asset.headers["Content-Security-Policy"]
    head = visitor.ask("HEAD", path)
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(asset.body)))
    assert visitor.get(path.replace(".svg", ".png")).status == 404


def test_the_beacon_script_is_small(server: Server) -> None:
    script = Client(server).get("/_pz/beacon.js")
    assert (script.status, script.headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    assert len(script.body) < 2048
    head = Client(server).ask("HEAD", "/_pz/beacon.js")
    assert (head.status, head.body) == (200, b"")


def test_health(server: Server) -> None:
    visitor = Client(server)
    assert visitor.get("/healthz").json == {"status": "alive"}
    ready = visitor.get("/readyz")
    assert (ready.status, ready.json["status"]) == (200, "ready")
    assert str(exposure(server, visitor.get("/payroll"))["revision"]) == ready.json["revision"]


# --- who is remembered ---


def test_the_same_visitor_gets_the_same_arm_for_1000_visits_and_after_a_restart(tmp_path: Path) -> None:
    visitors: dict[str, Client] = {}
    with run_server(tmp_path / "data") as server:
        while len(visitors) < 2:  # one of each arm
            visitor = Client(server)
            visitors.setdefault(visitor.get(LINKS["cfo"]).mark("arm") or "", visitor)
        assert set(visitors) == {"cfo", "cfo-roi"}
        for arm, visitor in visitors.items():
            assert {visitor.get(LINKS["cfo"]).mark("arm") for _ in range(500 if arm == "cfo-roi" else 50)} == {arm}
        ids = {row["visitor"] for row in server.exposures().values()}
        port = server.port
    with run_server(tmp_path / "data", port=port) as server:
        for arm, visitor in visitors.items():
            answers = [visitor.get(LINKS["cfo"]) for _ in range(500 if arm == "cfo-roi" else 50)]
            assert {answer.mark("arm") for answer in answers} == {arm}
            assert len(visitor.cookie) <= 1000
            exposures = server.exposures()
            rows = [exposures[decision_of(answer.token)] for answer in answers]
            assert len({row["visitor"] for row in rows}) == 1
            assert rows[0]["visitor"] in ids
            assert all(row["sticky"] for row in rows)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_cookie_is_the_servers_alone(server: Server, scheme: str) -> None:
    answer = Client(server, X_Forwarded_Proto=scheme).get("/payroll")
    value, *attributes = answer.headers["Set-Cookie"].split("; ")
    assert re.fullmatch(r"pz=[!#-+\--:<-[\]-~]{50,1000}", value), "what RFC 6265 allows in a cookie"
    secure = ["Secure"] if scheme == "https" else []
    assert attributes == ["Path=/", f"Max-Age={YEAR}", "HttpOnly", "SameSite=Lax", *secure]
    assert ("Strict-Transport-Security" in answer.headers) == (scheme == "https")


REFUSALS = [{"Sec_GPC": "1"}, {"DNT": "1"}, {"Cookie": "pz=out"}, {"X_Forwarded_For": FRANCE}]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: next(iter(refusal)))
def test_who_refuses_is_not_remembered_and_still_gets_the_ads_page(server: Server, refusal: dict[str, str]) -> None:
    visitor = Client(server, SOFTWARE_COMPANY)
    known = visitor.get(LINKS["cfo"])
    cookie = visitor.cookie
    answers = [visitor.get(LINKS["cfo"], **refusal) for _ in range(10)]
    assert visitor.cookie == cookie, "a refusal sets no cookie"
    assert {(answer.mark("row"), answer.mark("arm")) for answer in answers} == {("cfo", "personalized")}
    assert headline(answers[0]) == "Your company closes payroll in one afternoon", "no company look-up"
    rows = [row for row in map(server.exposures().get, (decision_of(answer.token) for answer in answers)) if row]
    assert len(rows) == 10
    assert {row["consent"] for row in rows} == {"storage_free"}
    for nothing in ("experiment", "arm", "holdout", "unit", "company_name"):
        assert not any(row.get(nothing) for row in rows)
    assert len({row["visitor"] for row in rows}) == 1
    assert rows[0]["visitor"] != exposure(server, known)["visitor"]


def test_refusing_by_form(server: Server) -> None:
    visitor = Client(server)
    visitor.get("/payroll")
    answer = visitor.post_form("/_pz/consent", {"analytics": "false", "ads": "false", "next": "/startup"})
    assert (answer.status, answer.headers["Location"]) == (303, "/startup")
    assert answer.headers["Set-Cookie"] == f"pz=out; Path=/; Max-Age={YEAR}; HttpOnly; SameSite=Lax"
    row = exposure(server, visitor.get("/startup"))
    assert row["consent"] == "storage_free"
    assert visitor.cookie == "out"


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example/payroll",
        "/\\evil.example",
        "/payroll\r\nX-Evil: 1",
        "/payroll?a",
        "/",
        "",
    ],
)
def test_a_refusal_leads_to_a_page_of_this_site_only(server: Server, target: str) -> None:
    answer = Client(server).post_form("/_pz/consent", {"analytics": "false", "next": target})
    assert (answer.status, answer.headers["Location"]) == (303, "/payroll")
    assert "X-Evil" not in answer.headers


def test_refusing_and_allowing_by_json(server: Server) -> None:
    visitor = Client(server)
    visitor.get("/payroll")
    known = visitor.cookie
    json = {"Content-Type": "application/json"}
    kept = visitor.post_json("/_pz/consent", {"ads": True, "analytics": True}, **json)
    assert (kept.status, visitor.cookie) == (204, known), "who is remembered already stays so"
    assert visitor.post_json("/_pz/consent", {"ads": False, "analytics": True}, **json).status == 204
    assert visitor.cookie == "out"
    assert visitor.post_json("/_pz/consent", {"ads": True, "analytics": True}, **json).status == 204
    assert visitor.cookie == ""
    assert visitor.get("/payroll").headers["Set-Cookie"]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"ads": "maybe"}', b'{"ads": 1}', b"\xff", b"[" * 9000])
def test_a_choice_that_is_none_is_refused(server: Server, body: bytes) -> None:
    answer = Client(server).post_json("/_pz/consent", body, Content_Type="application/json")
    assert (answer.status, answer.json["type"]) == (400, "urn:personalizer:bad-choice")
    assert "Set-Cookie" not in answer.headers


def test_another_site_cannot_choose_for_a_visitor(server: Server) -> None:
    answer = Client(server).post_form("/_pz/consent", {"analytics": "true"}, Sec_Fetch_Site="cross-site")
    assert (answer.status, "Set-Cookie" in answer.headers) == (403, False)


# --- addresses that are no page ---


@pytest.mark.parametrize("query", ["", "?utm_source=a%20b&pz=x&x=%0d%0aSet-Cookie:%20a=b&y=%C3%A9"])
def test_a_trailing_slash_leads_to_the_page_and_keeps_the_query(server: Server, query: str) -> None:
    answer = Client(server).get(f"/payroll/{query}")
    assert (answer.status, answer.headers["Location"]) == (308, f"/payroll{query}")
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("query", ["", "?utm_source=a%20b&pz=x&x=%0d%0aSet-Cookie:%20a=b&y=%C3%A9"])
def test_where_a_page_was_before_leads_to_it_and_keeps_the_query(server: Server, query: str) -> None:
    for path in ("/payroll-software", "/payroll-software/"):
        answer = Client(server).get(f"{path}{query}")
        assert (answer.status, answer.headers["Location"]) == (301, f"/payroll{query}")
        assert "Set-Cookie" not in answer.headers
    assert Client(server).post_form("/payroll-software", {}).status == 405


def test_the_icon_is_also_where_browsers_look_for_it(server: Server) -> None:
    visitor = Client(server)
    answer = visitor.get("/favicon.ico")
    assert (answer.status, answer.headers["Cache-Control"]) == (302, "public, max-age=86400")
    assert f'<link rel="icon" href="{answer.headers["Location"]}">' in visitor.get("/payroll").text
    assert visitor.get(answer.headers["Location"]).headers["Content-Type"] == "image/svg+xml"


def test_search_engines_are_told_what_they_may_list(server: Server) -> None:
    robots = Client(server).get("/robots.txt")
    assert (robots.status, robots.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert "Disallow: /_pz/form/" in robots.body.decode()
    (address,) = re.findall(r"^Sitemap: https://[^/]+(/.*)$", robots.body.decode(), re.MULTILINE)
    sitemap = Client(server).get(address)
    assert (sitemap.status, sitemap.headers["Content-Type"]) == (200, "application/xml; charset=utf-8")
    assert re.findall(r"<loc>(.*?)</loc>", sitemap.body.decode()) == [], "pages for ads are not to be listed"


def test_a_page_that_may_be_listed_is(tmp_path: Path) -> None:
    for name in ("variants", "templates"):
        shutil.copytree(WORKSPACE / name, tmp_path / "site" / name)
    with (tmp_path / "site/variants/pages/payroll/page.yaml").open("a") as page:
        page.write("\nindex: true\n")
    with run_server(tmp_path / "data", workspace=tmp_path / "site") as server:
        sitemap = Client(server).get("/sitemap.xml").body.decode()
        assert [urlsplit(url).path for url in re.findall(r"<loc>(.*?)</loc>", sitemap)] == ["/payroll"]
        assert b'name="robots"' not in Client(server).get("/payroll").body


@pytest.mark.parametrize(
    "host", [b"evil.example", b"localhost.", b"evil@localhost", b"localhost:evil", b"localhost:80:80", b"[::1]x", b""]
)
def test_an_unknown_host_is_refused(server: Server, host: bytes) -> None:
    answer = send_raw(server, raw_request(b"/payroll", host=host))
    assert raw_status(answer) == 400
    assert b"evil" not in answer


@pytest.mark.parametrize("host", [b"localhost", b"LOCALHOST:8080", b"127.0.0.1:1", b"[::1]:80", b"www.paydesk.example"])
def test_a_known_host_is_answered(server: Server, host: bytes) -> None:
    assert raw_status(send_raw(server, raw_request(b"/payroll", host=host))) == 200


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_exactly_one_host(server: Server, hosts: list[str]) -> None:
    lines = ["GET /payroll HTTP/1.1", *(f"Host: {host}" for host in hosts), "Connection: close", "", ""]
    answer = send_raw(server, "\r\n".join(lines).encode())
    assert raw_status(answer) == 400
    assert b"urn:personalizer:bad-host" in answer


@pytest.mark.parametrize("path", ["/", "/nothing", "/payroll/nothing", "/_pz/", "/_pz/nothing", "/_pz/assets/../../x"])
def test_an_unknown_path_is_a_problem_document(server: Server, path: str) -> None:
    answer = Client(server).get(path)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert answer.json["status"] == 404
    assert answer.json["type"].startswith("urn:personalizer:")


def test_an_unknown_path_is_a_page_for_people(server: Server) -> None:
    answer = Client(server).get("/nothing", Accept="text/html,application/xhtml+xml")
    assert (answer.status, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such page." in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    (style,) = re.findall("<style>(.*?)</style>", answer.text)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert answer.headers["Content-Security-Policy"] == f"default-src 'none'; style-src 'sha256-{digest}'"


def test_an_unknown_path_leads_to_the_pages_on_ones_own_machine_alone(server: Server) -> None:
    own = Client(server, Host="127.0.0.1").get("/", Accept="text/html")
    assert re.findall('<a href="(.*?)">', own.text) == ["/payroll", "/startup"]
    assert "<a " not in Client(server, Host="www.paydesk.example").get("/", Accept="text/html").text


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/payroll", "GET, HEAD"),
        ("OPTIONS", "/payroll", "GET, HEAD"),
        ("BREW", "/payroll", "GET, HEAD"),
        ("GET", "/_pz/e", "POST"),
        ("GET", "/_pz/convert", "POST"),
        ("PUT", "/_pz/consent", "POST"),
        ("POST", "/_pz/seen.gif", "GET"),
        ("HEAD", "/_pz/convert.gif", "GET"),  # an image that counts cannot be asked about without counting
        ("DELETE", "/_pz/thanks/payroll", "GET, HEAD"),
        ("POST", "/_pz/beacon.js", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_the_right_one(server: Server, method: str, path: str, allowed: str) -> None:
    answer = Client(server).ask(method, path)
    assert (answer.status, answer.headers["Allow"]) == (405, allowed)


# --- explain ---


def test_explain_agrees_with_what_was_served_to_500_visitors(server: Server) -> None:
    dice = random.Random(500)
    settings = load_settings({"data": str(server.data), "workspace": str(WORKSPACE)}, environment({}))
    registry, reader = load_live(settings).content.registry, open_reader(settings)
    links = [link.try_url.partition(".example")[2] for link in ad_links(load_documents(WORKSPACE))]
    paths = [
        *links,
        "/payroll",
        "/startup",
        "/payroll?utm_source=linkedin&utm_medium=paid_social&utm_campaign=q4-cfo",
        "/payroll?utm_term=cash+flow&gclid=Cj0-x_1",
        "/payroll?pz=q4-cfo.nobody.nothing",
    ]
    networks = ["198.51.100.", "203.0.113.", "192.0.2."]
    seen: list[tuple[Answer, Explanation]] = []
    for _ in range(500):
        address = dice.choice(networks) + str(dice.randrange(256))
        agent = dice.choice([CHROME, *FORM_FACTOR.values(), ""])
        headers = {"Accept-Language": dice.choice(["de-AT,de;q=0.9", "en-US", "fr", "th", "*"])}
        headers |= dice.choice([{}, {}, {"Sec-GPC": "1"}, {"Referer": "https://www.google.com/"}])
        visitor = Client(server, address, agent)
        for _ in range(dice.randint(1, 4)):
            path, cookie = dice.choice(paths), visitor.cookie
            answer = visitor.get(path, **headers)
            environ = build_environ(path, address, agent, list(headers.items()), cookie or None)
            seen.append((answer, explain_request(registry, reader, environ, time.time())))
    rows = server.exposures()
    for answer, explanation in seen:
        decision, row = explanation.decision, rows[decision_of(answer.token)]
        assert (answer.status, answer.mark("row")) == (decision.status, decision.row or "")
        assert (row.get("icp"), row.get("persona")) == (decision.icp, decision.persona)
        if explanation.anonymous:
            assert explanation.trace.chances[answer.mark("arm") or ""] > 0
        else:
            assert answer.mark("arm") == arm_label(decision)
            assert row["reasons"] == list(decision.reasons)
    shown = {(answer.status, answer.mark("row")) for answer, _ in seen}
    assert {row for _, row in shown} >= {
        "",
        "cfo",
        "hr-director",
        "payroll-manager",
        "it-lead",
        "finance-dach",
        "tier-1",
    }
    assert {status for status, _ in shown} == {200, 451}
    assert {explanation.anonymous for _, explanation in seen} == {True, False}
