"""Bytes of which all but some values are known beforehand, written by one `struct.pack`."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from runtime.errors import PolicyError


class Column(NamedTuple):
    """A place for a value."""

    name: str
    position: int
    """Of the value among all values."""
    format: str
    """As `struct` writes it."""
    encode: Callable[[int], bytes] | None = None
    """Makes bytes of what `struct` can write only as such; raises PolicyError."""

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return struct.calcsize(f"!{self.format}")


Part = bytes | Column
Packer = Callable[[Sequence[int]], bytes]
"""From values to bytes.

Raises:
    PolicyError: a value does not fit its place.
"""


def size(parts: Sequence[Part]) -> int:
    """Bytes of parts."""
    return sum(len(part) if isinstance(part, bytes) else part.size for part in parts)


def packer(parts: Sequence[Part]) -> Packer:
    """A function that fills in the values."""
    columns = [part for part in parts if isinstance(part, Column)]
    template: list[Any] = [b""]
    for part in parts:
        if isinstance(part, bytes):
            template[-1] += part
        else:
            template += [None, b""]
    if not columns:
        return lambda _: bytes(template[0])
    formats = [f"{len(constant)}s{one.format}" for constant, one in zip(template[::2], columns, strict=False)]
    pack = struct.Struct(f"!{''.join(formats)}{len(template[-1])}s").pack
    first = columns[0].position
    pick = itemgetter(*(one.position for one in columns)) if columns[1:] else itemgetter(slice(first, first + 1))
    special = [(one.position, one.encode) for one in columns if one.encode]

    def packed(values: Sequence[int]) -> bytes:
        arguments = template.copy()
        try:
            arguments[1::2] = pick(_prepared(values, special) if special else values)
            return pack(*arguments)
        except struct.error:
            raise _misfit(columns, values) from None

    return packed


def _prepared(values: Sequence[int], special: Sequence[tuple[int, Callable[[int], bytes]]]) -> list[int | bytes]:
    """The values, some as bytes."""
    prepared: list[int | bytes] = list(values)
    for position, encode in special:
        prepared[position] = encode(values[position])
    return prepared


def _misfit(columns: Sequence[Column], values: Sequence[int]) -> PolicyError:
    """What is wrong with values that `struct` has refused."""
    plain = [(one, values[one.position]) for one in columns if one.encode is None]
    one, value = next((one, value) for one, value in plain if not 0 <= value < 1 << 8 * one.size)
    return PolicyError(f"{value:#x} does not fit in {8 * one.size} bits", key=one.name)
