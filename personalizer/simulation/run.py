"""The whole simulation: look whether the server is the one that the rates file is about, then send everybody.

What enters: a population, a server's address, a seed. What leaves: a ledger. Must not: go on once anything went
otherwise than declared; a ledger is exact or there is none.
"""

from __future__ import annotations

import datetime as dt
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from personalizer.simulation.client import Connection
from personalizer.simulation.ledger import Ledger
from personalizer.simulation.plan import draw_plan
from personalizer.simulation.population import Population
from personalizer.simulation.preflight import check_server
from personalizer.simulation.visit import Visit, send_bot, send_stranger

SENDERS = 4  # connections; more do not help while one process sends
STEP = 25  # visitors between two signs of progress


@dataclass(frozen=True, slots=True)
class Sent:
    """A finished simulation: its ledger as JSON, when it began, and how many requests it took."""

    ledger: dict[str, Any]
    started: dt.datetime
    requests: int


def send_population(population: Population, url: str, seed: int, visitors: int, advance: Callable[[int], None]) -> Sent:
    """Send `visitors` people to the server at `url`; `advance` is told how many more are done, from any thread.

    Raises SimulationError when the server ignores where visitors come from, or shows what the rates file does not
    expect.
    """
    started = dt.datetime.now(dt.UTC)
    ledger = Ledger()
    requests = check_server(population, url, ledger)
    name = secrets.token_urlsafe(6)  # this simulation's conversion ids; the same seed may be sent again
    stop = threading.Event()
    with ThreadPoolExecutor(SENDERS) as pool:
        senders = [
            _Sender(population, Connection(url), seed, range(place, visitors, SENDERS), name, stop)
            for place in range(SENDERS)
        ]
        running = [pool.submit(sender.run, advance) for sender in senders]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
    for future in running:
        future.result()
    for sender in senders:
        ledger.merge(sender.ledger)
        requests += sender.connection.requests
    head = {
        "seed": seed,
        "visitors": visitors,
        "started": started.isoformat(),
        "ended": dt.datetime.now(dt.UTC).isoformat(),
    }
    rates = [rate.model_dump() for rate in population.rates.rates]
    return Sent({**head, **ledger.as_json(), "rates": rates}, started, requests)


@dataclass(slots=True)
class _Sender:
    """One connection, and the visitors that go through it one after another. Its ledger is its own."""

    population: Population
    connection: Connection
    seed: int
    numbers: range
    name: str
    stop: threading.Event
    ledger: Ledger = field(default_factory=Ledger)

    def run(self, advance: Callable[[int], None]) -> None:
        """Send everybody, until somebody's visit goes wrong, here or at another sender."""
        done = 0
        try:
            for number in self.numbers:
                if self.stop.is_set():
                    return
                self._send(number)
                done += 1
                if done % STEP == 0:
                    advance(STEP)
        finally:
            advance(done % STEP)
            self.connection.close()

    def _send(self, number: int) -> None:
        plan = draw_plan(self.population, self.seed, number)
        Visit(self.connection, self.population, plan, self.ledger, f"{self.name}-{number}").run()
        if plan.bot is not None:
            send_bot(self.connection, plan, self.ledger)
        if plan.stranger is not None:
            send_stranger(self.connection, plan, self.ledger)
