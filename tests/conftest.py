"""What tests share: the shipped workspace compiled once, small workspaces written from a mapping of files, the wheel.

What enters: nothing. What leaves: fixtures, and `write_workspace`. Must not: grow; a test file brings its own fixtures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from wheels import WheelBuild

from personalizer.config import shipped
from personalizer.content.compile import Content, load_content

# The same examples in every run, and no deadline: the machine may be busy.
hypothesis.settings.register_profile("tests", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("tests")

SMALL: dict[str, Any] = {
    "variants/workspace.yaml": "site: {name: Shop, hosts: [www.shop.example]}\nholdout: 0\n",
    "variants/pages/home/page.yaml": "path: /home\ncopy: {headline: Welcome}\n",
    "templates/landing.html": """\
---
slots:
  headline: {type: text, max: 60, required: true}
  text: {type: richtext}
  link: {type: url}
  form: {type: form}
---
<!doctype html>
<html lang="{{ page.language }}" data-pz-row="{{ pz.row }}" data-pz-arm="{{ pz.arm }}">
<head><title>{{ copy.headline }}</title><style>body { color: #123; }</style></head>
<body><h1 title="{{ copy.headline }}">{{ copy.headline }}</h1>
{% if copy.text %}{{ copy.text }}{% endif %}
{% if copy.link %}<a href="{{ copy.link }}">more</a>{% endif %}
{% if copy.form %}<form method="post" action="/_pz/form/{{ page.key }}/form">
<input type="hidden" name="d" value="{{ pz.decision }}">
{% for field in copy.form.fields %}
<input name="{{ field.name }}" value="{{ form_state.values.get(field.name, '') }}">
<b>{{ form_state.errors.get(field.name, '') }}</b>
{% endfor %}</form>{% endif %}
</body></html>
""",
    "templates/unavailable.html": "<!doctype html><title>{{ site.name }}</title><h1>Not here</h1>\n",
    "templates/thank-you.html": """\
---
slots: {headline: {type: text}, text: {type: text}}
---
<!doctype html><title>{{ copy.headline }}</title><h1>{{ copy.headline }}</h1>
""",
}

Files = Mapping[str, Any]


def write_workspace(root: Path, files: Files) -> Path:
    """A small workspace in `root` with `files` beside or instead of its own, and without those that are None.

    A text is written as it is, anything else as JSON, which is YAML too.
    """
    for name, content in {**SMALL, **files}.items():
        if content is None:
            continue
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return root


_BUILD = pytest.StashKey[WheelBuild]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """The wheel takes a core for a minute: other tests meanwhile run on the other."""
    wanted = any("wheel" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.option.collectonly:
        session.config.stash[_BUILD] = WheelBuild()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if build := session.config.stash.get(_BUILD, None):
        build.stop()


@pytest.fixture(scope="session")
def wheel(request: pytest.FixtureRequest) -> Path:
    """The wheel of this repository."""
    return request.config.stash[_BUILD].wait()


@pytest.fixture
def workspace(tmp_path: Path) -> Callable[[Files], Path]:
    """`workspace(files)` writes a small workspace and gives its directory."""
    return lambda files: write_workspace(tmp_path, files)


@pytest.fixture(scope="session")
def sample_root() -> Path:
    """The directory of the shipped workspace."""
    return shipped("variants").parent


@pytest.fixture(scope="session")
def sample_content(sample_root: Path) -> Content:
    """The shipped workspace, compiled."""
    return load_content(sample_root)
