"""ua-parser's engine in Python, which `user_agents` imports and which answers nobody here: put off until somebody asks.

What enters: nothing. What leaves: a module that is loaded at its first use, as importlib's own recipe has it. Must not:
keep it from whoever uses it.
"""

from __future__ import annotations

import importlib.util
import sys

import ua_parser

_NAME = "ua_parser.user_agent_parser"


def put_off() -> None:
    """Compiling its regular expressions would take a quarter of a start's time."""
    spec = importlib.util.find_spec(_NAME)
    if _NAME in sys.modules or spec is None or spec.loader is None:
        return
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = module
    ua_parser.user_agent_parser = module  # type: ignore[assignment]  # where `from ua_parser import` looks first
    spec.loader.exec_module(module)
