"""The words that documents are built from: keys, texts, shares, durations, addresses; and the base of every document.

What enters: nothing. What leaves: types for pydantic, and what to write where a text does not look as it must.
Must not: know any document.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

KEY = r"^[a-z0-9][a-z0-9_-]{0,63}$"
DOMAIN = r"^[A-Za-z0-9]([A-Za-z0-9.-]*\.)[A-Za-z0-9-]{2,}$"
HOST = r"^[A-Za-z0-9.-]+$"
LANGUAGE = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
PRIMARY = r"^[a-z]{2,3}$"
CURRENCY = r"^[A-Z]{3}$"
COUNTRY = r"^[A-Z]{2}$"
TEMPLATE = r"^[a-z0-9][a-z0-9_-]*\.html$"
ORIGIN = r"^(form|url|signed)\.[a-z0-9_]+$"
FIELD = r"^[a-z][a-z0-9_]{0,39}$"
FAMILY = r"^[A-Za-z][A-Za-z0-9 -]{0,59}$"
WEIGHTS = r"^[1-9]\d{0,2}( [1-9]\d{0,2})?$"
REMEDIES = {  # what to write where a text does not look as it must
    KEY: "Use small letters, digits, - and _.",
    DOMAIN: "Write a domain as example.com; one with other letters in its xn--… form.",
    HOST: "Write a host name as www.example.com, without https:// and port.",
    LANGUAGE: "Write a language as en, de or pt-BR.",
    PRIMARY: "Write a language as en or de, without a country.",
    CURRENCY: "Write a currency as EUR or USD.",
    COUNTRY: "Write a country as DE or US.",
    TEMPLATE: "Name a file of templates/, as landing.html.",
    ORIGIN: "Write form.budget, url.budget or signed.budget.",
    FIELD: "Begin with a small letter; use small letters, digits and _.",
    FAMILY: "Use letters, digits, spaces and -.",
    WEIGHTS: "Write a weight as 400, and those of a variable font as 300 800.",
}
Key = Annotated[str, StringConstraints(pattern=KEY)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Share = Annotated[float, Field(ge=0, le=1)]
Points = Annotated[float, Field(ge=-1000, le=1000)]
Money = Annotated[float, Field(ge=0, le=1e12)]
Language = Annotated[str, StringConstraints(pattern=LANGUAGE)]
Date = Annotated[dt.date, Field(strict=False)]  # quoted or not


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Keys = Annotated[list[Key], BeforeValidator(_as_list)]
Countries = Annotated[list[Annotated[str, StringConstraints(pattern=COUNTRY)]], BeforeValidator(_as_list)]
Origins = Annotated[list[Annotated[str, StringConstraints(pattern=ORIGIN)]], BeforeValidator(_as_list)]
Texts = Annotated[list[Text], BeforeValidator(_as_list)]


def _as_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


Weights = Annotated[
    str, StringConstraints(pattern=WEIGHTS), BeforeValidator(_as_text, json_schema_input_type=int | str)
]

_DURATION = re.compile(r"^(\d{1,4})\s*([mhdw])$")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def _seconds(value: Any) -> int:
    match = _DURATION.match(value) if isinstance(value, str) else None
    if not match:
        raise ValueError("write a duration as 30d, 12h, 45m or 2w")
    return int(match[1]) * _SECONDS[match[2]]


Duration = Annotated[
    int,
    BeforeValidator(_seconds, json_schema_input_type=str),
    Field(gt=0, le=400 * 86_400, description="30d, 12h, 45m"),
]


def _web_url(value: str) -> str:
    if not re.match(r"^https?://[^\s/\\]+", value) or any(ord(c) < 33 for c in value):
        raise ValueError("write a whole address that begins with https://")
    return value


WebUrl = Annotated[str, AfterValidator(_web_url)]


def _url_path(value: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9/_.~-]*", value) or "//" in value or "/." in value:
        raise ValueError("write a path as /payroll, of letters, digits and - _ . ~ /")
    if value.startswith(("/_pz", "/api/", "/admin", "/ofrep", "/healthz", "/readyz", "/metrics")):
        raise ValueError("this path is the engine's own; choose another")
    return value if value == "/" else value.rstrip("/")


UrlPath = Annotated[str, AfterValidator(_url_path)]


def check_link_target(value: str) -> str:
    """An address that a link may have. Raises ValueError with what to write."""
    if re.fullmatch(r"https?://[^\s]+|/[^\s/\\][^\s\\]*|/|#[\w-]*|mailto:[^\s]+|tel:[+0-9 -]+", value):
        return value
    raise ValueError("write https://…, a path of this site (/pricing), #anchor, mailto: or tel:")


LinkTarget = Annotated[str, AfterValidator(check_link_target)]


def _bare_domain(value: str) -> str:
    return value.removeprefix("www.")


Domain = Annotated[str, StringConstraints(to_lower=True, pattern=DOMAIN), AfterValidator(_bare_domain)]


class Document(BaseModel):
    """Base of every document: unknown keys and values of another type are mistakes; nothing is changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, strict=True, allow_inf_nan=False)
