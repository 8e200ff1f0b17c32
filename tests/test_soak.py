"""Mixed load for long, while files are changed: no page fails, memory stays flat, slow answers stay as they are.

`make test` runs a minute of it; `make soak` half an hour.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median

import pytest
from servers import (
    AT_HOME,
    EXCLUDED,
    FRANCE,
    SOFTWARE_COMPANY,
    STARTUP,
    TARGET_ACCOUNT,
    WORKSPACE,
    Client,
    Server,
    demo_links,
    run_server,
    until,
)
from test_visitor_bots import make_hostile

pytestmark = pytest.mark.slow

SOAK = "PERSONALIZER_SOAK" in os.environ
SECONDS = 1800 if SOAK else 60
WARM = SECONDS / 3  # caches fill until then
GROWTH = 1.02 if SOAK else 1.1  # of memory afterwards; in a minute the caches are still filling
GEO_EVERY = 60 if SOAK else 5  # seconds between two look-up files
PUBLISH_EVERY = 10
CLIENTS = 4
THINKING = 0.008  # seconds between what a client does
NEW_EVERY = 50  # visits of a client between two that nobody has seen before
CROWD = 8192  # addresses of hostile agents: what is remembered of them all is there after the first third
LINKS = [
    *demo_links().values(),
    "/payroll",
    "/startup",
    "/payroll?utm_source=google&utm_term=close+the+books&gclid=C-1",
]
PLACES = (AT_HOME, EXCLUDED, FRANCE, SOFTWARE_COMPANY, STARTUP, TARGET_ACCOUNT)
GEO = WORKSPACE / "personalizer/visitor/data/sample/city.mmdb"


@dataclass
class Ledger:
    """What was answered: statuses by what was asked, and each page's moment and milliseconds."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    pages: list[tuple[float, float]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


class Crowd:
    """One client after the other, for ever: people who come back, and strangers who mean no good."""

    def __init__(self, server: Server, seed: int, ledger: Ledger) -> None:
        self.server, self.ledger, self.dice = server, ledger, random.Random(seed)
        agents = [agent for agent in make_hostile(seed) if agent.isascii() and agent.isprintable()]
        self.agents = (f"{agent[:480]} {number}" for number in count() for agent in agents)  # never one twice
        self.person = Client(server)

    def come_for_ever(self, stop: threading.Event) -> None:
        for number in count():
            if stop.wait(THINKING):
                return
            try:
                self.come(number)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is the answer to the question
                self.ledger.broken.append(repr(error))

    def come(self, number: int) -> None:
        if number % NEW_EVERY == 0:
            self.person = Client(self.server, self.dice.choice(PLACES))
        if number % 3 == 0:
            agent, place = next(self.agents), self.dice.randrange(CROWD)
            address = f"192.0.{place // 256}.{place % 256}"
            self.see_page(Client(self.server, address, agent), self.dice.choice(LINKS))
            return
        token = self.see_page(self.person, self.dice.choice(LINKS))
        if number % 3 == 1:
            self.note("sign", self.person.post_json("/_pz/e", {"d": token, "e": [{"k": "seen"}]}).status)
        if number % 10 == 2:
            sent = {"goal": "cta_click", "d": token, "id": f"{id(self)}-{number}"}
            self.note("conversion", self.person.post_json("/_pz/convert", sent).status)
        if number % 20 == 2:
            long = "/payroll?" + "&".join(f"utm_term={number % 1000}-{copy}" for copy in range(50))
            self.note("hostile", self.person.get(long, Referer="https://" + "x" * 500).status)
            self.note("nothing", self.person.get(f"/{self.dice.random()}").status)

    def see_page(self, client: Client, path: str) -> str:
        began = time.perf_counter()
        answer = client.get(path)
        self.ledger.pages.append((began, (time.perf_counter() - began) * 1000))
        self.note("page", answer.status)
        assert answer.body.endswith(b"</html>"), answer.body[-50:]
        return answer.token

    def note(self, what: str, status: int) -> None:
        self.ledger.statuses[what, status] += 1


@dataclass
class Chore:
    """Something that is done to a server while it serves, again and again."""

    every: float  # seconds
    do: Callable[[int], None]  # with how often it was done before


def do_for_ever(chore: Chore, ledger: Ledger, stop: threading.Event) -> None:
    for number in count():
        if stop.wait(chore.every):
            return
        try:
            chore.do(number)
        except Exception as error:  # noqa: BLE001  # a chore that fails must not end unseen
            ledger.broken.append(repr(error))


def replace_geo(path: Path) -> Chore:
    """A new look-up file is renamed over the old one; every third is damaged."""

    def replace(number: int) -> None:
        new = path.with_suffix(".new")
        new.write_bytes(GEO.read_bytes()[: 500 if number % 3 == 1 else None])
        new.replace(path)

    return Chore(GEO_EVERY, replace)


def publish(site: Path) -> Chore:
    """Another headline for everybody whom no row is for."""
    page = site / "variants/pages/payroll/page.yaml"
    headline = _headline(page)

    def write(number: int) -> None:
        new = page.with_name(".page.yaml.new")  # as an editor does: beside it, then in its place
        new.write_text(page.read_text().replace(_headline(page), f"{headline.rstrip()} ({number})"))
        new.replace(page)

    return Chore(PUBLISH_EVERY, write)


def _headline(page: Path) -> str:
    return next(line for line in page.read_text().splitlines() if line.strip().startswith("headline:"))


@contextmanager
def running(ledger: Ledger, server: Server, *chores: Chore) -> Iterator[None]:
    """The crowd and the chores, for as long as the block lasts."""
    stop = threading.Event()
    jobs = [threading.Thread(target=Crowd(server, seed, ledger).come_for_ever, args=(stop,)) for seed in range(CLIENTS)]
    jobs += [threading.Thread(target=do_for_ever, args=(chore, ledger, stop)) for chore in chores]
    for job in jobs:
        job.start()
    try:
        yield
    finally:
        stop.set()
        for job in jobs:
            job.join()


def memory_of(pid: int) -> int:
    """Kilobytes that are a process's own: without what it shares and without mapped files."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


def watch(workers: list[int], end: float, samples: list[tuple[float, dict[int, tuple[int, int]]]]) -> None:
    """Memory and open files of each worker, every second."""
    while (now := time.perf_counter()) < end:
        samples.append((now, {pid: (memory_of(pid), len(os.listdir(f"/proc/{pid}/fd"))) for pid in workers}))
        time.sleep(1)


def slow_pages(ledger: Ledger, since: float, end: float) -> float:
    """Milliseconds that all but one in a hundred pages took: the median of such times of ten-second spans."""
    spans: dict[int, list[float]] = {}
    for began, took in ledger.pages:
        if since <= began < end:
            spans.setdefault(int(began // 10), []).append(took)
    return median(sorted(times)[len(times) * 99 // 100] for times in spans.values())


def test_a_long_mixed_load(tmp_path: Path) -> None:
    geo, site, ledger = tmp_path / "city.mmdb", tmp_path / "site", Ledger()
    geo.write_bytes(GEO.read_bytes())
    for part in ("variants", "templates"):
        shutil.copytree(WORKSPACE / part, site / part)
    samples: list[tuple[float, dict[int, tuple[int, int]]]] = []
    with run_server(tmp_path / "data", workspace=site, WATCH="yes", WORKERS="2", GEO_CITY=str(geo)) as server:
        workers = until(lambda: found if len(found := sorted(server.workers())) == 2 else [])
        began = time.perf_counter()
        with running(ledger, server, replace_geo(geo), publish(site)):
            watch(workers, began + SECONDS, samples)
        # Its other children, which compile content and read new files, come and go.
        assert set(workers) <= set(server.workers()), "a worker had to be started again"
        log = server.log.read_text()
        assert "Traceback" not in log
        assert log.count("published revision") >= SECONDS / PUBLISH_EVERY / 2

    assert ledger.broken == []
    pages = sum(number for (what, _), number in ledger.statuses.items() if what == "page")
    assert pages > SECONDS * 30
    assert {status for what, status in ledger.statuses if what in ("page", "hostile")} == {200, 451}
    assert {status for what, status in ledger.statuses if what == "sign"} == {204}
    assert {status for what, status in ledger.statuses if what == "conversion"} == {202}
    assert {status for what, status in ledger.statuses if what == "nothing"} == {404}

    middle, end = began + (WARM + SECONDS) / 2, began + SECONDS
    for worker in workers:
        kept = [(moment, *sample[worker]) for moment, sample in samples if moment >= began + WARM]
        before = [(memory, files) for moment, memory, files in kept if moment < middle]
        after = [(memory, files) for moment, memory, files in kept if moment >= middle]
        assert median(memory for memory, _ in after) <= median(memory for memory, _ in before) * GROWTH
        assert max(files for _, files in after) <= max(files for _, files in before) + 5
    early, late = slow_pages(ledger, began + WARM, middle), slow_pages(ledger, middle, end)
    assert late <= early * 1.5 + 5
