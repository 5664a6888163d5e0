"""Files that others read while they are written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a place beside a file to write; in the end that comes in the file's place. After an error nothing does.

    Whoever reads the file sees the old one or the new one. Whether the new one outlives a loss of power is the disk's
    affair.

    Raises:
        OSError: it cannot be put in its place.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield fresh
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
