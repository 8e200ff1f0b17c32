"""The servers that are compared: ours, and those that need nothing but what is installed.

What enters: what was generated. What leaves: `Peer`s that answer. Must not: give one of them less than the others.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import redis

from benchmarks import BenchError
from benchmarks.processes import (
    START_SECONDS,
    Peer,
    await_answer,
    children_of,
    command_of,
    connect,
    find_program,
    run_process,
    still_starting,
)
from benchmarks.serve import THREADS
from benchmarks.workspace import PATH, Bench
from personalizer.serve import probe_port

OURS, GZIPPED = "personalizer", "personalizer, gzip"
BARE, EMPTY, NAIVE, NGINX = "bare WSGI function", "empty Flask view", "naive version", "nginx, a file"

_NGINX = """\
worker_processes 1;
daemon off;
{user}
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 65;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port};
    location = {path} {{ alias {file}; default_type "text/html; charset=utf-8"; }}
  }}
}}
"""


@contextlib.contextmanager
def run_ours(bench: Bench, data: Path, secret: str, workers: int = 1) -> Iterator[Peer]:
    """`personalizer serve` and its collector, on the workspace that was generated."""
    settings = engine_settings(bench, data, secret) | {"WORKERS": str(workers)}
    with run_engine(settings, bench.folder / "personalizer.log", workers) as peer:
        yield peer


@contextlib.contextmanager
def run_engine(settings: Mapping[str, str], log: Path, workers: int = 1) -> Iterator[Peer]:
    """`personalizer serve` and its collector, under these settings and no others."""
    port = probe_port("127.0.0.1", 0)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PERSONALIZER_")}
    environ |= {f"PERSONALIZER_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "personalizer", "serve", "--port", str(port)]
    with run_process(OURS, command, log, environ) as process:
        await_answer(OURS, port, process)
        children = children_of(process.pid)
        collectors = [pid for pid in children if "collect" in command_of(pid)]
        answering = [pid for pid in children if pid not in collectors]
        if len(answering) != workers or len(collectors) != 1:
            raise BenchError(
                f"{OURS} runs {len(answering)} workers and {len(collectors)} collectors, not {workers} and 1"
            )
        with connect(OURS, port, answering, {"collector": collectors[0]}) as peer:
            yield peer


def engine_settings(bench: Bench, data: Path, secret: str) -> dict[str, str]:
    """The settings under which the engine is measured, by name."""
    return {
        "WORKSPACE": str(bench.workspace),
        "DATA": str(data),
        "SECRET_KEY": secret,
        "WORKERS": "1",
        "THREADS": str(THREADS),
        "TRUSTED_PROXIES": "127.0.0.0/8",
        "GEO_CITY": str(bench.city),
        "COMPANIES": str(bench.companies),
    }


@contextlib.contextmanager
def run_peer(name: str, bench: Bench, app: Sequence[str], others: Mapping[str, int] | None = None) -> Iterator[Peer]:
    """One of `benchmarks.serve`'s apps, named with its arguments, on the server that ours runs on."""
    port = probe_port("127.0.0.1", 0)
    command = [sys.executable, "-m", "benchmarks.serve", str(port), *app]
    with run_process(name, command, bench.folder / f"{app[0]}.log") as process:
        await_answer(name, port, process)
        with connect(name, port, [process.pid], others or {}) as peer:
            yield peer


@contextlib.contextmanager
def run_nginx(bench: Bench, file: Path) -> Iterator[Peer]:
    """nginx with one worker, which sends `file` for our page's path."""
    program, port = find_program("nginx", "nginx-light"), probe_port("127.0.0.1", 0)
    folder = bench.folder / "nginx"
    folder.mkdir(exist_ok=True)
    configuration = folder / "nginx.conf"
    # Its worker gives up root's rights, and could not read our directory then.
    user = "user root;" if os.geteuid() == 0 else ""
    configuration.write_text(_NGINX.format(folder=folder, port=port, file=file, path=PATH, user=user), "utf-8")
    # TERM when the bench is killed, as a master that is killed leaves its worker behind.
    command = [find_program("setpriv", "util-linux"), "--pdeathsig", "TERM", program, "-e", "stderr"]
    command += ["-p", str(folder), "-c", str(configuration)]
    with run_process(NGINX, command, bench.folder / "nginx.log") as process:
        await_answer(NGINX, port, process)
        with connect(NGINX, port, children_of(process.pid), {}) as peer:
            yield peer


@contextlib.contextmanager
def run_redis(bench: Bench) -> Iterator[tuple[int, int]]:
    """A Redis of our own that keeps nothing; its port and its process."""
    program, port = find_program("redis-server", "redis-server"), probe_port("127.0.0.1", 0)
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    command += ["--dir", str(bench.folder)]
    with run_process("redis-server", command, bench.folder / "redis.log") as process:
        client = redis.Redis(port=port)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                still_starting("redis-server", process, deadline)
        client.close()
        yield port, process.pid
