"""Row 4's peer: a Wagtail site with wagtail-personalisation, in a virtual environment of its own, because of Django.

What enters: what was generated. What leaves: a `Peer` that shows the same copy to segments of visitors. Must not: touch
the environment that the bench runs in.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from benchmarks import market, page
from benchmarks.processes import ROOT, Peer, await_answer, connect, run_process, run_to_end
from benchmarks.workspace import Bench
from personalizer.serve import probe_port
from personalizer.worker import HEADER_SECONDS, MAX_HEADERS

WAGTAIL = "wagtail-personalisation"
SEGMENTS = 34  # as many as our page has variants, each with one of its own
PACKAGES = ("wagtail-personalisation==1.0.0", "wagtail==8.0.1", "Django==5.2.19")

_HOME = ROOT / "build" / "wagtail"
_PYTHON = _HOME / "bin" / "python"
_INSTALL_SECONDS = 600


@contextlib.contextmanager
def run_wagtail(bench: Bench, secret: str) -> Iterator[Peer]:
    """The site on the server that ours runs on, one worker and one thread. Raises BenchError if it cannot be had."""
    _install()
    folder = bench.folder / "wagtail"
    (folder / "templates").mkdir(parents=True, exist_ok=True)
    (folder / "templates" / "offer.html").write_text(page.read_template(), "utf-8")
    (folder / "site.json").write_text(json.dumps(_site()), "utf-8")
    port = probe_port("127.0.0.1", 0)
    environ = {"BENCH_SITE": str(folder), "BENCH_SECRET": secret, "PYTHONPATH": str(ROOT)}
    command = [str(_PYTHON), "-m", "benchmarks.wagtail_site.serve", str(port), str(MAX_HEADERS), str(HEADER_SECONDS)]
    with run_process(WAGTAIL, command, bench.folder / "wagtail.log", {**os.environ, **environ}) as process:
        await_answer(WAGTAIL, port, process)
        with connect(WAGTAIL, port, [process.pid], {}) as peer:
            yield peer


def _install() -> None:
    """Its environment under build/, made anew when what it should hold has changed."""
    wanted = "\n".join((*PACKAGES, f"granian=={version('granian')}"))
    made = _HOME / "made"
    if made.exists() and made.read_text() == wanted:
        return
    run_to_end(WAGTAIL, [sys.executable, "-m", "venv", "--clear", str(_HOME)], _INSTALL_SECONDS)
    install = [str(_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted.splitlines()]
    run_to_end(WAGTAIL, install, _INSTALL_SECONDS)
    made.write_text(wanted)


def _site() -> dict[str, Any]:
    """The original, and a variant for each segment: a campaign's visitors, or those of them with a telephone."""
    variants = [
        {
            "query": {"utm_campaign": market.CAMPAIGNS[number % len(market.CAMPAIGNS)].key},
            "mobile": number >= len(market.CAMPAIGNS),
            "copy": page.without_tokens(page.variant_copy(number)),
        }
        for number in range(SEGMENTS)
    ]
    return {"original": page.without_tokens(page.COPY), "variants": variants}
