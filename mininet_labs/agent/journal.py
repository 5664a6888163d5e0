"""What an agent did: counts of exchanges that worked, and every one that did not."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from runtime.files import replacing


@dataclass(frozen=True)
class Failure:
    """An exchange that did not work."""

    errand: str
    source: str
    target: str
    start: float
    """Epoch seconds."""
    end: float
    error: str


class Journal:
    """Written by many threads, saved once at the end."""

    def __init__(self, endpoint: str, path: Path) -> None:
        self.endpoint = endpoint
        self._path = path
        self._lock = threading.Lock()
        self._done: Counter[str] = Counter()
        self._failures: list[Failure] = []

    def done(self, errand: str) -> None:
        """Count an exchange that worked."""
        with self._lock:
            self._done[errand] += 1

    def failed(self, failure: Failure) -> None:
        """Note an exchange that did not."""
        with self._lock:
            self._failures.append(failure)

    def save(self, state: str) -> None:
        """Replace the journal's file; `state` is `listening` at the start and `finished` at the end."""
        with self._lock:
            failures = [asdict(failure) for failure in self._failures]
            content = {"endpoint": self.endpoint, "state": state, "done": dict(self._done), "failures": failures}
        with replacing(self._path) as fresh:
            fresh.write_text(json.dumps(content))
