"""Matches as bytes, fast: entries differ much in the values they match, and little in the fields and masks.

For each combination of fields and masks a `Layout` knows all bytes but those of the values, so that a match is one
`struct.pack`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from policies.entries import Field
from runtime.errors import PolicyError
from ryu_apps.wire.oxm import FIELDS, OxmField, encode_value, frame, lookup

_FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}
_RANKS = {name: rank for rank, name in enumerate(FIELDS)}
_LAYOUTS = 1 << 14
"""So many are remembered: more than a network has, but not without end."""


class _Column(NamedTuple):
    """A field of a layout."""

    position: int
    """Of its value among the match's."""
    oxm: OxmField
    mask: int | None
    """None: it is written without one."""

    @property
    def plain(self) -> bool:
        """Does `struct` write every value of the field, and refuse every other?"""
        return self.mask is None and self.oxm.size in _FORMATS and self.oxm.bits == 8 * self.oxm.size

    @property
    def format(self) -> str:
        """How `struct` writes the value."""
        return _FORMATS[self.oxm.size] if self.plain else f"{self.oxm.size}s"

    @property
    def header(self) -> bytes:
        """What stands before the value."""
        return self.oxm.exact_header if self.mask is None else self.oxm.masked_header

    @property
    def trailer(self) -> bytes:
        """What stands behind it."""
        return b"" if self.mask is None else encode_value(self.oxm, self.mask)


class Layout:
    """Matches on certain fields under certain masks.

    A full mask is written as exact and an empty one not at all, bits outside a mask as 0: so does the switch when it
    gives a match back.

    Raises:
        PolicyError: an unknown field, a field twice, a mask that does not fit, or where there can be none.
    """

    def __init__(self, names: tuple[str, ...], masks: tuple[int | None, ...]) -> None:
        self._columns = [_column(position, name, masks[position]) for position, name in enumerate(names)]
        for name in names:
            if names.count(name) > 1:
                raise PolicyError("matched twice", key=name)
        written = [column for column in self._columns if column.mask != 0]
        self._special = [column for column in written if not column.plain]
        size = sum(len(column.header) + column.oxm.size + len(column.trailer) for column in written)
        ryus = sorted(written, key=lambda column: column.oxm.order)
        self._message = _packer(ryus, *frame(size))
        self._canonical = _packer(sorted(written, key=lambda column: _RANKS[column.oxm.name]))

    def message(self, values: tuple[int, ...]) -> bytes:
        """An `ofp_match` for a message, its fields in Ryu's order, padded.

        Raises:
            PolicyError: a value does not fit its field.
        """
        return self._pack(self._message, values)

    def canonical(self, values: tuple[int, ...]) -> bytes:
        """The fields alone, in the order of `oxm.canonical`.

        Raises:
            PolicyError: a value does not fit its field.
        """
        return self._pack(self._canonical, values)

    def _pack(self, packer: Callable[[Sequence[Any]], bytes], values: tuple[int, ...]) -> bytes:
        try:
            return packer(self._readied(values) if self._special else values)
        except struct.error:
            for position, oxm, mask in self._columns:
                encode_value(oxm, values[position] if mask is None else values[position] & mask)
            raise

    def _readied(self, values: tuple[int, ...]) -> list[int | bytes]:
        """The values, those that are not plain as bytes."""
        readied: list[int | bytes] = list(values)
        for position, oxm, mask in self._special:
            readied[position] = encode_value(oxm, values[position] if mask is None else values[position] & mask)
        return readied


def _column(position: int, name: str, mask: int | None) -> _Column:
    oxm = lookup(name)
    if not oxm.always_masked and mask in (None, oxm.full):
        return _Column(position, oxm, None)
    if mask != 0 and not oxm.maskable:
        raise PolicyError("cannot be masked", key=name)
    mask = oxm.full if mask is None else mask
    encode_value(oxm, mask)
    return _Column(position, oxm, mask)


def _packer(columns: Sequence[_Column], head: bytes = b"", tail: bytes = b"") -> Callable[[Sequence[Any]], bytes]:
    """A function from the values of a match to its bytes, fields in the order of the columns."""
    if not columns:
        return lambda _: head + tail
    behind = [head, *(column.trailer for column in columns)]
    constants = [before + column.header for before, column in zip(behind[:-1], columns, strict=True)]
    formats = [f"{len(constant)}s{column.format}" for constant, column in zip(constants, columns, strict=True)]
    last = behind[-1] + tail
    pack = struct.Struct(f"!{''.join(formats)}{len(last)}s").pack
    template: list[Any] = [part for constant in constants for part in (constant, None)] + [last]
    pick = itemgetter(*(column.position for column in columns))
    single = len(columns) == 1

    def packed(values: Sequence[Any]) -> bytes:
        arguments = template.copy()
        arguments[1::2] = (pick(values),) if single else pick(values)
        return pack(*arguments)

    return packed


@lru_cache(_LAYOUTS)
def _layout(names: tuple[str, ...], masks: tuple[int | None, ...]) -> Layout:
    return Layout(names, masks)


_EMPTY = Layout((), ())


def encode_match(match: Sequence[Field]) -> bytes:
    """A match as an `ofp_match` for a message.

    Raises:
        PolicyError: it has no OpenFlow form.
    """
    if not match:
        return _EMPTY.message(())
    names, values, masks = zip(*match, strict=True)
    return _layout(names, masks).message(values)


def canonical_match(match: Sequence[Field]) -> bytes:
    """A match as the switch gives it back, without header and padding.

    Raises:
        PolicyError: it has no OpenFlow form.
    """
    if not match:
        return b""
    names, values, masks = zip(*match, strict=True)
    return _layout(names, masks).canonical(values)
