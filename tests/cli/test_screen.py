"""The live tree, on a terminal of its own."""

from __future__ import annotations

import re

import pytest

from tests.cli.terminal import Desk, Screen, plain

FLOW = """
flow: shown
steps:
  first:
    run: |
      echo '{"progress": 40, "message": "half way"}' >> "$RUNNOTARY_REPORT"
      while [ ! -e $TOP/go ]; do sleep 0.05; done
      echo rows=7 >> "$RUNNOTARY_OUTPUT"
    values: {rows: integer}
    retry: {attempts: 3}
  many:
    for_each: "[1, 2, 3]"
    run: echo $n
    with: {n: "${{ each.value }}"}
  last: {run: "true", needs: [first]}
"""


@pytest.mark.parametrize("columns", [80, 120])
def test_the_tree_moves_and_ends_with_the_summary(desk: Desk, columns: int) -> None:
    desk.write("flow.yaml", FLOW.replace("$TOP", str(desk.path)))
    screen = Screen(desk, "start", "flow.yaml", columns=columns)
    screen.read_until("40% half way")
    desk.write("go", "")
    assert screen.end() == 0
    text = plain(screen.text)
    assert "1/3" in text
    final = text[text.rindex("shown  ") :]
    assert re.search(r"✓ first +\S+ +1/3 rows=7", final)
    assert re.search(r"✓ many +\S+ +3/3", final)
    assert re.search(r"✓ last", final)
    assert re.search(r"success \S+   run [0-9A-Z]{26}", final)
    assert max(len(line) for line in final.splitlines()) <= columns


def test_ctrl_c_on_the_terminal(desk: Desk) -> None:
    desk.write("flow.yaml", FLOW.replace("$TOP", str(desk.path)))
    screen = Screen(desk, "start", "flow.yaml")
    screen.read_until("40% half way")
    screen.press("\x03")
    assert screen.end() == 130
    assert "run goes on under the keeper" in screen.text
    desk.write("go", "")
    screen = Screen(desk, "run", "watch", "@latest")
    assert screen.end() == 0
    assert "✓ last" in plain(screen.text)


def test_more_steps_than_lines_are_counted(desk: Desk) -> None:
    steps = "\n".join(f"  s{number}: {{run: 'true'}}" for number in range(40))
    desk.write("wide.yaml", f"flow: wide\nsteps:\n{steps}\n")
    screen = Screen(desk, "start", "wide.yaml", lines=12)
    assert screen.end() == 0
    text = plain(screen.text)
    assert re.search(r"… +\d+ pending", text) or re.search(r"… .*\d+ success", text)


def test_what_a_step_says_cannot_move_the_cursor(desk: Desk) -> None:
    desk.write(
        "rude.yaml",
        "flow: rude\nsteps:\n  a:\n"
        "    run: |\n"
        "      printf 'note=\\033[2Jgone\\n' >> \"$RUNNOTARY_OUTPUT\"\n"
        "    values: {note: string}\n",
    )
    screen = Screen(desk, "start", "rude.yaml")
    assert screen.end() == 0
    assert "\x1b[2J" not in screen.text
    for words in (("run", "show", "@latest"), ("run", "list"), ("run", "audit", "@latest")):
        screen = Screen(desk, *words)
        assert screen.end() == 0
        assert "\x1b[2J" not in screen.text
