"""Entries of rules and defaults as layers, kept up to date one by one.

Two rules may ask for the same match at the same priority, where a switch has room for one entry. It then does what the
first rule by id asks for (they differ in marks at most), names them all, and stands in a layer of its own that comes
with any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace

from policies.desired import Layer
from policies.entries import Field, TableEntry

_Key = tuple[int, int, tuple[Field, ...]]
"""Table, priority, match: what a switch tells entries apart by."""


class Rulebook:
    """The entries of whoever asks for some: a rule, a segment's defaults, either's shadow.

    Args:
        layer: makes a layer of entries.
    """

    def __init__(self, layer: Callable[[Iterable[TableEntry]], Layer]) -> None:
        self._layer = layer
        self._entries: dict[Hashable, dict[_Key, TableEntry]] = {}
        self._first: dict[_Key, Hashable] = {}
        """Who asks for this; of several any one."""
        self._several: dict[_Key, set[Hashable]] = {}
        """Who ask for the same, where there are several."""
        self._shared: dict[_Key, Layer] = {}
        self._layers: dict[Hashable, tuple[Layer, ...]] = {}
        self.state = object()
        """Another object whenever any layers have changed."""

    def __contains__(self, asker: Hashable) -> bool:
        return asker in self._entries

    def put(self, asker: Hashable, entries: Iterable[TableEntry]) -> None:
        """Let somebody ask for these, and no longer for what it asked for."""
        self.remove(asker)
        self._entries[asker] = {_key(entry): entry for entry in entries}
        for key in self._entries[asker]:
            other = self._first.setdefault(key, asker)
            if other is not asker:
                self._several.setdefault(key, {other}).add(asker)
                self._forget(key)
        self.state = object()

    def remove(self, asker: Hashable) -> None:
        """Let somebody ask for nothing."""
        for key in self._entries.pop(asker, ()):
            asking = self._several.get(key)
            if asking is None:
                del self._first[key]
                continue
            self._forget(key)
            asking.remove(asker)
            self._first[key] = next(iter(asking))
            if len(asking) == 1:
                del self._several[key]
        self._layers.pop(asker, None)
        self.state = object()

    def layers(self, asker: Hashable) -> tuple[Layer, ...]:
        """Its own entries, then those that others ask for as well."""
        if asker not in self._layers:
            entries = self._entries[asker]
            own = [entry for key, entry in entries.items() if key not in self._several]
            shared = [self._share(key) for key in entries if key in self._several]
            self._layers[asker] = (*((self._layer(own),) if own else ()), *shared)
        return self._layers[asker]

    def _share(self, key: _Key) -> Layer:
        if key not in self._shared:
            asked = sorted((self._entries[asker][key] for asker in self._several[key]), key=lambda entry: entry.rules)
            names = tuple(sorted({name for entry in asked for name in entry.rules}))
            self._shared[key] = self._layer([replace(asked[0], rules=names)])
        return self._shared[key]

    def _forget(self, key: _Key) -> None:
        """The layers of all who ask for this are to be made anew."""
        self._shared.pop(key, None)
        for asker in self._several[key]:
            self._layers.pop(asker, None)


def _key(entry: TableEntry) -> _Key:
    return entry.table, entry.priority, entry.match
