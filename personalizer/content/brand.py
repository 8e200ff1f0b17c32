"""The brand of every page: what `templates/theme.yaml` may say.

What enters: nothing. What leaves: `Theme`, and what it is made of. Must not: know any other document.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from personalizer.content.fields import FAMILY, Document, Text, Weights
from personalizer.content.words import Link


class FontFile(Document):
    """A font that comes with the page: a file under assets/ for one family, weight and style."""

    family: Annotated[str, StringConstraints(pattern=FAMILY)]
    file: Text
    weight: Weights = "400"
    style: Literal["normal", "italic"] = "normal"


class Theme(Document):
    """`templates/theme.yaml`: the user's brand without touching HTML."""

    logo: Text | None = Field(None, description="file under assets/")
    favicon: Text | None = None
    colors: dict[Literal["brand", "brand_text", "accent", "text", "muted", "background", "surface", "border"], str] = {}
    fonts: dict[Literal["body", "headline"], str] = {}
    font_files: list[FontFile] = []
    footer: Text | None = None
    legal: list[Link] = []
