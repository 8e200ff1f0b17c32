"""Publishing under load, and what a workspace's size costs: `python -m benchmarks.publish`.

What enters: a folder for what is generated. What leaves: `Publish` and `Growth` figures, and the longest pause of an
interpreter. Must not: leave a process behind, or leave loopback.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import BenchError
from benchmarks.large import Scale, write_large
from benchmarks.workspace import HOST
from personalizer.config import Settings
from personalizer.content.files import hash_workspace
from personalizer.content.store import content_file, finish, read_content
from personalizer.edge.state import open_edge
from personalizer.edge.swap import follow_supervisor
from personalizer.process import die_with_parent
from personalizer.serve import answers, probe_port
from personalizer.visitor.read import open_visitor_reader

QUIET_SECONDS = 8
TICK = 0.0005  # seconds between two looks at whether an interpreter goes on
THINKING = 0.002  # seconds between two requests of the one who measures
LOAD_CONNECTIONS = 4
LONGEST = 180  # seconds that a publish may take
PUBLISHED = Scale(icps=10_000, variants=200, pages=4)
SIZES = (Scale(100, 50, 2), Scale(1_000, 500, 10), Scale(10_000, 5_000, 20))


@dataclass(frozen=True, slots=True)
class Waits:
    """How long answers took, in ms."""

    requests: int
    p50: float
    p99: float
    longest: float


@dataclass(frozen=True, slots=True)
class Publish:
    """One publish under load. `failures`: what came of requests that were not answered 200, of the load and of the one
    who measures, and how many ms after the change.

    `handover` are the answers from the moment at which workers are told until the old content is freed.
    """

    rules: int
    seconds: float  # from the last change of a file until the new page is served
    failures: tuple[str, ...]
    load: int  # requests of the load, meanwhile and before
    quiet: Waits
    publishing: Waits
    handover: Waits


@dataclass(frozen=True, slots=True)
class Growth:
    """What a size costs in processor seconds and memory: checking it, and starting with it unchanged."""

    icps: int
    variants: int
    check: float
    load: float
    megabytes: float  # of a process that has loaded it
    file: float  # megabytes of the kept content


def measure_publish(folder: Path, scale: Scale = PUBLISHED, seconds: int = QUIET_SECONDS) -> Publish:
    """Serve a workspace, put load on it, change it, and see what its visitors notice; `seconds` in quiet, before."""
    root = write_large(folder / "published", scale)
    with _serve(folder, root) as (port, log), _load(port) as load:
        ask = _Asker(port)
        ask.until(time.monotonic() + 2)  # caches fill
        quiet = ask.until(time.monotonic() + seconds)
        began = time.monotonic()
        write_large(root, scale, edition=2)
        ask.connect()  # a server lets silent connections go
        changed = time.monotonic()
        told, live, freed = 0.0, 0.0, 0.0
        while not freed or time.monotonic() < freed:
            ask.once()
            now = time.monotonic()
            if not live and "edition 2" in ask.body:
                live = now
                freed = now + 2 + 2 * seconds  # the grace, and time to free
            if not told and "publishing revision" in log.read_text():
                told = now
            if now - changed > LONGEST:
                raise BenchError(f"The new content was not served within {LONGEST} s: {log.read_text()[-500:]}")
        publishing = [wait for start, wait in ask.waits if start >= began]
        handover = [wait for start, wait in ask.waits if start >= told]
        sent, broken = load()
    failures = tuple(f"{what}, {(when - changed) * 1000:,.0f}" for when, what in (*ask.failures, *broken))
    return Publish(
        scale.icps, live - changed, failures, sent, quiet, _waits(publishing), _waits(handover)
    )  # fmt: skip


def measure_pause(folder: Path, scale: Scale = PUBLISHED) -> float:
    """The longest time, in ms of a processor, for which a worker's interpreter lets no request go on while it takes
    over new content and frees the old. In a process of its own, with a worker's own thread for it."""
    root, data = folder / "handed", folder / "data-handed"
    revisions = []
    for edition in (1, 2):
        write_large(root, scale, edition)
        revisions.append(hash_workspace(root))
        _run(
            "from pathlib import Path\nfrom personalizer.content.compile import load_content\n"
            "from personalizer.content.store import save_content\n"
            f"save_content(Path({str(data)!r}), load_content(Path({str(root)!r})))"
        )
    settings = _settings(root, data)
    pause, *_ = _run(f"from benchmarks.publish import hand_over\nprint(hand_over({settings}, *{revisions!r}))")
    return pause


def hand_over(settings: Settings, old: str, new: str) -> float:
    """In that process: be a worker with the content of `old`, take over that of `new`, and look at the clock."""
    gc.disable()
    content = finish(read_content(content_file(settings.data, old)))
    gc.freeze()
    gc.enable()
    edge = open_edge(settings, content, open_visitor_reader(settings))
    del content  # the worker's thread alone lets it go
    ours, theirs = socket.socketpair()
    worker = threading.Thread(target=follow_supervisor, args=(edge, settings, theirs), daemon=True)
    worker.start()
    ours.sendall(f"{new}\n".encode())
    ours.shutdown(socket.SHUT_WR)  # with this one, it ends
    assert worker.ident is not None
    clock = time.pthread_getcpuclockid(worker.ident)
    longest, last = 0.0, 0.0
    while worker.is_alive():
        with contextlib.suppress(OSError):  # it has just ended
            now = time.clock_gettime(clock)
            longest, last = max(longest, now - last), now
        time.sleep(TICK)
    return longest * 1000


def measure_growth(folder: Path, sizes: tuple[Scale, ...] = SIZES) -> list[Growth]:
    """Check and load workspaces of some sizes, each in a fresh process."""
    return [_measure_size(folder, scale) for scale in sizes]


def _settings(root: Path, data: Path) -> str:
    return f"load_settings({{'workspace': {str(root)!r}, 'data': {str(data)!r}}}, environ={{}})"


def _measure_size(folder: Path, scale: Scale) -> Growth:
    root = write_large(folder / f"size-{scale.icps}", scale)
    data = folder / f"data-{scale.icps}"
    settings = _settings(root, data)
    check = f"from personalizer.content.compile import load_content\nload_content({settings}.workspace)"
    load = f"from personalizer.publish import open_content\nkept = open_content({settings})"
    checked, _ = _run(check)
    _run(load)  # compiles and keeps it
    loaded, megabytes = _run(load)
    kept = sum(path.stat().st_size for path in (data / "content").iterdir()) / 1e6
    return Growth(scale.icps, scale.variants, checked, loaded, megabytes, kept)


_USED = """
import resource
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


def _run(code: str) -> list[float]:
    """What `code` prints in a fresh process, and the processor seconds and megabytes of that, its imports included."""
    code = f"from personalizer.config import load_settings\n{code}\n{_USED}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"A workspace could not be read: {done.stderr[-1000:]}")
    return [float(figure) for figure in done.stdout.split()]


# --- a server, load, and one who measures ---


@contextlib.contextmanager
def _serve(folder: Path, root: Path) -> Iterator[tuple[int, Path]]:
    port, parent, log = probe_port("127.0.0.1", 0), os.getpid(), folder / "publish.log"
    settings = {"WORKSPACE": root, "DATA": folder / "data-publish", "PORT": port, "WORKERS": 1, "THREADS": 2}
    settings |= {"WATCH": "yes", "SECRET_KEY": secrets.token_hex(32)}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PERSONALIZER_")}
    environ |= {f"PERSONALIZER_{name}": str(value) for name, value in settings.items()}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "personalizer", "serve"],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=output,
            preexec_fn=lambda: die_with_parent(parent),
        )
    try:
        deadline = time.monotonic() + LONGEST
        while not answers("127.0.0.1", port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"The server did not start: {log.read_text()[-1000:]}")
            time.sleep(0.1)
        yield port, log
    finally:
        process.terminate()
        process.wait(20)


_LOAD = """
import http.client, json, sys, threading, time
port, host, connections = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sent, broken = 0, []
stop = threading.Event()
def visit(number):
    global sent
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    while not stop.wait(0.005):
        sent += 1
        try:
            connection.request("GET", f"/page-{sent % 4}?utm_term=stock+{number}", headers={"Host": host})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                broken.append((time.monotonic(), str(answer.status)))
        except (OSError, http.client.HTTPException) as error:
            broken.append((time.monotonic(), repr(error)))
            connection.close()
threads = [threading.Thread(target=visit, args=(number,)) for number in range(connections)]
for thread in threads: thread.start()
sys.stdin.read()
stop.set()
for thread in threads: thread.join()
print(json.dumps([sent, broken]))
"""


@contextlib.contextmanager
def _load(port: int) -> Iterator[Callable[[], tuple[int, list[tuple[float, str]]]]]:
    """Visitors of four pages, until the block asks how many there were and how many were not served."""
    parent = os.getpid()
    process = subprocess.Popen(
        [sys.executable, "-c", _LOAD, str(port), HOST, str(LOAD_CONNECTIONS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: die_with_parent(parent),
    )

    def end() -> tuple[int, list[tuple[float, str]]]:
        said, _ = process.communicate(timeout=30)
        sent, broken = json.loads(said)
        return sent, broken

    try:
        yield end
    finally:
        process.kill()
        process.wait()


class _Asker:
    """One visitor on one connection, who notes how long each answer takes."""

    def __init__(self, port: int) -> None:
        self.waits: list[tuple[float, float]] = []
        self.failures: list[tuple[float, str]] = []
        self.body = ""
        self._port = port
        self._socket = socket.socket()
        self.connect()
        self._request = f"GET /page-0 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()

    def once(self) -> None:
        start = time.monotonic()
        try:
            head, self.body = self._ask()
            if not head.startswith("HTTP/1.1 200"):
                self.failures.append((time.monotonic(), head.partition("\r\n")[0]))
        except OSError as error:
            self.failures.append((time.monotonic(), repr(error)))
            self.connect()
        self.waits.append((start, (time.monotonic() - start) * 1000))
        time.sleep(THINKING)

    def connect(self) -> None:
        """Speak on a new connection."""
        self._socket.close()
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=20)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _ask(self) -> tuple[str, str]:
        """The head of an answer, and the first of its body. Raises OSError when it does not come whole."""
        self._socket.sendall(self._request)
        head, _, body = self._receive().partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        while len(body) < length:
            body += self._receive()
        return head.decode("latin-1"), body[:2000].decode("utf-8", "replace")

    def _receive(self) -> bytes:
        received = self._socket.recv(1 << 18)
        if not received:
            raise ConnectionResetError("the server closed the connection")
        return received

    def until(self, end: float) -> Waits:
        first = len(self.waits)
        while time.monotonic() < end:
            self.once()
        return _waits([wait for _, wait in self.waits[first:]])


def _waits(waits: list[float]) -> Waits:
    cuts = statistics.quantiles(waits, n=100)
    return Waits(len(waits), round(cuts[49], 3), round(cuts[98], 3), round(max(waits), 3))


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="personalizer-publish-") as name:
        print(json.dumps(asdict(measure_publish(Path(name))), indent=1))
        print(f"longest pause of a worker's interpreter: {measure_pause(Path(name)):.1f} ms")
        for growth in measure_growth(Path(name)):
            print(json.dumps(asdict(growth)))


if __name__ == "__main__":
    main()
