"""The files of a workspace's pages: pictures, fonts and papers under templates/assets/, and the theme that names them.

What enters: loaded documents. What leaves: `Asset`s by an address that names their content, and a `Theme` with those
addresses. Must not: let a drawing through that does something.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from personalizer.content.brand import FontFile, Theme
from personalizer.content.load import Documents, Loaded

# Written down here, as what a machine knows of itself differs.
_TYPES = mimetypes.MimeTypes(filenames=())
_FONTS = (".woff2", ".woff", ".ttf", ".otf")
for _ending in _FONTS:
    _TYPES.add_type(f"font/{_ending[1:]}", _ending)
_TYPES.add_type("image/webp", ".webp")

_ACTIVE_SVG = re.compile(
    rb"\x00|<(?:[\w.-]+:)?(?:script|foreignObject)|<!ENTITY|\son[a-z]+\s*=|javascript:|(?:href|src)\s*=\s*[\"']\s*(?!#|data:image/)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of templates/assets/, served under a path that names its content."""

    body: bytes
    mimetype: str


def hash_assets(documents: Documents) -> tuple[dict[str, Asset], dict[str, str]]:
    """Every file by `<digest>/<name>`, and the address of each by its name; reports drawings that do something."""
    assets, urls = {}, {}
    for name, path in documents.assets.items():
        body = documents.bytes_of(path)
        if name.endswith(".svg"):
            _check_svg(documents, path, body)
        digest = hashlib.sha256(body).hexdigest()[:12]
        mimetype = _TYPES.guess_type(name)[0] or "application/octet-stream"
        asked_for = name.encode().decode("latin-1")  # as WSGI spells a path
        assets[f"{digest}/{asked_for}"] = Asset(body, mimetype)
        urls[name] = f"/_pz/assets/{digest}/{quote(name)}"
    return assets, urls


def _check_svg(documents: Documents, path: Path, body: bytes) -> None:
    if _ACTIVE_SVG.search(body):
        remedy = "Remove scripts, event handlers, entities and addresses of other sites."
        documents.report(path, "is a drawing with something active in it.", remedy)


def read_theme(theme: Loaded[Theme] | None, assets: Mapping[str, str]) -> Theme:
    """The theme with the addresses of its files, `assets` by name; reports what is no colour, font or file."""
    if theme is None:
        return Theme()
    doc = theme.doc
    for name, colour in doc.colors.items():
        if not re.fullmatch(r"#[0-9a-fA-F]{3,8}", colour):
            theme.report(("colors", name), f"{colour!r} is not a colour.", "Write it as #1a2b3c.")
    for family, font in doc.fonts.items():
        if not re.fullmatch(r"[\w\s,'\"-]{1,200}", font):
            theme.report(("fonts", family), f"{font!r} is not a list of fonts.", "Write names separated by commas.")
    for place, link in enumerate(doc.legal):
        if not re.match(r"^(https?://|/(?!/))", link.url):
            theme.report(("legal", place, "url"), f"{link.url!r} is not an address.", "Write https://… or /path.")
    urls: dict[str, str | None] = {}
    for slot in ("logo", "favicon"):
        value = getattr(doc, slot)
        if value is not None and value not in assets:
            theme.report((slot,), f"there is no file templates/assets/{value}.", "Put it there.")
        urls[slot] = assets.get(value) if value else None
    fonts = {place: Markup(names) for place, names in doc.fonts.items()}  # noqa: S704  # checked above: for CSS
    return doc.model_copy(update={**urls, "fonts": fonts, "font_files": _read_font_files(theme, assets)})


def _read_font_files(theme: Loaded[Theme], assets: Mapping[str, str]) -> list[FontFile]:
    """Each with the address of its file."""
    found = []
    for place, font in enumerate(theme.doc.font_files):
        address = assets.get(font.file)
        where = ("font_files", place, "file")
        if address is None:
            theme.report(where, f"there is no file templates/assets/{font.file}.", "Put it there.")
        elif not font.file.endswith(_FONTS):
            theme.report(where, f"{font.file} is no font for the web.", "Take a .woff2 file.")
        else:
            found.append(font.model_copy(update={"file": address}))
    return found
