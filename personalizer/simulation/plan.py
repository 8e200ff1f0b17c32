"""Who comes: every decision of a simulated visitor that does not depend on what the server answers.

What enters: a `Population`, a seed, a visitor's number. What leaves: the same `Plan` every time. Must not: talk to a
server, or throw dice that what a server answered could shift.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from personalizer.simulation.population import Population
from personalizer.simulation.rates import Kind

MOST_RELOADS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What one person will do. `luck` is a uniform number per goal: below the true rate, the goal is reached.

    `bot` is the crawler that follows the same link, `stranger` an address from which somebody unknown converts;
    `others_goal` is what these two set off.
    """

    kind: Kind
    link: str
    page: str
    address: str
    agent: str
    luck: Mapping[str, float]
    reloads: int
    returns: bool
    replays: bool
    repeats: bool
    noscript: bool
    unseen: bool
    by_form: bool
    by_cookie: bool
    late: bool
    asks_head: bool
    bot: str | None
    stranger: str | None
    others_goal: str


def draw_plan(population: Population, seed: int, number: int) -> Plan:
    """The plan of visitor `number`: always the same dice in the same order."""
    dice = random.Random(f"{seed}:{number}")  # noqa: S311 - dice, not secrets
    rates = population.rates
    shares, agents = rates.behaviour, rates.agents
    place = dice.choices(range(len(rates.kinds)), [kind.share for kind in rates.kinds])[0]
    kind = rates.kinds[place]
    address, elsewhere = draw_address(kind, dice), draw_address(kind, dice)
    agent = dice.choice(agents.mobile if dice.random() < kind.mobile else agents.desktop)
    reloads = dice.randint(1, MOST_RELOADS)
    bot, others_goal = dice.choice(agents.bots), dice.choice(population.goals)
    does = {name: dice.random() < share for name, share in shares}
    return Plan(
        kind=kind,
        link=population.links[place],
        page=population.pages[place],
        address=address,
        agent=agent,
        luck={goal: dice.random() for goal in population.goals},
        reloads=reloads if does["reload"] else 0,
        returns=does["returning"],
        replays=does["replay"],
        repeats=does["repeat"],
        noscript=does["noscript"],
        unseen=does["unseen"],
        by_form=does["form"],
        by_cookie=does["cookie"],
        late=does["late"],
        asks_head=does["head"],
        bot=bot if does["bots"] else None,
        stranger=elsewhere if does["orphans"] and kind.counted else None,
        others_goal=others_goal,
    )


def draw_address(kind: Kind, dice: random.Random) -> str:
    """An address of one of the kind's networks, each network as likely as the others."""
    network: IPv4Network | IPv6Network = dice.choice(kind.addresses)
    return str(network[dice.randrange(network.num_addresses)])
