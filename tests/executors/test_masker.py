"""The masker: secrets never reach a log file, however the output is cut."""

import base64
import errno
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runnotary.executors import masker

secrets = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=6, max_size=24)
alike = st.text("ab", min_size=6, max_size=12)  # overlapping, prefixes of one another, overlapping themselves


def expected(patterns: set[bytes], data: bytes) -> bytes:
    """The definition, by brute force: every byte of every occurrence is hidden, overlapping ones as one."""
    result, position, end = [], 0, 0
    for start in range(len(data)):
        stop = max((start + len(p) for p in patterns if data.startswith(p, start)), default=0)
        if stop and start >= end:
            result += [data[position:start], b"***"]
        if stop:
            position = end = max(end, stop)
    return b"".join([*result, data[position:]])


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def masked(patterns: set[bytes], chunks: list[bytes]) -> bytes:
    mask = masker.Mask(patterns)
    return b"".join([*(mask.feed(chunk) for chunk in chunks), mask.feed(b"", last=True)])


@given(st.data())
def test_every_form_is_hidden_in_every_cutting(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.one_of(secrets, alike), min_size=1, max_size=3))
    patterns = {form for secret in chosen for form in masker.forms(secret)}
    piece = st.one_of(
        st.sampled_from(sorted(patterns)), st.binary(max_size=6), st.text("ab", max_size=9).map(str.encode)
    )
    text = b"".join(data.draw(st.lists(piece, max_size=8)))
    cuts = data.draw(st.lists(st.integers(0, 10_000), max_size=12))
    result = masked(patterns, cut(text, cuts))
    assert result == expected(patterns, text)
    assert masked(patterns, [bytes([byte]) for byte in text]) == result


@given(secrets)
@example('påss/wörd+"quoted"\n~')
def test_the_forms_are_those_that_programs_write(secret: str) -> None:
    raw = secret.encode()
    patterns = masker.forms(secret)
    for written in (
        raw,
        base64.b64encode(raw),
        base64.urlsafe_b64encode(raw).rstrip(b"="),
        quote(secret).encode(),
        quote(secret, safe="").encode(),
        json.dumps(secret)[1:-1].encode(),
        json.dumps(secret, ensure_ascii=False)[1:-1].replace("/", "\\/").encode(),
    ):
        assert masked(patterns, [b"<", written, b">"]) == b"<***>"


@given(secrets, st.binary(max_size=7), st.binary(max_size=7))
def test_base64_of_something_longer_hides_all_but_the_shared_edges(
    secret: str, before: bytes, after: bytes
) -> None:
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        whole = encode(before + secret.encode() + after)
        result = masked(masker.forms(secret), [whole])
        head, found, tail = result.partition(b"***")
        assert found and len(whole) - len(head) - len(tail) >= len(secret.encode()) * 8 // 6 - 2


@given(st.binary(max_size=200))
def test_nothing_else_is_changed(text: bytes) -> None:
    assert masked({b"\xff\xfe secret \xfd"}, [text]) == text


def test_only_a_possible_beginning_is_held_back() -> None:
    mask = masker.Mask({b"secret"})
    assert mask.feed(b"password? ") == b"password? "
    assert mask.feed(b"s") == b""
    assert mask.feed(b"top se") == b"stop "
    assert mask.feed(b"crets") == b"***"
    assert mask.feed(b"", last=True) == b"s"


def test_an_endless_overlap_is_given_out_at_once_and_not_kept() -> None:
    mask = masker.Mask({b"000000"})
    given_out = b"".join(mask.feed(b"0" * 1000) for _ in range(50)) + mask.feed(b"", last=True)
    assert given_out == b"***"


def run_masker(targets: list[Path | str], chunks: list[bytes]) -> int:
    read, write = os.pipe()
    outputs = [os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for target in targets]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", masker.__file__, str(read), *map(str, outputs)],
        stdin=subprocess.PIPE,
        pass_fds=(read, *outputs),
        env={},
    )
    for fd in (read, *outputs):
        os.close(fd)
    assert process.stdin
    process.stdin.write(json.dumps(["sécret-one"]).encode())
    process.stdin.close()
    for chunk in chunks:
        os.write(write, chunk)
    os.close(write)
    return process.wait(30)


def test_the_process_masks_a_stream(tmp_path: Path) -> None:
    assert run_masker([tmp_path / "log"], [b"a s\xc3", b"\xa9cret-", b"one b\n", b"s\xc3\xa9cret"]) == 0
    assert (tmp_path / "log").read_bytes() == b"a *** b\ns\xc3\xa9cret"


def test_a_full_disk_does_not_break_the_pipe() -> None:
    lines = [b"x" * 60_000] * 20  # more than a pipe holds
    assert run_masker(["/dev/full"], lines) == errno.ENOSPC


@pytest.mark.parametrize("secret", ["", "short"])
def test_forms_of_anything_are_not_empty(secret: str) -> None:
    assert all(len(form) >= 6 for form in masker.forms(secret + "-enough"))
