"""The fixed words of pages: what templates and forms say besides the copy, one file a language.

What enters: plain data from `templates/words/<language>.yaml`. What leaves: `Words`; English, where a file says
nothing. Must not: know a page or a template.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import StringConstraints, ValidationInfo, field_validator

from personalizer.content.fields import FIELD, Document, Text

_HOLES = {"error_missing": {"label"}, "error_long": {"label", "max"}} | {
    name: {"label"} for name in ("error_number", "error_select")
}


class Link(Document):
    label: Text
    url: Text


class Words(Document):
    """`words/<language>.yaml`: the fixed words of pages in one language. `{site}` is the site's name."""

    skip: Text = "Skip to the content"
    today: Text = "Today"
    with_site: Text = "With {site}"
    questions: Text = "Questions"
    optional: Text = "optional"
    choose: Text = "Please choose"
    leave_empty: Text = "Leave this empty"
    send: Text = "Send"
    please_check: Text = "Please check:"
    not_sent: Text = "Nothing is sent yet. Please check:"
    error_missing: Text = "{label} is missing."
    error_long: Text = "{label} may have {max} characters at most."
    error_email: Text = "This is not an e-mail address. It looks like name@company.com."
    error_tel: Text = "This is not a phone number. It looks like +49 30 123456."
    error_number: Text = "{label} should be a number."
    error_select: Text = "Choose one of the answers for {label}."
    error_kept: Text = "We could not keep your answer just now. Please send it again."
    thank_you: Text = "Thank you"
    back: Text = "Back to the page"
    forget_me: Text = "Don’t remember me"
    unavailable_title: Text = "Not offered where you are"
    unavailable_headline: Text = "{site} is not offered where you are"
    unavailable_why: Text = (
        "We may not, or cannot yet, provide this service at the place that your connection seems to come from, or to "
        "an organisation like yours. Mostly the reason is local law: it asks for a registration that we do not hold. "
        "So we make no offer here and ask you for nothing."
    )
    unavailable_travel: Text = (
        "If you are travelling, or use a VPN or a company network that leaves the internet in another country, the "
        "page should open from your usual connection."
    )
    unavailable_mistake: Text = "If you believe that this is a mistake, please write to us; the links below say how."
    footer: Text | None = None
    legal: list[Link] = []
    own: dict[Annotated[str, StringConstraints(pattern=FIELD)], Text] = {}

    @field_validator("*")
    @classmethod
    def _check_holes(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, str):
            known = {"site", *_HOLES.get(info.field_name or "", ())}
            for hole in re.findall(r"\{(.*?)\}", value):
                if hole not in known:
                    raise ValueError(f"nothing fills {{{hole}}} here; there is {', '.join(sorted(known))}")
        return value


def fill_words(text: str, **values: object) -> str:
    """`text` with its `{holes}` filled."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text
