"""Refusing, or allowing again, to be remembered.

What enters: a form post or JSON with `ads` and `analytics`. What leaves: a cookie that says no and nothing else, or
none. Must not: redirect anywhere but to a page of this site.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qsl

import orjson

from personalizer.edge.limits import MAX_SIGNALS, BodyRefused, is_cross_site, read_body
from personalizer.edge.respond import NO_STORE, Headers, Response, problem
from personalizer.edge.state import Edge, Environ
from personalizer.visitor.cookie import COOKIE_NAME, OPT_OUT, find_cookie

_YEAR = 365 * 86_400
_WORDS = {"true": True, "false": False}


def receive_consent(edge: Edge, environ: Environ) -> Response:
    """`POST /_pz/consent` `{"ads": bool, "analytics": bool}`; a form post may name the page to return to in `next`."""
    if is_cross_site(environ):
        return problem(403, "cross-site", "Visitors choose on this site's own pages.")
    is_json = environ.get("CONTENT_TYPE", "").startswith("application/json")
    try:
        body = read_body(environ, MAX_SIGNALS)
        data: Any = (
            orjson.loads(body) if is_json else dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=20))
        )
    except BodyRefused as error:
        return error.answer
    except ValueError:
        data = None
    choice = _read_choice(data)
    if choice is None:
        return problem(400, "bad-choice", "`analytics` and `ads` are true or false.")
    headers = [NO_STORE, *_cookie(edge, environ, choice)]
    if is_json:
        return Response(204, b"", headers)
    paths = edge.content.registry.paths
    back = data["next"] if data.get("next") in paths else next(iter(paths))
    return Response(303, b"", [("Location", back), *headers])


def _read_choice(data: Any) -> bool | None:
    """Whether this visitor may be remembered; None if the request does not say so clearly."""
    if not isinstance(data, dict):
        return None
    given = [
        _WORDS.get(value) if isinstance(value, str) else value
        for name in ("analytics", "ads")
        if (value := data.get(name)) is not None
    ]
    if not given or not all(isinstance(one, bool) for one in given):
        return None
    return all(given)


def _cookie(edge: Edge, environ: Environ, remember: bool) -> Headers:
    """Set-Cookie that refuses, or that takes a refusal back; who is remembered already stays so."""
    if remember and find_cookie(environ.get("HTTP_COOKIE", "")) != OPT_OUT:
        return []
    https = edge.reader.read(environ, edge.content.registry.site, time.time(), page_view=False).https
    secure = "; Secure" if https else ""
    value, age = ("", 0) if remember else (OPT_OUT, _YEAR)
    return [("Set-Cookie", f"{COOKIE_NAME}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}")]
