"""Compiled content that is kept: read back it decides and shows the same, and what is damaged is not believed."""

from __future__ import annotations

import gc
import hashlib
import random
import re
import stat
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Files

from personalizer.cache import Cache
from personalizer.config import load_settings
from personalizer.content import store
from personalizer.content.compile import Content, load_content
from personalizer.content.files import hash_workspace
from personalizer.content.load import load_documents
from personalizer.content.pages import FormState
from personalizer.content.store import (
    Damaged,
    content_file,
    finish,
    parts_of,
    read_content,
    remove_others,
    save_content,
)
from personalizer.content.templates import Sandbox
from personalizer.decision.decide import decide
from personalizer.edge.swap import _free
from personalizer.model import Facts, Mode, Range, Source, Visitor
from personalizer.publish import open_content

Write = Callable[[Files], Path]


@pytest.fixture(scope="module")
def kept(sample_content: Content, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_content(tmp_path_factory.mktemp("data"), sample_content)


@pytest.fixture(scope="module")
def again(kept: Path) -> Content:
    return finish(read_content(kept))


VALUES: dict[str, list[Any]] = {
    "company.industry": ["software", "internet", "retail"],
    "company.employees": [Range(6, 6), Range(240, 240), Range(2000, 5000)],
    "company.domain": ["halden.example", "x.example"],
    "geo.country": ["DE", "BR", "FR"],
    "geo.eu": [True, False],
    "utm.term": ["payroll api", "cash flow"],
    "person.title": ["CFO", "HR director"],
    "visit.count": [1, 3],
}


def visitors() -> list[tuple[Visitor, str]]:
    """Some that differ in what is known of them, and the ad that they come from."""
    draw = random.Random(5)
    people = []
    for number in range(300):
        facts: Facts = {name: draw.choice(values) for name, values in VALUES.items() if draw.random() < 0.6}
        sources = dict.fromkeys(facts, draw.choice([Source.LOOKUP, Source.FORM]))
        ad = draw.choice([None, "q4-cfo.cfo-51-1000.roi-calc", "q4-cfo.hr-51-1000.payslips"])
        unit = f"unit-{number}"
        people.append((Visitor(facts, sources, unit, "v", unit, Mode.PERSISTENT, {}, ad), "payroll"))
    return people


def test_it_decides_and_shows_the_same(sample_content: Content, again: Content) -> None:
    assert again is not sample_content
    assert again.registry.revision == sample_content.registry.revision
    shown = set()
    for visitor, page in visitors():
        one = decide(sample_content.registry, page, visitor)
        other = decide(again.registry, page, visitor)
        assert repr(one) == repr(other)
        shown.add(one.shown)
        rendering, same = sample_content.renderings.ready[one.shown], again.renderings.ready[one.shown]
        assert rendering.fill("d", "r", "a", one.facts) == same.fill("d", "r", "a", one.facts)
        assert (rendering.csp, rendering.language) == (same.csp, same.language)
    assert len(shown) > 4


def test_it_has_the_same_rules_words_and_files(sample_content: Content, again: Content) -> None:
    one, other = sample_content.registry, again.registry
    assert [icp.match.sentence for icp in one.icps.values()] == [icp.match.sentence for icp in other.icps.values()]
    for name in ("goals", "experiments", "accounts", "paths", "retired", "site_name", "currency"):
        assert getattr(one, name) == getattr(other, name)
    assert replace(one.site, privacy=()) == replace(other.site, privacy=())
    france: Facts = {"geo.country": "FR"}
    tests = [[test(france) if test else None for test, _ in registry.site.privacy] for registry in (one, other)]
    assert tests[0] == tests[1] and True in tests[0]
    assert sample_content.renderings.assets == again.renderings.assets
    assert sample_content.renderings.forms == again.renderings.forms


def test_a_form_with_mistakes_is_rendered_from_it(sample_content: Content, again: Content) -> None:
    state = FormState({"email": "ada@"}, {"email": "Not an address."})
    pages = [
        content.renderings.sources["payroll/cfo"].render(content.renderings.templates, state).fill("d", "r", "a", {})
        for content in (sample_content, again)
    ]
    assert pages[0] == pages[1]
    assert b"Not an address." in pages[0] and b'value="ada@"' in pages[0]


def test_rendering_a_form_again_leaves_nothing_behind(again: Content) -> None:
    """Circles that are made while a worker reads new content would be frozen with it, for good."""
    gc.collect()
    gc.disable()
    try:
        again.renderings.sources["payroll/cfo"].render(again.renderings.templates, FormState({}, {"email": "x"}))
        assert not [one for one in gc.get_objects() if type(one) is Sandbox]
    finally:
        gc.enable()


def test_what_belongs_to_the_process_is_shared(again: Content) -> None:
    facts = {leaf.fact for icp in again.registry.icps.values() for leaf in icp.match.leaves}
    assert facts and all(any(fact is name for name in store.FACTS) for fact in facts)
    answers = {id(index._answers) for index in again.registry.personas_of.values() if index._answers is not None}
    assert len(answers) <= 1


def test_it_is_read_in_small_steps(kept: Path) -> None:
    steps = read_content(kept)
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            assert isinstance(end.value, Content)
            break
        count += 1
    assert count > 40


# --- the file ---


def test_only_the_server_may_read_it(kept: Path) -> None:
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_damage_is_seen(kept: Path, tmp_path: Path) -> None:
    whole = kept.read_bytes()
    draw = random.Random(6)
    file = kept.with_name("damaged")
    for _ in range(60):
        place = draw.randrange(len(whole))
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << draw.randrange(8)]) + whole[place + 1 :])
        with pytest.raises(Damaged):
            finish(read_content(file))
    for length in (0, 10, 32, 33, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(Damaged):
            finish(read_content(file))
    with pytest.raises(Damaged):
        finish(read_content(tmp_path / "missing"))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "print"),
        ("personalizer.serve", "os.system"),
        ("personalizer.content.store", "os.system"),
        ("personalizer.content.store", "pickle"),
        ("personalizer.content.store", "save_content"),
        ("personalizer.content.store", "Path"),
    ],
)
def test_nothing_foreign_can_stand_in_it(kept: Path, module: str, name: str) -> None:
    body = b"\x80\x04" + f"\x8c{chr(len(module))}{module}\x8c{chr(len(name))}{name}\x93.".encode("latin-1")
    file = kept.with_name("foreign")
    key = store._key_of(kept.parent.parent)
    file.write_bytes(hashlib.blake2b(body, digest_size=32, key=key).digest() + body)
    with pytest.raises(Damaged, match=f"{re.escape(module)}.{re.escape(name)} has no place in content"):
        finish(read_content(file))


def test_only_what_was_written_here_is_read(kept: Path, tmp_path: Path) -> None:
    """A file is run when it is read, so one that somebody else wrote is none, though its digest be right."""
    theirs = tmp_path / "content" / kept.name
    theirs.parent.mkdir()
    theirs.write_bytes(kept.read_bytes())
    with pytest.raises(Damaged, match="not of this data directory"):
        finish(read_content(theirs))
    body = kept.read_bytes()[32:]
    kept.with_name("theirs").write_bytes(hashlib.blake2b(body, digest_size=32).digest() + body)
    with pytest.raises(Damaged, match="not of this data directory"):
        finish(read_content(kept.with_name("theirs")))


def test_another_engine_does_not_find_it(kept: Path, again: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    data, revision = kept.parent.parent, again.registry.revision
    assert content_file(data, revision) == kept
    monkeypatch.setattr(store, "engine_mark", lambda: "another")
    assert content_file(data, revision) != kept


def test_only_the_newest_stays(sample_content: Content, tmp_path: Path) -> None:
    old = save_content(tmp_path, replace(sample_content, registry=replace(sample_content.registry, revision="0" * 64)))
    (old.parent / f".{old.name}.123").write_bytes(b"draft")
    new = save_content(tmp_path, sample_content)
    remove_others(new)
    assert list(new.parent.iterdir()) == [new]


def test_what_cannot_be_removed_stays_and_is_told(
    sample_content: Content, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = save_content(tmp_path, sample_content)
    (kept.parent / "0-folder").mkdir()
    (kept.parent / "old").write_bytes(b"old")
    remove_others(kept)
    assert sorted(path.name for path in kept.parent.iterdir()) == ["0-folder", kept.name]
    assert "0-folder is of no use any more and cannot be removed" in caplog.text
    remove_others(tmp_path / "missing" / "file")


# --- opening ---


def test_a_start_takes_what_is_kept_or_compiles_anew(workspace: Write, tmp_path: Path) -> None:
    root = workspace({})
    data = tmp_path / "data"
    settings = load_settings({"workspace": str(root), "data": str(data)}, environ={})
    first = open_content(settings)
    assert first.registry.revision == hash_workspace(root) == load_content(root).registry.revision
    (file,) = (data / "content").iterdir()
    stamp = file.stat().st_mtime_ns

    assert open_content(settings).registry.revision == first.registry.revision
    assert file.stat().st_mtime_ns == stamp, "it was read, not written"

    file.write_bytes(file.read_bytes()[:-9])
    assert open_content(settings).registry.revision == first.registry.revision
    assert file.stat().st_mtime_ns != stamp, "damaged, it was compiled and written again"

    workspace({"variants/pages/home/page.yaml": "path: /home\ncopy: {headline: Changed}\n"})
    changed = open_content(settings)
    assert changed.registry.revision == hash_workspace(root) != first.registry.revision
    assert [path.name.partition("-")[0] for path in (data / "content").iterdir()] == [changed.registry.revision]


def test_hidden_files_are_no_content(workspace: Write) -> None:
    root = workspace({"templates/assets/a.txt": "x"})
    before = load_content(root).registry.revision
    for name in ("variants/icps/.a.yaml.swp", "templates/.#landing.html", "templates/assets/.b", "templates/notes.md"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("{{")
    assert load_content(root).registry.revision == hash_workspace(root) == before


def test_a_link_to_a_folder_counts_where_it_is_read(workspace: Write, tmp_path: Path) -> None:
    root = workspace({"templates/assets/a.txt": "x"})
    pages = root / "variants" / "pages"
    (pages / "home").rename(tmp_path / "home")
    (pages / "home").symlink_to(tmp_path / "home")
    (root / "templates" / "assets").rename(tmp_path / "files")
    (root / "templates" / "assets").symlink_to(tmp_path / "files")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.txt").write_text("x")
    (root / "templates" / "assets" / "link").symlink_to(tmp_path / "elsewhere")
    (root / "templates" / "round").symlink_to(root)
    documents = load_documents(root)
    assert load_content(root).registry.revision == hash_workspace(root)
    said = [str(problem) for problem in documents.problems if "is a link to a folder" in str(problem)]
    assert len(said) == 1 and "templates/round" in said[0]


# --- letting go ---


def test_content_is_freed_part_by_part(kept: Path) -> None:
    content = finish(read_content(kept))
    content.registry.ads._known.put(("x",), {})
    form = content.renderings.forms[("payroll/cfo", "form")]
    watched = [weakref.ref(content.renderings.templates.theme), weakref.ref(form)]
    cache: Cache[Any, Any] = content.registry.ads._known
    gc.disable()  # nothing in it refers to itself, so that it goes without being looked for
    try:
        parts = list(parts_of(content))
        del content, form
        assert all(one() is not None for one in watched)
        _free(parts)
        assert all(one() is None for one in watched)
    finally:
        gc.enable()
    assert cache.get(("x",)) is None
