"""Templates, compiled: what renders a page at publish, and a form with mistakes in it once more.

What enters: the text of templates. What leaves: `Templates`, plain data that can be kept in a file, and from it an
environment in which they run. Must not: let a template reach anything but what it is given.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from types import CodeType, SimpleNamespace
from typing import Any

from jinja2 import BaseLoader, Environment, StrictUndefined, Template, TemplateError, TemplateNotFound, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from personalizer.content import models
from personalizer.content.brand import FontFile, Theme
from personalizer.content.words import Link, Words


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox. It asks of each attribute whether it is safe; of our own plain data that is known."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        kind = type(obj)
        if kind is dict and attribute in obj and attribute not in _DICT_METHODS:
            return obj[attribute]
        if kind in _PLAIN and attribute in obj.__dict__:
            return obj.__dict__[attribute]
        return super().getattr(obj, attribute)

    def let_go(self) -> None:
        """Be of no use any more: what ran here refers to itself and would wait for a collection, which never comes for
        what is there when content is frozen."""
        for template in list(self.cache.values()) if self.cache is not None else ():
            template.root_render_func.__globals__.clear()
        self.cache = None


class Missing(StrictUndefined):
    """What a template asks for and there is not; the error names what is there and nearly called so."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        name, there = self._undefined_name, self._undefined_obj
        if self._undefined_hint or not isinstance(name, str) or not (isinstance(there, dict) or type(there) in _PLAIN):
            return str(super()._undefined_message)
        known = [str(key) for key in (there if isinstance(there, dict) else vars(there))]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        what = f"there is no {'slot or key' if isinstance(there, dict) else 'key'} `{name}`"
        return f"{what}; did you mean `{near[0]}`?" if near else what


_DICT_METHODS = frozenset(dir(dict))
_PLAIN = (SimpleNamespace, models.Form, models.FormField, models.Image, models.Embed, Theme, FontFile, Link, Words)


@dataclass(frozen=True, slots=True)
class Templates:
    """All templates of a workspace, and what each of them is given besides a page: the site, the theme, the address of
    each asset."""

    site: SimpleNamespace
    theme: Theme
    assets: Mapping[str, str]
    codes: dict[str, CodeType] = field(default_factory=dict)

    def environment(self) -> Sandbox:
        """Where they run. It is made anew for each use, as it refers to itself, and content is freed without looking
        for such circles."""
        environment = Sandbox(
            autoescape=True, undefined=Missing, loader=_Loader(self.codes), trim_blocks=True, lstrip_blocks=True
        )
        environment.globals["asset"] = self._asset_url
        return environment

    def _asset_url(self, name: str) -> str:
        if name not in self.assets:
            raise TemplateError(f"there is no file templates/assets/{name}")
        return self.assets[name]


class _Loader(BaseLoader):
    def __init__(self, codes: Mapping[str, CodeType]) -> None:
        self._codes = codes

    def load(self, environment: Environment, name: str, globals: MutableMapping[str, Any] | None = None) -> Template:
        if name not in self._codes:
            raise TemplateNotFound(name)
        return environment.template_class.from_code(environment, self._codes[name], globals or {}, None)


def lost_lines(template: nodes.Template) -> list[int]:
    """Lines of a template that extends another where something stands outside its blocks: Jinja shows nothing of it."""
    if not any(isinstance(node, nodes.Extends) for node in template.body):
        return []
    outputs = (part for node in template.body if isinstance(node, nodes.Output) for part in node.nodes)
    return [line for part in outputs if (line := _line_shown(part)) is not None]


def _line_shown(part: nodes.Expr) -> int | None:
    """Where something other than space begins."""
    if not isinstance(part, nodes.TemplateData):
        return part.lineno
    text = part.data.lstrip()
    return part.lineno + part.data[: len(part.data) - len(text)].count("\n") if text else None
