"""Stands between an attempt that holds secrets and its log files, and replaces every secret by `***`.

Standard library only; started by the keeper, one per attempt, as
`python -I -S masker.py FROM TO [FROM TO …]` (descriptor numbers), with a JSON list of secrets on stdin.
Exits 0, or with the errno of the first write that failed. Described in docs/keeper.md.
"""

import base64
import ctypes
import json
import os
import selectors
import signal
import sys
from urllib.parse import quote, quote_plus

MASK = b"***"
_CHUNK = 1 << 16
_PR_SET_DUMPABLE = 4


def forms(secret: str) -> set[bytes]:
    """The ways in which a secret is likely to be written."""
    raw = secret.encode("utf-8", "surrogateescape")
    found = {raw}
    for ascii_only in (True, False):
        found.add(json.dumps(secret, ensure_ascii=ascii_only)[1:-1].encode("utf-8", "surrogateescape"))
    found |= {form.replace(b"/", b"\\/") for form in found}
    for quoted in (quote(raw, safe=""), quote(raw), quote_plus(raw), quote(raw, safe="!'()*")):
        found |= {quoted.encode(), _lower_hex(quoted).encode()}
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        found |= {encode(raw), encode(raw).rstrip(b"=")}
        for shift in range(3):  # inside something longer: only the characters that the secret alone decides
            whole = encode(b"\0" * shift + raw)
            found.add(whole[(shift * 8 + 5) // 6 : (shift + len(raw)) * 8 // 6])
    return found


def _lower_hex(quoted: str) -> str:
    head, *rest = quoted.split("%")
    return "%".join([head, *(part[:2].lower() + part[2:] for part in rest)])


class Mask:
    """Replaces the given byte strings in a stream; the result does not depend on how the stream is cut.

    Held back is only the longest tail that could still become one of them. `_covered` counts the bytes of
    that tail which belong to an occurrence whose `***` has been given out already.
    """

    def __init__(self, patterns: set[bytes]) -> None:
        self._patterns = sorted(patterns)
        self._tail = b""
        self._covered = 0

    def feed(self, data: bytes, *, last: bool = False) -> bytes:
        """What can be given out after these further bytes."""
        data = self._tail + data
        end = len(data) if last else self._undecided(data)
        given: list[bytes] = []
        position = self._covered
        for start, stop in self._occurrences(data):
            if start >= end:
                break
            if start >= position:
                given += (data[position:start], MASK)
            position = max(position, stop)
        given.append(data[position:end])
        self._tail = data[end:]
        self._covered = max(0, position - end)
        return b"".join(given)

    def _occurrences(self, data: bytes) -> list[tuple[int, int]]:
        found = []
        for pattern in self._patterns:
            at = data.find(pattern)
            while at >= 0:
                found.append((at, at + len(pattern)))
                at = data.find(pattern, at + 1)
        return sorted(found)

    def _undecided(self, data: bytes) -> int:
        """Where the longest tail begins that is the beginning of a pattern, but not all of it."""
        undecided = len(data)
        for pattern in self._patterns:
            at = data.find(pattern[:1], max(0, len(data) - len(pattern) + 1), undecided)
            while at >= 0 and not pattern.startswith(data[at:]):
                at = data.find(pattern[:1], at + 1, undecided)
            if at >= 0:
                undecided = at
        return undecided


def _write(fd: int, data: bytes) -> int:
    """Writes all of it; 0 or the errno."""
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError as error:
        return error.errno or 255
    return 0


def _read_secrets() -> list[str]:
    parts = []
    while part := os.read(0, _CHUNK):
        parts.append(part)
    os.close(0)
    secrets: list[str] = json.loads(b"".join(parts))
    return secrets


def main(arguments: list[str]) -> int:
    """Copies until every source has ended. A failed write does not end it: the attempt is not to blame."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # its memory is nobody else's business
    patterns = {form for secret in _read_secrets() for form in forms(secret)}
    failure = 0
    numbers = [int(argument) for argument in arguments]
    with selectors.DefaultSelector() as selector:
        for source, target in zip(numbers[::2], numbers[1::2], strict=True):
            selector.register(source, selectors.EVENT_READ, (target, Mask(patterns)))
        while selector.get_map():
            for key, _ in selector.select():
                target, mask = key.data
                data = os.read(key.fd, _CHUNK)
                failure = failure or _write(target, mask.feed(data, last=not data))
                if not data:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return failure


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
