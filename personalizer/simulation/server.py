"""A server of the simulation's own: started, used, stopped.

What enters: a workspace and a data directory. What leaves: the address it answers on. Must not: let the environment's
settings reach it, so that simulated people never land in a real lake.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from personalizer.config import PREFIX, SAMPLE, SETTINGS, Settings, load_settings
from personalizer.errors import SimulationError
from personalizer.process import die_with_parent

_URL = re.compile(r" on (http://\S+)")
_STOP_SECONDS = 30


def own_settings(workspace: Path, data: Path, workers: int) -> Settings:
    """Settings of a server on a free port that knows the sample addresses and believes X-Forwarded-For from here."""
    given = {"workspace": str(workspace), "data": str(data), "workers": str(workers), "port": "0"}
    samples = {setting.name.lower(): SAMPLE for setting in SETTINGS if setting.sample}
    return load_settings({**given, **samples, "trusted_proxies": "127.0.0.0/8"}, environ={})


@contextmanager
def run_server(settings: Settings) -> Iterator[str]:
    """A running server; gives its address. Raises SimulationError when it does not start: it says why on stderr."""
    parent = os.getpid()
    rest = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    process = subprocess.Popen(
        [sys.executable, "-m", "personalizer", "serve"],
        env={**rest, **settings.as_environment()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: die_with_parent(parent),  # our senders' threads do not run yet
    )
    with process as server:
        try:
            yield _read_address(server)
        finally:
            server.terminate()
            try:
                server.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()


def _read_address(server: subprocess.Popen[str]) -> str:
    """The address it announces once pages are served. What it prints afterwards fits in the pipe."""
    assert server.stdout is not None
    for line in server.stdout:
        if found := _URL.search(line):
            return found[1]
    raise SimulationError(f"The server did not start (exit status {server.wait()}); the lines above say why.")
