"""Application factories: one for each kind of process.

What enters: opened state. What leaves: a Flask app. Must not: read settings or files.
"""

from __future__ import annotations

import os
from base64 import b64encode
from hashlib import sha256
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, request
from markupsafe import escape
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from personalizer.config import LOOPBACK
from personalizer.edge.layer import EdgeLayer
from personalizer.edge.respond import HTML, NO_STORE, SECURITY, problem
from personalizer.edge.state import Edge

STYLE = (
    "body { max-width: 34rem; margin: 12vh auto; padding: 0 1.5rem; color: #222; background: #fff; "
    "font: 1.125rem/1.6 system-ui, sans-serif; overflow-wrap: anywhere; }"
)
_STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
NO_CODE = ("Content-Security-Policy", f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'")


def create_edge_app(edge: Edge) -> Flask:
    """The public app: page paths and `/_pz` in the layer; health, and what crawlers ask for, in Flask."""
    app = Flask("personalizer", static_folder=None)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    def readyz() -> tuple[dict[str, Any], int]:
        """Content is loaded (the process would not be here otherwise); is there room for the journal?"""
        if os.statvfs(edge.data).f_bavail == 0:
            return {"status": "not ready", "detail": f"the disk of {edge.data} is full"}, 503
        files = {name: str(lookup) for name, lookup in edge.reader.lookups.items()}
        return {"status": "ready", "revision": edge.content.registry.revision[:12], "files": files}, 200

    @app.get("/robots.txt")
    def robots() -> Response:
        """Everything may be read: a page that must not be listed says so itself, and has to be read for it."""
        sitemap = f"https://{edge.content.registry.site.hosts[0]}/sitemap.xml"
        return Response(f"User-agent: *\nDisallow: /_pz/form/\nSitemap: {sitemap}\n", mimetype="text/plain")

    @app.get("/sitemap.xml")
    def sitemap() -> Response:
        """The pages that search engines may list."""
        registry = edge.content.registry
        paths = sorted(page.path for page in registry.pages.values() if page.index)
        urls = "".join(f"<url><loc>{escape(f'https://{registry.site.hosts[0]}{path}')}</loc></url>" for path in paths)
        start = '<?xml version="1.0" encoding="UTF-8"?>'
        body = f'{start}<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>'
        return Response(body, mimetype="application/xml")

    @app.get("/favicon.ico")
    def favicon() -> Response:
        """Where browsers look for the icon of what is no page: an image, a paper."""
        icon = edge.content.renderings.templates.theme.favicon
        if icon is None:
            raise NotFound
        return Response(status=302, headers=[("Location", icon), ("Cache-Control", "public, max-age=86400")])

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Response:
        """Problem documents for programs, one plain sentence for people."""
        status = error.code or 500
        methods = error.valid_methods if isinstance(error, MethodNotAllowed) else None
        allowed = [("Allow", ", ".join(sorted(methods)))] if methods else []
        if "text/html" in request.headers.get("Accept", ""):
            here = urlsplit(f"//{request.host}").hostname in LOOPBACK  # whoever set it up, not a visitor
            paths = sorted(page.path for page in edge.content.registry.pages.values()) if here else []
            page = _plain_page(edge.content.registry.site_name, status, paths)
            return Response(page, status, [HTML, NO_STORE, *SECURITY, *allowed, NO_CODE])
        answer = problem(status, HTTPStatus(status).phrase.lower().replace(" ", "-"), error.description or "", *allowed)
        return Response(answer.body, status, answer.headers)

    app.wsgi_app = EdgeLayer(edge, app.wsgi_app)  # type: ignore[method-assign]  # Flask documents this assignment
    return app


def _plain_page(site: str, status: int, paths: list[str]) -> str:
    words = "There is no such page." if status == 404 else HTTPStatus(status).phrase + "."
    links = "".join(f'<li><a href="{escape(path)}">{escape(path)}</a></li>' for path in paths)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(site)}: {words}</title><style>{STYLE}</style><h1>{escape(site)}</h1><p>{words}</p>"
        f"{f'<p>The pages here:</p><ul>{links}</ul>' if links else ''}</html>"
    )
