"""Build hook: compiles the request path to C with mypyc when a wheel is built and a C compiler is there.

What enters: the typed Python modules on the page path, as they are. What leaves: the same modules as extensions in the
wheel, beside their sources. Must not: touch an editable install, where what one edits has to be what runs.

The same code runs either way; `PERSONALIZER_PURE=1` builds the wheel without C, as does a machine without a compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMPILED = (
    "personalizer/cache.py",
    "personalizer/model.py",
    "personalizer/decision/*.py",
    "personalizer/visitor/address.py",
    "personalizer/visitor/company.py",
    "personalizer/visitor/cookie.py",
    "personalizer/visitor/declared.py",
    "personalizer/visitor/device.py",
    "personalizer/visitor/geo.py",
    "personalizer/visitor/keys.py",
    "personalizer/visitor/language.py",
    "personalizer/visitor/local_time.py",
    "personalizer/visitor/query.py",
    "personalizer/visitor/read.py",
    "personalizer/visitor/referrer.py",
    "personalizer/visitor/touch.py",
    "personalizer/visitor/visit.py",
    "personalizer/content/deflate.py",
    "personalizer/content/render.py",
    "personalizer/edge/gateway.py",
    "personalizer/edge/layer.py",
    "personalizer/edge/page.py",
    "personalizer/edge/record.py",
    "personalizer/edge/respond.py",
    "personalizer/edge/state.py",
    "personalizer/events/frames.py",
    "personalizer/events/journal.py",
)

_SETUP = """
import sys
from setuptools import setup
from mypyc.build import mypycify

files = sys.argv.pop().split(",")
options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=skip", "--no-incremental"]
setup(name="personalizer", py_modules=[], packages=[], ext_modules=mypycify([*options, *files], opt_level="3"))
"""


class CompileHook(BuildHookInterface[Any]):
    """Hatchling calls it for each wheel."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return ["mypy[mypyc]>=1.18", "setuptools>=75"] if self._compiles() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or not self._compiles():
            return
        built = Path(tempfile.mkdtemp(prefix="personalizer-"))
        self._compile(built)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for library in (built / "lib").rglob("*.so"):
            build_data["force_include"][str(library)] = library.relative_to(built / "lib").as_posix()

    def _compiles(self) -> bool:
        compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
        if os.environ.get("PERSONALIZER_PURE") or self.target_name != "wheel":
            return False
        if shutil.which(compiler) is None:
            self.app.display_warning(f"There is no C compiler ({compiler}): the wheel will be pure Python, and slower.")
            return False
        return True

    def _compile(self, built: Path) -> None:
        root = Path(self.root)
        found = (path for pattern in COMPILED for path in sorted(root.glob(pattern)) if path.name != "__init__.py")
        files = ",".join(path.relative_to(root).as_posix() for path in found)
        shutil.copytree(root / "personalizer", built / "source" / "personalizer")  # mypyc writes beside what it reads
        script = built / "setup.py"
        script.write_text(_SETUP)
        folders = ["--build-lib", str(built / "lib"), "--build-temp", str(built / "temp")]
        command = [sys.executable, str(script), "--quiet", "build_ext", *folders, files]
        # The environment is pip's own for this build, in which mypyc is.
        done = subprocess.run(command, cwd=built / "source", capture_output=True, text=True)  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"mypyc could not compile the request path:\n{done.stdout}\n{done.stderr}")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        for library in build_data.get("force_include", {}):
            if "personalizer-" in library:
                shutil.rmtree(Path(library.partition("/lib/")[0]), ignore_errors=True)
                return
