"""The wheel of this repository, built beside whatever else happens.

What enters: nothing. What leaves: a wheel, as pip makes it. Must not: leave a process or a file behind once stopped; a
signal to the process group of the tests reaches it too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from servers import WORKSPACE, processes

SECONDS = 900  # it takes a minute, on a slow machine a few


class WheelBuild:
    """Begins at once; `wait` gives the wheel, and `stop` ends and deletes everything."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="personalizer-wheel-")
        self._log = Path(self._folder.name, "log")
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", self._folder.name]
        own = {**os.environ, "TMPDIR": self._folder.name}  # what a build that was stopped has made goes with it
        with self._log.open("w") as log:
            self._pip = subprocess.Popen([*command, str(WORKSPACE)], env=own, stdout=log, stderr=log)

    def wait(self) -> Path:
        assert self._pip.wait(SECONDS) == 0, self._log.read_text()
        return next(Path(self._folder.name).glob("*.whl"))

    def stop(self) -> None:
        parents = processes()
        ending = [self._pip.pid] if self._pip.poll() is None else []
        for pid in ending:  # pip, and the compiler that it runs
            ending += [child for child, parent in parents.items() if parent == pid]
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._pip.wait()
        self._folder.cleanup()
