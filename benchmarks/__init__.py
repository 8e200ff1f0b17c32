"""Side-by-side measurements against peers: `python -m benchmarks`, or `make bench`. README.md says what is compared."""

from __future__ import annotations


class BenchError(Exception):
    """The comparison cannot be made. The message begins with the name of what failed, and says why and what to do."""
