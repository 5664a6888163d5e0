"""A process that searches payload for patterns and answers where they matched: `python -m analyzer.payload.worker`.

Patterns may be slow, and the library holds the interpreter while it searches; so it has a process of its own, which
can be ended. What it is given it forgets with the next message. It writes nothing anywhere.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyzer.payload.key import load_or_create
from runtime import cores, patterns
from runtime.channel import Message, decode, encode
from runtime.errors import PatternError

LARGEST = 1 << 17
"""Bytes of one message."""
SCAN_SECONDS = 1
"""A file's patterns are given up after so long; the library counts whole seconds."""
RETRY_SECONDS = 10.0
"""A file that cannot be used is looked at again after so long."""
_HASH_BYTES = 8
_NICENESS = 10


@dataclass(frozen=True)
class Match:
    """A rule has matched."""

    file: str
    rule: str
    offset: int | None
    """Of the first match of one of its patterns, in bytes from the beginning of the payload; None: it has none."""
    hash: str | None
    """Keyed hash of what matched there, hex."""


class Searcher:
    """Searches with the files of a folder, each compiled once."""

    def __init__(self, folder: Path | None, key: bytes) -> None:
        self._folder = folder
        self._key = key
        self._files: dict[tuple[str, str], Any] = {}
        self._unusable: dict[tuple[str, str], tuple[float, str]] = {}

    def search(
        self, payload: bytes, wanted: Mapping[str, Iterable[str]], digests: Mapping[str, str]
    ) -> tuple[list[Match], dict[str, str]]:
        """Search payload.

        Args:
            wanted: rules by file; none: all rules of the file.
            digests: SHA-256 that each file must have.

        Returns:
            The matches, and what is wrong with files that could not be used, by file.
        """
        import yara_x

        found: list[Match] = []
        wrong: dict[str, str] = {}
        for file, rules in wanted.items():
            allowed = frozenset(rules)
            try:
                results = self._scanner(file, digests[file]).scan(payload)
            except PatternError as error:
                wrong[file] = str(error)
            except yara_x.TimeoutError:
                wrong[file] = f"was given up after {SCAN_SECONDS} s"
            except yara_x.ScanError:
                wrong[file] = "could not be searched with"
            else:
                found += [self._match(file, r, payload) for r in results.matching_rules if _allowed(r, allowed)]
        return found, wrong

    def _scanner(self, file: str, digest: str) -> Any:
        """What searches with a file.

        Raises:
            PatternError: it cannot be used, or is another than was agreed to.
        """
        name = file, digest
        if name not in self._files:
            at, why = self._unusable.get(name, (float("-inf"), ""))
            if time.monotonic() < at + RETRY_SECONDS:
                raise PatternError(why)
            try:
                self._files[name] = self._load(file, digest)
            except PatternError as error:
                self._unusable[name] = time.monotonic(), str(error)
                raise
        return self._files[name]

    def _load(self, file: str, digest: str) -> Any:
        import yara_x

        loaded = patterns.load(self._folder, file)
        if loaded.digest != digest:
            remedy = "put the file back, or agree to the new one"
            raise PatternError(f"{file}{patterns.SUFFIX} is not what was agreed to any more", remedy=remedy)
        scanner = yara_x.Scanner(loaded.compiled)
        scanner.set_timeout(SCAN_SECONDS)
        return scanner

    def _match(self, file: str, rule: Any, payload: bytes) -> Match:
        places = [(match.offset, match.length) for pattern in rule.patterns for match in pattern.matches]
        if not places:
            return Match(file, rule.identifier, None, None)
        offset, length = min(places)
        matched = payload[offset : offset + length]
        keyed = hashlib.blake2b(matched, key=self._key, digest_size=_HASH_BYTES).hexdigest()
        return Match(file, rule.identifier, offset, keyed)


def _allowed(rule: Any, allowed: frozenset[str]) -> bool:
    return not allowed or rule.identifier in allowed


def serve(sock: socket.socket, searcher: Searcher) -> None:
    """Answer messages `search` until the other end is closed."""
    while data := sock.recv(LARGEST):
        message = decode(bytearray(data))
        if message is None:
            return
        asked = message.data
        found, wrong = searcher.search(message.body, asked["wanted"], asked["digests"])
        matches = [[match.file, match.rule, match.offset, match.hash] for match in found]
        sock.send(encode(Message("searched", {"number": asked["number"], "matches": matches, "wrong": wrong})))


def main() -> None:
    """Serve the socket whose descriptor, with the folder of patterns and the file of the key, stands in `sys.argv`."""
    cores.forbid()
    os.nice(_NICENESS)
    descriptor, folder, key = sys.argv[1:]
    with socket.socket(fileno=int(descriptor)) as sock:
        serve(sock, Searcher(Path(folder) if folder else None, load_or_create(Path(key))))


if __name__ == "__main__":
    main()
