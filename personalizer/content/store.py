"""Compiled content in the data directory, so that nothing is compiled twice: written by one process, read by others.

What enters: compiled content; later its revision. What leaves: the same content, read in small steps, so that a process
that serves can read it beside its requests. Must not: be believed when it is damaged or another engine's; then content
is compiled anew.

A file is a digest and a row of pickles: first the parts, some at a time, then what refers to them, by their number.
Predicates are made again from their conditions. Reading a file can run what stands in it (templates are code), so only
what was written with this data directory's secret is read: the digest is keyed with it and looked at first. A second
door lets in no other names than those of our own shapes.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import hmac
import importlib.metadata
import logging
import marshal
import os
import pickle
import platform
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from types import CodeType
from typing import IO, Any, TypeVar

from personalizer.cache import Cache
from personalizer.content import render
from personalizer.content.compile import Content, privacy_tests
from personalizer.content.copy import Marks
from personalizer.content.render import Rendering
from personalizer.decision.ads import AdIndex
from personalizer.decision.conditions import Condition, build_condition
from personalizer.decision.fit import Affordability, Authority, FitModel
from personalizer.decision.index import RuleIndex
from personalizer.decision.registry import Registry
from personalizer.errors import PersonalizerError
from personalizer.visitor.facts import FACTS
from personalizer.visitor.industry import CODED, CodeNames
from personalizer.visitor.place_names import PlaceNames
from personalizer.visitor.secretfile import read_secret

log = logging.getLogger(__name__)

FOLDER = "content"

_DIGEST = 32
_BLOCK = 1 << 20  # so much is hashed at once, without the interpreter's lock
_SMALL, _BIG = 100, 20  # objects of one step: conditions and rows; pages
_LONG = 64  # characters; a shorter text is written again where it stands
_LIBRARIES = ("pydantic", "jinja2", "markdown-it-py", "babel", "pyyaml")  # what content is compiled with

T = TypeVar("T")
Steps = Generator[None, None, Content]


class Damaged(Exception):
    """A file is not whole, or not one of ours."""


def content_file(data: Path, revision: str) -> Path:
    """Where this engine keeps the content of a revision."""
    return data / FOLDER / f"{revision}-{engine_mark()}"


@cache
def engine_mark() -> str:
    """Names the engine: its code and its lists, its Python and the libraries that compile content."""
    digest = hashlib.sha256(platform.python_version().encode())
    for name in _LIBRARIES:
        digest.update(f"{name} {importlib.metadata.version(name)}\n".encode())
    package = Path(__file__).resolve().parent.parent
    for path in sorted(package.rglob("*")):
        if path.is_file() and (path.suffix == ".py" or "data" in path.parts[len(package.parts) :]):
            digest.update(path.read_bytes())
    digest.update(render.__file__.encode())  # compiled or not: they keep their objects differently
    return digest.hexdigest()[:16]


def save_content(data: Path, content: Content) -> Path:
    """Keep `content`, whole or not at all, and nothing older.

    Raises OSError when the directory cannot be written, SettingError or StartError when its secret is of no use.
    """
    key = _key_of(data)
    path = content_file(data, content.registry.revision)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b") as file:
            file.write(bytes(_DIGEST))
            numbers: dict[int, int] = {}
            members = 0
            for part in [*parts_of(content), [_bare(content)]]:  # all are kept, as their objects go by their `id`
                _Pickler(file, numbers).dump(part)
                for one in part:
                    numbers.setdefault(id(one), members)
                    members += 1
            file.seek(_DIGEST)
            digest = _digest_of(file, key)
            file.seek(0)
            file.write(digest)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def remove_others(keep: Path) -> None:
    """Remove what is kept beside `keep`: older contents, and drafts of processes that were killed. What cannot be
    removed stays."""
    try:
        others = [path for path in keep.parent.iterdir() if path != keep]
    except OSError as error:
        log.warning("%s cannot be tidied: %s", keep.parent, error)
        return
    for path in others:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s is of no use any more and cannot be removed: %s", path, error)


def read_content(path: Path) -> Steps:
    """Read what `save_content` kept, one step at each `next`; a step takes about a millisecond. Raises Damaged."""
    try:
        with path.open("rb") as file:
            key = _key_of(path.parent.parent)
            told = file.read(_DIGEST)
            digest = b""
            for digest in _digest_steps(file, key):  # noqa: B007 - the last one counts
                yield
            if not hmac.compare_digest(told, digest):
                raise Damaged(f"{path} is damaged, or not of this data directory")
            file.seek(_DIGEST)
            known: dict[int, Any] = {}
            while not isinstance(part := _Unpickler(file, known).load()[0], Content):
                yield
    except FileNotFoundError as error:
        raise Damaged(f"{path} is not there") from error
    except PersonalizerError as error:
        raise Damaged(f"{path} cannot be read: {error}") from error
    except (OSError, EOFError, pickle.UnpicklingError, AttributeError, TypeError, ValueError, LookupError) as error:
        raise Damaged(f"{path} cannot be read: {error}") from error
    site = dataclasses.replace(part.registry.site, privacy=privacy_tests(part.privacy))
    return dataclasses.replace(part, registry=dataclasses.replace(part.registry, site=site))


def finish(steps: Generator[None, None, T]) -> T:
    """All steps at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: T = end.value
            return found


def _key_of(data: Path) -> bytes:
    """What shows that a file was written here; secrets have any length, BLAKE2b's keys at most 64 bytes."""
    return hashlib.blake2b(read_secret(data / "secret"), digest_size=32, person=b"kept content").digest()


def _digest_of(file: IO[bytes], key: bytes) -> bytes:
    *_, digest = _digest_steps(file, key)
    return digest


def _digest_steps(file: IO[bytes], key: bytes) -> Iterator[bytes]:
    """The digest of the rest of a file, better with each step; the last one counts."""
    digest = hashlib.blake2b(digest_size=_DIGEST, key=key)
    yield digest.digest()
    while block := file.read(_BLOCK):
        digest.update(block)
        yield digest.digest()


def _bare(content: Content) -> Content:
    """Content without the predicates that stand outside of conditions; reading makes them again."""
    site = dataclasses.replace(content.registry.site, privacy=())
    return dataclasses.replace(content, registry=dataclasses.replace(content.registry, site=site))


# --- parts: all that a content is made of, a few at a time, each before what refers to it ---


def parts_of(content: Content) -> Iterator[list[Any]]:
    """Lists of the objects in `content` that are many or large; each takes about a millisecond to make or to free."""
    registry, renderings = content.registry, content.renderings
    indexes = _indexes_of(registry)
    memories = [*(index._answers for index in indexes), *(icp.fit._known for icp in registry.icps.values() if icp.fit)]
    yield [renderings.templates, registry.ads._known, *{id(one): one for one in memories}.values()]
    for index in indexes:
        yield from _slices([condition for _, condition in index.rules], _SMALL)
    yield from _slices(registry.icps.values(), _SMALL)
    yield from _slices(registry.personas.values(), _SMALL)
    for page in registry.pages.values():
        yield from _slices(page.rows.values(), _SMALL)
    for index in indexes:
        yield from _slices(index.rules, _SMALL)
        for table in index._tables.values():
            yield from _slices(table.items(), _SMALL)
        yield [index]
    yield from _slices(registry.ads.refs.values(), _SMALL)
    yield from _slices(registry.ads.campaigns.values(), _BIG)
    yield from _slices(registry.accounts.values(), _SMALL)
    for names in renderings.names.values():
        yield from _slices(names.values(), _BIG)
    yield from _slices(renderings.ready.values(), _BIG)
    yield from _slices({id(form): form for form in renderings.forms.values()}.values(), _BIG)
    yield from _slices({id(one.words): one.words for one in renderings.sources.values()}.values(), _BIG)
    for source in renderings.sources.values():
        if source.variant == "original":
            yield from _slices(source.copy.values(), _SMALL)
    yield from _slices(renderings.sources.values(), _BIG)
    yield from ([asset] for asset in renderings.assets.values())
    yield from ([page] for page in registry.pages.values())
    for mapping in (registry.icps, registry.personas_of, registry.accounts, renderings.ready, renderings.sources):
        yield [mapping]
    yield [renderings.forms]


def _indexes_of(registry: Registry) -> list[RuleIndex]:
    """Every index once."""
    found: dict[int, RuleIndex] = {}
    for page in registry.pages.values():
        for index in (page.icps, page.negative, page.excluded, page.row_index, *page.presumed.values()):
            found[id(index)] = index
    for index in registry.personas_of.values():
        found[id(index)] = index
    return list(found.values())


def _slices(items: Any, size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


# --- pickles ---

_SHARED: dict[str, Any] = {  # what belongs to the process, not to content
    "text": render.escape_text,
    "url": render.escape_url,
    "text known": render._ESCAPED[render.escape_text],
    "url known": render._ESCAPED[render.escape_url],
    **{name: name for name in FACTS},  # the very text by which facts are looked up
}
_NAMES = {id(shared): name for name, shared in _SHARED.items()}
# Plain classes of ours, whose making costs what we want to save, and each as cheap as it comes: what mypyc compiles
# cannot be made without its `__init__`.
_BLANKS: dict[type[Any], Callable[[], Any]] = {
    RuleIndex: lambda: RuleIndex(()),
    AdIndex: lambda: AdIndex({}, {}, {}),
    Rendering: lambda: Rendering("", Marks(""), {}, "", frozenset()),
    FitModel: lambda: FitModel((), {}),
    Authority: lambda: Authority((), None),
    Affordability: lambda: Affordability(1, None),
    CodeNames: lambda: CodeNames(next(iter(CODED))),
    PlaceNames: lambda: PlaceNames(""),
}
_OURS = tuple(f"personalizer.{room}" for room in ("content.", "decision.", "visitor.", "model"))
_OTHERS = {
    ("types", "SimpleNamespace"),
    ("markupsafe", "Markup"),
    ("ipaddress", "IPv4Network"),
    ("ipaddress", "IPv6Network"),
    ("builtins", "frozenset"),
    ("builtins", "set"),
}


class _Pickler(pickle.Pickler):
    def __init__(self, file: IO[bytes], numbers: Mapping[int, int]) -> None:
        """`numbers`: the number of each object of earlier parts, by its `id`."""
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._numbers = numbers

    def persistent_id(self, obj: Any) -> str | int | None:
        if type(obj) is str and len(obj) < _LONG:
            return obj if obj in FACTS else None
        return _NAMES.get(id(obj), self._numbers.get(id(obj)))

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is Condition:
            return build_condition, (obj.node,)
        if kind is Cache:  # what was remembered is not kept
            return _empty_cache, (obj.size,)
        if kind in _BLANKS:
            return _restore, (kind, {name: getattr(obj, name) for name in _attributes(obj)})
        if kind is CodeType:
            return _read_code, (marshal.dumps(obj),)
        if isinstance(obj, enum.Enum):
            return kind, (obj.value,)
        if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
            return kind, tuple(getattr(obj, field.name) for field in dataclasses.fields(obj))
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], known: dict[int, Any]) -> None:
        """`known`: the objects of earlier parts by number; those of this one are added."""
        super().__init__(file)
        self._known = known

    def persistent_load(self, name: Any) -> Any:
        return self._known[name] if type(name) is int else _SHARED[name]

    def load(self) -> Any:
        part = super().load()
        for one in part:
            self._known[len(self._known)] = one
        return part

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name) if module.startswith(_OURS) or (module, name) in _OTHERS else None
        if (module, name) in _OTHERS or found in _MAKERS or (isinstance(found, type) and found.__module__ == module):
            return found  # not what a module of ours has from another one, nor an attribute of it: `store`, `os.system`
        raise pickle.UnpicklingError(f"{module}.{name} has no place in content")


def _attributes(obj: Any) -> Sequence[str]:
    """The names of what an object holds; mypyc keeps them under a name of its own."""
    kind = type(obj)
    names: Sequence[str] = getattr(kind, "__mypyc_attrs__", None) or getattr(kind, "__slots__", None) or list(vars(obj))
    return names


def _restore(kind: type[Any], state: Mapping[str, Any]) -> Any:
    made = _BLANKS[kind]()
    for name, value in state.items():
        setattr(made, name, value)
    return made


def _empty_cache(size: int) -> Cache[Any, Any]:
    return Cache(size)


def _read_code(code: bytes) -> Any:
    return marshal.loads(code)  # noqa: S302 - of a file that was written with the data directory's secret


_MAKERS = (build_condition, _restore, _empty_cache, _read_code)
