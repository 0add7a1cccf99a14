"""Flows for the tests of pages; the last one says everything that a page must not believe."""

from __future__ import annotations

from typing import Any

Json = Any

PLAIN: Json = {
    "flow": "plain",
    "version": "1.0",
    "title": "Counts",
    "inputs": {
        "rows": {"type": "integer", "default": 3, "minimum": 1, "maximum": 9},
        "places": {
            "type": "array",
            "items": "string",
            "default": [f"place-{n}" for n in range(20)],
        },
    },
    "steps": {
        "make": {
            "run": 'seq "$rows" > rows.txt; echo made; echo "rows=$rows" >> "$RUNNOTARY_OUTPUT"',
            "with": {"rows": "${{ inputs.rows }}"},
            "files": ["rows.txt"],
            "values": {"rows": "integer"},
        },
        "left": {"run": "wc -l < $rows", "with": {"rows": "${{ steps.make.files['rows.txt'] }}"}},
        "right": {"run": "wc -c < $rows", "with": {"rows": "${{ steps.make.files['rows.txt'] }}"}},
        "parts": {"for_each": "['a', 'b']", "run": 'echo "$part"', "with": {"part": "${{ each.value }}"}},
        "last": {"run": "true", "needs": ["left", "right"], "after": ["parts"]},
    },
    "finally": {"tidy": {"run": "true"}},
    "outputs": {"rows": "${{ steps.make.files['rows.txt'] }}", "count": "${{ steps.make.values.rows }}"},
}

ODD_NAME = "<img src=x onerror=alert(3)>.html"
FOLDERS: Json = {
    "flow": "folders",
    "steps": {
        "make": {
            "run": """
mkdir -p site/pages empty
echo first > site/index.html
echo again > site/pages/index.html
echo odd > 'site/a?b#c%2e%2e.txt'
echo "$name" > "site/$name"
head -c 300000 /dev/zero > site/zeros.bin
""",
            "env": {"name": ODD_NAME},
            "dirs": ["site", "empty"],
        },
        "look": {"run": "ls $site", "with": {"site": "${{ steps.make.files['site'] }}"}},
    },
    "outputs": {"site": "${{ steps.make.files['site'] }}", "empty": "${{ steps.make.files['empty'] }}"},
}

FAILING: Json = {
    "flow": "failing",
    "steps": {
        "begin": {"run": "echo fine"},
        "break": {
            "needs": ["begin"],
            "retry": 2,
            "run": "echo to stdout; seq -f 'line %g' 60 >&2; echo the last words >&2; exit 3",
        },
        "never": {"needs": ["break"], "run": "true"},
    },
}

_WAIT = """
n=0
while [ ! -e "$gate" ]; do
  n=$((n + 1))
  echo "still here $n"
  sleep 0.1
done
"""
GOING: Json = {
    "flow": "going",
    "steps": {
        "talk": {
            "run": _WAIT,
            "with": {"gate": "${{ inputs.gate }}"},
        },
        "after": {"needs": ["talk"], "run": "true"},
    },
    "inputs": {"gate": {"type": "string"}},
}
"""Goes on until the file `gate` is there."""

TYPED: Json = {
    "flow": "typed",
    "inputs": {
        "text": {"type": "string", "default": "as it is", "pattern": "^[a-z ]*$"},
        "must": {"type": "integer", "minimum": 2},
        "share": {"type": "number", "default": 0.5},
        "sure": {"type": "boolean", "default": True},
        "choice": {"type": "string", "enum": ["red", "green"], "default": "red"},
        "some": {"type": "array", "items": "integer", "default": [1, 2]},
        "thing": {"type": "object", "default": {"a": 1}},
        "whatever": {"type": "any"},
        "paper": {"type": "file"},
    },
    "steps": {"only": {"run": 'cat "$paper"', "with": {"paper": "${{ inputs.paper }}"}}},
}

MARKUP = "<script>alert('x')</script>"
BREAKOUT = "\"'><img src=x onerror=alert(1)>"
ADDRESS = "javascript:alert(1)"
TURNED = "\u202egnp.exe\u2066"
CONTROL = "\x1b[31m\x07\x9b\u200b\ufeff"
CLOSING = "</textarea></pre></td></title><svg/onload=alert(1)>"
TEMPLATE = "{{ 7 * 7 }}{% raw %}"
HOSTILE = (MARKUP, BREAKOUT, ADDRESS, TURNED, CONTROL, CLOSING, TEMPLATE)
PRINTABLE = (MARKUP, BREAKOUT, ADDRESS, CLOSING, TEMPLATE)
ALL = " ".join(HOSTILE)
SAID = " ".join(PRINTABLE)

_SPEAK = """
printf '%s\\n' "$given" >&2
printf '%s\\n' "$given"
head -c 1000000 /dev/zero | tr '\\0' 'x' >&2
printf '\\n\\377\\376\\000\\n%s\\n' "$given" >&2
printf '{"progress": 50, "message": "%s"}\\n' '<b>progress</b>' >> "$RUNNOTARY_REPORT"
printf '%s' "$given" > "$file"
printf '{"words": "%s"}' '<b>value</b>' > "$RUNNOTARY_OUTPUT"
"""
FILE = "<img src=x onerror=alert(2)>.html"

HOSTILE_FLOW: Json = {
    "flow": "hostile",
    "version": SAID[:100],
    "title": SAID,
    "description": SAID,
    "inputs": {
        "given": {"type": "string", "default": SAID, "description": SAID},
        "choice": {"type": "string", "enum": [MARKUP, BREAKOUT], "default": MARKUP},
        "tree": {"type": "object", "default": {MARKUP: [BREAKOUT]}},
    },
    "steps": {
        "speak": {
            "title": SAID,
            "run": _SPEAK,
            "with": {"given": "${{ inputs.given }}"},
            "env": {"file": FILE, "PUBLIC": SAID},
            "files": [FILE],
            "values": {"words": "string"},
        },
        "fail": {
            "needs": ["speak"],
            "if": "inputs.given != '<script>'",
            "run": f"{_SPEAK}\n# {MARKUP}\nexit 1",
            "with": {"given": "${{ inputs.given }}"},
            "env": {"file": FILE},
            "files": [FILE],
        },
    },
    "outputs": {"given": "${{ inputs.given }}"},
}
