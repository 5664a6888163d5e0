"""Entries of rules and defaults as layers, kept up to date one by one.

Two rules may ask for the same match at the same priority, where a switch has room for one entry. It then does what the
first rule by id asks for (they differ in marks at most), names them all, and stands in a layer of its own that comes
with any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import NamedTuple

from policies.desired import Group, Layer
from policies.entries import Field, TableEntry
from policies.pipeline.memory import Made

Place = tuple[int, int, tuple[Field, ...]]
"""Table, priority, match: what a switch tells entries apart by."""


class Asked(NamedTuple):
    """What somebody asks for."""

    own: Group
    """The layer of what nobody else asks for, if there is anything."""
    shared: tuple[Place, ...]
    """Where others ask for the same."""


class Rulebook:
    """The entries of whoever asks for some: a rule, a segment's defaults, either's shadow.

    Args:
        layer: makes a layer of entries.
    """

    def __init__(self, layer: Callable[[Iterable[TableEntry]], Layer]) -> None:
        self._layer = layer
        self._entries: dict[Hashable, dict[Place, TableEntry]] = {}
        self._first: dict[Place, Hashable] = {}
        """Who asks for this; of several any one."""
        self._several: dict[Place, set[Hashable]] = {}
        """Who ask for the same, where there are several."""
        self.asked = Made(self._ask)
        """What everybody asks for. To be read only, and only of who asks for something."""
        self._shared: dict[Place, Layer] = {}
        self.shared_state = object()
        """Another object whenever any shared layer has changed."""

    def put(self, asker: Hashable, entries: Iterable[TableEntry]) -> set[Hashable]:
        """Let somebody ask for these, and no longer for what it asked for; tells whose own layers are others now."""
        touched = self.remove(asker)
        asked = {(entry.table, entry.priority, entry.match): entry for entry in entries}
        self._entries[asker] = asked
        for place, entry in asked.items():
            first = self._first.setdefault(place, asker)
            if first is asker:
                continue
            if place not in self._several:
                self._several[place] = {first}
                touched |= self._forget(first)
            self._several[place].add(asker)
            self._change(place, entry)
        return touched

    def remove(self, asker: Hashable) -> set[Hashable]:
        """Let somebody ask for nothing; tells whose own layers are others now, its own included."""
        touched = self._forget(asker)
        for place, entry in self._entries.pop(asker, {}).items():
            asking = self._several.get(place)
            if asking is None:
                del self._first[place]
                continue
            asking.remove(asker)
            rest = self._first[place] = next(iter(asking))
            if len(asking) == 1:
                del self._several[place]
                touched |= self._forget(rest)
            self._change(place, entry)
        return touched

    def layer(self, place: Place) -> Layer:
        """The layer of a shared entry."""
        if place not in self._shared:
            asked = [self._entries[asker][place] for asker in self._several[place]]
            names = tuple(sorted({name for entry in asked for name in entry.rules}))
            if not names and len({(entry.steps, entry.goto) for entry in asked}) > 1:
                raise ValueError(f"entries for one place contradict each other: {asked}")
            self._shared[place] = self._layer([replace(min(asked, key=lambda entry: entry.rules), rules=names)])
        return self._shared[place]

    def _ask(self, asker: Hashable) -> Asked:
        entries = self._entries[asker]
        own = [entry for place, entry in entries.items() if place not in self._several]
        return Asked((self._layer(own),) if own else (), tuple(place for place in entries if place in self._several))

    def _forget(self, asker: Hashable) -> set[Hashable]:
        self.asked.pop(asker, None)
        return {asker}

    def _change(self, place: Place, entry: TableEntry) -> None:
        """Somebody has come to ask for an entry as well, or asks for it no more. If it names nobody, it stays."""
        if entry.rules or place not in self._several:
            self._shared.pop(place, None)
            self.shared_state = object()
