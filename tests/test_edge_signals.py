"""What pages tell afterwards, over real HTTP: beacons, pixels and conversions, in the journal before the answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from servers import (
    OFFICE,
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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_server(tmp_path_factory.mktemp("signals") / "data") as running:
        yield running


def visit(server: Server, **who: str) -> tuple[Client, Answer]:
    client = Client(server, **who)
    return client, client.get(CFO)


def refusals(server: Server) -> Counter[str]:
    return Counter(row["refused_reason"] for row in server.events(kind="refused"))


# --- beacon and pixel ---


def test_a_beacon_is_journaled_sign_by_sign(server: Server) -> None:
    visitor, page = visit(server)
    now = int(time.time() * 1000)
    signs = [("seen", now), ("engaged", now + 1), ("click", now + 2), ("scroll", now + 3)]
    sent = [{"k": kind, "t": moment} for kind, moment in signs]
    answer = visitor.post_json("/_pz/e", {"d": page.token, "e": sent})
    assert (answer.status, answer.body) == (204, b"")
    rows = [row for row in server.events(decision_id=decision_of(page.token)) if row["kind"] != "exposure"]
    assert [(row["kind"], row["client_ts"]) for row in rows] == [(kind, moment * 1000) for kind, moment in signs]
    exposure = server.exposures()[decision_of(page.token)]
    assert {row["visitor"] for row in rows} == {exposure["visitor"]}
    assert all(exposure["ts"] <= row["ts"] for row in rows)


@pytest.mark.parametrize("moment", [None, "noon", -1, 1.5, 10**15, True])
def test_a_clock_that_is_none_does_not_cost_the_sign(server: Server, moment: Any) -> None:
    visitor, page = visit(server)
    assert visitor.post_json("/_pz/e", {"d": page.token, "e": [{"k": "seen", "t": moment}]}).status == 204
    (row,) = server.events(kind="seen", decision_id=decision_of(page.token))
    assert "client_ts" not in row


@pytest.mark.parametrize(
    ("signs", "reason"),
    [
        ([], "no signs"),
        (None, "no signs"),
        ({"k": "seen"}, "no signs"),
        ([{"k": "seen"}] * 51, "no signs"),
        ([{"k": "seen"}, {"k": "purchase"}], "unknown sign"),
        (["seen"], "unknown sign"),
        ([{"k": ["seen"]}], "unknown sign"),
    ],
)
def test_a_beacon_is_accepted_whole_or_not_at_all(server: Server, signs: Any, reason: str) -> None:
    visitor, page = visit(server)
    before = refusals(server)
    answer = visitor.post_json("/_pz/e", {"d": page.token, "e": signs})
    assert (answer.status, answer.json["type"]) == (400, f"urn:personalizer:{reason.replace(' ', '-')}")
    assert not server.events(kind="seen", decision_id=decision_of(page.token))
    assert refusals(server) - before == Counter([reason])


def test_a_pixel_is_the_beacon_without_scripts(server: Server) -> None:
    visitor, page = visit(server)
    answer = visitor.get(f"/_pz/seen.gif?d={page.token}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/gif")
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.body.startswith(b"GIF89a")
    assert len(server.events(kind="seen", decision_id=decision_of(page.token))) == 1


@pytest.mark.parametrize("query", ["", "?d=", "?d=abc", "?" + "a&" * 200, "?d=%00%ff"])
def test_a_pixel_that_counts_nothing_is_still_an_image(server: Server, query: str) -> None:
    before, seen = refusals(server), len(server.events(kind="seen"))
    answer = Client(server).get(f"/_pz/seen.gif{query}")
    assert (answer.status, answer.body[:6]) == (200, b"GIF89a")
    assert len(server.events(kind="seen")) == seen
    assert (refusals(server) - before).total() == 1


# --- decision ids ---


def forged(token: str) -> list[Any]:
    """Ids that this server did not sign, or not for this."""
    last = "A" if token[-1] != "A" else "B"
    other = "B" if token[0] != "B" else "C"
    return [
        token[:-1] + last,
        other + token[1:],
        decision_of(token),
        token + "A",
        token.upper(),
        "",
        "x.y",
        7,
        [],
        token * 9,
    ]


def test_a_forged_decision_id_is_refused_everywhere(server: Server) -> None:
    visitor, page = visit(server)
    before = refusals(server)
    forgeries = [*forged(page.token), visitor.cookie]
    for token in forgeries:
        beacon = visitor.post_json("/_pz/e", {"d": token, "e": [{"k": "seen"}]})
        conversion = visitor.post_json("/_pz/convert", {"d": token, "goal": "cta_click"})
        for answer in (beacon, conversion):
            assert (answer.status, answer.json["type"]) == (400, "urn:personalizer:unknown-decision-id"), token
    assert refusals(server) - before == Counter({"unknown decision id": 2 * len(forgeries)})
    assert [row["kind"] for row in server.events(decision_id=decision_of(page.token))] == ["exposure"]


# --- conversions ---


def test_a_conversion_is_in_the_journal_when_it_is_acknowledged(server: Server) -> None:
    visitor, page = visit(server)
    answer = visitor.post_json(
        "/_pz/convert", {"goal": "demo_request", "value": 120.5, "id": "order-1", "d": page.token}
    )
    assert answer.status == 202
    (row,) = server.events(event_id=answer.json["event_id"])
    expected = {
        "kind": "conversion",
        "goal": "demo_request",
        "visitor": server.exposures()[decision_of(page.token)]["visitor"],
        "decision_id": decision_of(page.token),
        "value": 12050,
        "currency": "EUR",
        "conversion_id": "order-1",
    }
    assert {name: row[name] for name in expected} == expected
    assert not row.get("not_counted")


def test_acknowledged_conversions_reach_the_lake_once(server: Server) -> None:
    visitor, _ = visit(server)
    ids = [visitor.post_json("/_pz/convert", {"goal": "cta_click"}).json["event_id"] for _ in range(20)]

    def arrived() -> list[str]:
        return [event for (event,) in lake_rows(server.data, "events", "event_id") if event in ids]

    until(lambda: len(arrived()) >= len(ids))
    assert sorted(arrived()) == sorted(ids)


@pytest.mark.parametrize(
    ("value", "currency", "minor"),
    [
        (0, None, 0),
        (12.34, None, 1234),
        (0.005, "EUR", 0),
        (1e12, "USD", 10**14),
        (1200, "JPY", 1200),
        (1.234, "KWD", 1234),
    ],
)
def test_a_value_is_kept_in_the_currencys_minor_units(
    server: Server, value: float, currency: str | None, minor: int
) -> None:
    told = {"goal": "demo_request", "value": value} | ({"currency": currency} if currency else {})
    visitor, _ = visit(server)
    by_post = visitor.post_json("/_pz/convert", told).json["event_id"]
    visitor.get("/_pz/convert.gif?" + urlencode(told))
    (row,) = server.events(event_id=by_post)
    assert (row["value"], row["currency"]) == (minor, currency or "EUR")
    pixel = server.events(kind="conversion")[-1]
    assert (pixel["visitor"], pixel["value"], pixel["currency"]) == (row["visitor"], minor, currency or "EUR")


WRONG = [
    ({"goal": "nothing"}, "unknown goal"),
    ({}, "unknown goal"),
    ({"goal": ["cta_click"]}, "unknown goal"),
    ({"goal": "cta_click", "value": -0.01}, "bad value"),
    ({"goal": "cta_click", "value": 1.01e12}, "bad value"),
    ({"goal": "cta_click", "value": 2**63}, "bad value"),
    ({"goal": "cta_click", "value": "12"}, "bad value"),
    ({"goal": "cta_click", "value": True}, "bad value"),
    ({"goal": "cta_click", "currency": "euro"}, "bad currency"),
    ({"goal": "cta_click", "currency": "eur"}, "bad currency"),
    ({"goal": "cta_click", "currency": "ÄÖÜ"}, "bad currency"),
    ({"goal": "cta_click", "id": ""}, "bad id"),
    ({"goal": "cta_click", "id": "x" * 201}, "bad id"),
    ({"goal": "cta_click", "id": "a\u0000b"}, "bad id"),
    ({"goal": "cta_click", "id": 7}, "bad id"),
    (b'{"goal": "cta_click", "value": NaN}', "not JSON"),
    (b'{"goal": "cta_click", "value": Infinity}', "not JSON"),
    (b'{"goal": "cta_click", "value": 1e999}', "not JSON"),
    (b'{"goal": "cta_click", "id": "\\ud800"}', "not JSON"),
    (b"[]", "not JSON"),
    (b"goal=cta_click", "not JSON"),
    (b"", "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (b'{"a":' * 2000, "not JSON"),
]


@pytest.mark.parametrize(("body", "reason"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_conversion_is_refused_and_the_refusal_is_kept(server: Server, body: Any, reason: str) -> None:
    visitor, _ = visit(server)
    before, conversions = refusals(server), len(server.events(kind="conversion"))
    answer = visitor.post_json("/_pz/convert", body)
    assert (answer.status, answer.json["type"]) == (400, f"urn:personalizer:{reason.replace(' ', '-')}")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert refusals(server) - before == Counter([reason])
    assert len(server.events(kind="conversion")) == conversions


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e999", "12,5", "", "0x10"])
def test_a_wrong_value_in_a_pixel_is_refused(server: Server, value: str) -> None:
    before = refusals(server)
    answer = Client(server).get("/_pz/convert.gif?" + urlencode({"goal": "cta_click", "value": value}))
    assert (answer.status, answer.json["type"]) == (400, "urn:personalizer:bad-value")
    assert refusals(server) - before == Counter(["bad value"])


def test_too_many_parameters_of_a_pixel_are_refused(server: Server) -> None:
    answer = Client(server).get("/_pz/convert.gif?goal=cta_click&" + "a&" * 200)
    assert (answer.status, answer.json["type"]) == (400, "urn:personalizer:too-many-parameters")


def test_received_is_accepted_and_refused(server: Server) -> None:
    visitor, _ = visit(server)
    before = Counter(row["kind"] for row in server.events())
    bodies = [{"goal": "cta_click"}, {"goal": "no"}, {"goal": "cta_click", "value": -1}, {"goal": "phone_click"}] * 25
    answers = Counter(visitor.post_json("/_pz/convert", body).status for body in bodies)
    assert answers == {202: 50, 400: 50}
    assert Counter(row["kind"] for row in server.events()) - before == {"conversion": 50, "refused": 50}


# --- whose conversion it is ---


def test_a_goal_is_remembered_in_the_cookie(server: Server) -> None:
    visitor, _ = visit(server)
    first = server.events(kind="exposure")[-1]
    answer = visitor.post_json("/_pz/convert", {"goal": "cta_click"})
    (row,) = server.events(event_id=answer.json["event_id"])
    assert row["visitor"] == first["visitor"]
    visitor.get(CFO)
    again = server.events(kind="exposure")[-1]
    assert (first["visit_goals"], again["visit_goals"]) == ([], ["cta_click"])
    assert (again["visitor"], again["visit"]) == (first["visitor"], first["visit"])


def test_a_stranger_is_an_orphan_and_gets_no_cookie(server: Server) -> None:
    stranger = Client(server)
    answer = stranger.post_json("/_pz/convert", {"goal": "cta_click"})
    assert (answer.status, stranger.cookie) == (202, "")
    (row,) = server.events(event_id=answer.json["event_id"])
    assert (row.get("visitor"), row.get("decision_id")) == (None, None)


def test_another_site_has_no_cookie_and_the_decision_id_says_who_it_is(server: Server) -> None:
    _, page = visit(server)
    elsewhere = Client(server, Sec_Fetch_Site="cross-site", Origin="https://shop.example")
    answer = elsewhere.get("/_pz/convert.gif?" + urlencode({"goal": "demo_request", "d": page.token, "id": "x-1"}))
    assert answer.body.startswith(b"GIF89a")
    (row,) = server.events(conversion_id="x-1")
    assert row["visitor"] == server.exposures()[decision_of(page.token)]["visitor"]


def test_without_storage_the_day_says_who_it_is(server: Server) -> None:
    visitor = Client(server, Sec_GPC="1")
    page = visitor.get(CFO)
    answer = visitor.post_json("/_pz/convert", {"goal": "cta_click"})
    (row,) = server.events(event_id=answer.json["event_id"])
    assert row["visitor"] == server.exposures()[decision_of(page.token)]["visitor"]
    assert visitor.cookie == ""


@pytest.mark.parametrize(("who", "reason"), [({"agent": "curl/8.0"}, "bot"), ({"address": OFFICE}, "internal")])
def test_who_is_not_counted_does_not_convert(server: Server, who: dict[str, str], reason: str) -> None:
    visitor, _ = visit(server, **who)
    answer = visitor.post_json("/_pz/convert", {"goal": "cta_click"})
    assert answer.status == 202
    (row,) = server.events(event_id=answer.json["event_id"])
    assert row["not_counted"] == reason


@pytest.mark.parametrize("agent", ["", "acme-crm/1.0", "python-requests/2.32.3"])
def test_a_program_reports_the_conversion_of_a_person(server: Server, agent: str) -> None:
    _, page = visit(server)
    answer = Client(server, agent=agent).post_json("/_pz/convert", {"goal": "demo_request", "d": page.token})
    (row,) = server.events(event_id=answer.json["event_id"])
    exposure = server.exposures()[decision_of(page.token)]
    assert (row["visitor"], row.get("not_counted")) == (exposure["visitor"], None)
    assert exposure.get("not_counted") is None


def test_the_addresses_of_visitors_are_written_nowhere(server: Server) -> None:
    address = "203.0.113.99"
    visitor = Client(server, address=address)
    page = visitor.get(CFO)
    visitor.post_json("/_pz/convert", {"goal": "cta_click", "d": page.token})
    assert journal_rows(server.data, "events", decision_id=decision_of(page.token))
    for path in server.data.rglob("*"):
        assert not path.is_file() or address.encode() not in path.read_bytes(), path
    assert address not in server.log.read_text()
