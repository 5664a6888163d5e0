"""What every part of the benchmark is given."""

from __future__ import annotations

import shutil
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

    def folder(self, name: str) -> Path:
        """A new folder for the logs of a part."""
        folder = self.out / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder
