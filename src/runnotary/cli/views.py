"""What a followed run looks like where no terminal is: one line per transition, the id alone, or nothing.

The tree for terminals is in `live.py`, which imports rich and is imported only there.
"""

from __future__ import annotations

import sys

from runnotary.cli import words
from runnotary.cli.following import View
from runnotary.cli.picture import Picture
from runnotary.cli.wording import clock, told
from runnotary.core import events as ev
from runnotary.core.chain import Recorded


class Silent:
    """Shows nothing; with `announce` it prints the run's id to stdout as soon as it is accepted."""

    tick = 0.0

    def __init__(self, *, announce: bool = False) -> None:
        self._announce = announce

    def begin(self, picture: Picture) -> None:
        if self._announce:
            print(picture.run, flush=True)
            self._announce = False

    def changed(self, picture: Picture, fresh: list[Recorded]) -> None:
        pass

    def notice(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def end(self, picture: Picture) -> None:
        pass


class Lines:
    """One line per transition on stderr. Of a run that is taken up, the past is one line."""

    tick = 0.0

    def __init__(self, *, skip_past: bool = False) -> None:
        self._skip_past = skip_past
        self._begun = False

    def begin(self, picture: Picture) -> None:
        if self._begun:
            return
        self._begun = True
        row = picture.row
        flow = f"{row.flow or 'unnamed flow'} {words.short_digest(row.definition)}"
        self._say(row.created_at, f"run accepted {picture.run} {flow}")

    def changed(self, picture: Picture, fresh: list[Recorded]) -> None:
        if self._skip_past and fresh:
            self._skip_past = False
            tasks = [task for task in picture.tasks() if task["index"] is None]
            over = sum(task["ended_at"] is not None for task in tasks)
            running = ", ".join(task["key"] for task in tasks if task["status"] == "running")
            now = f"; running: {running}" if running else ""
            self._say(fresh[-1].at, f"{over} of {words.plural(len(tasks), 'step')} over{now}")
            return
        for entry in fresh:
            if isinstance(entry.event, ev.RunCreated | ev.RunFinished):
                continue  # the first is said by `begin`, the last by the summary
            for one in told(entry, picture.flow):
                self._say(entry.at, str(one))

    def notice(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def end(self, picture: Picture) -> None:
        pass

    def _say(self, at: int, text: str) -> None:
        print(f"{clock(at)} {text}", file=sys.stderr, flush=True)


def view_for(*, quiet: bool, wait: bool = False, skip_past: bool = False) -> View:
    """Return the view that fits what was asked for and where stderr goes."""
    if quiet or wait:
        return Silent(announce=quiet)
    if sys.stderr.isatty():
        from runnotary.cli.live import Live

        return Live()
    return Lines(skip_past=skip_past)
