"""Keeping Python's cyclic garbage collector from searching entries.

Entries are trees of values: reference counts free them. But there are millions of objects, and the collector would walk
through all of them again and again, for seconds each time, with everything else waiting.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

MANY = 10_000
"""So many new entries are worth being taken out of the collector's sight."""


class Heap:
    """Counts the entries made since the last time that the collector was told to leave everything alone."""

    def __init__(self) -> None:
        self.made = 0
        """To be counted up by who makes them."""

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """No collection in here; and many entries that were made in here are not looked at in any later one."""
        enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if enabled:
                gc.enable()
            if self.made >= MANY:
                # Frozen with them is whatever garbage is there now, forever; so this is not done for a few.
                gc.freeze()
                self.made = 0
