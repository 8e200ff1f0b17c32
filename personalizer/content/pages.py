"""Templates and copy → renderings: every variant of every page, ready to serve, and the forms in them.

What enters: loaded documents. What leaves: `Renderings`. Must not: leave any template to be run at request time,
but for a form that comes back with mistakes in it, which is rendered again through the same door.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from babel import Locale, UnknownLocaleError
from jinja2 import BaseLoader, StrictUndefined, Template, TemplateError, TemplateNotFound, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from personalizer.content import models
from personalizer.content.copy import CopyReader, CopyRules, Marks, fill_gaps, report_missing
from personalizer.content.load import Documents, Loaded
from personalizer.content.render import MisplacedToken, Rendering, system_marks
from personalizer.visitor.facts import FACTS, TOKENS

UNAVAILABLE = "unavailable"
THANKS = "thanks"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of templates/assets/, served under a path that names its content."""

    body: bytes
    mimetype: str


@dataclass(frozen=True, slots=True)
class FormState:
    """A form that came back: what was typed and what is wrong with it, by field name."""

    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PageSource:
    """What it takes to render one variant: kept so that a form with mistakes can be shown again."""

    template: Template
    copy: Mapping[str, Any]
    page: SimpleNamespace
    variant: str
    marks: Marks
    names: Mapping[str, Mapping[str, str]]

    def render(self, site: SimpleNamespace, state: FormState = FormState()) -> Rendering:
        """The pieces of this variant. Raises MisplacedToken and Jinja's errors, which `check` reports."""
        marks = Marks(self.marks.nonce, list(self.marks.tokens))
        html = self.template.render(
            copy=self.copy,
            page=self.page,
            site=site.site,
            theme=site.theme,
            pz={**system_marks(marks), "variant": self.variant},
            form_state=state,
        )
        return Rendering(html, marks, self.names, self.page.language, _frame_origins(self.copy))


@dataclass(slots=True)
class Renderings:
    """Everything that can be shown, by `Decision.shown` (`payroll/cfo`, `payroll/thanks`, `unavailable`)."""

    site: SimpleNamespace
    ready: dict[str, Rendering] = field(default_factory=dict)
    sources: dict[str, PageSource] = field(default_factory=dict)
    forms: dict[tuple[str, str], models.Form] = field(default_factory=dict)  # (shown, slot) → form
    assets: dict[str, Asset] = field(default_factory=dict)  # "<digest>/<name>" → file


def render_workspace(documents: Documents) -> Renderings:
    """Render every published variant, original, thank-you page and the unavailable page; report what is wrong."""
    return _Workshop(documents).render_all()


class _Workshop:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        workspace, theme = documents.workspace, documents.theme
        assert workspace is not None
        self._workspace = workspace.doc
        self._assets, urls = self._hash_assets()
        self._rules = CopyRules(TOKENS, urls)
        self._environment = ImmutableSandboxedEnvironment(
            autoescape=True,
            undefined=StrictUndefined,
            loader=_TemplateLoader(documents),
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["asset"] = self._asset_url
        site = SimpleNamespace(name=self._workspace.site.name, language=self._workspace.site.language)
        self._site = SimpleNamespace(site=site, theme=self._read_theme(theme))
        self._slots: dict[str, dict[str, models.Slot]] = {}
        self._broken: set[str] = set()

    def render_all(self) -> Renderings:
        result = Renderings(self._site, assets=self._assets)
        for key, page in self._documents.pages.items():
            self._render_page(key, page, result)
        if "unavailable.html" in self._documents.templates:
            page_view = self._page_view(UNAVAILABLE, "/", self._workspace.site.language, index=False)
            gaps = fill_gaps({}, self._slots_of("unavailable.html"))
            self._render(
                result, UNAVAILABLE, "unavailable.html", gaps, page_view, "", Marks(secrets.token_hex(4)), None
            )
        else:
            self._documents.report(
                self._documents.root / "templates/unavailable.html", "is missing.", "Excluded visitors get it."
            )
        return result

    # --- pages ---

    def _render_page(self, key: str, page: Loaded[models.Page], result: Renderings) -> None:
        template = page.doc.template
        if template not in self._documents.templates:
            known = ", ".join(name for name in self._documents.templates if "/" not in name)
            page.report(("template",), f"there is no template {template}.", f"There are {known}.")
            return
        slots = self._slots_of(template)
        marks = Marks(secrets.token_hex(4))
        original = CopyReader(page, self._rules, marks).read(page.doc.copy_, slots)
        report_missing(page, page.doc.copy_, slots)
        language = page.doc.language or self._workspace.site.language
        view = self._page_view(key, page.doc.path, language, page.doc.index)
        self._render(result, f"{key}/original", template, fill_gaps(original, slots), view, "original", marks, page)
        self._render_thanks(result, key, page, view, marks)
        for (owner, name), variant in self._documents.variants.items():
            if owner != key or variant.doc.status != "published":
                continue
            own = CopyReader(variant, self._rules, marks).read(variant.doc.copy_, slots)
            spoken = (variant.doc.for_.language if variant.doc.for_ else None) or language
            own_view = self._page_view(key, page.doc.path, spoken, page.doc.index)
            copy = fill_gaps({**original, **own}, slots)
            self._render(result, f"{key}/{name}", template, copy, own_view, name, marks, variant)

    def _render_thanks(
        self, result: Renderings, key: str, page: Loaded[models.Page], view: SimpleNamespace, marks: Marks
    ) -> None:
        form = next((f for (shown, _), f in result.forms.items() if shown == f"{key}/original"), None)
        if form is None:
            return
        template = f"{form.thanks}.html"
        if template not in self._documents.templates:
            page.report(
                ("copy",), f"the form's `thanks` names {template}, which is not there.", "Write `thanks: thank-you`."
            )
            return
        copy: dict[str, Any] = {
            "headline": form.thanks_headline,
            "text": form.thanks_text,
            "title": form.thanks_headline,
        }
        slots = self._slots_of(template)
        copy = fill_gaps({name: value for name, value in copy.items() if name in slots}, slots)
        self._render(result, f"{key}/{THANKS}", template, copy, view, "original", marks, page)

    def _render(
        self,
        result: Renderings,
        shown: str,
        template: str,
        copy: Mapping[str, Any],
        view: SimpleNamespace,
        variant: str,
        marks: Marks,
        owner: Loaded[Any] | None,
    ) -> None:
        """Render one page, or report why it cannot be: at the template's line, or at the copy that asked for it."""
        for slot, value in copy.items():
            if isinstance(value, models.Form):
                result.forms[(shown, slot)] = value
        if template in self._broken:
            return
        try:
            names = _display_names(view.language)
            source = PageSource(self._environment.get_template(template), copy, view, variant, marks, names)
            result.ready[shown] = source.render(self._site)
            result.sources[shown] = source
        except TemplateSyntaxError as error:
            self._broken.add(template)
            self._report_template(error.filename or error.name or template, error.lineno, str(error.message))
        except TemplateNotFound as error:
            self._broken.add(template)
            self._report_template(template, 1, f"asks for {error.name}, which is not in templates/")
        except MisplacedToken as error:
            self._misplaced(owner, template, str(error))
        except RecursionError:
            self._broken.add(template)
            self._report_template(template, 1, "includes itself without end")
        except (TemplateError, TypeError, ValueError, OverflowError, ArithmeticError) as error:
            self._broken.add(template)
            self._report_template(template, 1, f"cannot be rendered for {shown}: {error}")

    def _misplaced(self, owner: Loaded[Any] | None, template: str, message: str) -> None:
        if owner is None:
            self._report_template(template, 1, message)
        else:
            owner.report(("copy",), f"{message}.", f"Look at how templates/{template} prints that slot.")

    def _report_template(self, name: str, line: int, message: str) -> None:
        file = self._documents.templates.get(name)
        place = file.first_line + line - 1 if file else line
        path = self._documents.root / "templates" / name
        self._documents.report(path, f"{message}.", "Mend the template.", line=place)

    def _page_view(self, key: str, path: str, language: str, index: bool) -> SimpleNamespace:
        canonical = f"https://{self._workspace.site.hosts[0]}{path}"
        return SimpleNamespace(key=key, path=path, language=language, canonical=canonical, index=index)

    def _slots_of(self, name: str) -> dict[str, models.Slot]:
        """A template's own slots with those of everything it extends, includes or lists as a section."""
        if name not in self._slots:
            self._slots[name] = {}
            file = self._documents.templates.get(name)
            if file is not None:
                slots = dict(file.front.doc.slots)
                for other in self._references(name):
                    slots |= self._slots_of(other)
                self._slots[name] = slots
        return self._slots[name]

    def _references(self, name: str) -> list[str]:
        file = self._documents.templates[name]
        listed = [f"sections/{section}.html" for section in file.front.doc.sections]
        for place, section in enumerate(listed):
            if section not in self._documents.templates:
                file.front.report(("sections", place), f"there is no templates/{section}.", "Name a file of sections/.")
        try:
            found = meta.find_referenced_templates(self._environment.parse(file.body))
        except TemplateSyntaxError:
            return listed  # reported when it is rendered
        return listed + [other for other in found if other and other not in listed]

    # --- theme and assets ---

    def _hash_assets(self) -> tuple[dict[str, Asset], dict[str, str]]:
        assets, urls = {}, {}
        for name, path in self._documents.assets.items():
            body = path.read_bytes()
            if name.endswith(".svg"):
                self._check_svg(path, body)
            digest = hashlib.sha256(body).hexdigest()[:12]
            mimetype = mimetypes.guess_type(name)[0] or "application/octet-stream"
            assets[f"{digest}/{name}"] = Asset(body, mimetype)
            urls[name] = f"/_pz/assets/{digest}/{name}"
        return assets, urls

    def _check_svg(self, path: Path, body: bytes) -> None:
        if _ACTIVE_SVG.search(body):
            remedy = "Remove scripts, event handlers, entities and addresses of other sites."
            self._documents.report(path, "is a drawing with something active in it.", remedy)

    def _asset_url(self, name: str) -> str:
        if name not in self._rules.assets:
            raise TemplateError(f"there is no file templates/assets/{name}")
        return self._rules.assets[name]

    def _read_theme(self, theme: Loaded[models.Theme] | None) -> models.Theme:
        if theme is None:
            return models.Theme()
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
            if value is not None and value not in self._rules.assets:
                theme.report((slot,), f"there is no file templates/assets/{value}.", "Put it there.")
            urls[slot] = self._rules.assets.get(value) if value else None
        return doc.model_copy(update=urls)


_ACTIVE_SVG = re.compile(
    rb"<script|<foreignObject|<!ENTITY|\son[a-z]+\s*=|javascript:|(?:href|src)\s*=\s*[\"']\s*(?!#|data:image/)",
    re.IGNORECASE,
)


class _TemplateLoader(BaseLoader):
    def __init__(self, documents: Documents) -> None:
        self._templates = documents.templates

    def get_source(self, environment: Any, template: str) -> tuple[str, str, None]:
        file = self._templates.get(template)
        if file is None:
            raise TemplateNotFound(template)
        return file.body, template, None


def _frame_origins(copy: Mapping[str, Any]) -> frozenset[str]:
    parts = (urlsplit(value.src) for value in copy.values() if isinstance(value, models.Embed))
    return frozenset(f"{part.scheme}://{part.netloc}" for part in parts)


def _display_names(language: str) -> dict[str, Mapping[str, str]]:
    """Display forms of closed facts in the page's language: country codes as the country's name."""
    try:
        territories = Locale.parse(language, sep="-").territories
    except (UnknownLocaleError, ValueError):
        territories = Locale("en").territories
    countries = {code: name for code, name in territories.items() if len(code) == 2}
    return {fact.name: countries for fact in FACTS.values() if fact.display == "country"}
