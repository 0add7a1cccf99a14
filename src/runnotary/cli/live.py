"""The live tree on a terminal: a row per step, redrawn at changes and often enough for times to move.

A step that became many tasks shows how far they are, and those that run or failed. If there are more rows
than the terminal has lines, what goes on stays, and the rest is counted.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, NamedTuple

from rich.console import Console, RenderableType
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from runnotary.app.system import SystemClock
from runnotary.cli import words
from runnotary.cli.picture import Picture
from runnotary.core.chain import Recorded
from runnotary.core.states import TERMINAL

Json = Any
FRAME_SECONDS: Final = 0.1
CHILDREN_SHOWN: Final = 4
BAR_WIDTH: Final = 16
SPARE_LINES: Final = 4


class Row(NamedTuple):
    """One line of the tree."""

    status: str
    name: str
    time: str
    tries: str
    pct: int | None
    note: str


class Live:
    """The view of a terminal."""

    tick = FRAME_SECONDS

    def __init__(self) -> None:
        self._console: Final = Console(stderr=True, highlight=False, emoji=False, markup=False)
        self._clock: Final = SystemClock()
        self._spinner: Final = Spinner("dots", style=words.STYLES["running"])
        self._live: RichLive | None = None
        self._tasks: list[Json] = []

    def begin(self, picture: Picture) -> None:
        self._tasks = []
        self._live = RichLive(
            console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()

    def changed(self, picture: Picture, fresh: list[Recorded]) -> None:
        if fresh or not self._tasks:
            self._tasks = picture.tasks()
        if self._live is not None:
            self._live.update(self._drawn(picture, final=False), refresh=True)

    def notice(self, text: str) -> None:
        # The terminal has echoed ^C in front of the cursor.
        self._console.print(f"\r{text}", soft_wrap=True)

    def end(self, picture: Picture) -> None:
        if self._live is not None:
            self._live.update(self._drawn(picture, final=True), refresh=True)
            self._live.stop()
            self._live = None

    def _drawn(self, picture: Picture, *, final: bool) -> RenderableType:
        now = self._clock.now()
        rows = rows_of(self._tasks, picture, now)
        if not final:
            rows = fitting(rows, max(3, self._console.size.height - SPARE_LINES))
        grid = Table.grid(padding=(0, 1), expand=False)
        for style in ("", "", "", words.DIM):
            grid.add_column(no_wrap=True, justify="right" if len(grid.columns) == 2 else "left", style=style)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for row in rows:
            style = words.STYLES.get(row.status, "")
            spins = row.status == "running" and not final
            glyph = self._spinner if spins else Text(words.GLYPHS.get(row.status, " "), style)
            name = Text(row.name, words.DIM if row.status in ("pending", "skipped", "") else "")
            grid.add_row(glyph, name, row.time, row.tries, _note(row, style, final=final))
        whole = Table.grid()
        title = picture.row.flow or "unnamed flow"
        took = "" if final else words.brief(max(0, now - picture.row.created_at))
        whole.add_row(Text.assemble((title, words.BOLD), "  ", (f"{picture.run}  {took}", words.DIM)))
        whole.add_row(grid)
        return whole


def _note(row: Row, style: str, *, final: bool) -> RenderableType:
    text = Text(row.note, style if row.status in ("failed", "cancelled") else words.DIM)
    if row.pct is None or final or row.status != "running":
        return text
    line = Table.grid(padding=(0, 1))
    line.add_row(ProgressBar(total=100, completed=row.pct, width=BAR_WIDTH), f"{row.pct}%", text)
    return line


def rows_of(tasks: list[Json], picture: Picture, now: int) -> list[Row]:
    """Return the rows: steps in the order of the flow, the tasks worth seeing below their step."""
    children: dict[str, list[Json]] = {}
    for task in tasks:
        if task["index"] is not None:
            children.setdefault(task["step"], []).append(task)
    rows: list[Row] = []
    for task in tasks:
        if task["index"] is not None:
            continue
        mine = children.get(task["key"], [])
        rows.append(_row(task, picture, now, mine))
        lively = [child for child in mine if child["status"] in ("running", "waiting", "failed")]
        rows += [
            _row(child, picture, now, [])._replace(name=f"  {child['key']}")
            for child in lively[:CHILDREN_SHOWN]
        ]
    return rows


def _row(task: Json, picture: Picture, now: int, children: list[Json]) -> Row:
    begun = [child["started_at"] for child in children if child["started_at"]]
    started = words.microseconds(min(begun, default=task["started_at"]))
    ended = words.microseconds(task["ended_at"])
    time = words.brief(max(0, (ended or now) - started)) if started else ""
    attempts = task["attempts"]
    most = picture.flow.steps[task["step"]].retry.attempts
    tries = words.tries(len(attempts), most) if attempts else ""
    progress = task["progress"] if task["status"] == "running" else None
    pct = progress["pct"] if progress else None
    return Row(task["status"], task["key"], time, tries, pct, note_of(task, children))


def note_of(task: Json, children: list[Json]) -> str:
    """Return what is worth saying about a task besides its state and time."""
    status = task["status"]
    if status == "failed" and task["error"]:
        return words.visible(task["error"]["message"])
    if status in ("skipped", "cancelled", "failed"):
        return task["reason"] or ""
    if children or task.get("count"):
        counts = Counter(child["status"] for child in children)
        over = sum(counts[state] for state in TERMINAL)
        failed = f", {counts['failed']} failed" if counts["failed"] else ""
        return f"{over}/{task.get('count', len(children))}{failed}"
    if status == "waiting" and task.get("approval"):
        return words.visible(task["approval"]["prompt"])
    if status == "running":
        if task.get("waits_for"):
            return f"waits for a {task['waits_for']}"
        if task["progress"] and task["progress"]["message"]:
            return words.visible(task["progress"]["message"])
        if task["attempts"] and task["attempts"][-1].get("retry_at"):
            return "waits for the next try"
    return words.values(task["variables"])


def fitting(rows: list[Row], lines: int) -> list[Row]:
    """Return as many rows as there are lines for: what goes on or went wrong first, the rest counted."""
    if len(rows) <= lines:
        return rows
    weight = {"running": 0, "failed": 0, "waiting": 0, "pending": 2}
    order = sorted(range(len(rows)), key=lambda index: (weight.get(rows[index].status, 1), -index))
    shown = sorted(order[: lines - 1])
    hidden = Counter(rows[index].status for index in range(len(rows)) if index not in set(shown))
    said = ", ".join(f"{count} {status}" for status, count in sorted(hidden.items()))
    return [*(rows[index] for index in shown), Row("", "…", "", "", None, said)]
