"""Plain data → a checked document: every mistake in our words, and what is right of it all the same.

What enters: data of one file and the model it should be. What leaves: the document, its mistakes noted at their places.
Must not: stop at the first mistake, or let one hide the others.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from personalizer.content import models
from personalizer.content.fields import REMEDIES, Document
from personalizer.content.yaml import KeyPath, Parsed

D = TypeVar("D", bound=Document)

# What stands in for a key that a document must have and has not, so that the rest of it is checked.
_UNSAID = "stands-in-for-a-key"
STAND_INS: dict[str, Any] = {
    "name": "?",
    "match": {},
    "path": "/",
    "copy": {},
    "site": {"name": "?", "hosts": ["localhost"]},
    "platform": "other",
    "page": _UNSAID,
    "goal": _UNSAID,
    "key": _UNSAID,
    "ad_sets": [{"key": _UNSAID}],
}

_ELSEWHERE: dict[type[BaseModel], dict[str, str]] = {  # keys of the one that are taken for keys of the other
    models.Icp: dict.fromkeys(models.Persona.model_fields.keys() - models.Icp.model_fields.keys(), "a persona"),
    models.Persona: dict.fromkeys(models.Icp.model_fields.keys() - models.Persona.model_fields.keys(), "an ICP"),
}


def check_model(parsed: Parsed, data: Any, model: type[D], path: KeyPath = ()) -> D | None:
    """`data` as a `model`, with every mistake reported at its place below `path`.

    A mistake must not hide others: what is wrong is left out, and the rest goes on to further checks; None when the
    rest cannot stand alone.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        details = error.errors()
    for detail in details:
        message, remedy = _explain(detail, model)
        parsed.report((*path, *_place(detail)), message, remedy)
    stand_ins: dict[KeyPath, Any] = {}
    rest = data
    while isinstance(rest, dict):
        lacking = [_place(detail) for detail in details if detail["type"] == "missing"]
        found = {place: STAND_INS[place[-1]] for place in lacking if place[-1] in STAND_INS and place not in stand_ins}
        others = {_standing(rest, _place(detail)) for detail in details if _place(detail) not in found}
        smaller = _leave_out(_put(rest, found), others)
        if smaller == rest:
            break
        rest = smaller
        stand_ins |= found
        try:
            doc = model.model_validate(rest)
        except ValidationError as error:
            details = error.errors()
            continue
        parsed.unsaid.update((*path, *place) for place in stand_ins)
        return doc
    return None


def _put(data: Any, values: Mapping[KeyPath, Any], here: KeyPath = ()) -> Any:
    """`data` with each of the values at its place, where a mapping lacks it."""
    if isinstance(data, dict):
        own = {place[-1]: value for place, value in values.items() if place[:-1] == here}
        return {key: _put(value, values, (*here, key)) for key, value in data.items()} | own
    if isinstance(data, list):
        return [_put(item, values, (*here, number)) for number, item in enumerate(data)]
    return data


def _place(detail: Any) -> KeyPath:
    return tuple(part for part in detail["loc"] if part != "[key]")


def _standing(data: Any, place: KeyPath) -> KeyPath:
    """The longest beginning of `place` that there is in `data`, and that is no item of a list: the places of other
    items must not move."""
    for length, part in enumerate(place):
        try:
            data = data[part]
        except (TypeError, KeyError, IndexError):
            place = place[:length]
            break
    while place and isinstance(place[-1], int):
        place = place[:-1]
    return place


def _leave_out(data: Any, places: set[KeyPath], here: KeyPath = ()) -> Any:
    """`data` without the keys at `places`."""
    if isinstance(data, dict):
        kept = ((key, value) for key, value in data.items() if (*here, key) not in places)
        return {key: _leave_out(value, places, (*here, key)) for key, value in kept}
    if isinstance(data, list):
        return [_leave_out(item, places, (*here, number)) for number, item in enumerate(data)]
    return data


def _explain(detail: Any, model: type[BaseModel]) -> tuple[str, str]:
    """Pydantic's error in our words: what is wrong, what to write instead."""
    kind, place = detail["type"], detail["loc"]
    last = str(place[-1]) if place else "it"
    if kind == "extra_forbidden":
        if len(place) == 1 and last in _ELSEWHERE.get(model, {}):
            return f"there is no key `{last}` here.", f"It belongs to {_ELSEWHERE[model][last]}."
        near = difflib.get_close_matches(last, _keys_at(model, place[:-1]), n=1, cutoff=0.5)
        return f"there is no key `{last}` here.", f"Did you mean `{near[0]}`?" if near else "Remove it."
    if kind == "missing":
        return "is missing.", f"Add `{last}: …`."
    if kind == "string_pattern_mismatch":
        return f"{detail['input']!r} cannot be used.", REMEDIES.get(detail["ctx"]["pattern"], "")
    if kind == "string_type":
        return f"{detail['input']!r} is not a text.", "Put it in quotes."
    if kind == "model_type" or kind == "dict_type":
        return "should be a mapping.", "Write `key: value` lines below it."
    text = re.sub(r"^(Value error|Input) ?,? ?", "", detail["msg"])
    shown = repr(detail["input"])
    return f"{shown[:80]}: {text}.".replace("should be", "it should be"), ""


def _keys_at(model: type[BaseModel], place: tuple[Any, ...]) -> list[str]:
    """The keys that may stand at `place` in `model`, as far as the models on the way are plain."""
    for part in place:
        found = next((f for name, f in model.model_fields.items() if part in (name, f.alias)), None)
        if found is None:
            continue  # an index of a list or a key of a mapping
        inner = _model_in(found.annotation)
        if inner is None:
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if (inner := _model_in(part)) is not None:
            return inner
    return None
