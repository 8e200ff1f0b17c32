"""Processes that do not outlive the one that started them.

What enters: who started this process; work for a process of its own. What leaves: a process that the kernel ends with
its parent, and what the work came to. Must not: know what the process is for, or have its parent wait.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

log = logging.getLogger(__name__)

NICE = 10  # pages go before
MOST_WORDS = 4000  # bytes that a task says; they fit into a pipe that nobody reads yet
_END_SECONDS = 1  # so long a killed task is waited for; one that reads from a dead disk does not even end then

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however that ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


class Ended(NamedTuple):
    """How a task ended: its exit status, minus a signal's number when that ended it, and what it said.

    What fails with an exception has status 1, so a task's own outcomes are other numbers.
    """

    status: int
    words: str


class Task:
    """Work that is done in a process of its own, after everything else, and killed when it takes too long."""

    def __init__(self, work: Callable[[], tuple[int, str]], seconds: float) -> None:
        """`work` gives its exit status and what it says. Raises OSError when the machine has no process to spare."""
        self._until = time.monotonic() + seconds
        self.late = False  # whether it was killed because it took too long
        self._words, words = os.pipe()
        parent = os.getpid()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(self._words)
            os.close(words)
            raise
        if not self._pid:
            _do(work, parent, words)
        os.close(words)

    def poll(self) -> Ended | None:
        """How it ended; None while it goes on."""
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if not pid:
            if not self.late and time.monotonic() > self._until:
                self.late = True
                os.kill(self._pid, signal.SIGKILL)
            return None
        words = os.read(self._words, MOST_WORDS).decode("utf-8", "replace")
        os.close(self._words)
        return Ended(os.waitstatus_to_exitcode(status), words)

    def kill(self) -> None:
        """End it."""
        os.kill(self._pid, signal.SIGKILL)
        until = time.monotonic() + _END_SECONDS
        while self.poll() is None and time.monotonic() < until:
            time.sleep(0.005)


def _do(work: Callable[[], tuple[int, str]], parent: int, words: int) -> None:
    """In the child: work, say what there is to say, and end."""
    status = 1
    try:
        die_with_parent(parent)
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_DFL)
        os.nice(NICE)
        status, said = work()
        os.write(words, said.encode()[:MOST_WORDS])
    except Exception:  # the last door of a forked process: never the parent's code
        status = 1
        log.exception("a process that the server started failed")
    finally:
        logging.shutdown()
        os._exit(status)
