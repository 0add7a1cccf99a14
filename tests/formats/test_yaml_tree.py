"""YAML as plain values: the core schema, places, and everything that is refused where it stands."""

import itertools
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runnotary.formats.yaml_tree import BYTES_MAX, Tree, read


def value(text: str) -> Any:
    tree = read(text.encode())
    assert tree.whole
    assert not tree.complaints
    return tree.value


def complaints(data: bytes | str, **options: bool) -> list[str]:
    tree = read(data.encode() if isinstance(data, str) else data, **options)
    return [f"{line}:{column} {message}" for line, column, message in tree.complaints]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("~", None), ("null", None), ("", None), ("true", True), ("False", False), ("no", "no"), ("NO", "NO"),
        ("yes", "yes"), ("on", "on"), ("Off", "Off"), ("12", 12), ("-3", -3), ("+3", 3), ("007", 7),
        ("0x1F", 31), ("0o17", 15), ("0b1", "0b1"), ("1_000", "1_000"), ("1:30", "1:30"), ("1.5", 1.5),
        (".5", 0.5), ("1e3", 1000.0), ("1.", 1.0), ("1.0", 1.0), ("2020-01-01", "2020-01-01"), ("'1'", "1"),
        ('"true"', "true"), ("NaN", "NaN"), ("nan", "nan"), ("9223372036854775807", 2**63 - 1), ("=", "="),
        ("a b", "a b"), ("${{ inputs.x }}", "${{ inputs.x }}"),
    ],
)  # fmt: skip
def test_scalars_of_the_core_schema(text: str, expected: object) -> None:
    found = value(f"k: {text}")["k"]
    assert (found, type(found)) == (expected, type(expected))


def test_places_of_values_and_keys() -> None:
    tree = read(b"a: 1\nb:\n  - 'x'\n  - {c: \"y\"}\nd: |\n  text\n")
    places = {path: tuple(place) for path, place in tree.places.items()}
    assert places == {
        (): (1, 1, 0, 0, ""),
        ("a",): (1, 4, 1, 1, ""),
        ("b",): (3, 3, 2, 1, ""),
        ("b", 0): (3, 5, 0, 0, "'"),
        ("b", 1): (4, 5, 0, 0, ""),
        ("b", 1, "c"): (4, 9, 4, 6, '"'),
        ("d",): (5, 4, 5, 1, "|"),
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1 the file is empty"),
        ("# nothing\n", "1:1 the file is empty"),
        ("a: 1\nb: 2\na: 3\n", '3:1 the key "a" stands here twice, first in line 1'),
        (
            "a: !!python/object:os.system x",
            "1:4 tags (tag:yaml.org,2002:python/object:os.system) are not allowed",
        ),
        ("if: !failure()", "1:5 tags (!failure()) are not allowed; a text that starts with ! needs quotes"),
        ("a: &b 1", "1:4 anchors (&b) are not allowed"),
        ("a: *b", "1:4 aliases (*b) are not allowed"),
        ("a: [*.csv]", "needs quotes"),
        ("<<: {a: 1}", "1:1 merge keys (<<) are not allowed"),
        ("a: 1\n---\nb: 1\n", "2:1 a second document starts here"),
        ("a: .nan", "1:4 .nan is not a number that JSON can hold"),
        ("a: -.INF", "1:4 -.INF is not a number"),
        ("a: 1e999", "1:4 1e999 is too large for a number"),
        ("a: 9223372036854775808", "1:4 9223372036854775808 does not fit 64 bits"),
        ("a: " + "9" * 100_000, "does not fit 64 bits"),
        ("a: 0x" + "f" * 17, "does not fit 64 bits"),
        ("a: {b: ${{ x }}}", 'quote the whole value: "${{ … }}", with single quotes inside'),
        ('a: "${{ x["y"] }}"', "with single quotes inside"),
        ("a: {{ x }}", "1:5 a key must be text"),
        ("? [a]\n: 1", "a key must be text"),
        ("a:\n\t- b", "2:1 found character that cannot start any token; indent with spaces, not with tabs"),
        (
            "a: b: c",
            "1:5 mapping values are not allowed in this context; a text with a colon in it needs quotes",
        ),
        ("a: @x", "a text that starts with @ needs quotes"),
        ("a: 'x", "found unexpected end of stream"),
        ("a: x\0y", "1:5 the control character U+0000 is not allowed"),
        ("a: x\n\x1bb", "2:1 the control character U+001B is not allowed"),
        (b"a: 1\nb: \xc3\xa9\xe9", "2:5 the file is not UTF-8: byte 0xe9 at offset 10"),
        ("a: é".encode("utf-16"), "1:1 the file is not UTF-8: byte 0xff at offset 0"),
        ("[" * 40_000, "1:65 nested deeper than 64 levels"),
        ("{a: " * 40_000, "nested deeper than 64 levels"),
        ("- " * 200_000, "nested deeper than 64 levels"),
        ("a: [" + "x," * 300_000 + "]", "more than 200000 values"),
        (b"x" * (BYTES_MAX + 1), f"1:1 the file is too large: {BYTES_MAX + 1} bytes"),
    ],
    ids=itertools.count(),
)
def test_what_is_refused(text: str | bytes, expected: str) -> None:
    found = complaints(text)
    assert any(expected in line for line in found), found
    assert len(found) == 1


def test_a_bomb_is_refused_where_it_is_laid() -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]" for n in range(20)]
    found = complaints("\n".join(lines))
    assert found[0].startswith("1:4 anchors (&a) are not allowed")
    assert len(found) == 100


def test_what_was_found_before_a_syntax_error_is_told_too() -> None:
    found = complaints("a: 1\na: &x 2\nb: [")
    assert [line.split()[0] for line in found] == ["2:1", "2:4", "4:1"]


def test_json_is_read_as_json_writes_it() -> None:
    data = b'{"a": "\\ud83d\\ude00\\/\\u00e9", "b": [1, -2.5e3, true, null], "c": {}}'
    assert read(data, strict_numbers=True).value == {
        "a": "\U0001f600/é",
        "b": [1, -2500.0, True, None],
        "c": {},
    }
    for word in ("NaN", "Infinity", "-Infinity"):
        assert complaints(f'{{"a": {word}}}', strict_numbers=True) == [
            f"1:7 {word} is not a number that JSON can hold"
        ]


class Writer(yaml.SafeDumper):
    """Writes no aliases, and quotes every text: PyYAML's own idea of plain text is that of YAML 1.1."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


Writer.add_representer(
    str, lambda writer, text: writer.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


def test_a_byte_order_mark_is_no_character() -> None:
    assert read(b"\xef\xbb\xbfa: 1").places["a",].column == 4


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029\ufffe\uffff"))
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
)


@settings(deadline=None)
@given(st.dictionaries(TEXTS, JSON), st.booleans(), st.integers(2, 6))
def test_what_a_writer_writes_is_read_again(data: Any, flow: bool, indent: int) -> None:
    text = yaml.dump(data, Dumper=Writer, default_flow_style=flow, indent=indent, allow_unicode=True)
    tree = read(text.encode())
    assert not tree.complaints
    assert tree.value == data


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text("ab:{}[],-\"'|>&*!%@#?~ \n\t$0.e<é", max_size=60).map(str.encode))
def test_any_bytes_end_in_a_value_or_in_complaints(data: bytes) -> None:
    tree: Tree = read(data)
    assert tree.whole or tree.complaints
    for line, column, message in tree.complaints:
        assert line >= 1
        assert column >= 1
        assert message
