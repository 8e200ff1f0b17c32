"""Before anybody is sent: is this the server that the rates file is about?

What enters: a population and a server's address. What leaves: nothing, or a SimulationError that says what to change.
Must not: disturb the count. It looks as a crawler, who gets the same page and is never counted.
"""

from __future__ import annotations

import random

from personalizer.errors import SimulationError
from personalizer.simulation.client import Browser, Connection, Page
from personalizer.simulation.ledger import Ledger
from personalizer.simulation.plan import draw_address
from personalizer.simulation.population import Population
from personalizer.simulation.rates import Kind

_SAMPLES = "PERSONALIZER_GEO_CITY, _GEO_CONNECTION, _GEO_ANONYMOUS and _COMPANIES"


def check_server(population: Population, url: str, ledger: Ledger) -> int:
    """Compare each kind's page with what the rates file expects; the number of requests it took.

    Raises SimulationError when one differs. Where every page is the same without X-Forwarded-For, that is the cause.
    """
    connection = Connection(url)
    dice = random.Random(0)  # noqa: S311 - any address of the kind will do
    try:
        addresses = [draw_address(kind, dice) for kind in population.rates.kinds]
        shown = _look(connection, population, addresses, ledger)
        kinds = list(zip(population.rates.kinds, addresses, shown, strict=True))
        wrong = next((one for one in kinds if _differs(one[0], one[2])), None)
        if wrong is None:
            return connection.requests
        plain = _look(connection, population, [""] * len(addresses), ledger)
    finally:
        connection.close()
    kind, address, page = wrong
    if [(page.status, page.row) for page in plain] != [(page.status, page.row) for page in shown]:
        raise _unexpected(kind, address, page)
    raise SimulationError(
        f"The server at {url} ignores X-Forwarded-For: {kind.key} from {address} got row {page.row or 'none'} with "
        f"status {page.status}, as without that header, and not row {kind.expect.row or 'none'} with status "
        f"{kind.expect.status}. Start it with PERSONALIZER_TRUSTED_PROXIES=127.0.0.0/8, and with {_SAMPLES} set to "
        "`sample`, so that it knows the addresses."
    )


def check_page(kind: Kind, address: str, page: Page) -> None:
    """Raise SimulationError unless the page is the one that the sender expects this kind to get."""
    if _differs(kind, page):
        raise _unexpected(kind, address, page)


def _unexpected(kind: Kind, address: str, page: Page) -> SimulationError:
    return SimulationError(
        f"{kind.key}: from {address} the server shows row {page.row or 'none'} with status {page.status}, "
        f"where the rates file expects row {kind.expect.row or 'none'} with status {kind.expect.status}. "
        "`personalizer explain` says why; correct the workspace or the rates file."
    )


def _differs(kind: Kind, page: Page) -> bool:
    return (page.status, page.row) != (kind.expect.status, kind.expect.row)


def _look(connection: Connection, population: Population, addresses: list[str], ledger: Ledger) -> list[Page]:
    """What a crawler at these addresses is shown, kind by kind."""
    agent = population.rates.agents.bots[0]
    pages = []
    for kind, link, address in zip(population.rates.kinds, population.links, addresses, strict=True):
        pages.append(Browser(connection, address, agent, kind.headers).open(link))
        ledger.sent_views += 1
        ledger.leave_out("bots", 1, ())
    return pages
