"""Tables SOURCE_LISTS and DESTINATION_LISTS: address lists as bits of a register, for either end's address.

The longest prefix that holds an address says in which lists it is. Every distinct prefix length is a mask of its own
for the switch to look up under, so there is a budget: lengths are brought to at most `MASKS` a family, shorter prefixes
written as several longer ones, with the lengths chosen that make the fewest entries (exact, by dynamic programming).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache

from policies.acl import AddressList
from policies.entries import TableEntry
from policies.pipeline.judgement import Numbers
from policies.pipeline.tables import DESTINATION_LISTS, ETHERTYPES, SOURCE_LISTS, Table, go, prefix
from runtime.errors import PolicyError

MASKS = {4: 8, 6: 12}
"""Distinct prefix lengths of a family, /0 apart."""
MAX_ENTRIES = 2_000_000
"""Of one table: more is no work for a switch."""
_WIDTH = {4: 32, 6: 128}
_LEVEL = 1000
_Bits = dict[tuple[int, int], int]
"""Bits of the lists that a prefix is in, by (address, length)."""


def list_entries(lists: Iterable[AddressList], numbers: Numbers) -> tuple[TableEntry, ...]:
    """Both tables.

    Raises:
        PolicyError: within the budget of masks the lists need more entries than `MAX_ENTRIES`; names the lists.
    """
    lists = tuple(lists)
    entries: list[TableEntry] = [
        go(Table.SOURCE_LISTS, 0, {}, Table.DESTINATION_LISTS),
        go(Table.DESTINATION_LISTS, 0, {}, Table.SOURCE),
    ]
    for version in (4, 6):
        prefixes = _effective(_bits(lists, version, numbers), _WIDTH[version])
        for (address, length), bits in _expanded(prefixes, version, lists).items():
            level = _LEVEL + length
            for table, side, register, then in (
                (Table.SOURCE_LISTS, "src", SOURCE_LISTS, Table.DESTINATION_LISTS),
                (Table.DESTINATION_LISTS, "dst", DESTINATION_LISTS, Table.SOURCE),
            ):
                where = prefix(f"ipv{version}_{side}", address, length, _WIDTH[version])
                entries.append(go(table, level, {"eth_type": ETHERTYPES[version], **where}, then, {register: bits}))
    return tuple(entries)


def check(lists: Iterable[AddressList]) -> None:
    """See that `list_entries` can be made of these lists, and so of any part of them, without making them.

    Raises:
        PolicyError: as there.
    """
    lists = tuple(lists)
    for version in (4, 6):
        prefixes = {
            (int(net.network_address), net.prefixlen) for one in lists for net in one.nets if net.version == version
        }
        _targets(prefixes, version, lists)


def masks(entries: Iterable[TableEntry]) -> Mapping[int, int]:
    """How many distinct masks each table has: what a switch may have to look a packet up under."""
    shapes = {(entry.table, tuple((field.name, field.mask) for field in entry.match)) for entry in entries}
    return Counter(table for table, _ in shapes)


def choose_lengths(counts: Mapping[int, int], budget: int) -> tuple[int, ...]:
    """The at most `budget` prefix lengths, rising, by which these prefixes become the fewest.

    Args:
        counts: how many prefixes there are of each length. One of length l is 2^(c - l) of the next chosen length c.
    """
    lengths = sorted(counts)

    @cache
    def best(upto: int, budget: int) -> tuple[int, tuple[int, ...]]:
        """Cost and choice for the first `upto` lengths."""
        if upto == 0:
            return 0, ()
        if budget == 0:
            return 1 << 200, ()
        found = []
        longest, cost = lengths[upto - 1], 0
        for first in range(upto - 1, -1, -1):
            cost += counts[lengths[first]] << (longest - lengths[first])
            before, chosen = best(first, budget - 1)
            found.append((before + cost, (*chosen, longest)))
        return min(found)

    return best(len(lengths), budget)[1]


def _bits(lists: Iterable[AddressList], version: int, numbers: Numbers) -> _Bits:
    bits: _Bits = {}
    for listed in lists:
        bit = numbers.list_bit(listed.name)
        for net in listed.nets:
            if net.version == version:
                key = (int(net.network_address), net.prefixlen)
                bits[key] = bits.get(key, 0) | bit
    return bits


def _effective(bits: _Bits, width: int) -> _Bits:
    """Each prefix with the lists of those that hold it."""
    lengths = sorted({length for _, length in bits})
    found: _Bits = {}
    for (address, length), own in sorted(bits.items(), key=lambda item: item[0][1]):
        shorter = reversed([known for known in lengths if known < length])
        holders = (found.get((address >> (width - known) << (width - known), known)) for known in shorter)
        found[address, length] = own | next((holder for holder in holders if holder is not None), 0)
    return found


def _expanded(prefixes: _Bits, version: int, lists: Sequence[AddressList]) -> _Bits:
    """The same addresses by few prefix lengths; where two give the same, the originally longer one decides."""
    width = _WIDTH[version]
    target = _targets(prefixes, version, lists)
    found: _Bits = {}
    for (address, length), own in sorted(prefixes.items(), key=lambda item: item[0][1]):
        step = 1 << (width - target[length])
        for part in range(1 << (target[length] - length)):
            found[address + part * step, target[length]] = own
    return found


def _targets(prefixes: Collection[tuple[int, int]], version: int, lists: Sequence[AddressList]) -> Mapping[int, int]:
    """The length that prefixes (address, length) of each length are brought to."""
    counts = Counter(length for _, length in prefixes if length)
    chosen = choose_lengths(counts, MASKS[version])
    target = {length: min(c for c in chosen if c >= length) for length in counts} | {0: 0}
    total = sum(number << (target[length] - length) for length, number in counts.items())
    if total > MAX_ENTRIES:
        names = ", ".join(listed.name for listed in lists)
        raise PolicyError(
            f"IPv{version} prefixes of {len(counts)} lengths are {total} entries when brought to {MASKS[version]}",
            key=f"lists {names}",
            remedy="leave out the shortest prefixes, or write rules of their own for them",
        )
    return target
