"""Lead forms over real HTTP and without scripts; and that what people type stays out of everything but the leads."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import orjson
import pytest
from servers import (
    OFFICE,
    SOFTWARE_COMPANY,
    Answer,
    Client,
    Server,
    decision_of,
    demo_links,
    journal_rows,
    lake_rows,
    run_server,
    until,
)

CFO = demo_links()["cfo"]
FORM = "/_pz/form/payroll/form"
TYPED = {
    "name": "Ada Quillfeather",
    "email": "ada.quillfeather@nordlicht.example",
    "company": "Nordlicht Software",
    "title": "Finance director",
    "employees": "51 to 250",
    "phone": "+49 30 5550199",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_server(tmp_path_factory.mktemp("forms") / "data") as running:
        yield running


_addresses = (f"203.0.113.{last}" for last in range(64, 128))


def visitor_of(server: Server, **headers: str) -> Client:
    """A new visitor at an address of their own, so that nobody's forms use up another's share."""
    return Client(server, next(_addresses), **headers)


class _Form(HTMLParser):
    """The lead form of a page as a browser would send it: fields, and what an alert or an error beside them says."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.inside = False
        self.option = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "form":
            self.inside = attributes.get("action") == FORM
        if not self.inside:
            return
        if tag == "select":
            self.option = attributes.get("name") or ""
            self.fields[self.option] = ""
        elif tag == "option" and "selected" in attributes:
            self.option += "!"
        elif tag == "input":
            self.fields[attributes.get("name") or ""] = attributes.get("value") or ""

    def handle_data(self, data: str) -> None:
        if self.option.endswith("!"):
            self.option = self.option[:-1]
            self.fields[self.option] = data


def fields_of(page: Answer) -> dict[str, str]:
    return _Form(page.text).fields


def errors_of(page: Answer) -> dict[str, str]:
    return {name: html.unescape(text) for name, text in re.findall(r'class="error" id="e-(\w+)">(.*?)</p>', page.text)}


# --- the journey ---


def test_a_lead_is_kept_counted_and_thanked(server: Server) -> None:
    visitor = visitor_of(server)
    page = visitor.get(CFO)
    fields = fields_of(page)
    assert set(fields) == {"d", "v", "pz_hp", *TYPED}
    answer = visitor.post_form(FORM, fields | TYPED)
    assert (answer.status, answer.headers["Location"], answer.body) == (303, "/_pz/thanks/payroll", b"")

    (event,) = server.events(kind="lead", decision_id=decision_of(page.token))
    exposure = server.exposures()[decision_of(page.token)]
    assert (event["goal"], event["page"], event["visitor"]) == ("demo_request", "payroll", exposure["visitor"])
    (lead,) = journal_rows(server.data, "leads", lead_id=event["lead_id"])
    assert orjson.loads(lead["fields"]) == TYPED
    assert (lead["page"], lead["form"], lead["visitor"]) == ("payroll", "form", exposure["visitor"])
    assert "privacy@paydesk.example" in lead["consent_text"]

    thanks = visitor.get(answer.headers["Location"])
    assert thanks.status == 200
    assert "Thank you. We will write to you within one working day" in thanks.text
    assert thanks.headers["Cache-Control"] == "private, no-store"
    assert "default-src 'none'" in thanks.headers["Content-Security-Policy"]
    visitor.get(CFO)
    assert server.events(kind="exposure")[-1]["visit_goals"] == ["demo_request"]


def test_a_lead_without_cookie_and_decision_is_kept_as_an_orphan(server: Server) -> None:
    assert visitor_of(server).post_form(FORM, TYPED).status == 303
    event = server.events(kind="lead")[-1]
    assert (event.get("visitor"), event.get("decision_id")) == (None, None)
    assert journal_rows(server.data, "leads", lead_id=event["lead_id"])


def test_a_lead_of_a_colleague_is_not_counted(server: Server) -> None:
    assert Client(server, OFFICE).post_form(FORM, TYPED).status == 303
    assert server.events(kind="lead")[-1]["not_counted"] == "internal"


@pytest.mark.parametrize("path", [FORM, f"{FORM}?x", "/_pz/form/payroll/"])
def test_the_forms_address_leads_back_to_the_page(server: Server, path: str) -> None:
    answer = visitor_of(server).get(path)
    assert (answer.status, answer.headers["Location"]) == (303, "/payroll")


@pytest.mark.parametrize("path", ["/_pz/form/payroll/nothing", "/_pz/form/nothing/form", "/_pz/form/", "/_pz/form//"])
def test_a_form_that_is_not_there(server: Server, path: str) -> None:
    answer = visitor_of(server).post_form(path, TYPED)
    assert (answer.status, answer.json["type"]) == (404, "urn:personalizer:no-form")


# --- what is wrong is said, beside what was typed ---


@pytest.mark.parametrize(
    ("field", "typed", "error"),
    [
        ("name", "", "Name is missing."),
        ("name", " \u200b\t", "Name is missing."),
        ("name", "x" * 101, "Name may have 100 characters at most."),
        ("email", "ada", "This is not an e-mail address. It looks like name@company.com."),
        ("email", "ada@b c.de", "This is not an e-mail address. It looks like name@company.com."),
        ("email", "a@b.de,c@d.de", "This is not an e-mail address. It looks like name@company.com."),
        ("employees", "a million", "Choose one of the answers for People on the payroll."),
        ("phone", "call me", "This is not a phone number. It looks like +49 30 123456."),
    ],
)
def test_a_wrong_answer_comes_back_with_what_was_typed(server: Server, field: str, typed: str, error: str) -> None:
    visitor = visitor_of(server)
    page = visitor.get(CFO)
    leads = len(journal_rows(server.data, "leads"))
    sent = fields_of(page) | TYPED | {field: typed}
    answer = visitor.post_form(FORM, sent)
    assert (answer.status, errors_of(answer)) == (422, {field: error})
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    shown = fields_of(answer)
    assert {name: shown[name] for name in TYPED if name != field} == {n: TYPED[n] for n in TYPED if n != field}
    assert (shown["d"], shown["v"]) == (page.token, sent["v"])
    assert f"<h1>{page.text.split('<h1>')[1].split('</h1>')[0]}</h1>" in answer.text, "the page that they were on"
    assert len(journal_rows(server.data, "leads")) == leads

    repaired = visitor.post_form(FORM, shown | {field: TYPED[field]})
    assert repaired.status == 303


def test_everything_wrong_is_said_at_once(server: Server) -> None:
    answer = visitor_of(server).post_form(FORM, {})
    assert answer.status == 422
    assert set(errors_of(answer)) == {"name", "email", "company", "employees"}
    assert answer.text.count('role="alert"') == 1
    assert "<title>Please check: " in answer.text


HOSTILE = [
    '"><script>alert(1)</script>',
    "' onfocus=alert(1) autofocus='",
    "{{ 7*7 }}",
    "{% include 'base.html' %}",
    "</form>",
]


@pytest.mark.parametrize("typed", HOSTILE)
def test_what_was_typed_comes_back_as_words(server: Server, typed: str) -> None:
    control = visitor_of(server).post_form(FORM, TYPED | {"email": "wrong", "name": "Ada"})
    answer = visitor_of(server).post_form(FORM, TYPED | {"email": "wrong", "name": typed})
    assert answer.status == 422
    assert fields_of(answer)["name"] == typed
    assert (
        answer.text.replace(
            f'value="{html.escape(typed).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")}"', 'value="Ada"'
        )
        == control.text
    )


def test_the_variant_named_in_the_form_is_only_looked_up(server: Server) -> None:
    for variant in ("", "nothing", "../startup/original", "thanks", "<script>"):
        answer = visitor_of(server).post_form(FORM, {"v": variant})
        assert (answer.status, fields_of(answer)["v"]) == (422, "original")


# --- who may not ---


def test_a_robot_in_the_honeypot_is_thanked_and_not_kept(server: Server) -> None:
    visitor = visitor_of(server)
    page = visitor.get(CFO)
    leads = len(journal_rows(server.data, "leads"))
    answer = visitor.post_form(FORM, fields_of(page) | TYPED | {"pz_hp": "https://spam.example"})
    assert (answer.status, answer.headers["Location"]) == (303, "/_pz/thanks/payroll")
    assert len(journal_rows(server.data, "leads")) == leads
    assert not server.events(kind="lead", decision_id=decision_of(page.token))
    assert server.events(kind="refused")[-1]["refused_reason"] == "honeypot"


def test_one_address_may_send_20_a_minute(server: Server) -> None:
    greedy, other = visitor_of(server), visitor_of(server)
    statuses = [greedy.post_form(FORM, {}).status for _ in range(45)]  # a minute may end among them
    assert set(statuses) == {422, 429}
    assert statuses[:20] == [422] * 20
    refused = greedy.post_form(FORM, TYPED)
    assert (refused.status, refused.headers["Retry-After"]) in [(429, "60"), (303, None)]
    assert other.post_form(FORM, {}).status == 422


@pytest.mark.parametrize("site", ["cross-site", "nonsense"])
def test_another_sites_page_cannot_send_it(server: Server, site: str) -> None:
    answer = visitor_of(server).post_form(FORM, TYPED, Sec_Fetch_Site=site)
    assert (answer.status, answer.json["type"]) == (403, "urn:personalizer:cross-site")


def test_a_form_has_its_limits(server: Server) -> None:
    large = visitor_of(server).post_form(FORM, {"name": "x" * 70_000})
    assert (large.status, large.json["type"]) == (413, "urn:personalizer:too-large")
    many = visitor_of(server).post_form(FORM, TYPED | {f"x{place}": "" for place in range(100)})
    assert many.status == 422
    twice = visitor_of(server)
    body = b"name=First&name=Second&email=wrong"
    answer = twice.ask("POST", FORM, body, Content_Type="application/x-www-form-urlencoded")
    assert fields_of(answer)["name"] == "First"
    bytes_ = twice.ask("POST", FORM, b"name=%ff%00\xfe&email=", Content_Type="application/x-www-form-urlencoded")
    assert (bytes_.status, fields_of(bytes_)["name"]) == (422, "��")


# --- where it is not ---


def test_personal_words_are_in_the_leads_and_nowhere_else(server: Server) -> None:
    personal = {"name": "Zephyrine Oakhurst", "email": "zephyrine@oakhurst.example", "phone": "+49 171 8675309"}
    visitor = Client(server, SOFTWARE_COMPANY)
    page = visitor.get(CFO)
    wrong = visitor.post_form(FORM, fields_of(page) | TYPED | personal | {"employees": "?"})
    assert visitor.post_form(FORM, fields_of(wrong) | TYPED | personal).status == 303
    visitor.get(CFO)
    (event,) = server.events(kind="lead", decision_id=decision_of(page.token))
    until(lambda: (event["lead_id"],) in lake_rows(server.data, "leads", "lead_id"))
    until(lambda: (event["event_id"],) in lake_rows(server.data, "events", "event_id"))

    words = [*personal.values(), *personal["name"].split()]
    kept = {row[0] for row in lake_rows(server.data, "leads", "fields")}
    assert any(personal["email"] in fields for fields in kept)
    for (row,) in lake_rows(server.data, "events", "to_json(t)"):
        assert not any(word in row for word in words)
    own = {server.data / "journal" / "leads", server.data / "lake" / "leads"}
    for path in [*server.data.rglob("*"), server.log]:
        if path.is_file() and own.isdisjoint(path.parents):
            assert not any(word.encode() in path.read_bytes() for word in words), path
