"""Pages that are joined from deflated pieces say what the plain ones say: in Python, curl and Chromium."""

from __future__ import annotations

import gzip
import random
import re
import subprocess
import zlib
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import (
    AT_HOME,
    CHROME,
    EXCLUDED,
    SOFTWARE_COMPANY,
    STARTUP,
    TARGET_ACCOUNT,
    Client,
    Server,
    demo_links,
    run_server,
)

from personalizer.content.compile import Content
from personalizer.content.deflate import deflate_pieces, join_gzip
from personalizer.edge.respond import accepts_gzip
from personalizer.visitor.facts import TOKENS

VALUES = 10_000


def pack(pieces: list[bytes]) -> bytes:
    fixed = [b"" if place % 2 else piece for place, piece in enumerate(pieces)]
    return join_gzip(pieces, deflate_pieces(fixed))


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=9))
def test_any_pieces_come_back(pieces: list[bytes]) -> None:
    assert gzip.decompress(pack(pieces)) == b"".join(pieces)


@pytest.mark.parametrize("size", [65_534, 65_535, 65_536, 200_000])
@pytest.mark.parametrize("place", [0, 1])
def test_long_pieces_come_back(size: int, place: int) -> None:
    """A stored block holds 65,535 bytes at most."""
    pieces = [b"", b"", b""]
    pieces[place] = random.Random(size).randbytes(size)
    assert gzip.decompress(pack(pieces)) == b"".join(pieces)


def test_what_a_visitor_chooses_is_not_compressed() -> None:
    """The length tells nothing about what stands elsewhere on the page, such as the signed decision id."""
    secret = b"f42437558420.8222339480486e87b695414deb2e"
    sizes = {len(pack([b"<p>" * 50, secret, b"</p>" * 50, guess, b"."])) for guess in (secret, secret[::-1])}
    assert len(sizes) == 1


def test_every_sample_page_says_the_same_for_random_facts(sample_content: Content) -> None:
    draw = random.Random(7)
    letters = "abcXYZ <>&\"'äßÜ日本ไทย😀\u202e\x00/?#{}%"
    ready = sorted(sample_content.renderings.ready.items())
    for number in range(VALUES):
        _, rendering = ready[number % len(ready)]
        value = "".join(draw.choices(letters, k=draw.randrange(80)))
        facts = {name: value for name in TOKENS if draw.random() < 0.7}
        filled = ("id.mac", draw.choice(["cfo", ""]), "holdout", facts)
        packed = rendering.fill_gzip(*filled)
        assert gzip.decompress(packed) == rendering.fill(*filled)
        assert len(packed) < 14 * 1024


def test_a_damaged_page_is_noticed(sample_content: Content) -> None:
    rendering = next(iter(sample_content.renderings.ready.values()))
    packed = bytearray(rendering.fill_gzip("id.mac", "row", "arm", {}))
    packed[-6] ^= 1  # the checksum
    with pytest.raises((gzip.BadGzipFile, zlib.error)):
        gzip.decompress(bytes(packed))


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP ; q=0.5", True),
        ("deflate,x-gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("br", False),
        ("identity", False),
        ("notgzip", False),
        ("gzipped", False),
        ("", False),
        ("," * 100_000 + "gzip", False),
    ],
)
def test_who_accepts_it(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted
    assert accepts_gzip(header) is accepted, "the second time it is remembered"


# --- over the wire ---

VISITORS = [SOFTWARE_COMPANY, TARGET_ACCOUNT, STARTUP, EXCLUDED, AT_HOME]


def known(page: bytes) -> str:
    """A page without what differs between two views."""
    return re.sub(r"[\w-]{16}\.[0-9a-f]{12}\.[0-9a-f]{28}", "ID", page.decode())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_server(tmp_path_factory.mktemp("gzip") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def paths() -> list[str]:
    term = quote('<b>"ราคา" & Löhne 😀</b>')
    return [
        "/payroll",
        "/startup",
        "/_pz/thanks/payroll",
        *(f"{link}&utm_term={term}" for link in demo_links().values()),
    ]


def test_curl_reads_what_a_plain_client_reads(server: Server, paths: list[str]) -> None:
    for path in paths:
        for address in VISITORS:
            person = Client(server, address=address)
            person.get(path)
            plain = person.get(path)
            assert "content-encoding" not in plain.headers
            told = [f"X-Forwarded-For: {address}", f"User-Agent: {CHROME}", f"Cookie: pz={person.cookie}"]
            headers = [part for one in told for part in ("-H", one)]
            url = f"http://127.0.0.1:{server.port}{path}"
            command = ["curl", "-sS", "--compressed", "-D", "-", "-o", "-", *headers, url]
            head, _, body = subprocess.run(command, capture_output=True, check=True).stdout.partition(b"\r\n\r\n")
            assert b"content-encoding: gzip" in head.lower()
            assert known(body) == known(plain.body), (path, address)
