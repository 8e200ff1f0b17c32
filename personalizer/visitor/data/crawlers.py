"""Writes the names of robots that others keep: `python personalizer/visitor/data/crawlers.py`.

What enters: the installed package `crawler-user-agents` (MIT). What leaves: `crawlers.txt` beside this script, the same
bytes for the same version. Must not: take over an expression that fits people.
"""

from __future__ import annotations

import re
from pathlib import Path

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

# Expressions that fit the agents of people, or would once a version number grows.
_LEFT_OUT = {
    r"008\/": "version numbers of Opera Mini",
    r"AP3A\.240617\.008": "the build of Android 15 on many phones",
    "Blackboard": "an app in which students read",
    "Butterfly": "a telephone",
    "Expanse": "a telephone",
    "Fever": "a telephone",
    "Sogou": "a browser; the same company's crawler calls itself a spider",
    "Sonic": "ViewSonic's devices, and Slack's window",
    "Viber": "the app's own browser; without a browser's words it is a program by agents.txt",
    "WhatsApp": "the app's own browser; without a browser's words it is a program by agents.txt",
}

# Two thirds of the names have such a word in them; agents.txt finds it anywhere.
_WORDS = re.compile("bot|crawl|spider|scrape|scrapy|slurp|fetch|harvest|headless|preview|monitor", re.IGNORECASE)

_HEAD = """\
# Written by crawlers.py from the package crawler-user-agents: do not edit. One regular expression a line.
# Copyright (c) 2017 Martin Monperrus; the MIT licence, whose text is in README.md.
"""


def read_patterns() -> list[str]:
    """The package's expressions, without those that fit people and those that find what a word finds."""
    patterns = [str(entry["pattern"]) for entry in CRAWLER_USER_AGENTS_DATA]
    gone = _LEFT_OUT.keys() - set(patterns)
    if gone:
        raise SystemExit(f"The package no longer has {', '.join(sorted(gone))}: remove them from _LEFT_OUT.")
    return [pattern for pattern in patterns if pattern not in _LEFT_OUT and not _WORDS.search(pattern)]


if __name__ == "__main__":
    path = Path(__file__).with_name("crawlers.txt")
    path.write_text(_HEAD + "".join(f"{pattern}\n" for pattern in read_patterns()), "utf-8")
