"""What several commands refuse, because their answer would be wrong: no data directory, a host that is not answered.

What enters: settings, and what was asked for. What leaves: nothing, or a PersonalizerError. Must not: make anything.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from personalizer.config import Settings
from personalizer.decision.registry import Registry
from personalizer.errors import PersonalizerError


def need_data(settings: Settings) -> None:
    """Raise PersonalizerError when there is no data directory: an empty one would answer everything with nothing."""
    if not settings.data.is_dir():
        raise PersonalizerError(f"There is no data directory {settings.data}. Name that of a server with --data.")


def check_host(url: str, settings: Settings, registry: Registry) -> None:
    """Raise PersonalizerError for no address, or one at a host that is refused; a path alone is right anywhere."""
    try:
        host = urlsplit(url).hostname
    except ValueError as error:
        raise PersonalizerError(f"{url} is no address ({error}).") from error
    allowed = settings.hosts_with(registry.site.hosts)
    if host and host not in allowed:
        answered = ", ".join(sorted(allowed))
        raise PersonalizerError(f"The server answers 400 for the host {host}. It answers for {answered}.")
