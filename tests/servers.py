"""Real servers for tests, and people who visit them.

What enters: a data directory and settings. What leaves: a `Server`, which is `python -m personalizer serve` in
processes of its own on a free port, and `Client`s, which speak HTTP to it. Must not: leave a process behind.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode, urlsplit

import duckdb
import orjson

from personalizer.config import PREFIX, SAMPLE
from personalizer.content.links import ad_links
from personalizer.content.load import load_documents
from personalizer.events.frames import decode_row, read_rows
from personalizer.events.journal import JournalFile, list_journals
from personalizer.events.lake import lake_files

WORKSPACE = Path(__file__).resolve().parent.parent
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
SAMPLES = {
    **{f"{PREFIX}{name}": SAMPLE for name in ("GEO_CITY", "GEO_ASN", "GEO_CONNECTION", "GEO_ANONYMOUS", "COMPANIES")},
    f"{PREFIX}TRUSTED_PROXIES": "127.0.0.0/8",
}

# Addresses of the sample files, by who is behind them.
SOFTWARE_COMPANY = "198.51.100.7"  # Nordlicht Software, 240 people, Berlin
TARGET_ACCOUNT = "198.51.100.130"  # Halden Group, on the account list tier-1
STARTUP = "198.51.100.200"  # Tinyforge, 6 people: the negative ICP
EXCLUDED = "203.0.113.7"  # São Paulo
AT_HOME = "203.0.113.70"  # Munich, residential: no company
FRANCE = "203.0.113.210"  # storage-free by the workspace's rule
OFFICE = "203.0.113.195"  # internal: served, never counted

SLOW = 0.25  # seconds: more than any request may take

T = TypeVar("T")


def demo_links() -> dict[str, str]:
    """Of each persona that an ad declares, the first ad's path and query."""
    links: dict[str, str] = {}
    for link in ad_links(load_documents(WORKSPACE)):
        if link.persona:
            parts = urlsplit(link.try_url)
            links.setdefault(link.persona, f"{parts.path}?{parts.query}")
    return links


def until(condition: Callable[[], T], seconds: float = 15) -> T:
    """The first true answer of `condition`; AssertionError when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.01)
    return answer


# --- processes ---


def processes() -> dict[int, int]:
    """Every process that runs, and its parent. One that has ended and waits to be reaped does not run."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state not in "ZX":
                found[int(path.parent.name)] = int(parent)
    return found


def command_of(pid: int) -> str:
    """The command line of a process, empty once it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def running(pids: list[int]) -> list[int]:
    """Those of `pids` that still run."""
    now = processes()
    return [pid for pid in pids if pid in now]


# --- the server ---


@dataclass(slots=True)
class Server:
    """One `personalizer serve`, answering on `port`. `log` has what it wrote to stderr, `seen` every child it had."""

    process: subprocess.Popen[str]
    data: Path
    port: int
    log: Path
    seen: set[int] = field(default_factory=set)

    def children(self) -> list[int]:
        """Its processes but the supervisor."""
        found = [pid for pid, parent in processes().items() if parent == self.process.pid]
        self.seen.update(found)
        return found

    def workers(self) -> list[int]:
        """Its edge workers: forked from the supervisor, so that they have its command line, or the web server's."""
        return [pid for pid in self.children() if " collect" not in (command_of(pid) or " collect")]

    def collectors(self) -> list[int]:
        """Its collector, or none while that is started again."""
        return [pid for pid in self.children() if " collect" in command_of(pid)]

    def answers(self) -> bool:
        """Whether somebody serves pages now."""
        try:
            return Client(self).get("/readyz").status == 200
        except OSError:
            return False

    def events(self, **columns: Any) -> list[dict[str, Any]]:
        """Rows of the events journal that have these values, oldest first."""
        return journal_rows(self.data, "events", **columns)

    def exposures(self) -> dict[str, dict[str, Any]]:
        """Journaled page views, by decision id."""
        return {row["decision_id"]: row for row in self.events(kind="exposure")}

    def stop(self) -> int:
        """End it as an operator does, and return its exit status."""
        self.process.terminate()
        return self.process.wait(20)

    def kill(self) -> list[int]:
        """Kill the supervisor; return the processes that it had, itself included."""
        pids = [self.process.pid, *self.children()]
        self.process.kill()
        self.process.wait()
        return pids

    def start_again(self, **settings: Any) -> None:
        """Start it anew, after it ended, on the same data and port."""
        self.process = start_server(self.data, port=self.port, **settings).process


def run_command(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """`personalizer <arguments>` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "personalizer", *arguments],
        env=environment(settings),
        cwd=WORKSPACE,
        capture_output=True,
        text=True,
        timeout=60,
    )


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with the sample files, and `settings` by their short names (`WORKERS`)."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**inherited, **SAMPLES, **{PREFIX + name: value for name, value in settings.items()}}


def start_server(data: Path, *, port: int = 0, workspace: Path = WORKSPACE, **settings: str) -> Server:
    """Start a server and wait until it serves pages. AssertionError with its own words when it does not."""
    log = data.with_name(f"{data.name}.log")
    with log.open("a") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "personalizer", "serve", "--data", str(data), "--port", str(port)],
            env=environment({"WORKSPACE": str(workspace), **settings}),
            cwd=WORKSPACE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"^Serving .* on http://\S+?:(\d+)  ", line):
            return Server(process, data, int(found[1]), log)
    raise AssertionError(f"it did not start (exit status {process.wait()}): {log.read_text()}")


@contextlib.contextmanager
def run_server(data: Path, **settings: Any) -> Iterator[Server]:
    """A server for as long as the block lasts; afterwards nothing of it runs, whatever the block did to it."""
    server = start_server(data, **settings)
    try:
        yield server
    finally:
        server.children()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.stop()
        server.kill()
        for pid in running(sorted(server.seen)):
            if re.search("granian|personalizer", command_of(pid)):  # else it is somebody else's by now
                os.kill(pid, signal.SIGKILL)
        if server.process.stdout:
            server.process.stdout.close()


# --- what it kept ---


class Record(NamedTuple):
    """One row of a journal file: its ordinal, column → value, and the offset in bytes where its frame ends."""

    ordinal: int
    row: dict[str, Any]
    end: int


def read_records(path: Path, after_ordinal: int = 0, offset: int = 0) -> Iterator[Record]:
    """The rows of a journal file beyond `after_ordinal`, read one by one, each from where the one before it ends."""
    while (rows := read_rows(path, after_ordinal, offset, limit=1)).json:
        after_ordinal, offset = rows.last, rows.end
        yield Record(after_ordinal, decode_row(after_ordinal, rows.json[0]), offset)


def identify(file: JournalFile, record: Record) -> dict[str, Any]:
    """A journal's row with the identity that its file gives it."""
    event_id = f"{file.writer}-{file.generation}-{record.ordinal}"
    return {**record.row, "event_id": event_id, "writer": file.writer, "generation": file.generation}


def journal_rows(data: Path, table: str, **columns: Any) -> list[dict[str, Any]]:
    """Rows of a table's journals that have these values, by writer and age."""
    rows = (identify(file, record) for file in list_journals(data, table) for record in read_records(file.path))
    return [row for row in rows if all(row.get(name) == value for name, value in columns.items())]


def lake_rows(data: Path, table: str, columns: str) -> list[tuple[Any, ...]]:
    """Columns (SQL; a whole row is `t`) of everything in a table of the lake."""
    files = lake_files(data / "lake", table)
    return duckdb.execute(f"SELECT {columns} FROM read_parquet(?) AS t", [files]).fetchall() if files else []


def decision_of(token: str) -> str:
    """The decision id in a page's X-Decision-Id."""
    return token.rpartition(".")[0]


# --- people ---


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def token(self) -> str:
        """The signed decision id of a page."""
        return self.headers["X-Decision-Id"] or ""

    def mark(self, name: str) -> str | None:
        """`data-pz-<name>` of the page's root element."""
        found = re.search(rf'<html[^>]* data-pz-{name}="([^"]*)"', self.text)
        return found[1] if found else None


class Client:
    """Somebody with an address, a browser and the cookie that they were last given; `headers` go with every request."""

    def __init__(self, server: Server, address: str = AT_HOME, agent: str = CHROME, **headers: str) -> None:
        self.cookie = ""
        self.headers = {"User-Agent": agent, "X-Forwarded-For": address}
        self.headers |= {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)

    def ask(self, method: str, path: str, body: bytes | None = None, /, **headers: str) -> Answer:
        """One request, on the connection of the last one where that is still open. Keeps the cookie, as browsers do."""
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            sent.setdefault("Cookie", f"pz={self.cookie}")
        if self._connection.sock and _was_closed(self._connection.sock):
            self._connection.close()
        try:
            self._connection.request(method, path, body, sent)
            response = self._connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise ConnectionError(str(error)) from error
        for cookie in answer.headers.get_all("Set-Cookie", []):
            self.cookie = cookie.removeprefix("pz=").partition(";")[0]
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post_form(self, path: str, fields: Mapping[str, str], **headers: str) -> Answer:
        headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        return self.ask("POST", path, urlencode(fields).encode(), **headers)

    def post_json(self, path: str, document: Any, **headers: str) -> Answer:
        body = document if isinstance(document, bytes) else orjson.dumps(document)
        return self.ask("POST", path, body, **{"Content-Type": "text/plain", **headers})


def _was_closed(connection: socket.socket) -> bool:
    """Whether the server has hung up on a connection that waits for its next request: an end can be read."""
    return bool(select.select([connection], [], [], 0)[0])


def send_raw(server: Server, *sent: bytes, seconds: float = 10) -> bytes:
    """Exactly these bytes, and all that comes back until the server hangs up or says nothing more for `seconds`."""
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), seconds) as connection:
        # A server that refuses early closes while we still send; what it said before that can still be read.
        with contextlib.suppress(ConnectionError):
            for part in sent:
                connection.sendall(part)
        with contextlib.suppress(ConnectionError, TimeoutError):
            while part := connection.recv(1 << 16):
                answer += part
    return answer


def quickly(server: Server, *sent: bytes) -> bytes:
    """The answer to these bytes, which came within 250 ms. What is slow by its nature is slow three times running."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        answer = send_raw(server, *sent)
        times.append(time.perf_counter() - began)
        if times[-1] < SLOW:
            break
    assert min(times) < SLOW, sent[0][:200]
    return answer


def raw_request(path: bytes, *headers: bytes, method: bytes = b"GET", host: bytes = b"localhost") -> bytes:
    """A request as bytes, up to its body; the server is asked to hang up after it."""
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: " + host, b"Connection: close", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def raw_status(answer: bytes) -> int:
    """The status of a raw answer, 0 when there is none."""
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    return int(found[1]) if found else 0
