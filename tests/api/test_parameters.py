"""Queries, cursors and marks, apart from any server."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runnotary.api.parameters import InvalidParameter, UnknownParameter, moment, parameters
from runnotary.api.wire import ListRuns, Page
from runnotary.core.states import State
from runnotary.engine.cursors import MARK, InvalidCursor, _check, cursor, place
from runnotary.engine.following import MARK_BITS, WHOLE, mark, place_of

LISTING = {"flow": ["a"], "order_by": "label"}
json_places = st.tuples(
    st.none() | st.integers(-(2**60), 2**60) | st.text(max_size=300), st.text(max_size=26)
)


def test_lists_by_comma_and_by_repetition() -> None:
    read = parameters(ListRuns, b"status=failed,cancelled&status=success&flow=a%2Cb&limit=7&total=true")
    assert read.status == (State.FAILED, State.CANCELLED, State.SUCCESS)
    assert (read.flow, read.limit, read.total) == (("a", "b"), 7, True)
    assert parameters(Page, b"") == Page()


@pytest.mark.parametrize(
    ("query", "kind", "says"),
    [
        (b"lable=x", UnknownParameter, 'did you mean "label"'),
        (b"label=a&label=b", InvalidParameter, "label: given twice"),
        (b"limit=x", InvalidParameter, "limit: "),
        (b"status=done", InvalidParameter, "status: "),
        (b"label=%c3%28", InvalidParameter, "cannot be read"),
        (b"label=\xff", InvalidParameter, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(query: bytes, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        parameters(ListRuns, query)


@given(st.binary(max_size=200))
def test_no_query_is_a_defect(query: bytes) -> None:
    try:
        parameters(ListRuns, query)
    except (UnknownParameter, InvalidParameter):
        return


def test_moments() -> None:
    assert moment("t", None) is None
    assert moment("t", "1970-01-02") == 86_400_000_000
    assert moment("t", "2026-01-31T12:00:00.000001Z") == moment("t", "2026-01-31T13:00:00.000001+01:00")
    for wrong in ("", "now", "1969-12-31", "12:00", "2026-02-30"):
        with pytest.raises(InvalidParameter, match="t: write a time"):
            moment("t", wrong)


@given(json_places)
def test_a_cursor_comes_back_in_its_listing_only(where: tuple[object, str]) -> None:
    text = cursor(LISTING, list(where))
    assert place(LISTING, text) == list(where)
    assert text.isascii()
    assert not text.startswith("-"), "a command line would read it as an option"
    with pytest.raises(InvalidCursor):
        place(LISTING | {"flow": ["b"]}, text)


@given(json_places, st.data())
def test_no_other_text_is_taken_for_a_cursor(where: tuple[object, str], data: st.DataObject) -> None:
    text = cursor(LISTING, list(where))
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("ABCDEFabcdef0123-_=+/ é\n").filter(lambda one: one != text[at]))
    for forged in (
        text[:at] + letter + text[at + 1 :],
        text[:at],
        text + letter,
        msgspec.json.encode(text).decode(),
    ):
        with pytest.raises(InvalidCursor):
            place(LISTING, forged)


@pytest.mark.parametrize(
    "forged", ["5", '"x"', "[1]", '["x","y"]', "[1,2]", "[" * 5000, "no JSON", "", "\ud800"]
)
def test_a_checksum_is_no_proof_of_a_place(forged: str) -> None:
    """Anybody can compute one."""
    data = forged.encode(errors="surrogatepass")
    text = MARK + urlsafe_b64encode(_check(LISTING, data) + data).rstrip(b"=").decode()
    with pytest.raises(InvalidCursor):
        place(LISTING, text, tuple[int, Annotated[str, msgspec.Meta(min_length=26)]])


@given(st.integers(1, 2**33), st.integers(1, WHOLE))
def test_marks_are_in_the_order_of_what_they_mark(pos: int, done: int) -> None:
    made = mark(pos, done)
    assert mark(pos - 1, WHOLE) < made <= mark(pos, WHOLE) < mark(pos + 1, 1)
    assert place_of(made) == ((pos, 0) if done == WHOLE else (pos - 1, done))
    assert made >> MARK_BITS == pos
    assert place_of(0) == (0, 0)
