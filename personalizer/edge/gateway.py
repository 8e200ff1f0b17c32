"""From granian to the layer and back, without WSGI between.

What enters: granian's request, whose scope has the request's part of a WSGI environ. What leaves: status, headers and
body. Must not: answer anything by itself; what is Flask's goes the way of WSGI.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from personalizer.edge.layer import EdgeLayer

Wsgi = Callable[[Any, dict[str, Any]], int]


class Gateway:
    """Granian's callback. `wsgi` is the one that granian would have called."""

    def __init__(self, layer: EdgeLayer, wsgi: Wsgi) -> None:
        self._layer = layer
        self._wsgi = wsgi

    def serve(self, protocol: Any, scope: dict[str, Any]) -> int:
        """Answer one request; returns the status, for granian's log."""
        answer = self._layer.answer(scope)
        if answer is None:
            return self._wsgi(protocol, scope)
        if scope["REQUEST_METHOD"] == "HEAD":
            protocol.response_bytes(answer.status, answer.all_headers(), b"")
        else:  # granian counts the body
            protocol.response_bytes(answer.status, answer.headers, answer.body)
        return answer.status
