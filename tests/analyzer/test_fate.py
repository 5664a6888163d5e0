"""What VFNs did with the packets of a flow: from their reports into the flow, in time and per direction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.attribute import SIDE
from analyzer.flows import ACK, ANSWERS_SHIFT, SYN, Array, Fate
from analyzer.ledger import Parts
from analyzer.pair import FlowTable
from analyzer.pairing import fate_after, turns

FORWARDED, DROPPED, DELIVERED, STOPPED = Fate.FORWARDED, Fate.DROPPED, Fate.DELIVERED, Fate.STOPPED
HERE = FORWARDED | DELIVERED
CLIENT, SERVER = (1, 40000), (2, 443)


def side(source: tuple[int, int], target: tuple[int, int], fate: int, at: float = 100.0, **more: int) -> Array:
    row = np.zeros(1, SIDE)
    row["src_lo"], row["src_port"], row["dst_lo"], row["dst_port"] = *source, *target
    row["src_vm"], row["dst_vm"], row["fate"] = source[0], target[0], fate
    row["first"] = row["last"] = at
    row["proto"], row["pkts"], row["bytes"] = 6, 1, 60
    for name, value in more.items():
        row[name] = value
    return row


def there(fate: int, at: float = 100.0, flags: int = SYN) -> Array:
    return side(CLIENT, SERVER, fate, at, flags=flags)


def back(fate: int, at: float = 100.001) -> Array:
    return side(SERVER, CLIENT, fate, at, flags=SYN | ACK)


def of(table: FlowTable) -> Fate:
    """Of the only flow."""
    (fate,) = table.newest(None, 10).rows["fate"].tolist()
    return Fate(fate)


@pytest.fixture(params=[(CLIENT, SERVER), ((9, 40000), (2, 443))], ids=["lower opens", "upper opens"])
def table(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FlowTable:
    """Recorded; the initiator's address is the lower and the higher one."""
    monkeypatch.setattr(f"{__name__}.CLIENT", request.param[0])
    return FlowTable(1000, 7, recorded=True)


def test_each_direction_has_its_own(table: FlowTable) -> None:
    """The initiator's in the lower flags, the other end's above them; the event says the same."""
    (event,) = table.update(np.concatenate([there(HERE), back(DROPPED)])).rows
    assert of(table) == HERE | DROPPED << ANSWERS_SHIFT
    assert event["fate"] == of(table)


@pytest.mark.parametrize("early", [True, False])
def test_the_last_vfn_says_whether_it_handed_over(table: FlowTable, early: bool) -> None:
    """Its report may come before that of the first one, or after it, and adds no packet and no flow."""
    if early:
        table.witness(there(STOPPED))
        assert len(table.newest(None, 10)) == 0
        assert len(table.finish(1000.0)) == 0
    table.update(there(FORWARDED))
    if not early:
        table.witness(there(STOPPED))
    assert of(table) == FORWARDED | STOPPED
    assert table.newest(None, 10).rows["src_pkts"].tolist() == [1]
    assert int(table.finish(1000.0).rows["src_pkts"].sum()) == 1


def test_a_witness_alone_is_no_flow(table: FlowTable) -> None:
    """What nobody is known to have sent is never on record, and is forgotten like any other."""
    table.witness(there(DELIVERED))
    table.finish(1000.0)
    assert len(table.record(0.0)) == 0
    for port in range(2000):
        table.update(side((5, 1000 + port), SERVER, HERE, 200.0))
    table.update(there(FORWARDED, 201.0))
    assert table.newest(1, 10).rows["fate"].tolist() in ([int(FORWARDED)], [])


def test_a_new_connection_on_the_same_ports_begins_anew(table: FlowTable) -> None:
    """What became of the old one says nothing of it; what the last VFN already said of the new one does."""
    table.update(there(FORWARDED))
    table.witness(there(STOPPED))
    table.update(there(FORWARDED, 200.0))
    assert of(table) == FORWARDED
    table.witness(there(DELIVERED, 300.0))
    table.update(there(FORWARDED, 300.0))
    assert of(table) == HERE


def test_a_rule_that_comes_later_cuts_the_record(table: FlowTable) -> None:
    """What passed and what did not are parts of their own, and the flow is known to have been cut."""
    table.update(np.concatenate([there(HERE), back(HERE)]))
    table.update(there(HERE, 101.0, ACK))
    table.update(there(DROPPED, 102.0, ACK))
    assert of(table) & Fate.CUT
    table.update(there(DROPPED, 103.0, ACK))
    table.finish(1000.0)
    parts = table.record(0.0)
    assert parts.rows["src_pkts"].tolist() == [2, 2]
    assert [bool(fate & Fate.CUT) for fate in parts.rows["fate"].tolist()] == [False, True]
    assert (parts.rows["fate"] & DROPPED).tolist() == [0, DROPPED]
    table.update(there(HERE, 104.0, ACK))
    assert not of(table) & (Fate.CUT | DROPPED)


def test_a_rule_at_the_far_end_cuts_the_record_too(table: FlowTable) -> None:
    """Forwarded before and after, but not handed over any more."""
    table.update(there(FORWARDED))
    table.witness(there(DELIVERED))
    table.update(there(FORWARDED, 101.0, ACK))
    table.witness(there(STOPPED, 101.0, ACK))
    table.update(there(FORWARDED, 102.0, ACK))
    assert of(table) == FORWARDED | STOPPED | Fate.CUT
    table.finish(1000.0)
    assert table.record(0.0).rows["src_pkts"].tolist() == [2, 1]


def test_split_puts_what_came_so_far_on_record(table: FlowTable) -> None:
    """Only flows that are meant; what is told of them later begins anew."""
    table.update(np.concatenate([there(HERE), side((5, 1000), (6, 80), HERE)]))
    table.split(lambda rows: rows["dst_port"] == 443)
    parts = table.record(1000.0)
    assert parts.rows["dst_port"].tolist() == [443]
    assert parts.rows["fate"].tolist() == [int(HERE)]
    assert sorted(table.newest(None, 10).rows["fate"].tolist()) == [0, int(HERE)]


def test_who_was_taken_for_the_initiator_may_turn_out_not_to_be(table: FlowTable) -> None:
    """A server on a high port is reported first, then its client's SYN: what each has sent stays its own."""
    far = (2, 50_000)
    table.update(side(far, (CLIENT[0], 40_000), DROPPED, 100.01, flags=ACK, pkts=5, bytes=500))
    table.finish(1000.0)
    first = table.record(0.0)
    table.update(side((CLIENT[0], 40_000), far, HERE, 100.0, flags=SYN, pkts=3, bytes=180))
    table.update(side(far, (CLIENT[0], 40_000), DROPPED, 100.01, flags=ACK, pkts=2, bytes=200))
    (row,) = table.newest(None, 10).rows
    assert (row["src_lo"], row["src_pkts"], row["dst_pkts"]) == (CLIENT[0], 3, 7)
    assert Fate(int(row["fate"])) == HERE | DROPPED << ANSWERS_SHIFT
    table.finish(1000.0)
    parts = Parts.concat([first, table.record(0.0)])
    assert int(parts.rows["src_bytes"].sum() + parts.rows["dst_bytes"].sum()) == 880


FATES = st.sampled_from([0, FORWARDED, HERE, DROPPED, DELIVERED, STOPPED])


@given(st.lists(FATES, min_size=1, max_size=12))
def test_the_latest_report_counts(told: list[int]) -> None:
    """After any reports nothing is both handed over and stopped, or forwarded and dropped, and the last is in it."""
    known = 0
    for one in told:
        before, known = known, fate_after(known, int(one))
        assert known & one == one or (one & DELIVERED and known & DROPPED) or not one
        assert not (known & FORWARDED and known & DROPPED)
        assert not (known & DELIVERED and known & STOPPED)
        assert turns(before, int(one)) == turns(int(one), before)


MOVES = st.tuples(
    st.sampled_from(["there", "back", "witness", "split", "record"]), FATES, st.sampled_from([0.2, 2.0, 9.0, 130.0])
)


@given(st.lists(MOVES, max_size=40))
def test_no_packet_is_lost_however_fates_turn(moves: list[tuple[str, int, float]]) -> None:
    """Witnesses and splits neither add packets nor take any from the record."""
    table, now, sent, found = FlowTable(12, 3, recorded=True), 100.0, 0, []
    for what, fate, pause in moves:
        now += pause
        if what in {"there", "back"}:
            ends = (CLIENT, SERVER) if what == "there" else (SERVER, CLIENT)
            table.update(side(*ends, int(fate), now, flags=SYN if pause > 2 else ACK))
            sent += 1
        elif what == "witness":
            table.witness(side(CLIENT, SERVER, int(fate), now))
        elif what == "split":
            table.split(lambda rows: np.ones(len(rows), bool))
        else:
            table.finish(now)
            found.append(table.record(60.0))
    parts = Parts.concat([*found, table.record(0.0)])
    assert int(parts.rows["src_pkts"].sum() + parts.rows["dst_pkts"].sum()) == sent
