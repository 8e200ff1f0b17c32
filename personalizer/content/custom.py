"""The workspace's own facts: `custom` and `derive` → what may be asked about, read from links and forms, and derived.

What enters: the workspace's document. What leaves: custom facts, a wider schema, tokens, derivations; mistakes in the
document. Must not: let what people type about themselves become a fact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from personalizer.content import models
from personalizer.content.load import Documents, Loaded
from personalizer.content.yaml import KeyPath
from personalizer.decision.conditions import Condition
from personalizer.decision.parse import FactSchema
from personalizer.model import CustomFact, FactType, Value
from personalizer.visitor.cleaning import clean_text
from personalizer.visitor.declared import MAX_TEXT, PERSONA
from personalizer.visitor.query import OWN_NAMES

PREFIX = "custom."
ASKED = ("select", "number", "checkbox")  # fields whose answers may be facts: nobody can type a name into them
DERIVABLE = ("person.awareness", "person.stage")

Compile = Callable[[Loaded[Any], Any, KeyPath], Condition]
Derived = tuple[str, tuple[tuple[Condition, Value], ...]]


def compile_custom(workspace: models.Workspace) -> tuple[CustomFact, ...]:
    """The custom facts, each with the names under which it is told."""
    return tuple(
        CustomFact(PREFIX + key, FactType(fact.type), *(_names(fact, kind) for kind in ("url", "form", "signed")))
        for key, fact in workspace.custom.items()
    )


def extend_schema(schema: FactSchema, custom: tuple[CustomFact, ...]) -> FactSchema:
    """The schema with custom facts in it, so that every rule may ask about them."""
    return replace(schema, types={**schema.types, **{fact.name: fact.type for fact in custom}})


def custom_tokens(workspace: models.Workspace) -> frozenset[str]:
    """The custom facts that copy may show: texts, which are cleaned, short and escaped."""
    return frozenset(PREFIX + key for key, fact in workspace.custom.items() if fact.type == "text")


def compile_derived(workspace: Loaded[models.Workspace], compile_: Compile) -> tuple[Derived, ...]:
    """By fact, the rules that derive it; what a custom fact is derived as has its type."""
    custom = {fact.name: fact.type for fact in compile_custom(workspace.doc)}
    derived = []
    for fact, rules in workspace.doc.derive.items():
        kind = FactType.TEXT if fact in DERIVABLE else custom.get(fact)
        if kind is None:
            remedy = f"Only {' and '.join(DERIVABLE)} can, and facts of `custom`; nothing else is inferred."
            workspace.report(("derive", fact), "cannot be derived.", remedy)
            continue
        told = []
        for place, rule in enumerate(rules):
            path: KeyPath = ("derive", fact, place)
            value = _typed(rule.is_, kind)
            if value is None:
                workspace.report((*path, "is"), f"{rule.is_!r} is not a {kind}.", f"Write a {kind}.")
            else:
                told.append((compile_(workspace, rule.when, (*path, "when")), value))
        derived.append((fact, tuple(told)))
    return tuple(derived)


def lint_custom(documents: Documents) -> None:
    """Report origins that cannot tell a fact, and facts that nothing tells."""
    workspace = documents.workspace
    fields: dict[str, set[str]] = {}
    for field in _form_fields(documents):
        fields.setdefault(str(field.get("name")), set()).add(str(field.get("type", "text")))
    for key, fact in workspace.doc.custom.items():
        if not fact.origin and PREFIX + key not in workspace.doc.derive:
            workspace.warn(("custom", key), "is told by nothing.", "Name its origins: `from: [form.…]`, or derive it.")
        for place, origin in enumerate(fact.origin):
            path: KeyPath = ("custom", key, "from", place)
            mistake = _judge(origin, fields)
            if mistake is not None:
                workspace.report(path, *mistake)
            elif origin.startswith("form.") and origin.partition(".")[2] not in fields:
                workspace.warn(path, f"no form has the field of `{origin}`.", "Add it to a form, or leave it out here.")


def _judge(origin: str, fields: dict[str, set[str]]) -> tuple[str, str] | None:
    kind, _, name = origin.partition(".")
    if kind == "url" and name in OWN_NAMES:
        return (
            f"`{name}` in a link is the engine's own.",
            f"Use the fact, as utm.source, or another name than `{name}`.",
        )
    if kind == "signed" and name == PERSONA:
        return "a signed link names the persona by this word.", "Choose another name."
    if kind == "form" and not fields.get(name, set()) <= {*ASKED}:
        return (
            f"the field `{name}` takes what people type, and may hold personal data, which is never a fact.",
            f"Make it one of {' '.join(ASKED)} in every form.",
        )
    return None


def _form_fields(documents: Documents) -> Iterator[dict[str, Any]]:
    pages = [page.doc.copy_ for page in documents.pages.values()]
    variants = [variant.doc.copy_ for variant in documents.variants.values()]
    for copy in (*pages, *variants):
        for value in copy.values():
            if isinstance(value, dict) and isinstance(value.get("fields"), list):
                yield from (field for field in value["fields"] if isinstance(field, dict))


def _names(fact: models.CustomFact, kind: str) -> tuple[str, ...]:
    return tuple(origin.partition(".")[2] for origin in fact.origin if origin.startswith(f"{kind}."))


def _typed(value: str | float | bool, kind: FactType) -> Value | None:
    if kind is FactType.TEXT:
        return clean_text(str(value), MAX_TEXT) or None
    if kind is FactType.FLAG:
        return value if isinstance(value, bool) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
