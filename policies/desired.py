"""What a VFN must hold, as a mapping made of layers that VFNs share.

Most entries of a VFN stand at many others too: those of a segment's VMs, those of a rule. Each such set is one `Layer`
object in the memory, whichever VFNs hold it, and two states of a VFN are compared layer by layer: what they share is
skipped by identity, so that a difference costs what differs.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from functools import cached_property, lru_cache
from itertools import compress, repeat, zip_longest

from policies.entries import TableEntry


class Layer:
    """Entries by cookie that come and go together. Equal only to itself."""

    __slots__ = ("entries",)

    def __init__(self, entries: Mapping[int, TableEntry]) -> None:
        self.entries = entries
        """Never changed."""

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"Layer({len(self.entries)} entries)"


Group = tuple[Layer, ...]
"""Layers of one kind. Built anew only when one of them changes, so that it, too, is compared by identity first."""
Difference = tuple[Mapping[int, TableEntry], Mapping[int, TableEntry]]
"""Entries by cookie that only the one state has, and those that only the other has."""


class Desired(Mapping[int, TableEntry]):
    """Table entries by cookie; immutable.

    Args:
        groups: no cookie may stand in two of their layers.
    """

    def __init__(self, groups: Iterable[Group] = ()) -> None:
        self.groups = tuple(groups)

    @cached_property
    def _plain(self) -> dict[int, TableEntry]:
        """All entries in one dictionary, from the first look-up on."""
        plain: dict[int, TableEntry] = {}
        for layer in self.layers():
            plain.update(layer.entries)
        return plain

    def layers(self) -> Iterator[Layer]:
        """All layers, group by group."""
        for group in self.groups:
            yield from group

    def __getitem__(self, cookie: int) -> TableEntry:
        return self._plain[cookie]

    def __contains__(self, cookie: object) -> bool:
        return cookie in self._plain

    def __iter__(self) -> Iterator[int]:
        return iter(self._plain)

    def __len__(self) -> int:
        return sum(map(len, self.layers()))

    def keys(self) -> KeysView[int]:
        """The cookies."""
        return self._plain.keys()

    def values(self) -> ValuesView[TableEntry]:
        """The entries."""
        return self._plain.values()

    def items(self) -> ItemsView[int, TableEntry]:
        """The entries with their cookies."""
        return self._plain.items()

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if isinstance(other, Desired):
            return len(self) == len(other) and self.difference(other) == ({}, {})
        return isinstance(other, Mapping) and self._plain == other

    __hash__ = None  # type: ignore[assignment]  # compared by content

    def __repr__(self) -> str:
        return f"Desired({len(self)} entries in {sum(map(len, self.groups))} layers)"

    def holding(self, cookies: Collection[int]) -> set[int]:
        """Those of a few cookies that are there; cheaper than making one dictionary of all layers."""
        asked = frozenset(cookies)
        layers = (layer.entries.keys() for layer in self.layers()) if asked else ()
        return {cookie for keys in layers if not keys.isdisjoint(asked) for cookie in asked & keys}

    def without(self, cookies: Collection[int]) -> Desired:
        """The same but for a few entries. Layers that hold none of them stay shared."""
        return Desired(tuple(_less(layer, cookies) for layer in group) for group in self.groups)

    def difference(self, before: Mapping[int, TableEntry]) -> Difference:
        """(entries that are new since `before`, entries that are gone), both by cookie.

        Costs what the layers that differ hold, if `before` shares layers with this. Not to be changed: the next one
        who asks may be given the same.
        """
        if before is self:
            return {}, {}
        if not isinstance(before, Desired):
            return _only(self._plain, before), _only(before, self._plain)
        new: list[Layer] = []
        old: list[Layer] = []
        for one, other in zip_longest(self.groups, before.groups, fillvalue=()):
            if one is other:
                continue
            # Mostly one layer has taken the place of another.
            aligned = len(one) == len(other)
            differing = tuple(map(operator.is_not, one, other)) if aligned else repeat(True)
            new += compress(one, differing)
            old += compress(other, differing)
        return _difference(frozenset(new).difference(old), frozenset(old).difference(new))


def _less(layer: Layer, cookies: Collection[int]) -> Layer:
    if not any(cookie in layer.entries for cookie in cookies):
        return layer
    return Layer({cookie: entry for cookie, entry in layer.entries.items() if cookie not in cookies})


@lru_cache(4)  # many VFNs, one after the other, have the same difference
def _difference(new: frozenset[Layer], old: frozenset[Layer]) -> Difference:
    """What stands in the one or the other, when no cookie stands in a layer outside of them."""
    after: dict[int, TableEntry] = {}
    before: dict[int, TableEntry] = {}
    for layer in new:
        after.update(layer.entries)
    for layer in old:
        before.update(layer.entries)
    return _only(after, before), _only(before, after)


def _only(one: Mapping[int, TableEntry], other: Mapping[int, TableEntry]) -> dict[int, TableEntry]:
    return {cookie: entry for cookie, entry in one.items() if cookie not in other}
