"""The page that every peer serves: an 11 KB landing page with four tokens, and its other copies.

What enters: nothing. What leaves: the template's file, and `COPY`, of which variants change a few slots.
Must not: know who serves it. In copy, `{{ fact | fallback }}` is a token.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

Copy = dict[str, Any]

TEMPLATE_FILE = Path(__file__).with_name("offer.html")

_BLOCKS = (
    (
        "One count that everybody trusts",
        "Shelves, vans, pallets on the way and boxes at the repair shop are in one count. A scan at the door moves an "
        "item from one place to the other, and the count is right before the door closes. Nobody walks the aisles on "
        "the last Friday of the month, and nobody explains a difference that a typing mistake has made.",
    ),
    (
        "Orders that know the season",
        "The proposal for tomorrow's order reads three years of your own sales, the weather of the week and what your "
        "suppliers have promised. You see why each figure is what it is, change it where you know better, and send "
        "all of it with one click. What you changed is remembered, and next time it is part of the proposal.",
    ),
    (
        "Suppliers that answer in hours",
        "A supplier gets a link, not a password. They confirm a date, say what is short, or offer the larger box, and "
        "the answer stands in your plan at once. Late deliveries are named while there is still time to buy "
        "elsewhere, and the talk about last year's delays begins with the same list on both sides of the table.",
    ),
    (
        "Returns without a heap",
        "Every return is looked at once, by the person who opens the parcel. Photographs, the reason and the refund "
        "are done before the next parcel is opened, and good items are for sale again on the same day. What is broken "
        "goes back to its maker with the proof that they ask for, and the money for it is followed up by itself.",
    ),
    (
        "Money that is not asleep",
        "Each item says how many days of sales it holds and what that costs. The list of what should be sold off "
        "begins with the most money and ends where the work is not worth it. Teams that follow it for a year have "
        "freed a fifth of what lay on their shelves, and the bank was the first to notice.",
    ),
    (
        "Shelves that are where the map says",
        "Draw your hall once, with a tape measure and a mouse. From then on every pick list follows the shortest way, "
        "new goods get the place where they are sold from soonest, and a helper on the first day finds a screw of "
        "four millimetres as fast as the colleague who has put it there.",
    ),
    (
        "A morning page instead of a meeting",
        "At seven the figures of yesterday are on one page: what was sold, what ran out, what came late and what that "
        "has cost. Each line has a name beside it. Most days nothing is red, and then the page is read in a minute "
        "and the meeting is not held.",
    ),
    (
        "A start that is over in a week",
        "You send your item list as it is, with its gaps. We clean it, you correct what only you can know, and two "
        "people of ours stand beside your team at the first count in {{ geo.city | your warehouse }}. Everything that "
        "you had before keeps running until you say that it is no longer needed.",
    ),
)

_ANSWERS = (
    (
        "Do we have to stop selling for the first count?",
        "No. You count one aisle at a time, during the day, in any order. Whatever is sold from an aisle while you "
        "count it is taken off by itself, so the figure is right when you scan the last label. Most teams are through "
        "within four days and have not closed the shop for an hour.",
    ),
    (
        "What becomes of the system that we have?",
        "It stays. Invoices, customers and the ledger are where they were; stock and orders move over, and the two "
        "talk to each other every minute. If you leave us, you take your counts, your orders and all notes with you "
        "as plain tables, and the old screens are still there.",
    ),
    (
        "Who may see what something has cost?",
        "Whoever you say. Prices, margins and suppliers are three separate rights, given by place and by team. A "
        "scanner in the hall shows no figure in money at all unless you switch it on, and every look at a purchase "
        "price is written down with a name and a time.",
    ),
    (
        "What if the line is down?",
        "Scanners go on counting for two days without a line, and printers go on printing labels. When the line is "
        "back, everything is put in the order in which it happened. Where two people have moved the same box you are "
        "asked once, with both names, and never afterwards.",
    ),
    (
        "How long are we bound?",
        "For a month at a time. The first three months have a fixed price, whatever you send us, and the settling-in "
        "is part of it. After that the price follows the number of places and never the number of people, so that "
        "nobody has to share a name with a colleague.",
    ),
    (
        "Where are our figures kept?",
        "In two places of the country that you name, copied every minute, and opened once a week to see that the copy "
        "can be used. We can look at them when you ask us for help, and you see each time who has looked.",
    ),
    (
        "Can our own people change things?",
        "Yes: labels, lists, rights, order rules and the words on the screens. What your team has changed is kept "
        "apart from what we deliver, so that an update never undoes it. For everything else there is a documented "
        "interface, and a person who answers within the hour.",
    ),
)

COPY: Copy = {
    "title": "Know what you have, and order what you need",
    "eyebrow": "Stock and orders for growing {{ company.industry | trading }} companies",
    "headline": "{{ company.name | Your company }} can know its stock to the last box",
    "lede": "Stockwise counts while people work, orders before the shelf is empty, and tells you in the morning what "
    "yesterday has cost. No second system, no evening count, no surprise at the end of the year.",
    "cta": "See it with your own items",
    "points": [
        {"text": "Running within a week, beside what you have now"},
        {"text": "Works with the scanners and scales that you own"},
        {"text": "One price for each place, with everybody who works there"},
    ],
    "blocks": [{"title": title, "text": text} for title, text in _BLOCKS],
    "quote": "We stopped counting at the end of the year, because there was nothing left that a count could have told "
    "us. The first winter with it we ordered a third less and ran out of half as much.",
    "answers": [{"question": question, "answer": answer} for question, answer in _ANSWERS],
    "closing": "You looked for “{{ utm.term | stock control }}”. In twenty minutes you see it with your own items.",
}


def variant_copy(number: int) -> Copy:
    """The slots that variant `number` changes: about the same size, with the same four tokens."""
    return {
        "headline": f"{{{{ company.name | Your company }}}} sells from a full shelf, {number + 2} days sooner",
        "lede": f"{COPY['lede']} Teams of your kind were sure of their count after {number + 5} days.",
        "cta": f"Book a look, {number + 15} minutes",
    }


def read_template() -> str:
    """The template without the list of its slots, as Jinja and Django's templates both read it."""
    return TEMPLATE_FILE.read_text("utf-8").split("---\n", 2)[2]


def without_tokens(value: Any) -> Any:
    """The copy with each token's fallback in its place."""
    if isinstance(value, list):
        return [without_tokens(item) for item in value]
    if isinstance(value, dict):
        return {name: without_tokens(item) for name, item in value.items()}
    return re.sub(r"\{\{[^|}]*\|\s*([^}]*?)\s*\}\}", r"\1", value)
