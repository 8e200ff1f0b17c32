"""Lead forms: what was typed → checked answers, and the row that keeps them.

What enters: a form as content declares it, and typed text. What leaves: answers, what is wrong with them in words for
the visitor, and a row for the leads table. Must not: let personal data into anything but that row.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Mapping
from typing import Any

import orjson

from personalizer.content import models
from personalizer.content.words import Words, fill_words

_EMAIL = re.compile(r"^[^@\s<>\"(),:;\\]{1,64}@[^@\s<>\"(),:;\\]+\.[^@\s<>\"(),:;\\.]{2,}$")
_PHONE = re.compile(r"^[+0-9][0-9 ()./-]{4,30}$")

Answers = dict[str, str]


def check_answers(form: models.Form, typed: Mapping[str, str], words: Words) -> tuple[Answers, Answers]:
    """Every field's cleaned answer, and by field what is wrong, in the page's words; no errors means that it can be
    kept."""
    answers = {field.name: _clean(typed.get(field.name, ""), field) for field in form.fields}
    errors = {field.name: error for field in form.fields if (error := _check(field, answers[field.name], words))}
    return answers, errors


def make_lead(
    page: str, slot: str, form: models.Form, answers: Mapping[str, str], visitor: str | None, now: float
) -> dict[str, Any]:
    """A row of the leads table, with a new `lead_id`, received at `now` (seconds since 1970)."""
    return {
        "lead_id": secrets.token_urlsafe(12),
        "ts": int(now * 1_000_000),
        "visitor": visitor,
        "page": page,
        "form": slot,
        "fields": orjson.dumps(answers).decode(),
        "consent_text": form.consent,
    }


def _clean(value: str, field: models.FormField) -> str:
    """What was typed, without control characters and within the field's length; several lines only in a textarea."""
    keep = "\n" if field.type == "textarea" else ""
    text = value.replace("\r\n", "\n")
    kept = "".join(c for c in text if c in keep or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    return kept.strip()[: field.max + 1]


def _check(field: models.FormField, answer: str, words: Words) -> str | None:
    """What is wrong with an answer, in words for the visitor."""
    label = field.label or field.name
    if not answer:
        return fill_words(words.error_missing, label=label) if field.required else None
    if len(answer) > field.max:
        return fill_words(words.error_long, label=label, max=field.max)
    if field.type == "email" and not _EMAIL.match(answer):
        return words.error_email
    if field.type == "tel" and not _PHONE.match(answer):
        return words.error_tel
    if field.type == "number" and not re.fullmatch(r"-?\d{1,12}([.,]\d{1,6})?", answer):
        return fill_words(words.error_number, label=label)
    if field.type == "select" and answer not in field.options:
        return fill_words(words.error_select, label=label)
    return None
