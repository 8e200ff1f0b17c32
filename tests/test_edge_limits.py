"""Too much, too slow, or not HTTP: each is refused early and cheaply, and nobody else notices."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from servers import Client, Server, quickly, raw_request, raw_status, run_server, send_raw

FORM = "/_pz/form/payroll/form"
MEGABYTE = b"a" * (1 << 20)


class Waiting(NamedTuple):
    """Connections that were opened first and say nothing, or not enough: what they said, and since when."""

    connections: dict[str, socket.socket]
    since: float


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_server(tmp_path_factory.mktemp("limits") / "data", TRUSTED_PROXIES="") as running:
        workers = running.workers()
        yield running
        assert running.workers() == workers, "a worker had to be started again"
        assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="module", autouse=True)
def waiting(server: Server) -> Iterator[Waiting]:
    with contextlib.ExitStack() as stack:
        connections = {}
        for said in ("", "GET /payr", "GET /payroll HTTP/1.1\r\nHost: localhost\r\nX: "):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            connection.sendall(said.encode())
            connections[said] = connection
        yield Waiting(connections, time.monotonic())


# --- too much ---


def content(length: int) -> bytes:
    return b"Content-Length: %d" % length


@pytest.mark.parametrize(
    ("size", "statuses"), [(8192, {200}), (8193, {414}), (60_000, {414}), (200_000, {431}), (8_000_000, {414, 431})]
)
def test_a_long_query_is_cut_at_the_edge(server: Server, size: int, statuses: set[int]) -> None:
    assert raw_status(quickly(server, raw_request(b"/payroll?" + b"a" * size))) in statuses


@pytest.mark.parametrize(
    "query", [b"a&" * 4000, b"utm_term=a&" * 700, b"&" * 8000, b"=" * 8000, b"%" * 8000, b"a=%ff&" * 1300]
)
@pytest.mark.parametrize("path", [b"/payroll", b"/_pz/seen.gif", b"/_pz/convert.gif", b"/payroll/", b"/nothing"])
def test_a_query_of_nothing_but_parameters(server: Server, path: bytes, query: bytes) -> None:
    assert raw_status(quickly(server, raw_request(path + b"?" + query))) in (200, 308, 400, 404)


def memory_of(server: Server) -> int:
    """The most memory that the worker ever took, in MB."""
    (worker,) = server.workers()
    (line,) = (line for line in Path(f"/proc/{worker}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


@pytest.mark.parametrize("path", [b"/_pz/e", b"/_pz/convert", b"/_pz/consent", FORM.encode()])
@pytest.mark.parametrize("chunked", [False, True])
def test_100_megabytes_are_refused_early(server: Server, path: bytes, chunked: bool) -> None:
    before = memory_of(server)
    if chunked:
        head = raw_request(path, b"Transfer-Encoding: chunked", method=b"POST")
        answer = quickly(server, head, *[b"100000\r\n" + MEGABYTE + b"\r\n"] * 100)
    else:
        answer = quickly(server, raw_request(path, content(100 << 20), method=b"POST"), *[MEGABYTE] * 100)
    assert raw_status(answer) == 413
    assert b"urn:personalizer:too-large" in answer
    assert memory_of(server) - before < 20


@pytest.mark.parametrize("path", [b"/payroll", b"/nothing", b"/healthz"])
def test_a_body_that_nobody_asked_for_is_not_read(server: Server, path: bytes) -> None:
    assert raw_status(quickly(server, raw_request(path, content(100 << 20)), *[MEGABYTE] * 100)) in (200, 404)


BODIES = [
    (b"&".join(b"a%d=" % place for place in range(8000)), {400, 422}),
    (b"&" * 15_000, {400, 422}),
    (b"name=" + b"%ff%00" * 2000, {400, 422}),
    (b"[" * 15_000, {400, 422}),
    (b'{"a":' * 3000, {400, 422}),
    (b"\x00" * 15_000, {400, 422}),
    (b"email=" + b"a" * 7000 + b"@" + b"a." * 3500, {400, 422}),
    (b"a&" * 100_000, {413}),
]


@pytest.mark.parametrize("path", ["/_pz/e", "/_pz/convert", "/_pz/consent", FORM])
@pytest.mark.parametrize(("body", "statuses"), BODIES, ids=range(len(BODIES)))
def test_a_body_of_nonsense(server: Server, path: str, body: bytes, statuses: set[int]) -> None:
    answer = quickly(server, raw_request(path.encode(), content(len(body)), method=b"POST") + body)
    if path == FORM and raw_status(answer) == 429:  # every address is the same here: nobody is trusted
        return
    expected = statuses if len(body) < 16_384 or path == FORM else {413}
    assert raw_status(answer) in expected


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ([b"X: " + b"a" * 60_000], {200}),
        ([b"X: " + b"a" * 300_000], {431}),
        ([b"X-%d: y" % place for place in range(300)], {431}),
        ([b"Cookie: " + b"pz=a; " * 9000], {200}),
        ([b"Cookie: pz=" + b"a" * 50_000], {200}),
        ([b"User-Agent: a\x00b"], {400}),
        ([b"No colon here"], {400}),
        ([b": no name"], {400}),
        ([b"X: folded", b" on: two"], {400, 200}),
        ([b"Expect: everything"], {200, 417}),
        ([b"Upgrade: websocket", b"Sec-WebSocket-Key: eA=="], {200}),
        ([b"Range: bytes=0-1,2-3"], {200}),
        ([b"Content-Type: " + b"a" * 9000], {200}),
    ],
    ids=range(13),
)
def test_absurd_headers(server: Server, headers: list[bytes], statuses: set[int]) -> None:
    assert raw_status(quickly(server, raw_request(b"/payroll", *headers))) in statuses


# --- broken protocol ---


@pytest.mark.parametrize(
    "headers",
    [
        [b"Content-Length: abc"],
        [b"Content-Length: -5"],
        [b"Content-Length: +2"],
        [b"Content-Length: 2", b"Content-Length: 3"],
        [b"Content-Length: 99999999999999999999"],
        [b"Content-Length: 4", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked, identity"],
        [b"Transfer-Encoding: chunked"],
        [b"Content-Length: abc", b"Transfer-Encoding: chunked"],
        [b"Content-Length: " + b"9" * 5000, b"Transfer-Encoding: chunked"],
    ],
    ids=lambda headers: b" ".join(headers).decode()[:60],
)
def test_a_bad_length_is_refused(server: Server, headers: list[bytes]) -> None:
    before = len(server.events(kind="conversion"))
    sent = raw_request(b"/_pz/convert", *headers, method=b"POST") + b'zz\r\n{"goal": "cta_click"}\r\n0\r\n\r\n'
    assert raw_status(quickly(server, sent)) == 400
    assert len(server.events(kind="conversion")) == before


def test_a_body_that_ends_early_is_not_taken_for_all_of_it(server: Server) -> None:
    before = len(server.events(kind="conversion"))
    sent = raw_request(b"/_pz/convert", content(500), method=b"POST") + b'{"goal": "cta_click"}'
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        assert raw_status(connection.recv(1 << 16)) == 400
    assert len(server.events(kind="conversion")) == before


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /payroll\r\n\r\n",
        b"GET /payroll HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET\x00/payroll HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\r\n\r\n\xff\xff\r\n\r\n",
        b"GET /payroll\xff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ],
    ids=range(7),
)
def test_what_is_not_http_is_not_served(server: Server, sent: bytes) -> None:
    assert raw_status(send_raw(server, sent)) in (0, 400, 404, 505)
    assert Client(server).get("/payroll").status == 200


def test_garbage_behind_a_request_does_not_reach_its_answer(server: Server) -> None:
    answer = send_raw(server, b"GET /payroll HTTP/1.1\r\nHost: localhost\r\n\r\n\x00\xffgarbage\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert b"garbage" not in answer


# --- time ---


def test_slow_senders_do_not_hold_up_the_others(server: Server) -> None:
    """A body that never ends holds a thread; there are four, so three of them leave one."""
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            connection.sendall(raw_request(b"/_pz/convert", content(1000), method=b"POST") + b"{")
        for _ in range(20):
            assert raw_status(quickly(server, raw_request(b"/payroll"))) == 200


def test_who_says_nothing_is_hung_up_on(server: Server, waiting: Waiting) -> None:
    for said, connection in waiting.connections.items():
        connection.settimeout(max(0.1, 15 - (time.monotonic() - waiting.since)))
        with contextlib.suppress(ConnectionError):
            assert raw_status(connection.recv(1 << 16)) in (0, 408), said
            assert connection.recv(1 << 16) == b"", said
