"""Where and on what is measured.

What enters: nothing. What leaves: names and versions. Must not: measure.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from personalizer.decision import decide

PACKAGES = (
    "granian",
    "flask",
    "werkzeug",
    "jinja2",
    "user-agents",
    "ua-parser",
    "geoip2",
    "maxminddb",
    "redis",
    "orjson",
    "growthbook",
)


def describe_machine() -> dict[str, Any]:
    """The processor, the system, and every version; `load` is what else the machine did in the minute before."""
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "load": round(os.getloadavg()[0], 2),
        "engine": "compiled" if str(decide.__file__).endswith(".so") else "uncompiled",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def version_of(program: str, option: str = "--version") -> str:
    """The first version number that a program says of itself, or `?`."""
    told = subprocess.run([program, option], capture_output=True, text=True, timeout=30, check=False)
    found = re.search(r"\d+(\.\d+)+", told.stdout + told.stderr)
    return found[0] if found else "?"


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []
