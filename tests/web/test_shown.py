"""The pure part of the pages: how things are written, and where steps stand in a drawing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runnotary.core.definition import compile, define
from runnotary.core.times import to_text
from runnotary.web import shown
from runnotary.web.addresses import address, of_bytes, of_file, of_flow, of_run, of_step, of_stream
from runnotary.web.asked import fields
from runnotary.web.graph import ACROSS, HEIGHT, WIDTH, drawing
from runnotary.web.rendering import render

NOW = 1_767_225_600_000_000  # 2026-01-01
SECOND = 1_000_000


@given(st.text())
def test_visible_text_prints_and_keeps_what_printed(text: str) -> None:
    seen = shown.visible(text)
    assert seen.replace("\n", "").replace("\t", "").isprintable()
    assert shown.visible(seen) == seen
    if text.isprintable():
        assert seen == text
    seen.encode()


@given(st.text(), st.integers(1, 50))
def test_cut_text_says_how_much_is_missing(text: str, width: int) -> None:
    cut = shown.cut(text, width)
    assert cut == text if len(text) <= width else cut.startswith(text[:width])
    assert len(cut) <= max(len(text), width + 40)


@given(st.binary(), st.integers(1, 10))
def test_a_tail_is_the_end_of_what_was_printed(data: bytes, lines: int) -> None:
    tail = shown.tail("stdout", data, lines)
    assert len(tail.lines) <= lines
    assert tail.size == len(data)
    assert 0 <= tail.left_out <= len(data)


def test_a_tail_of_a_long_stream_reads_its_end_only() -> None:
    data = b"first\n" + b"x" * 3_000_000 + b"\nlast\n"
    tail = shown.tail("stderr", data, 2)
    assert tail.lines[1] == "last"
    assert len(tail.lines[0]) < 3_000
    assert tail.left_out > 2_000_000
    assert shown.tail("stdout", b"", 3).lines == ()
    assert shown.tail("stdout", b"a\r\nb\n", 3).lines == ("a", "b")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (3600, "1 h ago"),
        (86_399, "23 h ago"),
        (86_400, "2025-12-31 00:00"),
        (-5, "0 s ago"),
    ],
)
def test_ago(seconds: int, text: str) -> None:
    time = to_text(NOW - seconds * SECOND)
    assert shown.microseconds(time) == NOW - seconds * SECOND
    assert shown.ago(time, NOW) == text


def test_times_that_are_missing_are_nothing() -> None:
    assert shown.ago(None, NOW) == shown.moment(None) == shown.took(None, None, NOW) == ""
    assert shown.took(to_text(NOW - 2 * SECOND), None, NOW) == "2.0s"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (27_700, "27.7 kB"),
        (2_400_000, "2.4 MB"),
        (10**13, "10.0 TB"),
    ],
)
def test_size(count: int, text: str) -> None:
    assert shown.size(count) == text


def test_values() -> None:
    assert shown.value("a") == "a"
    assert shown.value({"a": [1, None]}) == '{"a":[1,null]}'
    assert shown.value({"$file": "sha256:0", "name": "x.csv", "size": 1}) == "x.csv"
    assert shown.value([{"$file": "sha256:0", "name": "x.csv", "size": 1}] * 3) == "x.csv and 2 more files"
    assert len(shown.value(["x" * 100_000])) < 3_000


@given(st.text(), st.text())
def test_addresses_never_leave_their_place(one: str, other: str) -> None:
    one, other = (text.encode("utf-8", "replace").decode() for text in (one, other))
    for path, start in (
        (of_run(one), "/runs/"),
        (of_step(one, other), "/runs/"),
        (of_file(one, other), "/runs/"),
        (of_file(one, one, other), "/runs/"),
        (of_bytes(one, one, other), "/api/v1/runs/"),
        (of_flow(one, other), "/flows/"),
        (of_stream(one, other, "stdout", 1), "/api/v1/runs/"),
        (address("/", {"q": one, "flow": (one, other)}), "/"),
    ):
        assert not path or re.fullmatch(r"[A-Za-z0-9%&=+_.~:/?-]*", path)
        assert not path or path.startswith(start)


whole = st.text().map(lambda text: text.encode("utf-8", "replace").decode())


@given(st.dictionaries(whole, whole, max_size=5))
def test_a_form_is_read_as_it_was_written(form: dict[str, str]) -> None:
    written = address("", dict(form)).removeprefix("?")
    assert fields(written) == {name: (text,) for name, text in form.items() if text}


def test_too_many_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="fields"):
        fields("&".join(["a=1"] * 2000))


class Odd:
    """An error whose every word is dangerous."""

    code = "<b>odd</b>"
    message = "<script>\x1b\u202e"
    hint = '"><img>'


class Nobody:
    """A view of nobody."""

    name = how = ""
    signed_in = may_start = False


def test_what_a_template_prints_is_escaped_and_visible() -> None:
    text = render("problem.html", view=Nobody(), now=NOW, problem=Odd()).decode()
    assert "&lt;script&gt;\\x1b\\u202e" in text
    assert "<b>odd" not in text and '"><img>' not in text


# --- drawings --------------------------------------------------------------------------------------


def drawn(steps: dict[str, Any], **more: Any) -> Any:
    return drawing(compile(define({"steps": steps} | more).document))


def test_a_step_stands_right_of_what_it_waits_for() -> None:
    run = {"run": "true"}
    found = drawn(
        {"a": run, "b": run | {"needs": "a"}, "c": run | {"after": "a"}, "d": run | {"needs": ["b", "c"]}},
        **{"finally": {"tidy": run}},
    )
    places = {node.name: (node.x, node.y) for node in found.nodes}
    assert places["a"][0] < places["b"][0] == places["c"][0] < places["d"][0] < places["tidy"][0]
    assert len(set(places.values())) == 5
    assert sorted(edge.weak for edge in found.edges) == [False, False, False, True]
    assert found.width >= places["tidy"][0] + WIDTH
    assert found.height >= max(y for _, y in places.values()) + HEIGHT


def test_a_long_name_is_cut_and_a_large_flow_is_not_drawn() -> None:
    (node,) = drawn({"a" * 60: {"run": "true"}}).nodes
    assert len(node.shown) < 20 and node.name == "a" * 60
    assert drawn({f"s{number}": {"run": "true"} for number in range(81)}) is None
    chain = {f"s{n:02}": {"run": "true", "needs": [f"s{n - 1:02}"] if n else []} for n in range(80)}
    assert drawn(chain).width > 79 * ACROSS
