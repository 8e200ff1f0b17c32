"""Processes killed, and a disk that fills up: what was acknowledged is in the lake, once, and nothing else is.

`make test` kills 50 workers and 10 whole servers; `make soak` 1,000 and 100.
"""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from servers import (
    Client,
    Server,
    decision_of,
    demo_links,
    journal_rows,
    lake_rows,
    run_server,
    running,
    until,
)

from personalizer.events.collector import collect_once
from personalizer.events.lake import open_table

pytestmark = pytest.mark.fault

CFO = demo_links()["cfo"]
FORM = "/_pz/form/payroll/form"
SOAK = "PERSONALIZER_SOAK" in os.environ
SERVERS, WORKERS = (100, 10) if SOAK else (10, 5)
CLIENTS = 4
THINKING = 0.02  # seconds between what a client does, so that the servers and the collector have a processor too
PACE = 25  # conversions acknowledged between two kills


@dataclass
class Ledger:
    """What the clients sent, and what they were told. Only ids that nobody else ever uses."""

    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    forms_sent: set[str] = field(default_factory=set)
    forms_acknowledged: set[str] = field(default_factory=set)
    served: set[str] = field(default_factory=set)
    answers: Counter[int] = field(default_factory=Counter)


def visit_for_ever(server: Server, name: str, ledger: Ledger, stop: threading.Event) -> None:
    """See a page and convert, again and again; now and then send the form. A request that fails is not repeated."""
    for number in count():
        if stop.wait(THINKING):
            return
        visitor, this = Client(server, f"192.0.2.{number % 256}"), f"{name}-{number}"
        try:
            page = visitor.get(CFO)
            ledger.served.add(decision_of(page.token))
            ledger.sent.add(this)
            answer = visitor.post_json("/_pz/convert", {"goal": "demo_request", "id": this, "d": page.token})
            if answer.status == 202:
                ledger.acknowledged.add(this)
            ledger.answers.update([page.status, answer.status])
            if number % 20 == 0:
                ledger.forms_sent.add(this)
                typed = {
                    "name": this,
                    "email": "a@b.example",
                    "company": "B",
                    "employees": "51 to 250",
                    "d": page.token,
                }
                if visitor.post_form(FORM, typed).status == 303:
                    ledger.forms_acknowledged.add(this)
        except ConnectionError:
            continue


@contextmanager
def load(server: Server, ledger: Ledger) -> Iterator[None]:
    """Clients that keep coming for as long as the block lasts, whatever becomes of the server on its port."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=visit_for_ever, args=(server, f"client{number}", ledger, stop))
        for number in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def await_answers(ledger: Ledger) -> None:
    """Until the clients have been answered again."""
    enough = len(ledger.acknowledged) + PACE
    until(lambda: len(ledger.acknowledged) >= enough)


def await_commit(data: Path) -> None:
    """Until the collector has brought more to the lake, so that killing it can lose or double something."""

    def version() -> int:
        table = open_table(data / "lake" / "events")
        return table.version() if table else -1

    before = version()
    until(lambda: version() > before)


def kill_all_through(server: Server, ledger: Ledger) -> None:
    """Kill each worker, now and then the collector, then the whole server; start that again; and so on."""
    for turn in range(SERVERS):
        for pid in server.workers():
            await_answers(ledger)
            os.kill(pid, signal.SIGKILL)
        await_commit(server.data)
        if turn % 4 == 1:
            (collector,) = until(server.collectors)
            os.kill(collector, signal.SIGKILL)
            await_commit(server.data)
        pids = server.kill()
        until(partial(all_ended, pids), 5)
        server.start_again(WORKERS=str(WORKERS))
    await_answers(ledger)


def all_ended(pids: list[int]) -> bool:
    return not running(pids)


def test_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    data, ledger = tmp_path / "data", Ledger()
    with run_server(data, WORKERS=str(WORKERS)) as server:
        with load(server, ledger):
            kill_all_through(server, ledger)
        pids = [server.process.pid, *server.children()]
        assert server.stop() == 0
        assert all_ended(pids)
    collect_once(data, data / "lake")

    events = lake_rows(data, "events", "event_id, kind, conversion_id, decision_id, lead_id")
    assert max(Counter(event for event, *_ in events).values()) == 1
    kept = Counter(conversion for _, kind, conversion, *_ in events if kind == "conversion")
    exposures = Counter(decision for _, kind, _, decision, _ in events if kind == "exposure")
    assert max(kept.values()) == max(exposures.values()) == 1
    assert ledger.acknowledged <= set(kept) <= ledger.sent
    assert ledger.served <= set(exposures)

    leads = lake_rows(data, "leads", "lead_id, fields ->> 'name'")
    names = Counter(name for _, name in leads)
    assert max(names.values()) == 1
    assert ledger.forms_acknowledged <= set(names) <= ledger.forms_sent
    counted = [lead for _, kind, *_, lead in events if kind == "lead"]
    assert len(counted) >= len(ledger.forms_acknowledged)
    assert set(counted) <= {lead for lead, _ in leads}, "a lead is kept before it is counted"

    assert set(ledger.answers) == {200, 202}
    assert len(ledger.acknowledged) > SERVERS * WORKERS * PACE
    assert len(ledger.forms_acknowledged) > SERVERS


def test_a_full_disk_refuses_conversions_and_serves_pages(tmp_path: Path) -> None:
    """The limit on a file's size stands in for the disk: a write stops in the middle, as on a full one."""
    with run_server(tmp_path / "data") as server:
        visitor = Client(server)
        page = visitor.get(CFO)
        convert = {"goal": "cta_click", "d": page.token}
        kept = [visitor.post_json("/_pz/convert", convert | {"id": f"before-{number}"}) for number in range(30)]
        assert {answer.status for answer in kept} == {202}
        (worker,) = server.workers()
        (journal,) = (server.data / "journal" / "events").glob("*/*.journal")
        size = journal.stat().st_size

        resource.prlimit(worker, resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
        for number in range(10):
            refused = visitor.post_json("/_pz/convert", convert | {"id": f"full-{number}"})
            assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
            assert refused.json["type"] == "urn:personalizer:journal"
            assert visitor.get(CFO).status == 200
            assert visitor.post_json("/_pz/e", {"d": page.token, "e": [{"k": "seen"}]}).status == 503
        typed = {"name": "Ada", "email": "ada@b.example", "company": "B", "employees": "51 to 250"}
        form = visitor.post_form(FORM, typed | {"d": page.token})
        assert form.status == 503
        assert 'value="ada@b.example"' in form.text
        assert "Please send it again." in form.text
        assert journal.stat().st_size == size, "of a row that does not fit, nothing is kept"

        resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert visitor.post_json("/_pz/convert", convert | {"id": "after"}).status == 202
        assert server.workers() == [worker]
        ids = [row["conversion_id"] for row in journal_rows(server.data, "events", kind="conversion")]
        assert ids == [*(f"before-{number}" for number in range(30)), "after"]
