"""A touch: how a link brought the visitor here, and the short text in which the cookie keeps it.

What enters: what a link said, or such a text. What leaves: the other one, and facts. Must not: raise for any text.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, NamedTuple

import orjson

from personalizer.cache import Cache
from personalizer.model import Facts

UTM_NAMES: Final = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id")
MAX_UTM: Final = 80  # bytes of a remembered UTM value

_FACTS: Final = (*(name.replace("_", ".") for name in UTM_NAMES), "click.kind", "click.id")
_FIRST_FACTS: Final = ("first.source", "first.medium", "first.campaign")


class Touch(NamedTuple):
    """How a link brought the visitor here. Every field is text; `""` means that the link did not say."""

    source: str = ""
    medium: str = ""
    campaign: str = ""
    term: str = ""
    content: str = ""
    id: str = ""
    click_kind: str = ""
    click_id: str = ""
    ad_ref: str = ""

    @property
    def facts(self) -> Facts:
        """`utm.*`, `click.kind` and `click.id`, as far as they are known."""
        return {name: value for name, value in zip(_FACTS, self, strict=False) if value}


NO_TOUCH: Final = Touch()


def write_touch(touch: Touch) -> str:
    """The touch as the cookie keeps it, its UTM values shortened; `""` for one that says nothing."""
    return _write([*map(_shorten, touch[: len(UTM_NAMES)]), *touch[len(UTM_NAMES) :]]) if any(touch) else ""


def write_first(touch: Touch) -> str:
    """Source, medium and campaign only, as the cookie keeps a visitor's first touch; `""` without any of them."""
    texts = [_shorten(touch.source), _shorten(touch.medium), _shorten(touch.campaign)]
    return _write(texts) if any(texts) else ""


def read_touch(text: str) -> Touch:
    """What `write_touch` wrote; an empty touch for anything else."""
    return _touches.get(text) or _touches.put(text, _read(text))


def first_facts(text: str) -> Facts:
    """`first.*` facts of what `write_first` wrote; they are shared."""
    found = _firsts.get(text)
    if found is None:
        found = {name: value for name, value in zip(_FIRST_FACTS, _read(text), strict=False) if value}
        _firsts.put(text, found)
    return found


_touches: Final[Cache[str, Touch]] = Cache(8192)
_firsts: Final[Cache[str, Facts]] = Cache(8192)


def _write(texts: list[str]) -> str:
    return urlsafe_b64encode(orjson.dumps(texts)).rstrip(b"=").decode("ascii")


def _read(text: str) -> Touch:
    try:
        texts = orjson.loads(urlsafe_b64decode(text + "=="))
        return Touch(*texts) if all(isinstance(one, str) for one in texts) else NO_TOUCH
    except (ValueError, TypeError):
        return NO_TOUCH


def _shorten(text: str) -> str:
    return text if len(text) * 4 <= MAX_UTM else text.encode()[:MAX_UTM].decode("utf-8", "ignore")
