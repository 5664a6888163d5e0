"""Multipart messages as they come and go."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import TransientError
from ryu_apps.wire.flowmod import HEADER, message
from ryu_apps.wire.multipart import Part, relabel, split
from ryu_apps.wire.stats import request

xids = st.integers(0, 0xFFFFFFFF)


@given(xids, st.integers(0, 0xFFFF), st.booleans(), st.binary(max_size=50))
def test_a_reply_is_split(xid: int, kind: int, more: bool, body: bytes) -> None:
    """Kind, whether more follows, and the body as it came."""
    assert split(message(19, xid, struct.pack("!HH4x", kind, more) + body)) == Part(xid, kind, more, body)


def test_a_reply_without_its_head_is_refused() -> None:
    """Fifteen bytes cannot be one."""
    with pytest.raises(TransientError, match="15 bytes"):
        split(message(19, 1, bytes(7)))


@given(xids, st.lists(st.integers(0, 254), max_size=5))
def test_requests_get_one_transaction_id(xid: int, tables: list[int]) -> None:
    """Only the four bytes of each transaction id change."""
    requests = b"".join(request(number, table) for number, table in enumerate(tables))
    expected = b"".join(request(xid, table) for table in tables)
    assert relabel(requests, xid) == (expected, len(tables))


@pytest.mark.parametrize("rubbish", [b"\4", HEADER.pack(4, 18, 7, 1), HEADER.pack(4, 18, 9, 1), bytes(8)])
def test_what_is_no_message_is_refused(rubbish: bytes) -> None:
    """Cut short, or of a length that no message has."""
    with pytest.raises(TransientError, match="byte 56"):
        relabel(request(1) + rubbish, 2)
