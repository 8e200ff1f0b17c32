"""Templates and copy → renderings: every variant of every page, ready to serve, and the forms in them.

What enters: loaded documents. What leaves: `Renderings`. Must not: leave any template to be run at request time,
but for a form that comes back with mistakes in it, which is rendered again through the same door.
"""

from __future__ import annotations

import secrets
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from babel import Locale, UnknownLocaleError
from jinja2 import TemplateError, TemplateNotFound, TemplateSyntaxError, meta

from personalizer.content import models
from personalizer.content.assets import Asset, hash_assets, read_theme
from personalizer.content.brand import Theme
from personalizer.content.copy import CopyReader, CopyRules, Marks, Token, fill_gaps, report_missing
from personalizer.content.custom import custom_tokens
from personalizer.content.language import UNAVAILABLE, Languages, report_untranslated, unavailable_pages
from personalizer.content.load import Documents, Loaded, TemplateFile
from personalizer.content.pictures import read_size
from personalizer.content.render import DisplayNames, MisplacedTokens, Rendering, system_marks
from personalizer.content.templates import Sandbox, Templates, lost_lines
from personalizer.content.words import Words
from personalizer.visitor.facts import FACTS, TOKENS
from personalizer.visitor.industry import CodeNames
from personalizer.visitor.place_names import PlaceNames

THANKS = "thanks"


@dataclass(frozen=True, slots=True)
class FormState:
    """A form that came back: what was typed and what is wrong with it, by field name."""

    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PageSource:
    """What it takes to render one variant: kept of those with a form, so that it can be shown again with mistakes."""

    template: str
    copy: Mapping[str, Any]
    page: SimpleNamespace
    variant: str
    marks: Marks
    names: Mapping[str, DisplayNames]
    words: Words

    def render(self, templates: Templates, state: FormState = FormState(), where: Sandbox | None = None) -> Rendering:
        """The pieces of this variant. Raises MisplacedTokens and Jinja's errors, which `check` reports."""
        marks = Marks(self.marks.nonce, list(self.marks.tokens))
        environment = where or templates.environment()
        html = environment.get_template(self.template).render(
            copy=self.copy,
            page=self.page,
            site=templates.site,
            theme=_speak(templates.theme, self.words),
            words=self.words,
            pz={**system_marks(marks), "variant": self.variant},
            form_state=state,
        )
        if where is None:
            environment.let_go()
        return Rendering(html, marks, self.names, self.page.language, _frame_origins(self.copy))


@dataclass(slots=True)
class Renderings:
    """Everything that can be shown, by `Decision.shown` (`payroll/cfo`, `payroll/thanks`, `unavailable`).

    Variants with a language or a form of their own have a page of thanks of their own: `payroll/thanks/cfo-de`.
    """

    templates: Templates
    names: dict[str, Mapping[str, DisplayNames]] = field(default_factory=dict)  # by language: facts' display forms
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
        self._workspace = documents.workspace.doc
        self._assets, urls = hash_assets(documents)
        sizes = {name: read_size(documents.bytes_of(path)) for name, path in documents.assets.items()}
        self._rules = CopyRules(
            TOKENS | custom_tokens(self._workspace), urls, {name: size for name, size in sizes.items() if size}
        )
        site = SimpleNamespace(name=self._workspace.site.name, language=self._workspace.site.language)
        self._templates = Templates(site, read_theme(documents.theme, urls), urls)
        self._environment = self._templates.environment()
        self._nonce = secrets.token_hex(4)
        self._named = {name for folder, name in documents.named if folder == "templates"}
        self._references: dict[str, list[str]] = {}  # what each template extends, includes or lists as a section
        self._broken: set[str] = set()
        self._unread: set[str] = set()  # templates whose slots, and those that they extend, are not known
        self._misplaced: set[Token] = set()
        self._dead: set[tuple[str, str]] = set()  # page and name of links that lead nowhere
        self._languages = Languages(documents)
        # By the identity of a form and of the words of a language, which are kept with it so that it stays theirs.
        self._completed: dict[tuple[int, int], tuple[models.Form, models.Form, Words]] = {}

    def render_all(self) -> Renderings:
        result = Renderings(self._templates, assets=self._assets)
        self._unread |= self._named - self._documents.templates.keys()
        for name, file in self._documents.templates.items():
            self._references[name] = self._read_template(name, file)
        self._broken |= self._unread
        published = self._documents.published()
        for key, page in self._documents.pages.items():
            self._render_page(key, page, published[key], result)
        self._render_unavailable(result)
        self._languages.report_gaps()
        return result

    def _render_unavailable(self, result: Renderings) -> None:
        """The page for who is refused: in the site's language, and in every language that there are words for."""
        template = "unavailable.html"
        if template in self._documents.templates:
            gaps = fill_gaps({}, self._slots_of(template))
            for shown in unavailable_pages(self._documents).values():
                language = shown.partition("/")[2] or self._workspace.site.language
                view = self._page_view(UNAVAILABLE, "/", language, index=False)
                self._render(result, shown, template, gaps, view, "", Marks(self._nonce), None)
        elif self._documents.templates and template not in self._named:
            self._documents.report(
                self._documents.root / "templates" / template, "is missing.", "Excluded visitors get it."
            )

    # --- templates ---

    def _read_template(self, name: str, file: TemplateFile) -> list[str]:
        """Compile one template, and name those that it is built from."""
        listed = [f"sections/{section}.html" for section in file.front.doc.sections]
        for place, section in enumerate(listed):
            if section not in self._named:
                file.front.report(("sections", place), f"there is no templates/{section}.", "Name a file of sections/.")
        try:
            self._templates.codes[name] = self._environment.compile(file.body, name, name)
            tree = self._environment.parse(file.body)
        except TemplateSyntaxError as error:
            self._break(name, error.lineno, str(error.message))
            self._unread.add(name)
            return listed
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # nested too deeply, endless numbers
            self._break(name, 1, f"cannot be compiled: {error}")
            self._unread.add(name)
            return listed
        for line in lost_lines(tree):
            path, message = self._documents.root / "templates" / name, "stands outside the blocks and is never shown."
            self._documents.report(path, message, "Move it into a block.", line=file.first_line + line - 1)
        found = meta.find_referenced_templates(tree)
        return listed + [other for other in found if other and other not in listed]

    def _parts(self, name: str) -> list[str]:
        """A template and all that it is built from, each once."""
        parts, waiting = [], [name]
        while waiting:
            part = waiting.pop(0)
            if part not in parts:
                parts.append(part)
                waiting += self._references.get(part, ())
        return parts

    def _slots_of(self, name: str) -> dict[str, models.Slot]:
        """A template's own slots with those of all that it is built from; the nearest wins."""
        slots: dict[str, models.Slot] = {}
        for part in self._parts(name):
            file = self._documents.templates.get(part)
            slots = {**file.front.doc.slots, **slots} if file else slots
        return slots

    def _break(self, name: str, line: int, message: str) -> None:
        """Report what is wrong at a line of a template's body, and render nothing with it any more."""
        self._broken.add(name)
        file = self._documents.templates[name]
        path = self._documents.root / "templates" / name
        self._documents.report(
            path,
            f"{message.rstrip('.?')}{'?' if message.endswith('?') else '.'}",
            "Mend the template.",
            line=file.first_line + line - 1,
        )

    def _where(self, error: BaseException, template: str) -> tuple[str, int]:
        """The template and its line in which rendering stopped: Jinja puts them into the traceback."""
        for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
            if frame.f_code.co_filename in self._documents.templates:
                return frame.f_code.co_filename, line
        return template, 1

    # --- pages ---

    def _render_page(
        self, key: str, page: Loaded[models.Page], variants: Mapping[str, Loaded[models.Variant]], result: Renderings
    ) -> None:
        template = page.doc.template
        if template not in self._documents.templates:
            known = ", ".join(name for name in self._documents.templates if "/" not in name)
            if template not in self._named:
                page.report(("template",), f"there is no template {template}.", f"There are {known}.")
            return
        slots = self._slots_of(template)
        rules = replace(self._rules, strangers=not self._unread.isdisjoint(self._parts(template)))
        marks = Marks(self._nonce)
        original = CopyReader(page, rules, marks).read(page.doc.copy_, slots)
        report_missing(page, page.doc.copy_, slots)
        language = page.doc.language or self._workspace.site.language
        view = self._page_view(key, page.doc.path, language, page.doc.index)
        self._render(result, f"{key}/original", template, fill_gaps(original, slots), view, "original", marks, page)
        self._render_thanks(result, f"{key}/original", slots, f"{key}/{THANKS}", page, view, marks)
        for name, variant in variants.items():
            own_marks = Marks(self._nonce, list(marks.tokens))
            own = CopyReader(variant, rules, own_marks).read(variant.doc.copy_, slots)
            report_missing(variant, variant.doc.copy_, {name: slot for name, slot in slots.items() if name in own})
            spoken = self._languages.spoken(key, name, language)
            own_view = self._page_view(key, page.doc.path, spoken, page.doc.index)
            copy = fill_gaps({**original, **own}, slots)
            self._render(result, f"{key}/{name}", template, copy, own_view, name, own_marks, variant)
            if spoken != language:
                report_untranslated(variant, spoken, slots, page.doc.copy_)
            if spoken != language or any(isinstance(value, models.Form) for value in own.values()):
                self._render_thanks(
                    result, f"{key}/{name}", slots, f"{key}/{THANKS}/{name}", variant, own_view, own_marks
                )

    def _render_thanks(
        self,
        result: Renderings,
        form_of: str,
        slots: Iterable[str],
        shown: str,
        owner: Loaded[Any],
        view: SimpleNamespace,
        marks: Marks,
    ) -> None:
        """The page that follows the form of `form_of`, which stands in one of the slots."""
        slot = next((slot for slot in slots if (form_of, slot) in result.forms), None)
        if slot is None:
            return
        form = result.forms[(form_of, slot)]
        template = f"{form.thanks}.html"
        if template not in self._documents.templates:
            if template not in self._named:
                owner.report(
                    ("copy", slot, "thanks"), f"there is no template {template}.", "Write `thanks: thank-you`."
                )
            return
        copy: dict[str, Any] = {
            "headline": form.thanks_headline,
            "text": form.thanks_text,
            "title": form.thanks_headline,
        }
        slots = self._slots_of(template)
        copy = fill_gaps({name: value for name, value in copy.items() if name in slots}, slots)
        self._render(result, shown, template, copy, view, "original", marks, owner)

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
        words = self._languages.words(view.language)
        copy = {
            slot: self._complete(value, words) if isinstance(value, models.Form) else value
            for slot, value in copy.items()
        }
        for slot, value in copy.items():
            if isinstance(value, models.Form):
                result.forms[(shown, slot)] = value
        if not self._broken.isdisjoint(self._parts(template)):
            return
        names = result.names.setdefault(view.language, _display_names(view.language))
        source = PageSource(template, copy, view, variant, marks, names, words)
        try:
            rendering = source.render(self._templates, where=self._environment)
            rendering.deflate()
            if owner is not None:
                self._report_dead_links(owner, view.key, template, copy, rendering)
            result.ready[shown] = rendering
            if any(isinstance(value, models.Form) for value in copy.values()):
                result.sources[shown] = replace(source, marks=marks.without_origins())
        except TemplateNotFound as error:
            self._break(*self._where(error, template), f"asks for {error.name}, which is not in templates/")
        except RecursionError as error:
            self._break(*self._where(error, template), "includes itself without end")
        except (TemplateError, TypeError, ValueError, ArithmeticError, MemoryError) as error:
            self._break(*self._where(error, template), f"cannot be rendered for {shown}: {error}")
        except MisplacedTokens as error:
            self._report_misplaced(template, error)

    def _report_dead_links(
        self, owner: Loaded[Any], page: str, template: str, copy: Mapping[str, Any], rendering: Rendering
    ) -> None:
        """Each once a page: every variant that inherits it would show the same."""
        for name in rendering.dead_links():
            if (page, name) not in self._dead:
                self._dead.add((page, name))
                slots = self._slots_of(template)
                ways = [f"Fill the slot `{name}`."] if name in slots else []
                for slot, what in slots.items():
                    if f"#{name}" in (what.help or "") and not copy.get(slot):
                        ways.append(f"Say in `{slot}` where it leads.")
                message = f"a link leads to #{name}, which is not on the page."
                owner.warn(("copy",), message, " Or: ".join(ways) or "Mend the template.")

    def _report_misplaced(self, template: str, error: MisplacedTokens) -> None:
        """Each token once, where the copy has it: every variant that inherits it would show the same."""
        for token, where in error.faults:
            if token in self._misplaced:
                continue
            self._misplaced.add(token)
            if token.origin is None:
                self._break(template, 1, f"prints {token.fact} {where}")
            else:
                remedy = f"Look at how templates/{template} prints that slot."
                token.origin.report(token.path, f"the token `{token.fact}` stands {where}.", remedy)

    def _complete(self, form: models.Form, words: Words) -> models.Form:
        """The form with what it leaves to the page's language; variants that share a form share this too."""
        key = (id(form), id(words))
        if key not in self._completed:
            said = {"button": form.button or words.send, "thanks_headline": form.thanks_headline or words.thank_you}
            self._completed[key] = (form.model_copy(update=said), form, words)
        return self._completed[key][0]

    def _page_view(self, key: str, path: str, language: str, index: bool) -> SimpleNamespace:
        canonical = f"https://{self._workspace.site.hosts[0]}{path}"
        return SimpleNamespace(key=key, path=path, language=language, canonical=canonical, index=index)


def _speak(theme: Theme, words: Words) -> Theme:
    """The theme, with the footer and the links of the page's language where it has its own."""
    return theme.model_copy(update={"footer": words.footer or theme.footer, "legal": words.legal or theme.legal})


def _frame_origins(copy: Mapping[str, Any]) -> frozenset[str]:
    parts = (urlsplit(value.src) for value in copy.values() if isinstance(value, models.Embed))
    return frozenset(f"{part.scheme}://{part.netloc}" for part in parts)


@lru_cache(maxsize=64)
def _display_names(language: str) -> dict[str, DisplayNames]:
    """Display forms of facts in the page's language: country codes as the country's name, places by the City
    file, industry codes by their English names."""
    try:
        territories = Locale.parse(language, sep="-").territories
    except (UnknownLocaleError, ValueError):
        territories = Locale("en").territories
    countries = {code: name for code, name in territories.items() if len(code) == 2}
    forms: dict[str, DisplayNames] = {"country": countries, "place": PlaceNames(language)}
    shown = [fact for fact in FACTS.values() if fact.display]
    return {fact.name: forms.get(fact.display) or CodeNames(fact.name) for fact in shown}
