"""The rates file's shape: who the simulated visitors are, what they truly do, and what their sender knows about them.

What enters: plain data from a YAML file. What leaves: a checked `Rates`. Must not: know a workspace; `population.py`
checks names against one.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints

from personalizer.content.fields import Document, Key, Share, Text


def _network(value: Any) -> Any:
    return ip_network(value) if isinstance(value, str) else value


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
Agents = Annotated[list[Text], Field(min_length=1)]


class Expect(Document):
    """What the sender knows about a kind. It is the segment in the ledger; the served row and status must agree."""

    row: Key | None = None
    icp: Key | None = None
    persona: Key | None = None
    status: int = 200


class Kind(Document):
    """One kind of visitor: `share` is its weight among all, `mobile` the share of its people who hold a telephone.

    They come by `ad` (as campaign.ad_set.ad) or by `path`, from `addresses`, with extra `headers`. A kind that is not
    `counted` is served and never in the ledger's cells, as people of the workspace's internal networks.
    """

    key: Key
    share: Annotated[float, Field(gt=0)]
    ad: Text | None = None
    path: Annotated[str, StringConstraints(pattern=r"^/[!-~]*$")] | None = None
    addresses: Annotated[list[Network], Field(min_length=1)]
    mobile: Share = 0.3
    headers: dict[str, str] = {}
    counted: bool = True
    expect: Expect = Expect()


class Rate(Document):
    """True rates of one cell: the probability that a person who first saw it reaches each goal.

    `arm` is what the page says of itself: an arm, `holdout`, `personalized` or `original`. Without `icp` it is for
    everybody there. The first entry that fits a person is theirs.
    """

    page: Key
    row: Key | None = None
    arm: Key
    icp: Key | None = None
    goals: dict[Key, Share]


class Behaviour(Document):
    """Shares of people who do this. None of it may change a count, but that `unseen` people are in none."""

    reload: Share = 0  # see the page up to three times more
    returning: Share = 0  # come again to the bare path, with their cookie
    replay: Share = 0  # send each conversion twice, with one id
    repeat: Share = 0  # send each conversion, or form, once more without an id
    noscript: Share = 0  # send pixels instead of beacons
    unseen: Share = 0  # send nothing that confirms a view
    form: Share = 0  # reach the goal of the page's form by the form
    cookie: Share = 0  # convert by the cookie alone, without naming the decision
    late: Share = 0  # convert before the beacon
    head: Share = 0  # ask for the head of the page first
    bots: Share = 0  # have a crawler follow the same link
    orphans: Share = 0  # have a stranger convert as well


class Browsers(Document):
    """User-Agent headers to choose from."""

    desktop: Agents
    mobile: Agents
    bots: Agents


class Rates(Document):
    """A whole rates file."""

    kinds: Annotated[list[Kind], Field(min_length=1)]
    rates: list[Rate]
    behaviour: Behaviour = Behaviour()
    agents: Browsers
