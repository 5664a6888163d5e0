"""What every part of the benchmark is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Bench:
    """A run of the benchmark."""

    say: Callable[[str], None]
    """Prints a line of progress."""
    out: Path
    """Folder of results and logs; it is there."""
