"""Where answers are written: JSON, YAML and names as they are, text as a page of lines and tables.

A page is plain text of fixed form unless the stream is a terminal; only then rich is imported.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import IO, Any, Final

from runnotary.cli.words import DIM, visible

Json = Any
Part = str | tuple[str, str]
"""A piece of a line; with a style if it is a pair."""

GAP: Final = 2
LEAST: Final = 12


def emit(
    form: str | None,
    document: Json,
    text: Callable[[], None],
    *,
    each: Sequence[Json] | None = None,
    key: str = "id",
) -> None:
    """Write an answer in the asked form. `each` are its parts, one per line; `key` is what names a part."""
    parts = [document] if each is None else each
    if form in (None, "table"):
        text()
    elif form == "json":
        print(json.dumps(document, ensure_ascii=False, indent=2))
    elif form == "jsonl":
        for part in parts:
            print(json.dumps(part, ensure_ascii=False, separators=(",", ":")))
    elif form == "yaml":
        print(_yaml(document), end="")
    else:
        for part in parts:
            print(visible(str(part[key])))


def _yaml(document: Json) -> str:
    import yaml

    written: str = yaml.dump(
        document, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, default_flow_style=False
    )
    return written


def _text(part: Part) -> str:
    return part if isinstance(part, str) else part[0]


class Page:
    """Lines and tables on one stream."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream: Final = stream or sys.stdout
        self.is_terminal: Final = self._stream.isatty()
        self._rich: Any = None

    def line(self, *parts: Part, wrap: bool = False) -> None:
        """Write one line. On a terminal `wrap` breaks it between words: not for what is to be copied."""
        if not self.is_terminal:
            print("".join(_text(part) for part in parts), file=self._stream)
            return
        from rich.text import Text

        text = Text()
        for part in parts:
            text.append(*([part] if isinstance(part, str) else part))
        self.console.print(text, soft_wrap=not wrap)

    def table(self, rows: Sequence[Sequence[Part]], headers: Sequence[str] = (), *, right: str = "") -> None:
        """Write columns as wide as their content; those whose number stands in `right` end flush."""
        if not rows:
            return
        if self.is_terminal:
            self._rich_table(rows, headers, right)
            return
        plain = [[_text(part) for part in row] for row in rows]
        if headers:
            plain.insert(0, list(headers))
        widths = [max(len(row[column]) for row in plain) for column in range(len(plain[0]))]
        for row in plain:
            cells = [
                cell.rjust(width) if str(column) in right else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
                if width
            ]
            print((" " * GAP).join(cells).rstrip(), file=self._stream)

    def _rich_table(self, rows: Sequence[Sequence[Part]], headers: Sequence[str], right: str) -> None:
        """Write a table in which only the last column gives way: a line is known by the others."""
        from rich.cells import cell_len
        from rich.table import Table
        from rich.text import Text

        used = [column for column in range(len(rows[0])) if any(_text(row[column]) for row in rows)]
        titles = [headers[column] if headers else "" for column in used]
        table = Table(box=None, pad_edge=False, show_header=bool(headers), header_style=DIM, padding=(0, 1))
        space = self.console.width - GAP * (len(used) - 1)
        for column, title in zip(used[:-1], titles, strict=False):
            width = max(cell_len(title), *(cell_len(_text(row[column])) for row in rows))
            space -= width
            justify: Any = "right" if str(column) in right else "left"
            table.add_column(title, justify=justify, no_wrap=True, width=width)
        table.add_column(titles[-1], no_wrap=True)
        for row in rows:
            cells = [Text(part) if isinstance(part, str) else Text(*part) for part in (row[i] for i in used)]
            cells[-1].truncate(max(space, LEAST), overflow="ellipsis")
            table.add_row(*cells)
        self.console.print(table, crop=False)

    @property
    def console(self) -> Any:
        """The terminal."""
        if self._rich is None:
            from rich.console import Console

            self._rich = Console(file=self._stream, highlight=False, emoji=False, markup=False)
        return self._rich
