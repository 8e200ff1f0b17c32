"""A browser, as far as the server can tell: one visitor's address, agent and cookie over a connection that stays open.

What enters: what to ask for. What leaves: answers, pages, forms. Must not: send anything twice by itself, since what
was sent must be known exactly; a broken connection ends the simulation.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urlencode, urlsplit

from personalizer.errors import SimulationError

TIMEOUT = 30.0  # seconds

_MARKS = re.compile(rb'data-pz-(d|row|arm)="([^"]*)"')
_SEEN = re.compile(rb'<noscript><img src="([^"]*)"')
_FORM = b'action="/_pz/form/'


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers by lower-case name, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """A served page and what it says of itself on `<html>`: the signed decision id, the row, the arm."""

    status: int
    decision: str
    row: str | None
    arm: str
    body: bytes

    @property
    def seen_pixel(self) -> str:
        """The address of the `<noscript>` pixel."""
        found = _SEEN.search(self.body)
        if found is None:
            raise SimulationError("A served page has no <noscript> pixel; without scripts nobody would be counted.")
        return unescape(found[1].decode())

    def form(self) -> Form | None:
        """The page's lead form."""
        place = self.body.find(_FORM)
        if place < 0:
            return None
        start = self.body.rindex(b"<form", 0, place)
        return _FormReader(self.body[start : self.body.index(b"</form>", start)].decode()).form


@dataclass(slots=True)
class Form:
    """A lead form as it stands in the page: where it goes, and each field's value, as a person fills it in."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)


class Connection:
    """One open connection. `requests` counts what was sent."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise SimulationError(f"{url}: write the server's address as http://127.0.0.1:8080.")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._http = kind(parts.hostname, port, timeout=TIMEOUT)
        self.url = url
        self.requests = 0

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """One request and its answer. Raises SimulationError when there is none."""
        try:
            self._http.request(method, path, body, dict(headers))
            response = self._http.getresponse()
            answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise SimulationError(
                f"{self.url} does not answer ({error!r}). Whether it counted the last request cannot be known, "
                "so there is no ledger. Look at the server and start again."
            ) from error
        self.requests += 1
        return answer

    def close(self) -> None:
        self._http.close()


class Browser:
    """One visitor's browser. It keeps the cookie that it is given. Without an address it is this machine's own."""

    def __init__(self, connection: Connection, address: str, agent: str, headers: Mapping[str, str]) -> None:
        self._connection = connection
        forwarded = {"X-Forwarded-For": address} if address else {}
        self._headers = {"User-Agent": agent, "Accept-Language": "en", **forwarded, **headers}
        self._cookie = ""

    def look(self, path: str) -> int:
        """HEAD; the status."""
        return self._send("HEAD", path).status

    def open(self, path: str) -> Page:
        """A page."""
        answer = self._send("GET", path)
        marks = dict(_MARKS.findall(answer.body, 0, 2000))
        if marks.keys() != {b"d", b"row", b"arm"}:
            raise SimulationError(f"{path} answered {answer.status} with something that is no page of the workspace.")
        said = {name.decode(): unescape(value.decode()) for name, value in marks.items()}
        return Page(answer.status, said["d"], said["row"] or None, said["arm"], answer.body)

    def fetch(self, path: str) -> None:
        """A pixel, or the page that a form leads to."""
        self._expect("GET", path, 200)

    def beacon(self, page: Page) -> None:
        """What the page's script sends when it is seen."""
        self._expect("POST", "/_pz/e", 204, {"d": page.decision, "e": [{"k": "seen"}]})

    def convert(self, goal: str, **more: str) -> None:
        """What the page's script sends for a click on a goal; `d` and `id` in `more`."""
        self._expect("POST", "/_pz/convert", 202, {"goal": goal, **more})

    def submit(self, form: Form) -> None:
        """The form, and the page after it."""
        answer = self._send("POST", form.action, urlencode(form.fields).encode(), "application/x-www-form-urlencoded")
        if answer.status != 303:
            raise SimulationError(f"POST {form.action} answered {answer.status} instead of 303: {_say(answer)}")
        self.fetch(answer.headers["location"])

    def _expect(self, method: str, path: str, status: int, data: object = None) -> None:
        body = None if data is None else json.dumps(data).encode()
        answer = self._send(method, path, body, "text/plain;charset=UTF-8")
        if answer.status != status:
            raise SimulationError(f"{method} {path} answered {answer.status} instead of {status}: {_say(answer)}")

    def _send(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Answer:
        headers = dict(self._headers)
        if self._cookie:
            headers["Cookie"] = self._cookie
        if body is not None:
            headers["Content-Type"] = kind
        answer = self._connection.send(method, path, headers, body)
        if method != "HEAD" and (cookie := answer.headers.get("set-cookie")):
            self._cookie = cookie.partition(";")[0]
        return answer


def _say(answer: Answer) -> str:
    return answer.body[:300].decode("utf-8", "replace") or "no body."


class _FormReader(HTMLParser):
    """Reads one form and fills it in as a person would: what is hidden stays, the trap for robots stays empty."""

    _TYPED = {"email": "person@company.example", "tel": "+49 30 555 01 01", "number": "42", "checkbox": "yes"}

    def __init__(self, html: str) -> None:
        super().__init__()
        self.form = Form("")
        self._select = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "form":
            self.form.action = given["action"]
        elif tag in ("input", "textarea"):
            untouched = given.get("type") == "hidden" or given.get("tabindex") == "-1"
            typed = self._TYPED.get(given.get("type", ""), "Sample Person")
            self.form.fields[name] = given.get("value", "") if untouched else typed
        elif tag == "select":
            self._select = name

    def handle_data(self, data: str) -> None:
        # The last option wins; the first one only asks to choose.
        if self._select and self.lasttag == "option" and data.strip():
            self.form.fields[self._select] = data.strip()

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""
