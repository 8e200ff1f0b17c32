"""Copy: the words of a page, checked against the slots that its template declares. Copy is data; it holds only tokens.

What enters: a document's `copy` and the slots. What leaves: values ready for a template, tokens replaced by marks.
Must not: evaluate anything in copy; `{{ fact | fallback }}` is looked up in a list, never executed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup

from personalizer.content import models
from personalizer.content.fields import check_link_target
from personalizer.content.load import Loaded
from personalizer.content.pictures import Size
from personalizer.content.validate import check_model
from personalizer.content.yaml import KeyPath
from personalizer.visitor.facts import FACT_TYPES

TOLERANCE = 0.02  # of an image's proportions, as pixels are whole

_TOKEN = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_MARKDOWN = MarkdownIt("commonmark", {"html": False})


@dataclass(frozen=True, slots=True)
class Token:
    """One place where a fact is written: `fact` is a fact's name, `fallback` what unknown is written as.

    It stands at `path` of `origin`; None for what templates print themselves.
    """

    fact: str
    fallback: str
    origin: Loaded[Any] | None = None
    path: KeyPath = ()


@dataclass(slots=True)
class Marks:
    """Stand-ins for tokens while a template is rendered: letters and digits, so that no escaping touches them.

    `nonce` keeps anything else on the page from looking like a mark.
    """

    nonce: str
    tokens: list[Token] = field(default_factory=list)

    def add(self, token: Token) -> str:
        self.tokens.append(token)
        return f"pz{self.nonce}h{len(self.tokens) - 1}z"

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(rf"pz{self.nonce}h(\d+)z")

    def without_origins(self) -> Marks:
        """The same for what is kept when all is checked: it must not keep the documents."""
        return Marks(self.nonce, [_bare_token(token.fact, token.fallback) for token in self.tokens])


@lru_cache(maxsize=65_536)  # variants share most of theirs with the original
def _bare_token(fact: str, fallback: str) -> Token:
    return Token(fact, fallback)


@dataclass(frozen=True, slots=True)
class CopyRules:
    """What copy may use: facts that may be tokens, the address of each asset, and the size of each picture.

    `strangers`: copy may fill slots that are not known, as a part of the template could not be read.
    """

    tokens: frozenset[str]
    assets: Mapping[str, str]
    sizes: Mapping[str, Size]
    strangers: bool = False


class CopyReader:
    """Reads one document's copy, slot by slot, reporting every mistake at its place."""

    def __init__(self, loaded: Loaded[Any], rules: CopyRules, marks: Marks) -> None:
        self._loaded = loaded
        self._rules = rules
        self._marks = marks
        self._read: dict[str, Callable[[models.Slot, Any, KeyPath], Any]] = {
            "text": self._text,
            "richtext": self._richtext,
            "url": self._url,
            "image": self._image,
            "list": self._list,
            "form": self._form,
            "embed": self._embed,
        }

    def read(
        self, copy: Mapping[str, Any], slots: Mapping[str, models.Slot], path: KeyPath = ("copy",)
    ) -> dict[str, Any]:
        """The value of every slot that `copy` fills. Unknown slots are mistakes; missing ones are the caller's."""
        values = {}
        for name, value in copy.items():
            slot = slots.get(name)
            if slot is None and self._rules.strangers:
                continue
            if slot is None:
                near = difflib.get_close_matches(str(name), list(slots), n=1)
                remedy = f"Did you mean `{near[0]}`?" if near else f"Its slots are {', '.join(sorted(slots))}."
                self._loaded.report((*path, name), f"the template has no slot `{name}`.", remedy)
            elif value is not None:
                values[name] = self._read[slot.type](slot, value, (*path, name))
        return values

    def _text(self, slot: models.Slot, value: Any, path: KeyPath) -> str:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            self._loaded.report(path, "should be a text.", "Write the words, in quotes if need be.")
            return ""
        shown = _TOKEN.sub(lambda token: token[1].partition("|")[2].strip(), value)
        if slot.max is not None and len(shown) > slot.max:
            self._loaded.report(path, f"has {len(shown)} characters; the slot holds {slot.max}.", "Shorten it.")
        if "{{" in shown or "}}" in shown:
            self._loaded.report(path, "has braces that are no token.", "Write `{{ fact | your words }}`.")
        return _TOKEN.sub(lambda match: self._token(match[1], path), value)

    def _token(self, inside: str, path: KeyPath) -> str:
        fact, bar, fallback = (part.strip() for part in inside.partition("|"))
        if fact not in self._rules.tokens:
            near = difflib.get_close_matches(fact, list(self._rules.tokens), n=1)
            remedy = f"Did you mean `{near[0]}`?" if near else f"Tokens are {', '.join(sorted(self._rules.tokens))}."
            known = fact in FACT_TYPES
            remedy = f"Pages show {', '.join(sorted(self._rules.tokens))}." if known else remedy
            what = "is not a token: pages do not show this fact" if known else "is not a token"
            self._loaded.report(path, f"`{{{{{inside}}}}}` {what}.", remedy)
        elif not bar or not fallback:
            self._loaded.report(path, f"the token `{fact}` has no fallback.", f"Write `{{{{ {fact} | your words }}}}`.")
        return self._marks.add(Token(fact, fallback, self._loaded, path))

    def _richtext(self, slot: models.Slot, value: Any, path: KeyPath) -> Markup:
        # Raw HTML is off and links are checked by the parser, so its output is safe to print.
        return Markup(_MARKDOWN.render(self._text(slot, value, path)))  # noqa: S704

    def _url(self, slot: models.Slot, value: Any, path: KeyPath) -> str:
        text = self._text(slot, value, path)
        plain = self._marks.pattern.sub("x", text)
        try:
            check_link_target(plain or "/")  # what is empty is no text, which is reported, or left out
        except ValueError as error:
            self._loaded.report(path, f"`{plain}` is not an address: {error}.")
            return ""
        if not _mark_after_host(text, self._marks.pattern):
            remedy = "Put it behind the host, in path or query."
            self._loaded.report(path, "a token cannot choose where a link goes.", remedy)
            return ""
        return text

    def _image(self, slot: models.Slot, value: Any, path: KeyPath) -> models.Image | None:
        image = check_model(self._loaded.source, value, models.Image, path)
        if image is None:
            return None
        if image.src not in self._rules.assets:
            self._loaded.report((*path, "src"), f"there is no file templates/assets/{image.src}.", "Put it there.")
            return None
        self._check_size(image, path)
        alt = self._text(models.Slot(type="text", max=200), image.alt, (*path, "alt"))
        return image.model_copy(update={"src": self._rules.assets[image.src], "alt": alt})

    def _check_size(self, image: models.Image, path: KeyPath) -> None:
        """A browser keeps the room that the copy names; in other proportions the page jumps once the file is there."""
        width, height = self._rules.sizes.get(image.src, (image.width, image.height))
        if abs(image.width * height / (image.height * width) - 1) > TOLERANCE:
            said, wanted = f"{image.width} × {image.height}", f"width: {width:g}, height: {height:g}"
            remedy = f"Write `{wanted}`, or less of both in the same proportions."
            self._loaded.report((*path, "width"), f"{image.src} is not in the proportions {said}.", remedy)

    def _list(self, slot: models.Slot, value: Any, path: KeyPath) -> list[dict[str, Any]]:
        if not isinstance(value, list):
            self._loaded.report(path, "should be a list.", "Begin each item with `- `.")
            return []
        if slot.max is not None and len(value) > slot.max:
            self._loaded.report(path, f"has {len(value)} items; the slot holds {slot.max}.", "Remove some.")
        items = []
        for place, item in enumerate(value):
            if not isinstance(item, dict):
                self._loaded.report(
                    (*path, place), "should be a mapping.", f"Its keys are {', '.join(slot.items or {})}."
                )
                continue
            read = self.read(item, slot.items or {}, (*path, place))
            report_missing(self._loaded, item, slot.items or {}, (*path, place))
            items.append(fill_gaps(read, slot.items or {}))
        return items

    def _form(self, slot: models.Slot, value: Any, path: KeyPath) -> models.Form | None:
        form = check_model(self._loaded.source, value, models.Form, path)
        if form is not None:
            if _TOKEN.search(form.model_dump_json()):
                self._loaded.report(path, "tokens are not filled inside a form.", "Write plain words here.")
            names = [one.name for one in form.fields]
            for place, name in enumerate(names):
                if name in names[:place]:
                    self._loaded.report((*path, "fields", place), f"there is a field `{name}` already.", "Rename one.")
                if form.fields[place].type == "select" and not form.fields[place].options:
                    self._loaded.report((*path, "fields", place), "a select needs options.", "Add `options: [a, b]`.")
        return form

    def _embed(self, slot: models.Slot, value: Any, path: KeyPath) -> models.Embed | None:
        return check_model(self._loaded.source, value, models.Embed, path)


def _mark_after_host(text: str, marks: re.Pattern[str]) -> bool:
    """Whether every mark stands behind `scheme://host/`, or in an address that begins with / or #."""
    first = marks.search(text)
    return first is None or bool(re.match(r"^(https?://[^/?#]+[/?#]|/(?!/)|#)", text[: first.start()]))


def report_missing(
    loaded: Loaded[Any], copy: Mapping[str, Any], slots: Mapping[str, models.Slot], path: KeyPath = ("copy",)
) -> None:
    """Report each required slot that the copy leaves empty."""
    for name, slot in slots.items():
        if slot.required and copy.get(name) in (None, "", []):
            loaded.report((*path, name), f"the slot `{name}` is required.", f"Add `{name}: …` to the copy.")


def fill_gaps(values: Mapping[str, Any], slots: Mapping[str, models.Slot]) -> dict[str, Any]:
    """`values` with every slot there: [] for an empty list, None for anything else."""
    return {name: values.get(name) if values.get(name) is not None else _empty(slot) for name, slot in slots.items()}


def _empty(slot: models.Slot) -> list[Any] | None:
    return [] if slot.type == "list" else None
