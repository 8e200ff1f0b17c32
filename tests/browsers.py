"""What tests of the `visitor` room share: a reader of the sample files, and a browser that keeps its cookie.

What enters: nothing. What leaves: `make_reader`, `Browser`, and addresses of the sample plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from itertools import count
from pathlib import Path
from typing import Any

from personalizer.config import Network, load_settings
from personalizer.model import Mode, SiteRules
from personalizer.visitor.company import open_companies
from personalizer.visitor.cookie import write_cookie
from personalizer.visitor.geo import open_geo
from personalizer.visitor.keys import Keys
from personalizer.visitor.read import Reading, VisitorReader
from personalizer.visitor.salt import Salts

NOW = 1_795_262_400.5  # a Sunday in November 2026, noon in Berlin
DAY = 86_400
HOST = "www.paydesk.example"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
NORDLICHT, HALDEN, MUNICH, MOBILE, HOSTING, OFFICE = (
    "198.51.100.7", "198.51.100.130", "203.0.113.70", "203.0.113.250", "203.0.113.130", "203.0.113.200",
)  # fmt: skip
LINK = (
    "utm_source=linkedin&utm_medium=paid_social&utm_campaign=q4-cfo&utm_term=close+the+books&utm_content=roi&utm_id=7"
)

SITE = SiteRules((HOST,), "en", "Europe/Berlin", ((None, Mode.PERSISTENT),), (ip_network("203.0.113.192/28"),))
SAMPLES = {name: "sample" for name in ("geo_city", "geo_asn", "geo_connection", "geo_anonymous", "companies")}


def make_reader(folder: Path, trusted: Sequence[Network] = ()) -> VisitorReader:
    """A reader of the sample files that keeps its salts in `folder` and whose ids count up."""
    settings = load_settings({**SAMPLES, "data": str(folder)}, {})
    ids = (f"{number:08}-visitor" for number in count(1))
    return VisitorReader(
        open_geo(settings),
        open_companies(settings),
        Keys([b"k" * 32]),
        Salts(folder),
        trusted,
        new_id=lambda: next(ids),
    )


@dataclass
class Browser:
    """A browser that keeps the cookie it is given."""

    reader: VisitorReader
    address: str = NORDLICHT
    agent: str = CHROME
    cookie: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def environ(self, query: str = "", referer: str = "") -> dict[str, Any]:
        given = {
            "QUERY_STRING": query,
            "HTTP_REFERER": referer,
            "HTTP_USER_AGENT": self.agent,
            "HTTP_COOKIE": f"_ga=GA1.1; pz={self.cookie}" if self.cookie else "",
        }
        environ = {"REMOTE_ADDR": self.address, "HTTP_HOST": HOST, "wsgi.url_scheme": "http", **self.headers}
        return environ | {name: value for name, value in given.items() if value}

    def view(
        self, now: float = NOW, query: str = "", referer: str = "", site: SiteRules = SITE, page: str = "home"
    ) -> Reading:
        reading = self.reader.read(self.environ(query, referer), site, now)
        if reading.memory:
            reading.memory.add_view(page, None, None)
            self.cookie = write_cookie(reading.memory, self.reader.keys)
        return reading

    def send(self, now: float = NOW, query: str = "") -> Reading:
        return self.reader.read(self.environ(query), SITE, now, page_view=False)


def facts_of(reading: Reading, *groups: str) -> dict[str, Any]:
    return {name: value for name, value in reading.visitor.facts.items() if name.partition(".")[0] in groups}
