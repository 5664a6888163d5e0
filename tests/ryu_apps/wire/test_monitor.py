"""Requests and reports of flow monitors and table statistics, as far as no switch is needed."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.entries import entries
from support.reports import HEAD, OWN, report
from support.ryu import DATAPATH, PARSER, wire

from policies.codec import Change, Happened
from policies.entries import TableEntry
from runtime.errors import TransientError
from ryu_apps.wire import monitor, tablestats
from ryu_apps.wire.content import installed


@given(st.lists(st.tuples(st.sampled_from(Happened), entries()) | st.none(), max_size=4))
def test_reports_are_decoded_in_order(content: list[tuple[Happened, TableEntry] | None]) -> None:
    """What others did comes with the whole entry, what the session itself did (here None) not at all."""
    raw = HEAD + b"".join(OWN if one is None else report(*one) for one in content)
    assert monitor.decode_changes(raw) == [
        Change(happened, installed(entry)) for happened, entry in filter(None, content)
    ]


def test_reports_of_several_messages_are_decoded_as_one() -> None:
    """Each message has a head."""
    entry = TableEntry(0, 7, (), (), 8)
    bodies = [HEAD + OWN, HEAD + report(Happened.DELETED, entry) + OWN, HEAD, HEAD + report(Happened.ADDED, entry)]
    happened = [change.happened for change in monitor.decode_changes(monitor.together(bodies))]
    assert happened == [Happened.DELETED, Happened.ADDED]
    assert monitor.together([b"other"]) == b"other"


@given(st.binary(max_size=64))
def test_rubbish_is_a_transient_error(raw: bytes) -> None:
    """Any bytes are either reports or a TransientError."""
    try:
        assert len(monitor.decode_changes(HEAD + raw)) <= len(raw) // 24
    except TransientError as error:
        assert "byte" in str(error)


def test_another_experimenter_is_a_transient_error() -> None:
    """Only flow monitors are understood."""
    with pytest.raises(TransientError, match="flow monitor"):
        monitor.decode_changes(bytes(8))


@given(st.integers(0, 0xFFFFFFFF))
def test_table_request_equals_ryu(xid: int) -> None:
    """Statistics of all tables."""
    assert tablestats.request(xid) == wire(PARSER.OFPTableStatsRequest(DATAPATH, 0), xid)


def test_broken_table_statistics_are_a_transient_error() -> None:
    """A part of a row is no row."""
    assert tablestats.decode_counts(struct.pack("!B3xIQQ", 4, 7, 0, 0) * 1 + bytes(24)) == {4: 7}
    with pytest.raises(TransientError, match="23 bytes"):
        tablestats.decode_counts(bytes(23))
