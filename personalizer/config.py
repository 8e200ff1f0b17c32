"""The settings table: one row a setting drives defaults, `--help`, docs and their test.

What enters: environment variables and command-line overrides. What leaves: one checked, immutable `Settings`.
Must not: fall back silently; a wrong value stops the start with a sentence that says what to do.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personalizer.errors import SettingError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PREFIX = "PERSONALIZER_"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
SAMPLE = "sample"  # the word that names a sample file shipped with the package

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """Where `templates`, `variants` or a sample file (`samples/…`) lies: in the wheel, else in the source tree.

    The only function that knows; everything else is given a path.
    """
    if name.startswith("samples/"):
        return _PACKAGE / "visitor" / "data" / "sample" / name.removeprefix("samples/")
    inside = _PACKAGE / "shipped" / name
    return inside if inside.exists() else _PACKAGE.parent / name


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: `PERSONALIZER_<NAME>`, its default, how its text is read, and what it is for."""

    name: str
    default: str
    read: Callable[[str], Any]
    meaning: str
    sample: str = ""

    @property
    def variable(self) -> str:
        return PREFIX + self.name


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _path_or_none(text: str) -> Path | None:
    return _path(text) if text else None


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ValueError(f"write a whole number from {low} to {high}")
        return int(text)

    return read


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise ValueError(f"write networks as 10.0.0.0/8, separated by commas ({error})") from error


def _yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError("write yes or no")
    return text == "yes"


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.lower() for part in text.replace(",", " ").split())


def _file(text: str) -> Path | None:
    if not text:
        return None
    path = _path(text)
    if not path.is_file():
        raise ValueError(f"there is no file {path}; name an existing file or leave the setting out")
    return path


def _secret(text: str) -> tuple[bytes, ...]:
    keys = tuple(part.encode() for part in text.replace(",", " ").split())
    if any(len(key) < 32 for key in keys):
        raise ValueError(
            "each key must have at least 32 characters; leave it out and one is made in the data directory"
        )
    return keys


SETTINGS: tuple[Setting, ...] = (
    Setting("WORKSPACE", ".", _path, "directory with `variants/` and `templates/`"),
    Setting("WATCH", "no", _yes_or_no, "yes: publish the workspace, while it is served, when its files change"),
    Setting("DATA", "data", _path, "directory for journal, lake, secret and counters; one server at a time"),
    Setting("LAKE", "", _path_or_none, "directory of the lake; empty means `lake` in the data directory"),
    Setting("HOST", "127.0.0.1", str, "address to listen on"),
    Setting("PORT", "8080", _whole(0, 65535), "port to listen on; 0 takes a free one"),
    Setting("WORKERS", "1", _whole(1, 256), "edge processes"),
    Setting("THREADS", "4", _whole(1, 64), "threads an edge process; 1 is fastest, more survive slow senders"),
    Setting(
        "SECRET_KEY", "", _secret, "signing keys, newest first, by commas; empty: one is kept in the data directory"
    ),
    Setting(
        "TRUSTED_PROXIES", "", _networks, "networks whose X-Forwarded-For and -Proto are believed; empty: nobody's"
    ),
    Setting(
        "ALLOWED_HOSTS", "", _words, "host names answered beside the workspace's (and loopback's, when bound to it)"
    ),
    Setting("GEO_CITY", "", _file, "MaxMind-format City or Country file", "samples/city.mmdb"),
    Setting("GEO_ENTERPRISE", "", _file, "MaxMind-format Enterprise file; goes before the City file"),
    Setting("GEO_ASN", "", _file, "MaxMind-format ASN file", "samples/network.mmdb"),
    Setting("GEO_ISP", "", _file, "MaxMind-format ISP file"),
    Setting("GEO_CONNECTION", "", _file, "MaxMind-format Connection-Type file", "samples/network.mmdb"),
    Setting("GEO_ANONYMOUS", "", _file, "MaxMind-format Anonymous-IP file", "samples/network.mmdb"),
    Setting(
        "COMPANIES",
        "",
        _file,
        "company table, or MaxMind-format file with company or domain records",
        "samples/companies.mmdb",
    ),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, read and checked. Paths are as given; networks are `ipaddress` objects."""

    workspace: Path
    watch: bool
    data: Path
    lake: Path
    host: str
    port: int
    workers: int
    threads: int
    secret_key: tuple[bytes, ...]
    trusted_proxies: tuple[Network, ...]
    allowed_hosts: tuple[str, ...]
    geo_city: Path | None
    geo_enterprise: Path | None
    geo_asn: Path | None
    geo_isp: Path | None
    geo_connection: Path | None
    geo_anonymous: Path | None
    companies: Path | None

    @property
    def samples(self) -> tuple[str, ...]:
        """Names of the settings that point at a sample file, so that the start can say so."""
        folder = shipped("samples/city.mmdb").parent
        return tuple(
            setting.variable
            for setting in SETTINGS
            if setting.sample and _within(getattr(self, setting.name.lower()), folder)
        )

    @property
    def local(self) -> bool:
        """Whether the address to listen on is this machine's own."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def hosts_with(self, hosts: tuple[str, ...]) -> frozenset[str]:
        """The hosts that are answered: the workspace's, those named here, and loopback's names when bound to it."""
        return frozenset((*hosts, *self.allowed_hosts, *(LOOPBACK if self.local else ())))

    def as_environment(self) -> dict[str, str]:
        """The settings as environment variables, so that a process we start has the same ones."""
        return {setting.variable: _as_text(getattr(self, setting.name.lower())) for setting in SETTINGS}


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(part.decode() if isinstance(part, bytes) else str(part) for part in value)
    if isinstance(value, Path):
        return str(value.absolute())
    return "" if value is None else str(value)


def _within(path: Path | None, folder: Path) -> bool:
    return path is not None and path.resolve().parent == folder


def _unknown_settings(names: list[str]) -> list[str]:
    """What is wrong with each. If one of them is like none, all that there are is said, once."""
    known = [setting.name for setting in SETTINGS]
    near = {name: difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1) for name in names}
    mistakes = [
        f"{name}: there is no such setting.{f' Did you mean {PREFIX}{near[name][0]}?' if near[name] else ''}"
        for name in names
    ]
    if not all(near.values()):
        mistakes[-1] += f" The settings are {', '.join(setting.variable for setting in SETTINGS)}."
    return mistakes


def load_settings(
    overrides: Mapping[str, str | None] | None = None,
    environ: Mapping[str, str] | None = None,
    saved: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from `overrides` (lower-case names; None means not given), else the environment, else what a server
    saved, else the defaults.

    Raises SettingError naming every wrong variable or option on a line of its own, its value (no key) and what to write
    instead.
    """
    environ = os.environ if environ is None else environ
    unknown = {name for name in environ if name.startswith(PREFIX)} - {setting.variable for setting in SETTINGS}
    mistakes = _unknown_settings(sorted(unknown))
    given = overrides or {}
    written = {**(saved or {}), **environ}
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        override = given.get(setting.name.lower())
        text = override if override is not None else written.get(setting.variable, setting.default)
        if setting.sample and text == SAMPLE:
            text = str(shipped(setting.sample))
        try:
            values[setting.name.lower()] = setting.read(text)
        except ValueError as error:
            value = "" if setting.read is _secret else f"={text!r}"  # what is said is kept in logs
            name = setting.variable if override is None else f"--{setting.name.lower().replace('_', '-')}"
            mistakes.append(f"{name}{value}: {error}.")
    if mistakes:
        raise SettingError("\n".join(mistakes))
    values["lake"] = values["lake"] or values["data"] / "lake"
    return Settings(**values)


SAVED = "server.env"


def save_settings(settings: Settings) -> None:
    """Keep a server's settings, but for its keys, in its data directory: `explain` and `report` then see as it does.

    Where the directory lies is not kept, nor a lake inside it: a copy of the directory must not read the old one.
    """
    own = {f"{PREFIX}SECRET_KEY", f"{PREFIX}DATA"}
    if settings.lake == settings.data / "lake":
        own.add(f"{PREFIX}LAKE")
    lines = [f"{name}={value}\n" for name, value in settings.as_environment().items() if name not in own]
    draft = settings.data / f".{SAVED}"
    draft.write_text("".join(lines))
    draft.replace(settings.data / SAVED)


def read_saved(data: Path) -> dict[str, str]:
    """The settings of the last server on this data directory; none if there was none."""
    try:
        lines = (data / SAVED).read_text().splitlines()
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)
