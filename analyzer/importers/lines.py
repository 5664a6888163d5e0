"""Lines of text files, gzipped or not, as far as they can be read."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analyzer.csvflows import GZIP
from analyzer.importers.columns import Faults
from analyzer.site import FlowFileError

Unpacked = gzip.GzipFile | io.BufferedReader
LONGEST = 1 << 20
"""Bytes of a line; what is longer is no line of a log."""


@contextmanager
def opened(path: Path) -> Iterator[Unpacked]:
    """A file's content, unpacked.

    Raises:
        FlowFileError: it cannot be opened.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == GZIP
            raw.seek(0)
            if packed:
                with gzip.open(raw) as unpacked:
                    yield unpacked
            else:
                yield raw
    except OSError as error:
        raise FlowFileError(f"cannot be read: {error.strerror or error}", file=path) from error


def beginning(path: Path, count: int = 4096) -> bytes:
    """The first bytes; fewer when there are fewer, or the file is damaged there.

    Raises:
        FlowFileError: it cannot be opened.
    """
    with opened(path) as file:
        try:
            return file.read(count)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return b""


def lines(path: Path, faults: Faults) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, from 1. Where the file breaks off that is noted, and the lines end.

    Raises:
        FlowFileError: it cannot be opened.
    """
    number = 0
    with opened(path) as file:
        while True:
            try:
                line = file.readline(LONGEST)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                faults.note(f"breaks off, the rest is lost: {error}", number + 1)
                return
            if not line:
                return
            number += 1
            if len(line) == LONGEST and not line.endswith(b"\n"):
                faults.note("breaks off: what follows is no line of a log", number)
                return
            yield number, line.decode("utf-8", "replace").rstrip("\r\n")
