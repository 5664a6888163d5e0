"""Port ranges as matches: OpenFlow knows values under masks only."""

from __future__ import annotations

from collections.abc import Iterator

PORT_BITS = 16
FULL = (1 << PORT_BITS) - 1

MaskedPort = tuple[int, int]
"""Value and mask."""


def cover(first: int, last: int) -> Iterator[MaskedPort]:
    """The fewest (value, mask) that hold exactly the ports `first` .. `last`: at most 30.

    Each step takes the largest aligned block that begins at the next port and ends within the range.

    Raises:
        ValueError: the range is upside down or holds what is no port.
    """
    if not 0 <= first <= last <= FULL:
        raise ValueError(f"{first}-{last} is no range of ports")
    while first <= last:
        aligned = (first & -first).bit_length() - 1 if first else PORT_BITS
        size = min(aligned, (last - first + 1).bit_length() - 1)
        yield first, FULL & ~((1 << size) - 1)
        first += 1 << size
