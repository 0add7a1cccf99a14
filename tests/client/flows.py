"""The flows that the tests of the client run."""

from __future__ import annotations

from typing import Any

# No process: a run of it is over almost at once.
DOUBLE: dict[str, Any] = {
    "flow": "double",
    "title": "Twice as much",
    "inputs": {"n": {"type": "integer", "default": 1}},
    "steps": {"calculate": {"set": {"twice": "inputs.n * 2"}}},
    "outputs": {"twice": "${{ steps.calculate.values.twice }}"},
}
GREET: dict[str, Any] = {
    "flow": "greet",
    "inputs": {"name": {"type": "string", "default": "world"}},
    "steps": {
        "greet": {
            "run": 'echo "Hello, $name!" | tee greeting.txt',
            "with": {"name": "${{ inputs.name }}"},
            "files": ["greeting.txt"],
        }
    },
    "outputs": {"greeting": "${{ steps.greet.files['greeting.txt'] }}"},
}
COUNT: dict[str, Any] = {
    "flow": "count",
    "inputs": {"text": {"type": "file"}},
    "steps": {
        "count": {
            "run": 'wc -w < "$text" | xargs printf "words=%s\\n" > "$RUNNOTARY_OUTPUT"',
            "with": {"text": "${{ inputs.text }}"},
            "values": {"words": "integer"},
        }
    },
    "outputs": {"words": "${{ steps.count.values.words }}"},
}
# Ends when the file `gate` is there.
GATED: dict[str, Any] = {
    "flow": "gated",
    "inputs": {"gate": {"type": "string"}},
    "steps": {
        "wait": {
            "run": 'while [ ! -e "$gate" ]; do sleep 0.05; done',
            "with": {"gate": "${{ inputs.gate }}"},
        }
    },
}
FAIL: dict[str, Any] = {"flow": "fail", "steps": {"broken": {"run": "echo why >&2; exit 3"}}}
ALL = (DOUBLE, GREET, COUNT, GATED, FAIL)
