"""The supervisor: one process that starts the edge workers and the collector, and starts them again when they die.

It tells the workers of new content and of new look-up files, that others compile and check (`publish.py`, `reload.py`).
What enters: settings. What leaves: an exit status, once everything it started has ended. Must not: open the lake, have
threads of its own when it forks, or leave a process behind, not even when it is killed itself.

Granian's own supervisor gives up after two deaths within 5.5 s and leaves orphans when killed, so this one watches, and
the kernel ends the children with it (PDEATHSIG).
"""

from __future__ import annotations

import errno
import fcntl
import gc
import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from personalizer.config import Settings, save_settings
from personalizer.content.compile import Content, apply_counters, deals_of
from personalizer.content.counters import raise_counters, read_counters, write_counters
from personalizer.content.store import content_file, remove_others
from personalizer.edge.state import open_edge
from personalizer.errors import PersonalizerError, StartError
from personalizer.process import die_with_parent
from personalizer.publish import Publisher, open_content
from personalizer.reload import LookupWatch
from personalizer.running import LOCK, write_running
from personalizer.visitor.read import VisitorReader, open_visitor_reader
from personalizer.worker import run_worker

log = logging.getLogger(__name__)

COLLECTOR_NICE = 5  # on a full machine it gets a quarter of a core, and pages the rest
_THREADS = {"TOKIO_WORKER_THREADS": "2"}  # deltalake's: one for commits, one for a compaction beside them
_STEP_SECONDS = (
    60  # so long all wait for a worker to read new content; it takes one or two, on a full machine some more
)
_STOP_SECONDS = 5  # whoever stops us gives 10; a request takes milliseconds, and what is killed loses nothing


@dataclass(slots=True)
class _Child:
    """A process we started: how to start it again, since when it runs, and how often it died young.

    `channel` is our end of a worker's: what it is to do with new content goes down, and comes up when it is done.
    """

    start: Callable[[], int]
    name: str
    pid: int = 0
    since: float = 0.0
    early_deaths: int = 0
    due: float = 0.0  # monotonic time of the next start, while it is down
    channel: socket.socket | None = None
    awaited: str = ""  # what it was told and has not yet done


class Supervisor:
    """Serves until it is told to stop. `collector` False leaves that part to another machine's `collect`."""

    def __init__(self, settings: Settings, *, collector: bool = True) -> None:
        self.settings = settings
        self.changes: list[str] = []
        self._collector = collector
        self._children: list[_Child] = []
        self._stopping = False
        self._watch: LookupWatch | None = None
        self._lock: IO[str] | None = None
        self._content: Content | None = None
        self._publisher: Publisher | None = None
        self._publishes = 0
        self._step = ""  # what workers do with new content: `load`, `swap`
        self._step_until = 0.0  # monotonic time
        self._untidy = False  # whether content is kept that nobody needs any more

    def run(self, ready: Callable[[Supervisor], None]) -> int:
        """Start everything, call `ready` once pages are served, and stay until SIGTERM or SIGINT.

        Raises StartError, SettingError, DataError or ContentError when this cannot serve.
        """
        self._lock = lock_data(self.settings.data, LOCK, "Another server")
        self.settings = replace(self.settings, port=probe_port(self.settings.host, self.settings.port))
        if self.settings.watch:
            self._publisher = Publisher(self.settings)
        self._content = self._with_counters(open_content(self.settings))
        reader = open_visitor_reader(self.settings)
        self._watch = LookupWatch(self.settings.data, reader)
        save_settings(self.settings)
        for number in range(self.settings.workers):
            worker = _Child(lambda: 0, f"edge worker {number + 1}")
            worker.start = partial(self._fork_worker, worker, reader)
            self._children.append(worker)
        if self._collector:
            self._children.append(_Child(self._start_collector, "collector"))
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        try:
            for child in self._children:
                self._start(child)
            self._await_ready()
            if not self._stopping:
                ready(self)
            while not self._stopping:
                self._tend()
            return 0
        finally:
            self._end_children()

    @property
    def url(self) -> str:
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        return f"http://{host}:{self.settings.port}"

    def _with_counters(self, content: Content) -> Content:
        """The content with each experiment's counters, raised as it says, and written down before anybody is dealt."""
        old = read_counters(self.settings.data)
        counters, self.changes = raise_counters(old, deals_of(content.registry))
        if counters != old:
            write_counters(self.settings.data, counters)
        return apply_counters(content, counters)

    # --- publishing while it serves ---

    def _publish(self, publisher: Publisher, live: Content) -> None:
        """One turn of publishing. All workers read new content before any of them shows it: a page's files and forms
        may be asked of another worker. Workers that start meanwhile begin with it."""
        self._hear()
        if self._step and (not any(child.awaited for child in self._children) or time.monotonic() > self._step_until):
            self._end_step(live)
        if self._step:
            return  # what comes next waits: else one slow worker and one busy editor would show nothing new, ever
        if self._untidy and publisher.idle:  # else what is being published would be taken for what was before
            self._untidy = False
            remove_others(content_file(self.settings.data, live.registry.revision))
        content = publisher.turn(live.registry.revision)
        if content is None:
            return
        try:
            content = self._with_counters(content)
        except (PersonalizerError, OSError) as error:
            publisher.retry(error)
            return
        gc.freeze()  # as content has no circles, collections need not look through it
        self._content = content
        for change in self.changes:
            log.info("%s", change)
        log.info("publishing revision %s", content.registry.revision[:12])
        self._write_down()
        self._publishes += 1
        self._tell_workers("load", content)

    def _end_step(self, live: Content) -> None:
        """All workers have done what they were told, or had the time to."""
        if self._step == "load":
            self._tell_workers("swap", live)
            return
        self._step, self._untidy = "", True
        log.info("published revision %s", live.registry.revision[:12])

    def _tell_workers(self, step: str, content: Content) -> None:
        self._step, self._step_until = step, time.monotonic() + _STEP_SECONDS
        for child in self._children:
            if child.channel is not None and child.pid:
                child.awaited = f"{step} {self._publishes} {content.registry.revision}\n"
                _tell(child.channel, child.awaited)

    def _hear(self) -> None:
        """Note which workers have done what they were told."""
        for child in self._children:
            if child.awaited and (
                not child.pid or (child.channel is not None and _hears(child.channel, child.awaited))
            ):
                child.awaited = ""

    # --- children ---

    def _fork_worker(self, worker: _Child, reader: VisitorReader) -> int:
        assert self._content is not None
        if worker.channel is not None:
            worker.channel.close()
        worker.channel, theirs = socket.socketpair()
        worker.channel.setblocking(False)
        worker.awaited = ""  # it begins with what is published
        parent = os.getpid()
        pid = os.fork()
        if pid:
            theirs.close()
            return pid
        status = 1
        try:
            die_with_parent(parent)
            for child in self._children:
                if child.channel is not None:
                    child.channel.close()
            edge = open_edge(self.settings, self._content, reader)
            self._content = None  # `edge` has it, and lets it go when other content is published
            run_worker(self.settings, edge, theirs)
            status = 0
        except PersonalizerError as error:
            log.error("an edge worker cannot work: %s", error)
        except Exception:  # the last door of a forked process: never the parent's code
            log.exception("an edge worker ended")
        finally:
            logging.shutdown()
            os._exit(status)

    def _start_collector(self) -> int:
        parent = os.getpid()
        process = subprocess.Popen(
            [sys.executable, "-m", "personalizer", "collect"],
            env={**os.environ, **_THREADS, **self.settings.as_environment()},
            preexec_fn=lambda: _begin_collector(parent),  # this process has one thread, so a hook is safe
            stdin=subprocess.DEVNULL,
        )
        process.returncode = 0  # `_reap` waits for it, as for every child
        return process.pid

    def _start(self, child: _Child) -> None:
        child.since = time.monotonic()
        try:
            child.pid, child.due = child.start(), 0.0
        except (OSError, subprocess.SubprocessError) as error:
            self._put_off(child)
            log.error("%s cannot be started now: %s", child.name, error)
        self._write_down()

    def _write_down(self) -> None:
        """Tell whoever looks at the data directory what is served, and by whom."""
        assert self._content is not None
        workers = [child.pid for child in self._children if child.channel is not None and child.pid]
        try:
            write_running(self.settings.data, self._content.registry.revision, workers)
        except OSError as error:
            log.warning("`explain` and `doctor` cannot be told what is served: %s", error)

    def _await_ready(self) -> None:
        """Wait until a page can be had; a worker that cannot even start has logged why."""
        deadline = time.monotonic() + 30
        while not self._stopping and time.monotonic() < deadline:
            if answers(self.settings.host, self.settings.port):
                return
            self._tend(0.02)
            if any(child.early_deaths >= 3 for child in self._children):
                raise StartError("A process ended three times while starting; the lines above say why.")
        if not self._stopping:
            raise StartError("The edge workers did not answer within 30 seconds.")

    def _tend(self, seconds: float = 0.2) -> None:
        """One turn: reap who died, start again who is due."""
        self._reap()
        if self._publisher is not None and self._content is not None:
            self._publish(self._publisher, self._content)
            seconds = min(seconds, 0.02) if self._publisher.busy else seconds
        now = time.monotonic()
        for child in self._children:
            if not child.pid and child.due <= now and not self._stopping:
                self._start(child)
        if self._watch is not None:
            self._watch.tend(now)
        time.sleep(seconds if all(child.pid for child in self._children) else 0.02)

    def _reap(self) -> None:
        for child in self._children:
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if not pid:
                continue
            self._put_off(child)
            if not self._stopping:
                log.warning("%s ended (%s); starting it again", child.name, _say_status(status))

    def _put_off(self, child: _Child) -> None:
        """A child that is down is started again, after a pause that grows while it dies young."""
        now = time.monotonic()
        child.early_deaths = child.early_deaths + 1 if now - child.since < 1 else 0
        child.pid, child.due = 0, now + min(5.0, 0.1 * 2 ** min(child.early_deaths, 10) - 0.1)

    def _stop(self, *_: Any) -> None:
        self._stopping = True

    def _end_children(self) -> None:
        self._stopping = True
        if self._watch is not None:
            self._watch.stop()
        if self._publisher is not None:
            self._publisher.stop()
        for child in self._children:
            if child.pid:
                _signal(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while any(child.pid for child in self._children) and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.02)
        for child in self._children:
            if child.pid:
                why = "a compaction" if child.channel is None else "a slow sender"
                log.warning("%s did not end within %d s (%s?); killing it", child.name, _STOP_SECONDS, why)
                _signal(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)


def _begin_collector(parent: int) -> None:
    die_with_parent(parent)
    os.nice(COLLECTOR_NICE)


def lock_data(data: Path, name: str, who: str) -> IO[str]:
    """Lock a part of the data directory for this process's life. Raises StartError with a sentence."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        file = (data / name).open("a+")
    except OSError as error:
        why = "it is a file" if data.is_file() else error.strerror
        raise StartError(
            f"The data directory {data} cannot be written ({why}). Name another with --data or PERSONALIZER_DATA."
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        pid = file.read().strip() or "unknown"
        file.close()
        raise StartError(
            f"{who} (process {pid}) uses the data directory {data}. Stop it, or set another PERSONALIZER_DATA here."
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def probe_port(host: str, port: int) -> int:
    """The port to listen on, free a moment ago; 0 finds one. Raises StartError when it is taken.

    Without this a second server would share the port silently: granian listens with SO_REUSEPORT.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                message = (
                    f"Port {port} of {host} is taken. Stop what listens there, or choose another: "
                    "--port, or PERSONALIZER_PORT=8081 make run."
                )
            else:
                message = f"Cannot listen on {host}:{port} ({error.strerror}). Set --host and --port."
            raise StartError(message) from error
        return int(probe.getsockname()[1])


def answers(host: str, port: int) -> bool:
    """Whether a worker answers on the port."""
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    connection = http.client.HTTPConnection(target, port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        connection.getresponse().read()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def _tell(channel: socket.socket, line: str) -> None:
    try:
        channel.sendall(line.encode())
    except OSError:  # it has just ended; who comes after it begins with what is published
        log.debug("a worker had ended")


def _hears(channel: socket.socket, word: str) -> bool:
    """Whether a worker has said `word`; what it said before was of an earlier revision."""
    try:
        return word in channel.recv(1 << 16).decode()
    except OSError:  # nothing yet, or it has ended
        return False


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        log.debug("process %s had ended", pid)


def _say_status(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit status {os.waitstatus_to_exitcode(status)}"
