"""Reading a workspace: every file → a checked document, or problems with file, line, key and remedy.

What enters: a directory with `variants/` and `templates/`. What leaves: `Documents`. Must not: stop at the first
mistake, or know how documents refer to each other (`lint.py` does).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic

from personalizer.content import models
from personalizer.content.brand import Theme
from personalizer.content.fields import KEY, LANGUAGE, REMEDIES
from personalizer.content.validate import STAND_INS, D, check_model
from personalizer.content.words import Words
from personalizer.content.yaml import KeyPath, Parsed, parse_yaml
from personalizer.errors import Problem
from personalizer.visitor.csv_line import BrokenLineError, split_line


@dataclass(slots=True, eq=False)
class Loaded(Generic[D]):
    """One document with its key (the file's name) and the place of each of its keys.

    `whole` False: it has mistakes, `doc` is what is right of it, and what it lacks says nothing.
    """

    key: str
    doc: D
    source: Parsed
    whole: bool

    def report(self, path: KeyPath, message: str, remedy: str = "", *, warning: bool = False) -> None:
        self.source.report(path, message, remedy, warning=warning)

    def warn(self, path: KeyPath, message: str, remedy: str) -> None:
        """Note what may be meant as it stands, and often is not."""
        self.source.report(path, message, remedy, warning=True)


@dataclass(slots=True)
class TemplateFile:
    """A template or section: its front matter and the Jinja text below it, which begins at `first_line`."""

    name: str
    front: Loaded[models.FrontMatter]
    body: str
    first_line: int


@dataclass(slots=True)
class AccountLine:
    """One company of an account list, and where it stands."""

    file: Path
    line: int
    account: models.Account


@dataclass(slots=True)
class Documents:
    """A whole workspace as read. Mappings are by key; variants by (page, variant)."""

    root: Path
    workspace: Loaded[models.Workspace]
    theme: Loaded[Theme] | None = None
    words: dict[str, Loaded[Words]] = field(default_factory=dict)  # by language
    icps: dict[str, Loaded[models.Icp]] = field(default_factory=dict)
    personas: dict[str, Loaded[models.Persona]] = field(default_factory=dict)
    campaigns: dict[str, Loaded[models.Campaign]] = field(default_factory=dict)
    pages: dict[str, Loaded[models.Page]] = field(default_factory=dict)
    variants: dict[tuple[str, str], Loaded[models.Variant]] = field(default_factory=dict)
    experiments: dict[str, Loaded[models.Experiment]] = field(default_factory=dict)
    accounts: dict[str, list[AccountLine]] = field(default_factory=dict)
    templates: dict[str, TemplateFile] = field(default_factory=dict)
    assets: dict[str, Path] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)  # everything read, by path: what the revision hashes
    named: set[tuple[str, str]] = field(default_factory=set)  # (folder, key) of every file, right or wrong
    _own: list[Problem] = field(default_factory=list)
    _parsed: list[Parsed] = field(default_factory=list)

    @property
    def problems(self) -> list[Problem]:
        """Every problem so far, in the order of files and lines."""
        return sorted(self._own + [problem for parsed in self._parsed for problem in parsed.problems])

    def published(self) -> dict[str, dict[str, Loaded[models.Variant]]]:
        """By page, its published variants."""
        found: dict[str, dict[str, Loaded[models.Variant]]] = {page: {} for page in self.pages}
        for (page, name), variant in self.variants.items():
            if page in found and variant.doc.status == "published":
                found[page][name] = variant
        return found

    def bytes_of(self, path: Path) -> bytes:
        """What a file of the workspace holds, as it was read."""
        return self.files[path.relative_to(self.root).as_posix()]

    def report(self, file: Path, message: str, remedy: str = "", *, line: int = 0, warning: bool = False) -> None:
        self._own.append(Problem(file, line, "", message, remedy, warning))

    def note(self, parsed: Parsed) -> None:
        self._parsed.append(parsed)


_START = "`personalizer init DIR` makes a workspace to start from."


def load_documents(root: Path) -> Documents:
    """Read the workspace in `root`. Never raises for what is in it; the problems are in the result."""
    documents = Documents(root, _nameless_workspace(root))
    variants, templates = root / "variants", root / "templates"
    missing = [folder for folder in (variants, templates) if not folder.is_dir()]
    if len(missing) == 2:
        lacks = (
            f"no `variants` and no `templates` in {root.resolve()}"
            if root.is_dir()
            else f"no directory {root.resolve()}"
        )
        documents.report(root, f"is no workspace: there is {lacks}.", _START)
    elif missing:
        documents.report(missing[0], "is missing.", _START)
    if variants.is_dir():
        _load_workspace(documents, variants / "workspace.yaml")
        _load_folder(documents, variants / "icps", models.Icp, documents.icps)
        _load_folder(documents, variants / "personas", models.Persona, documents.personas)
        _load_folder(documents, variants / "campaigns", models.Campaign, documents.campaigns)
        _load_folder(documents, variants / "experiments", models.Experiment, documents.experiments)
        _load_pages(documents, variants / "pages")
        _load_accounts(documents, variants / "accounts")
        _refuse_strangers(documents, variants)
    if templates.is_dir():
        _load_templates(documents, templates)
    return documents


def load_campaigns(root: Path) -> Documents:
    """Of a workspace, what links are made of: campaigns, and pages without their variants."""
    documents = Documents(root, _nameless_workspace(root))
    variants = root / "variants"
    _load_workspace(documents, variants / "workspace.yaml")
    _load_folder(documents, variants / "campaigns", models.Campaign, documents.campaigns)
    for file in sorted((variants / "pages").glob("*/page.yaml")):
        page = _load_document(documents, file, models.Page)
        if page is not None:
            documents.pages[file.parent.name] = page
    return documents


_FOLDERS = ("icps", "personas", "campaigns", "pages", "experiments", "accounts")


def _refuse_strangers(documents: Documents, variants: Path) -> None:
    for path in sorted(variants.iterdir()):
        if path.name.startswith(".") or path.name == "workspace.yaml" or (path.name in _FOLDERS and path.is_dir()):
            continue
        near = difflib.get_close_matches(path.name, (*_FOLDERS, "workspace.yaml"), n=1)
        remedy = f"Did you mean `{near[0]}`?" if near else f"Here belong workspace.yaml and {', '.join(_FOLDERS)}."
        documents.report(path, "is not part of a workspace.", remedy)


def _read_bytes(documents: Documents, path: Path) -> bytes | None:
    try:
        raw = path.read_bytes()
    except OSError as error:
        documents.report(path, f"cannot be read: {error.strerror}.", "Let the server's user read it.")
        return None
    documents.files[path.relative_to(documents.root).as_posix()] = raw
    return raw


def _read(documents: Documents, path: Path) -> str | None:
    raw = _read_bytes(documents, path)
    try:
        return raw.decode("utf-8-sig") if raw is not None else None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        documents.report(path, f"is not UTF-8 text: {error.reason}.", "Save it as UTF-8.", line=line)
        return None


def _nameless_workspace(root: Path) -> Loaded[models.Workspace]:
    """What stands in for a `workspace.yaml` that cannot be read, so that everything else is checked."""
    path = root / "variants/workspace.yaml"
    doc = models.Workspace.model_validate({"site": STAND_INS["site"]})
    return Loaded("workspace", doc, Parsed(path, None, {}, []), whole=False)


def _load_workspace(documents: Documents, path: Path) -> None:
    if not path.is_file():
        documents.report(path, "is missing.", "It names the site: `site: {name: …, hosts: [www.example.com]}`.")
        return
    loaded = _load_document(documents, path, models.Workspace)
    if loaded is None:
        return
    documents.workspace = loaded
    for group in ("goals", "audiences"):
        keys = loaded.source.data.get(group)
        documents.named.update((group, key) for key in keys or () if isinstance(keys, dict))


def _load_document(documents: Documents, path: Path, model: type[D]) -> Loaded[D] | None:
    text = _read(documents, path)
    if text is None:
        return None
    parsed = parse_yaml(text, path)
    documents.note(parsed)
    return _checked(parsed, path.stem, model)


def _checked(parsed: Parsed, key: str, model: type[D]) -> Loaded[D] | None:
    if parsed.data is None:
        return None
    doc = check_model(parsed, parsed.data, model)
    return Loaded(key, doc, parsed, whole=not parsed.problems) if doc is not None else None


_KEY = re.compile(KEY)


def _yaml_files(documents: Documents, folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.suffix != ".yaml" or not path.is_file():
            elsewhere = "Move it elsewhere, or let its name begin with a dot."
            nearly = path.suffix in ("", ".yml", ".json") and path.is_file()
            documents.report(
                path, "is not read.", f"Name it {path.stem}.yaml. Or: {elsewhere}" if nearly else elsewhere
            )
        elif not _KEY.fullmatch(path.stem):
            documents.report(path, "its name cannot be a key.", REMEDIES[KEY])
        else:
            documents.named.add((folder.relative_to(documents.root / "variants").as_posix(), path.stem))
            yield path


def _load_folder(documents: Documents, folder: Path, model: type[D], into: dict[str, Loaded[D]]) -> None:
    for path in _yaml_files(documents, folder):
        loaded = _load_document(documents, path, model)
        if loaded is not None:
            into[loaded.key] = loaded


def _load_pages(documents: Documents, folder: Path) -> None:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith("."):
            continue
        if not path.is_dir() or not _KEY.fullmatch(path.name):
            documents.report(path, "is not a page.", "A page is a folder pages/<key>/ with a page.yaml in it.")
            continue
        documents.named.add(("pages", path.name))
        if not (path / "page.yaml").is_file():
            documents.report(path / "page.yaml", "is missing.", "It gives the page's path and its original copy.")
        for file in _yaml_files(documents, path):
            if file.stem == "page":
                page = _load_document(documents, file, models.Page)
                if page is not None:
                    documents.pages[path.name] = replace(page, key=path.name)
            else:
                variant = _load_document(documents, file, models.Variant)
                if variant is not None:
                    documents.variants[(path.name, file.stem)] = variant


_ACCOUNT_COLUMNS = ["domain", "name", "tier", "relation"]


def _load_accounts(documents: Documents, folder: Path) -> None:
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if path.suffix != ".csv" or not _KEY.fullmatch(path.stem):
            documents.report(path, "is not an account list.", "Name it <key>.csv with domain,name,tier,relation.")
            continue
        documents.named.add(("accounts", path.stem))
        text = _read(documents, path)
        if text is None:
            continue
        lines = _split_lines(documents, path, text)
        line, columns = next(lines, (1, []))
        if "domain" in columns and set(columns) <= set(_ACCOUNT_COLUMNS):
            documents.accounts[path.stem] = list(_account_lines(documents, path, columns, lines))
        else:
            documents.report(path, f"has columns {columns}.", "Write domain,name,tier,relation.", line=line)


def _split_lines(documents: Documents, path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line that has any."""
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            if cells := split_line(line):
                yield number, cells
        except BrokenLineError as error:
            cell = "" if error.cell is None else f"cell {error.cell + 1}: "
            documents.report(path, f"{cell}{error.message}", error.remedy, line=number)


def _account_lines(
    documents: Documents, path: Path, columns: list[str], lines: Iterator[tuple[int, list[str]]]
) -> Iterator[AccountLine]:
    seen: dict[str, int] = {}
    for line, cells in lines:
        if len(cells) > len(columns):
            documents.report(path, "has more cells than columns.", "Put quotes around commas.", line=line)
            continue
        row = {name: cell.strip() for name, cell in zip(columns, cells, strict=False) if cell.strip()}
        parsed = Parsed(path, row, {(): line}, [])
        documents.note(parsed)
        account = check_model(parsed, row, models.Account)
        if account is None:
            continue
        if account.domain in seen:
            parsed.report((), f"{account.domain} stands on line {seen[account.domain]} already.", "Keep one of them.")
            continue
        seen[account.domain] = line
        yield AccountLine(path, line, account)


# --- templates ---


def _load_templates(documents: Documents, folder: Path) -> None:
    theme = folder / "theme.yaml"
    if theme.is_file():
        documents.theme = _load_document(documents, theme, Theme)
    _load_words(documents, folder / "words")
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and path.is_dir() and path not in (folder / "words", folder / "assets"):
            documents.report(
                path,
                "is a link to a folder, and what lies there is not read.",
                "Put the folder itself here, or link to its files.",
                warning=True,
            )
    for path in sorted(folder.rglob("*.html")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)  # what an editor keeps
        text = None if hidden else _read(documents, path)
        if text is not None:
            _load_template(documents, path, path.relative_to(folder).as_posix(), text)
    assets = folder / "assets"
    for path in sorted(assets.rglob("*")) if assets.is_dir() else ():
        hidden = any(part.startswith(".") for part in path.relative_to(assets).parts)
        if path.is_file() and not hidden and _read_bytes(documents, path) is not None:
            documents.assets[path.relative_to(assets).as_posix()] = path


def _load_words(documents: Documents, folder: Path) -> None:
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if path.suffix != ".yaml" or not re.fullmatch(LANGUAGE, path.stem):
            documents.report(path, "is not a language.", "Name it as de.yaml or pt-BR.yaml.")
            continue
        loaded = _load_document(documents, path, Words)
        if loaded is not None:
            documents.words[path.stem] = loaded


def _load_template(documents: Documents, path: Path, name: str, text: str) -> None:
    documents.named.add(("templates", name))
    head, body, first_line = _split_front_matter(text)
    if first_line == 1 and text.startswith("---"):
        documents.report(path, "its front matter does not end.", "Close it with a line `---`.", line=1)
    parsed = parse_yaml(head, path, 2) if head.strip() else Parsed(path, {}, {(): 1}, [])
    documents.note(parsed)
    front = _checked(parsed, name, models.FrontMatter)
    if front is not None:
        documents.templates[name] = TemplateFile(name, front, body, first_line)


def _split_front_matter(text: str) -> tuple[str, str, int]:
    """The YAML between the first two `---` lines, the rest, and the line on which the rest begins."""
    lines = text.splitlines(keepends=True)
    if lines and lines[0].strip() == "---":
        for number, line in enumerate(lines[1:], start=1):
            if line.strip() == "---":
                return "".join(lines[1:number]), "".join(lines[number + 1 :]), number + 2
    return "", text, 1
