"""The flows that are measured."""

from __future__ import annotations

from typing import Any

Json = Any

ONE_SET: Json = {"steps": {"only": {"set": {"x": 1}}}}
ONE_TRUE: Json = {"steps": {"only": {"run": ["true"]}}}
ONE_SKIPPED: Json = {"steps": {"only": {"set": {"x": 1}, "if": "false"}}}


def fan(width: int) -> Json:
    """One step, then `width` steps that need it, then one that needs them all; none has an effect."""
    middle = {f"s{i}": {"set": {"x": i}, "needs": ["first"]} for i in range(width)}
    return {"steps": {"first": {"set": {"x": 1}}, **middle, "last": {"set": {"x": 2}, "needs": list(middle)}}}


def chain(length: int, step: Json) -> Json:
    """Steps that each need the one before."""
    needs = [[f"s{i - 1}"] if i else [] for i in range(length)]
    return {"steps": {f"s{i}": {**step, "needs": needs[i]} for i in range(length)}}


def wide(width: int, step: Json) -> Json:
    """Steps that need nothing."""
    return {"steps": {f"s{i}": step for i in range(width)}}
