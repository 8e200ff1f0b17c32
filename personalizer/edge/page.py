"""The page path: one screen of named steps from a request to a personalized page.

What enters: an environ and the page asked for. What leaves: the page, journaled before it is answered. Must not: wait
for another machine, or fail because the journal does (the page is served, the loss is logged).
"""

from __future__ import annotations

import logging
import random
import time
from typing import Final
from urllib.parse import quote

from personalizer.content.compile import Content
from personalizer.content.render import Rendering
from personalizer.decision.decide import decide
from personalizer.decision.registry import Registry
from personalizer.edge.record import record_exposure
from personalizer.edge.respond import GZIP, HTML, NO_STORE, SECURITY, STRICT_TRANSPORT, Headers, Response, accepts_gzip
from personalizer.edge.state import Edge, Environ, cookie_header
from personalizer.errors import JournalRefused
from personalizer.model import Decision
from personalizer.visitor.keys import make_decision_token
from personalizer.visitor.read import Reading

log = logging.getLogger(__name__)

_draw_bits: Final = random.getrandbits
_DECIMALS: Final = [f".{thousandths:03}" for thousandths in range(1000)]


def make_nonce() -> str:
    """Tells the views of a visitor apart; the signature is what nobody can guess. Seeded anew in each forked worker."""
    return hex(1 << 48 | _draw_bits(48))[3:]  # a format would take ten times as long


def serve_page(edge: Edge, content: Content, environ: Environ, page: str) -> Response:
    """Read the visitor, decide, journal the exposure, fill the page; all with the content that has the page."""
    began = time.perf_counter()
    now = time.time()
    registry: Registry = content.registry
    reading = edge.reader.read(environ, registry.site, now)
    decision = decide(registry, page, reading.visitor)
    decision_id = f"{reading.visitor.id}.{make_nonce()}"
    token = make_decision_token(decision_id, edge.keys)
    if environ["REQUEST_METHOD"] != "HEAD":
        _journal(edge, decision, reading, decision_id, now)
    headers = _headers(edge, reading, decision, token)
    rendering: Rendering | None = content.renderings.ready.get(decision.shown)
    if rendering is None:
        return Response(decision.status, b"", [*headers, ("Location", quote(decision.shown, safe=_URL_SAFE))])
    row, arm = decision.row or "", arm_label(decision)
    if accepts_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
        body = rendering.fill_gzip(token, row, arm, decision.facts)
        headers.append(GZIP)
    else:
        body = rendering.fill(token, row, arm, decision.facts)
    headers += (("Content-Security-Policy", rendering.csp), ("Server-Timing", f"pz;dur={_milliseconds(began)}"))
    return Response(decision.status, body, headers)


def _milliseconds(began: float) -> str:
    """Since `began`, with three decimals."""
    micros = int((time.perf_counter() - began) * 1_000_000)
    return str(micros // 1000) + _DECIMALS[micros % 1000]


_URL_SAFE: Final = ":/?#[]@!$&'()*+,;=%"


def arm_label(decision: Decision) -> str:
    """What `data-pz-arm` says, and what reports call the cell: the arm, `holdout`, `personalized` or `original`."""
    if decision.holdout == "in":
        return "holdout"
    return decision.arm or ("personalized" if decision.row else "original")


def _journal(edge: Edge, decision: Decision, reading: Reading, decision_id: str, now: float) -> None:
    try:
        edge.events.append(record_exposure(decision, reading.visitor, decision_id, now))
    except JournalRefused as error:
        log.error("a page was served and its exposure is lost: %s", error)


def _headers(edge: Edge, reading: Reading, decision: Decision, token: str) -> Headers:
    headers: Headers = [HTML, NO_STORE, *SECURITY, ("X-Decision-Id", token)]
    if reading.https:
        headers.append(STRICT_TRANSPORT)
    memory = reading.memory
    if memory is not None and not decision.facts.get("device.bot"):
        memory.add_view(decision.page, decision.persona, decision.icp)
        if decision.experiment is not None and decision.arm is not None:
            memory.add_arm(f"{decision.experiment}:{decision.phase}", decision.arm)
        headers.append(cookie_header(memory, edge.keys, https=reading.https))
    return headers
