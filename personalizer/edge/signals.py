"""What a page tells us afterwards: that it was seen, and that a goal was reached.

What enters: beacons, pixels and conversions. What leaves: 202 or 204 once they are journaled; a journaled
refusal. Must not: believe a decision id that we did not sign, or acknowledge what is not written.
"""

from __future__ import annotations

import math
import time
from typing import Any
from urllib.parse import parse_qsl

import orjson

from personalizer.content.money import minor_units
from personalizer.edge.limits import MAX_SIGNALS, BodyRefused, read_body
from personalizer.edge.record import record_conversion, record_refusal, record_sign, visitor_of
from personalizer.edge.respond import Headers, Response, pixel, problem
from personalizer.edge.state import Edge, Environ, cookie_header
from personalizer.errors import JournalRefused
from personalizer.visitor.keys import read_decision_token
from personalizer.visitor.read import Reading

SIGNS = ("seen", "engaged", "click", "scroll")
MAX_SIGNS = 50
MAX_PARAMETERS = 100
_MAX_VALUE = 1e12
_MAX_MS = 4102444800000  # the year 2100


class Refused(Exception):
    """The signal cannot be accepted; the message says what to send instead."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def receive_signs(edge: Edge, environ: Environ) -> Response:
    """`POST /_pz/e`: `{"d": decision id, "e": [{"k": kind, "t": client ms}]}` → 204 once journaled."""
    now = time.time()
    try:
        data = _read_json(environ)
        decision_id = _known_decision(edge, data.get("d"))
        rows = [record_sign(kind, decision_id, client_ms, now) for kind, client_ms in _read_signs(data.get("e"))]
        for row in rows:
            edge.events.append(row)
    except BodyRefused as error:
        return error.answer
    except Refused as error:
        return _refuse(edge, error, now)
    except JournalRefused as error:
        return _unavailable(error)
    return Response(204)


def receive_seen_pixel(edge: Edge, environ: Environ) -> Response:
    """`GET /_pz/seen.gif?d=`: the beacon's form without scripts. Always a pixel; only a signed id counts."""
    now = time.time()
    try:
        decision_id = _known_decision(edge, _read_parameters(environ).get("d"))
        edge.events.append(record_sign("seen", decision_id, None, now))
    except Refused as error:
        _refuse(edge, error, now)
    except JournalRefused as error:
        return _unavailable(error)
    return pixel()


def receive_conversion(edge: Edge, environ: Environ) -> Response:
    """`POST /_pz/convert`: `{"goal", "value"?, "currency"?, "id"?, "d"?}` → 202 with `event_id` once journaled."""
    now = time.time()
    try:
        event_id, headers = _convert(edge, environ, _read_json(environ), now)
    except BodyRefused as error:
        return error.answer
    except Refused as error:
        return _refuse(edge, error, now)
    except JournalRefused as error:
        return _unavailable(error)
    body = orjson.dumps({"event_id": event_id})
    return Response(202, body, [("Content-Type", "application/json"), ("Cache-Control", "no-store"), *headers])


def receive_conversion_pixel(edge: Edge, environ: Environ) -> Response:
    """`GET /_pz/convert.gif?goal=&value=&currency=&id=&d=`: the same for an image tag."""
    now = time.time()
    try:
        parameters = _read_parameters(environ)
        value = {"value": _parse_number(parameters["value"])} if "value" in parameters else {}
        _, headers = _convert(edge, environ, {**parameters, **value}, now)
    except Refused as error:
        return _refuse(edge, error, now)
    except JournalRefused as error:
        return _unavailable(error)
    answer = pixel()
    return Response(answer.status, answer.body, [*answer.headers, *headers])


def _convert(edge: Edge, environ: Environ, data: dict[str, Any], now: float) -> tuple[str, Headers]:
    registry = edge.content.registry
    goal = data.get("goal")
    if not isinstance(goal, str) or goal not in registry.goals:
        raise Refused("unknown goal", f"`goal` is one of {', '.join(registry.goals)}.")
    currency = _read_currency(data.get("currency"), registry.currency)
    value = _read_value(data.get("value"), currency)
    conversion_id = _read_text(data.get("id"), "id")
    token = data.get("d")
    decision_id = _known_decision(edge, token) if token is not None else None
    reading = edge.reader.read(environ, registry.site, now, page_view=False)
    visitor = visitor_of(decision_id) if decision_id else known_visitor(reading)
    event_id = edge.events.append(
        record_conversion(
            goal,
            visitor,
            decision_id,
            now,
            value=value,
            currency=currency if value is not None else None,
            conversion_id=conversion_id,
            not_counted=_why_not_counted(reading, decision_id),
        )
    )
    return event_id, goal_cookie(edge, reading, goal)


def _why_not_counted(reading: Reading, decision_id: str | None) -> str | None:
    """A program that has a signed decision id reports for the visitor whose page it was; a robot's own view counts
    nothing anyway."""
    reason = reading.visitor.not_counted
    return None if reason == "bot" and decision_id is not None else reason


def known_visitor(reading: Reading) -> str | None:
    """The visitor's id, None for somebody who was never here: then the conversion is an orphan."""
    stranger = reading.memory is None and reading.visitor.mode == "persistent"
    return None if stranger else reading.visitor.id


def goal_cookie(edge: Edge, reading: Reading, goal: str) -> Headers:
    """Set-Cookie that remembers the goal, for somebody whom we remember."""
    if reading.memory is None:
        return []
    reading.memory.add_goal(goal)
    return [cookie_header(reading.memory, edge.keys, https=reading.https)]


# --- reading ---


def _read_json(environ: Environ) -> dict[str, Any]:
    try:
        data = orjson.loads(read_body(environ, MAX_SIGNALS))
    except ValueError as error:
        raise Refused("not JSON", "Send one JSON object.") from error
    if not isinstance(data, dict):
        raise Refused("not JSON", "Send one JSON object.")
    return data


def _known_decision(edge: Edge, token: Any) -> str:
    decision_id = read_decision_token(token, edge.keys) if isinstance(token, str) else None
    if decision_id is None:
        raise Refused("unknown decision id", "`d` is the X-Decision-Id of a page of this site.")
    return decision_id


def _read_signs(signs: Any) -> list[tuple[str, int | None]]:
    if not isinstance(signs, list) or not 0 < len(signs) <= MAX_SIGNS:
        raise Refused("no signs", f"`e` is a list of 1 to {MAX_SIGNS} signs.")
    read = []
    for sign in signs:
        if not isinstance(sign, dict) or sign.get("k") not in SIGNS:
            raise Refused("unknown sign", f"`k` is one of {', '.join(SIGNS)}.")
        moment = sign.get("t")
        read.append((str(sign["k"]), moment if type(moment) is int and 0 <= moment <= _MAX_MS else None))
    return read


def _read_parameters(environ: Environ) -> dict[str, str]:
    """The query's parameters, the first of each name."""
    query = environ.get("QUERY_STRING", "")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="replace")
    except ValueError as error:
        raise Refused("too many parameters", f"Send {MAX_PARAMETERS} parameters at most.") from error
    return dict(reversed(pairs))


def _parse_number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise Refused("bad value", "`value` is a number.") from error


def _read_value(value: Any, currency: str) -> int | None:
    """A value in the currency's units, as minor units."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Refused("bad value", "`value` is a number.")
    if not 0 <= value <= _MAX_VALUE:
        raise Refused("bad value", f"`value` is from 0 to {_MAX_VALUE:,.0f}.")
    return round(value * minor_units(currency))


def _read_currency(currency: Any, default: str) -> str:
    if currency is None:
        return default
    if not isinstance(currency, str) or len(currency) != 3 or not currency.isascii() or not currency.isupper():
        raise Refused("bad currency", "`currency` is an ISO 4217 code, as EUR.")
    return currency


def _read_text(text: Any, name: str) -> str | None:
    if text is None:
        return None
    if not isinstance(text, str) or not 0 < len(text) <= 200 or not text.isprintable():
        raise Refused(f"bad {name}", f"`{name}` is a text of 1 to 200 printable characters.")
    return text


# --- refusing ---


def _refuse(edge: Edge, error: Refused, now: float) -> Response:
    """400, and the refusal in the journal, so that accepted + refused = received."""
    try:
        edge.events.append(record_refusal(error.reason, now))
    except JournalRefused as refusal:
        return _unavailable(refusal)
    return problem(400, error.reason.replace(" ", "-"), str(error))


def _unavailable(error: JournalRefused) -> Response:
    return problem(503, "journal", "The event could not be written down. Send it again.", ("Retry-After", "5"))
