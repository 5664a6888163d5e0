"""Copies as control sends them to the analyzer."""

from __future__ import annotations

import struct
from typing import NamedTuple

from support.telemetry import START

OPENINGS, NAMES, HELLOS = 24, 25, 26


class Copy(NamedTuple):
    """A copy: a row of `COPY` and the packet's bytes."""

    row: bytes
    data: bytes


def copy_of(data: bytes, port: int = 2, time: float = START, length: int | None = None, table: int = OPENINGS) -> Copy:
    """A copy of a packet; `length`: of the packet, if more or less of it was copied."""
    size = len(data) if length is None else length
    return Copy(struct.pack("<dQIHHB", time, 7, port, size, len(data), table), data)


def body_of(*copies: Copy) -> bytes:
    """The body of a message `copies`."""
    return b"".join([copy.row for copy in copies] + [copy.data for copy in copies])
