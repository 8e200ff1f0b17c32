"""The languages of a workspace: the words of each, and what a page would leave unsaid in its own.

What enters: loaded documents. What leaves: `Words` by language; warnings, noted in the documents. Must not: see a
request; in which language a page is, its variant says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from personalizer.content import models
from personalizer.content.load import Documents, Loaded
from personalizer.content.words import Words, fill_words

ENGLISH = "en"
UNAVAILABLE = "unavailable"
_THEME = ("footer", "legal")  # what a words file may say in place of the theme
_TOKEN = re.compile(r"\{\{.*?\}\}", re.DOTALL)


def unavailable_pages(documents: Documents) -> dict[str, str]:
    """The page for who is refused, by the primary tag of its language: in the site's, and in each that has words."""
    site = documents.workspace.doc.site.language
    told = {primary(language): f"{UNAVAILABLE}/{language}" for language in sorted(documents.words, reverse=True)}
    return {**told, primary(site): UNAVAILABLE}


class Languages:
    """The words of every language: its own file, else the site's language, else English."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._site = documents.workspace.doc.site
        self._known: dict[str, Words] = {}
        self._own = _own_languages(documents)

    def spoken(self, page: str, variant: str, language: str) -> str:
        """The language of a variant of a page that is in `language`."""
        own = self._own.get((page, variant), language)
        return language if own == primary(language) else own

    def words(self, language: str) -> Words:
        """What a page in `language` says, ready to print."""
        if language not in self._known:
            said: dict[str, Any] = {}
            own: dict[str, str] = {}
            for file in (*self._files(self._site.language), *self._files(language)):
                given = {name: getattr(file.doc, name) for name in file.doc.model_fields_set}
                said.update({name: value for name, value in given.items() if name != "own"})
                own.update(file.doc.own)
            words = Words(**said)
            filled = {name: self._fill(text) for name, text in words if isinstance(text, str)}
            filled_own = {name: self._fill(text) for name, text in own.items()}
            self._known[language] = words.model_copy(update={**filled, "own": filled_own})
        return self._known[language]

    def _fill(self, text: str) -> str:
        return fill_words(text, site=self._site.name)

    def _files(self, language: str) -> list[Loaded[Words]]:
        """The files that speak a language, the more exact one last: `pt`, then `pt-BR`."""
        names = dict.fromkeys((primary(language), language))
        return [self._documents.words[name] for name in names if name in self._documents.words]

    # --- what is missing ---

    def report_gaps(self) -> None:
        """Warn of each language that is spoken and has no words, or not all of them."""
        for language, (owner, path) in self._spoken().items():
            if primary(language) == ENGLISH:
                continue
            files = self._files(language)
            if not files:
                other = self._site.language if self._files(self._site.language) else ENGLISH
                owner.report(
                    path,
                    f"there is no templates/words/{language}.yaml, so buttons and messages of forms are in {other}.",
                    "Copy another file of that folder and translate it.",
                    warning=True,
                )
                continue
            lacking = self._needed() - {name for file in files for name in _said(file.doc)}
            if lacking:
                said = ", ".join(sorted(lacking))
                files[0].report((), f"{said} not said, so other words stand there.", "Add it.", warning=True)

    def _spoken(self) -> dict[str, tuple[Loaded[Any], tuple[str, ...]]]:
        """Each language of a page or a published variant, and who is the first to speak it."""
        spoken: dict[str, tuple[Loaded[Any], tuple[str, ...]]] = {}
        for page in self._documents.pages.values():
            if page.doc.language is not None:
                spoken.setdefault(page.doc.language, (page, ("language",)))
            else:
                spoken.setdefault(self._site.language, (self._documents.workspace, ("site", "language")))
        for variant in self._documents.variants.values():
            whom = variant.doc.for_
            if variant.doc.status == "published" and whom is not None and whom.language is not None:
                spoken.setdefault(whom.language, (variant, ("for", "language")))
        return spoken

    def _needed(self) -> set[str]:
        """Every word that a language should say: the engine's, the workspace's own, and the theme's links."""
        own = {f"own.{name}" for file in self._documents.words.values() for name in file.doc.own}
        theme = self._documents.theme
        legal = {"legal"} if theme is not None and theme.doc.legal else set()
        return own | legal | (Words.model_fields.keys() - {"own", *_THEME})


def _said(words: Words) -> set[str]:
    return (words.model_fields_set - {"own"}) | {f"own.{name}" for name in words.own}


def primary(language: str) -> str:
    """The primary tag of a language: `pt` of `pt-BR`."""
    return language.partition("-")[0]


def _own_languages(documents: Documents) -> dict[tuple[str, str], str]:
    """The language of each variant that is for one; an arm without a `for` has that of the row it stands for."""
    variants = documents.variants
    given = {at: one.doc.for_.language for at, one in variants.items() if one.doc.for_ is not None}
    for experiment in documents.experiments.values():
        page, (row, *others) = experiment.doc.page, experiment.doc.arms
        for arm in others:
            given.setdefault((page, arm), given.get((page, row)))
    return {at: language for at, language in given.items() if language is not None}


def report_untranslated(
    variant: Loaded[models.Variant], language: str, slots: Mapping[str, models.Slot], original: Mapping[str, Any]
) -> None:
    """Warn of slots whose words a variant in another language takes over from the original as they are."""
    inherited = (name for name in original if name not in variant.doc.copy_ and name in slots)
    taken = [name for name in inherited if any(_words_in(slots[name], original[name]))]
    if taken and variant.whole:
        said = f"is in {language}, and takes over {', '.join(taken)} in the original's language."
        variant.warn(("copy",), said, "Write them here too.")


def _words_in(slot: models.Slot, value: Any) -> Iterator[str]:
    """Texts of a slot's value that are words of a language, as far as the value is what the slot should hold."""
    if slot.any_language or slot.type == "url" or value is None:
        return
    if slot.type == "list":
        for item in value if isinstance(value, list) else ():
            for name, inner in (slot.items or {}).items():
                yield from _words_in(inner, item.get(name) if isinstance(item, dict) else None)
        return
    if slot.type in ("image", "embed"):
        value = value.get("alt", value.get("title", "")) if isinstance(value, dict) else ""
    text = _TOKEN.sub("", str(value))
    if any(letter.isalpha() for letter in text):
        yield text
