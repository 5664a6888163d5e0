"""Keeping Python's cyclic garbage collector from searching entries, rules and prefixes.

They are trees of values: reference counts free them. But there are millions of objects, and the collector would walk
through all of them again and again, for seconds each time, with everything else waiting.
"""

from __future__ import annotations

import gc

MANY = 10_000
"""So many new values are worth being taken out of the collector's sight."""


class Heap:
    """A context without collections. Many values that were made in it are not looked at in any later one either."""

    def __init__(self) -> None:
        self.made = 0
        """Values made since any were last taken out of sight; to be counted up by who makes them."""
        self._enabled = False

    def __enter__(self) -> None:
        self._enabled = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._enabled:
            gc.enable()
        if self.made >= MANY:
            # Frozen with them is whatever garbage is there now, forever; so this is not done for a few.
            gc.freeze()
            self.made = 0
