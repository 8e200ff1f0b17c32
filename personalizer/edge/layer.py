"""The WSGI layer in front of Flask: page paths and `/_pz` are answered here, everything else by the Flask app.

What enters: a WSGI environ. What leaves: an answer. Must not: let a request with an unknown host, an overlong query or
a wrong method get any further, or let any input raise.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from personalizer.cache import Cache
from personalizer.decision.registry import Registry
from personalizer.edge.consent import receive_consent
from personalizer.edge.forms import receive_form, show_thanks
from personalizer.edge.limits import MAX_QUERY
from personalizer.edge.page import serve_page
from personalizer.edge.respond import IMMUTABLE, NO_STORE, SECURITY, Response, StartResponse, problem
from personalizer.edge.signals import receive_conversion, receive_conversion_pixel, receive_seen_pixel, receive_signs
from personalizer.edge.state import Edge, Environ

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]
Handler = Callable[[Edge, Environ], Response]

log = logging.getLogger(__name__)

_HEALTH: Final = frozenset(("/healthz", "/readyz"))
_BEACON = (Path(__file__).parent / "beacon.js").read_bytes()


class EdgeLayer:
    """Wraps `app.wsgi_app`, Flask's documented place for middleware. `app` is what it was: Flask's own part."""

    def __init__(self, edge: Edge, app: WsgiApp) -> None:
        self._edge = edge
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        answer = self.answer(environ)
        if answer is None:
            return self.app(environ, start_response)
        return answer.send(start_response, head=environ["REQUEST_METHOD"] == "HEAD")

    def answer(self, environ: Environ) -> Response | None:
        """The answer to a request, None when it is Flask's to give. Never raises."""
        try:
            return self._answer(environ)
        except Exception:  # the last door: the visitor gets a sentence, the operator the traceback
            log.exception("a request could not be answered")
            return problem(500, "internal", "Something is wrong on this side; the server's log says what.")

    def _answer(self, environ: Environ) -> Response | None:
        if environ["PATH_INFO"] in _HEALTH:  # asked by address, by load balancers
            return None
        host = environ.get("HTTP_HOST", "")
        if host_name(host) not in self._edge.hosts:
            return _unknown_host(host)
        if len(environ.get("QUERY_STRING", "")) > MAX_QUERY:
            return problem(414, "query-too-long", f"The query may have {MAX_QUERY:,} bytes at most.")
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        content = self._edge.content  # another one, after a publish, while this request goes on with its own
        page = content.registry.paths.get(path)
        if page is not None:
            return (
                serve_page(self._edge, content, environ, page)
                if method in ("GET", "HEAD")
                else _wrong_method("GET, HEAD")
            )
        if path.startswith("/_pz/"):
            return self._answer_own(path.removeprefix("/_pz/"), method, environ)
        return _answer_elsewhere(content.registry, path, method, environ)

    def _answer_own(self, path: str, method: str, environ: Environ) -> Response:
        """`/_pz/…`: the engine's own routes."""
        edge = self._edge
        if path in _ROUTES:
            allowed, handler = _ROUTES[path]
            return handler(edge, environ) if method in allowed.split(", ") else _wrong_method(allowed)
        room, _, rest = path.partition("/")
        if room == "assets":
            return _send_asset(edge, rest) if method in ("GET", "HEAD") else _wrong_method("GET, HEAD")
        if room == "thanks":
            page, _, variant = rest.partition("/")
            return (
                show_thanks(edge, environ, page, variant) if method in ("GET", "HEAD") else _wrong_method("GET, HEAD")
            )
        if room == "form":
            page, _, form = rest.partition("/")
            return receive_form(edge, environ, page, form) if method == "POST" else self._back_to(page)
        return problem(404, "no-route", "There is nothing here.")

    def _back_to(self, page: str) -> Response:
        """A form's address that is reloaded or shared leads back to its page."""
        known = self._edge.content.registry.pages.get(page)
        if known is None:
            return problem(404, "no-form", "There is no such form.")
        return Response(303, b"", [("Location", known.path), NO_STORE])


def _answer_elsewhere(registry: Registry, path: str, method: str, environ: Environ) -> Response | None:
    """A page that is found at another path: with a slash too many, or where it was before. The query goes along."""
    bare = path.rstrip("/")
    retired = registry.retired.get(path) or registry.retired.get(bare)
    if retired is not None:
        if method not in ("GET", "HEAD"):
            return _wrong_method("GET, HEAD")
        return _redirect(301, registry.pages[retired].path, environ)
    return _redirect(308, bare, environ) if path != bare and bare in registry.paths else None


_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:@/,]+))(?::\d{0,5})?", re.IGNORECASE)


_hosts: Final[Cache[str, str]] = Cache(256)


def host_name(host: str) -> str:
    """The name in a Host header, lower-case, without its port; empty when it is none."""
    name = _hosts.get(host)
    if name is None:
        found = _HOST.fullmatch(host)
        name = _hosts.put(host, (found[1] or found[2]).lower() if found else "")
    return name


def _unknown_host(host: str) -> Response:
    if not host or "," in host:
        return problem(400, "bad-host", "Send exactly one Host header.")
    return problem(400, "unknown-host", "This server does not answer for that host; see PERSONALIZER_ALLOWED_HOSTS.")


def _redirect(status: int, path: str, environ: Environ) -> Response:
    query = quote(environ.get("QUERY_STRING", ""), safe="=&%+;:/?@,!$'()*~-._")
    return Response(status, b"", [("Location", path + (f"?{query}" if query else "")), NO_STORE])


def _wrong_method(allowed: str) -> Response:
    return problem(405, "wrong-method", f"Use {allowed}.", ("Allow", allowed))


def _send_beacon(edge: Edge, environ: Environ) -> Response:
    cache = ("Cache-Control", "public, max-age=86400")
    return Response(200, _BEACON, [("Content-Type", "text/javascript; charset=utf-8"), cache, SECURITY[0]])


def _send_asset(edge: Edge, name: str) -> Response:
    asset = edge.find_asset(name)
    if asset is None:
        return problem(404, "no-asset", "There is no such file.")
    # An SVG opened by itself is a document; it may not run anything either.
    policy = ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
    headers = [("Content-Type", asset.mimetype), IMMUTABLE, SECURITY[0], policy]
    if not asset.mimetype.startswith("image/"):  # a paper for whoever fills in a form is not for search engines
        headers.append(("X-Robots-Tag", "noindex"))
    return Response(200, asset.body, headers)


_ROUTES: dict[str, tuple[str, Handler]] = {
    "e": ("POST", receive_signs),
    "seen.gif": ("GET", receive_seen_pixel),
    "convert": ("POST", receive_conversion),
    "convert.gif": ("GET", receive_conversion_pixel),
    "consent": ("POST", receive_consent),
    "beacon.js": ("GET, HEAD", _send_beacon),
}
