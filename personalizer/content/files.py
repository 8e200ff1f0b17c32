"""The files of a workspace: which they are, whether they have changed, and the hash that names what stands in them.

What enters: a directory. What leaves: names, a digest. Must not: read what a file means.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

_WHOLE_FOLDERS = ("templates/assets/", "templates/words/")
_DEEPEST_LINK = 2  # variants/pages/<page>: there are no folders below that one

Stamp = tuple[int, int, int]  # what changes with a file: time of change, size, inode
Stamps = dict[str, Stamp]


def hash_files(files: Mapping[str, bytes]) -> str:
    """The name of content that consists of these files, by path."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return digest.hexdigest()


def hash_workspace(root: Path) -> str:
    """The same for what lies in a directory now, read file by file; for a workspace without mistakes it is the hash of
    what is read of it. Raises OSError when a file cannot be read."""
    digest = hashlib.sha256()
    for name in sorted(stamp_workspace(root)):
        body = (root / name).read_bytes()
        digest.update(f"{name}\0{len(body)}\0".encode() + body)
    return digest.hexdigest()


def stamp_workspace(root: Path) -> Stamps:
    """Every file that a workspace consists of, by its path, with its stamp."""
    return dict(_walk(root, "variants")) | {
        name: stamp
        for name, stamp in _walk(root, "templates")
        if name == "templates/theme.yaml" or name.endswith(".html") or name.startswith(_WHOLE_FOLDERS)
    }


def _walk(root: Path, folder: str) -> Iterator[tuple[str, Stamp]]:
    """Files below a folder, but for hidden ones: what editors and version control keep there is no content. Links to
    folders lead on where whoever reads the workspace follows them, and nowhere else: they may go round in circles."""
    try:
        entries = list(os.scandir(root / folder))
    except OSError:
        return  # it is not there, or went away just now
    for entry in entries:
        if entry.name.startswith("."):
            continue
        name = f"{folder}/{entry.name}"
        try:
            if entry.is_dir():
                if not entry.is_symlink() or _leads_on(name):
                    yield from _walk(root, name)
            else:
                told = entry.stat()
                yield name, (told.st_mtime_ns, told.st_size, told.st_ino)
        except OSError:
            yield name, (0, 0, 0)


def _leads_on(link: str) -> bool:
    return f"{link}/" in _WHOLE_FOLDERS or (link.startswith("variants/") and link.count("/") <= _DEEPEST_LINK)
