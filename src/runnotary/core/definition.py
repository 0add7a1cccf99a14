"""A definition: a document validated with everything that is wrong with it, and its identity."""

from __future__ import annotations

from runnotary.core.compiler import compile

__all__ = ["compile"]
