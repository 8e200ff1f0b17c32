"""What every handler of an edge process shares: compiled content, the visitor reader, keys, the two journals.

What enters: settings and content, after the fork. What leaves: an `Edge`. Must not: be changed by a request;
`swap.py` alone replaces content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from personalizer.config import Settings
from personalizer.content.assets import Asset
from personalizer.content.compile import Content
from personalizer.edge.limits import RateLimit
from personalizer.events.journal import Journal
from personalizer.visitor.cookie import COOKIE_NAME, Memory, write_cookie
from personalizer.visitor.keys import Keys
from personalizer.visitor.read import VisitorReader

Environ = dict[str, Any]

_YEAR: Final = 365 * 86_400


@dataclass(slots=True)
class Edge:
    """Everything a request needs. `hosts` are the names answered, without ports.

    `content` (and with it `hosts`) is another one after a publish: a request takes it once. `earlier` are the assets
    of the one before, which pages in browsers still ask for. `later` is the one that comes next, while it is not yet
    in all workers: who has its page from another worker may ask for its files and send its forms here.
    """

    content: Content
    reader: VisitorReader
    keys: Keys
    events: Journal
    leads: Journal
    data: Path
    hosts: frozenset[str]
    form_limit: RateLimit
    earlier: Mapping[str, Asset] = field(default_factory=dict)
    later: Content | None = None

    def content_of_form(self, shown: str, slot: str) -> Content:
        """The content that has this form of a variant."""
        later, content = self.later, self.content  # in this order: it may become the content between
        return content if later is None or (shown, slot) in content.renderings.forms else later

    def content_of_page(self, shown: str) -> Content:
        """The content that has this page, as `Decision.shown` names it."""
        later, content = self.later, self.content  # in this order: it may become the content between
        return content if later is None or shown in content.renderings.ready else later

    def find_asset(self, name: str) -> Asset | None:
        """A file, of whichever content a page in a browser may be."""
        later = self.later  # first: it may become the content meanwhile
        found = self.content.renderings.assets.get(name) or self.earlier.get(name)
        return found or (later.renderings.assets.get(name) if later is not None else None)


def open_edge(settings: Settings, content: Content, reader: VisitorReader) -> Edge:
    """Open what an edge process writes to. Raises StartError with what to do."""
    return Edge(
        content=content,
        reader=reader,
        keys=reader.keys,
        events=Journal(settings.data, "events"),
        leads=Journal(settings.data, "leads"),
        data=settings.data,
        hosts=settings.hosts_with(content.registry.site.hosts),
        form_limit=RateLimit(per_minute=20),
    )


def cookie_header(memory: Memory, keys: Keys, *, https: bool) -> tuple[str, str]:
    """Set-Cookie with what to remember."""
    secure = "; Secure" if https else ""
    value = write_cookie(memory, keys)
    return "Set-Cookie", f"{COOKIE_NAME}={value}; Path=/; Max-Age={_YEAR}; HttpOnly; SameSite=Lax{secure}"
