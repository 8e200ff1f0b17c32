"""Options that several commands share. What enters: a command. What leaves: the same, with the option.

Must not: repeat the settings table; defaults and help come from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from personalizer.config import SETTINGS, Settings, load_settings, read_saved

F = TypeVar("F", bound=Callable[..., Any])

_BY_NAME = {setting.name: setting for setting in SETTINGS}


def setting_option(name: str) -> Callable[[F], F]:
    """`--name TEXT`, which goes before `PERSONALIZER_NAME` and its default."""
    setting = _BY_NAME[name.upper()]
    default = f"default {setting.default}" if setting.default else "no default"
    text = f"{setting.meaning[0].upper()}{setting.meaning[1:]}. [{setting.variable}; {default}]"
    return click.option(f"--{name.replace('_', '-')}", name, metavar=name.upper(), help=text)


def setting_flag(name: str) -> Callable[[F], F]:
    """`--name`, which says yes."""
    setting = _BY_NAME[name.upper()]
    text = f"{setting.meaning.removeprefix('yes: ').capitalize()}. [{setting.variable}; default {setting.default}]"
    return click.option(f"--{name}", name, is_flag=True, flag_value="yes", default=None, help=text)


def workspace_and_data(command: F) -> F:
    """`--workspace` and `--data`."""
    return setting_option("workspace")(setting_option("data")(command))


def read_settings(**overrides: str | None) -> Settings:
    """The settings, with what the command line gave in front."""
    return load_settings(overrides)


def read_settings_of_server(**overrides: str | None) -> Settings:
    """The same, but what nothing else says is as the last server on the data directory had it."""
    return load_settings(overrides, saved=read_saved(load_settings(overrides).data))
