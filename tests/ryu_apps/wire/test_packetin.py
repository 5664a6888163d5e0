"""Copies out of PACKET_IN messages."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.entries import Field, TableEntry
from runtime.arrays import COPY
from runtime.errors import TransientError
from ryu_apps.wire.content import installed
from ryu_apps.wire.flowmod import message
from ryu_apps.wire.oxm import pack_match
from ryu_apps.wire.packetin import encode_copy

PACKET_IN = 10


def packet_in(data: bytes, length: int, *fields: Field) -> bytes:
    """A message as a switch sends it."""
    fixed = struct.pack("!IHBBQ", 0xFFFFFFFF, length, 1, 1, 7)
    return message(PACKET_IN, 0, fixed + pack_match(installed(TableEntry(0, 0, fields)).match) + bytes(2) + data)


@given(st.binary(max_size=200), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF))
def test_port_length_table_and_bytes_are_kept(data: bytes, length: int, port: int, register: int) -> None:
    """Whatever else the match says."""
    copied = encode_copy(packet_in(data, length, Field("in_port", port), Field("reg0", register)), 12.5)
    (row,) = np.frombuffer(copied.row, COPY)
    assert row.tolist() == (12.5, 7, port, length, len(data), 1)
    assert copied.data == data


def test_a_copy_without_a_port_is_refused() -> None:
    """Nobody could be held to it."""
    with pytest.raises(TransientError, match="without the port"):
        encode_copy(packet_in(b"", 0, Field("reg0", 1)), 0.0)


@given(st.binary(max_size=120), st.integers(0, 60))
def test_rubbish_is_refused(body: bytes, cut: int) -> None:
    """A whole copy or `TransientError`, whatever comes."""
    whole = packet_in(body, len(body), Field("in_port", 1))
    for raw in (message(PACKET_IN, 0, body), whole[:cut], whole[:24] + body):
        try:
            assert len(encode_copy(raw, 0.0).row) == COPY.itemsize
        except TransientError as error:
            assert str(error)
