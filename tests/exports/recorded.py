"""A home with runs of every kind that an export must be able to tell, and what exports are made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import runnotary
from runnotary import config
from runnotary.app.exporting import Exporting
from runnotary.app.home import Embedded
from runnotary.app.in_process import LoopThread
from runnotary.exports.material import Material
from tests.database import ENVIRON

Json = Any
PATIENCE_S = 120
HOSTILE = "<script>alert(1)</script> \u202e\"&'`|](x) ${{7*7}} {{7*7}}\x1b[31m"
HOSTILE_LABEL = "<img src=x onerror=alert(1)> \"&'`|](x) {{7*7}}"
ODD_NAME = "a file #1 50% <b>&\u00e9.txt"

REPORT = """
flow: report
version: "1.0"
title: Words counted
description: Sorts words, counts them by letter and writes all of it into a folder.
code: ["*.py"]
inputs:
  words: {type: file}
  more: {type: array, default: []}
  top: {type: integer, default: 3}
  title: {type: string, default: Words}
steps:
  sort:
    run: python3 sort_words.py "$words" > sorted.txt; echo "sorted them"; echo "mind the gap" >&2
    with: {words: "${{ inputs.words }}"}
    files: [sorted.txt]
    values: {count: integer, letters: array, mean: number}
  doubled:
    set: {twice: steps.sort.values.count * 2}
  by_letter:
    for_each: steps.sort.values.letters
    run: grep "^$letter" "$sorted" > part.txt
    with: {sorted: "${{ steps.sort.files['sorted.txt'] }}", letter: "${{ each.value }}"}
    files: [part.txt]
  folder:
    run: mkdir -p "out/sub dir"; cp "$sorted" out/; cp "$sorted" "out/sub dir/a b#.txt"; echo "$parts"
    with:
      sorted: "${{ steps.sort.files['sorted.txt'] }}"
      parts: "${{ steps.by_letter.files['part.txt'] }}"
    dirs: [out]
  unsteady:
    run: 'if [ "$RUNNOTARY_TRY" = 1 ]; then echo "not yet" >&2; exit 7; fi; echo "now: $title" > late.txt'
    with: {title: "${{ inputs.title }}"}
    files: [late.txt]
    retry: {attempts: 3, backoff: 10ms}
  never:
    if: steps.sort.values.count > 1000
    run: "false"
finally:
  bye: {run: echo bye}
outputs:
  sorted: "${{ steps.sort.files['sorted.txt'] }}"
  parts: "${{ steps.by_letter.files['part.txt'] }}"
  folder: "${{ steps.folder.files['out'] }}"
  twice: "${{ steps.doubled.values.twice }}"
  nothing: "${{ inputs.more }}"
"""
SORT_WORDS = """
import json, os, sys
words = sorted(open(sys.argv[1]).read().split())
print(*words, sep="\\n")
letters = sorted({word[0] for word in words})
said = {"count": len(words), "letters": letters, "mean": sum(map(len, words)) / len(words)}
open(os.environ["RUNNOTARY_OUTPUT"], "w").write(json.dumps(said))
"""
FAILING = """
flow: failing
inputs: {odd: {type: string}}
steps:
  first: {run: echo fine > a.txt, files: [a.txt]}
  broken:
    needs: [first]
    run: echo "$odd"; echo "$odd" >&2; exit 3
    with: {odd: "${{ inputs.odd }}"}
  after: {needs: [broken], run: echo never}
"""
UNSTARTED = """
flow: unstarted
steps:
  only: {if: 1 > 2, run: echo never}
"""
CALCULATED = """
flow: calculated
steps:
  sum: {set: {answer: 6 * 7, text: '"x"'}}
outputs: {answer: "${{ steps.sum.values.answer }}"}
"""
SILENT = """
flow: silent
steps:
  quiet: {run: "true"}
"""

GATED = """
flow: gated
steps:
  ask: {approve: {prompt: "Publish <b>it</b>?"}}
  publish: {needs: [ask], run: echo published}
"""


def record(place: Path) -> dict[str, str]:
    """Run everything in the home of a folder; return the runs' ids by the flows' names."""
    for name, text in (
        ("report.yaml", REPORT),
        ("failing.yaml", FAILING),
        ("unstarted.yaml", UNSTARTED),
        ("calculated.yaml", CALCULATED),
        ("silent.yaml", SILENT),
        ("sort_words.py", SORT_WORDS),
        (ODD_NAME, "pear apple fig plum peach\n"),
    ):
        (place / name).write_text(text)
    runs = {}
    with runnotary.Client(home=str(place / "home"), timeout=PATIENCE_S) as client:

        def run(flow: str, inputs: Json = None, **said: Json) -> None:
            ended = client.run_flow(place / f"{flow}.yaml", inputs or {}, wait=PATIENCE_S, **said)
            runs[flow] = ended.id

        run("report", {"words": place / ODD_NAME}, label="first numbers", tags=["demo"])
        run("failing", {"odd": HOSTILE}, label=HOSTILE_LABEL, tags=[HOSTILE_LABEL])
        run("unstarted")
        run("calculated")
        run("silent")
    return runs


def approve(place: Path) -> str:
    """Run a flow that asks somebody, who says yes; return the run's id."""
    (place / "gated.yaml").write_text(GATED)
    with runnotary.Client(home=str(place / "home"), timeout=PATIENCE_S) as client:
        run = client.run_flow(place / "gated.yaml").id
        next(event for event in client.follow_run(run) if event.type == "task.waiting")
        client.approve(run, "ask", reason="<i>as it should be</i>")
        assert client.wait_for_run(run).status == "success"
    return run


class Home:
    """The home in which they were recorded, opened again; runs are asked for by the name of their flow."""

    def __init__(self, place: Path) -> None:
        self.runs = record(place) | {"gated": approve(place)}
        self._loop = LoopThread()
        settings = config.load({"home": str(place / "home")}, environ=ENVIRON, cwd=place)

        async def opened() -> Embedded:
            return Embedded(settings)

        self._home = self._loop.run(opened())
        self._exporting = Exporting(self._home.store, self._home.reader)

    def material(self, flow: str) -> Material:
        """Return what exports of a run are made from."""
        row = self._home.reader.resolve(self.runs[flow])
        return self._loop.run(self._exporting.gathered(row.id))

    def close(self) -> None:
        self._loop.run(self._home.close())
        self._loop.close()
