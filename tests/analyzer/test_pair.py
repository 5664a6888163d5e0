"""Two directions become one flow, seen from who opened it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.attribute import SIDE
from analyzer.flows import ACK, FIN, PSH, RST, SYN, Array, FlowState
from analyzer.pair import ANSWER_SECONDS, IDLE_SECONDS, SILENT_SECONDS, FlowTable, flow_keys

CLIENT, SERVER = (1, 40000), (2, 443)


def side(source: tuple[int, int], target: tuple[int, int], first: float = 100.0, **more: int) -> Array:
    """One direction; addresses are small numbers, VM numbers equal to them."""
    row = np.zeros(1, SIDE)
    row["src_lo"], row["src_port"] = source
    row["dst_lo"], row["dst_port"] = target
    row["src_vm"], row["dst_vm"] = source[0], target[0]
    row["first"] = row["last"] = first
    row["proto"], row["pkts"], row["bytes"] = 6, 1, 60
    for name, value in more.items():
        row[name] = value
    return row


def opened_by(table: FlowTable, *sides: Array) -> tuple[int, int]:
    """(address, port) of the initiator that the table finds."""
    row = table.update(np.concatenate(sides)).rows[0]
    return int(row["src_lo"]), int(row["src_port"])


@pytest.mark.parametrize("client", [(1, 40000), (9, 40000), (1, 80), (9, 80)])
@pytest.mark.parametrize("server", [(5, 443), (5, 50051)])
def test_initiator_is_who_sent_the_syn(client: tuple[int, int], server: tuple[int, int]) -> None:
    """Whatever the addresses and ports: the lone SYN decides, the reset or SYN-ACK never does."""
    there = side(client, server, flags=SYN)
    for flags in (RST | ACK, SYN | ACK):
        back = side(server, client, 100.001, flags=flags)
        assert opened_by(FlowTable(100, 1), there, back) == client
        assert opened_by(FlowTable(100, 1), back, there) == client
        assert opened_by(FlowTable(100, 1), back) == client


@pytest.mark.parametrize("client", [(1, 40000), (9, 40000), (1, 80), (9, 80)])
def test_a_server_that_asks_again_for_an_acknowledgement_opens_nothing(client: tuple[int, int]) -> None:
    """Of a flood the server's SYN-ACKs go on when the flooder's port was cut, and are reset when it is back."""
    server = (5, 8080)
    again = side(server, client, flags=SYN | ACK, pkts=3, bytes=180)
    reset = side(client, server, 100.001, flags=RST)
    assert opened_by(FlowTable(100, 1), again) == client
    assert opened_by(FlowTable(100, 1), again, reset) == client
    assert opened_by(FlowTable(100, 1), reset, again) == client
    table = FlowTable(100, 1)
    for first, count in ((100.0, 1), (101.0, 1), (103.0, 2)):
        assert opened_by(table, side(server, client, first, flags=SYN | ACK, pkts=count, bytes=60 * count)) == client
    assert opened_by(table, side(client, server, 103.001, flags=RST)) == client


def test_initiator_of_whole_connections_is_the_earlier_side() -> None:
    """When both sides have sent everything, who was seen first decides; alone, the lower port is the service."""
    everything = SYN | ACK | PSH
    there = side((9, 60000), (5, 61000), 100.0, flags=everything, pkts=5)
    back = side((5, 61000), (9, 60000), 100.002, flags=everything, pkts=5)
    assert opened_by(FlowTable(100, 1), back, there) == (9, 60000)
    assert opened_by(FlowTable(100, 1), side(SERVER, CLIENT, flags=everything, pkts=5)) == CLIENT


@pytest.mark.parametrize("client", [(1, 0), (9, 0)])
def test_icmp_replies_open_nothing(client: tuple[int, int]) -> None:
    """Whatever the addresses and the order of reports: who asked is the initiator."""
    there = side(client, (5, 0), 100.0, proto=1)
    back = side((5, 0), client, 100.0, proto=1, answers=1)
    assert opened_by(FlowTable(100, 1), there, back) == client
    assert opened_by(FlowTable(100, 1), back, there) == client
    assert opened_by(FlowTable(100, 1), back) == client


def test_keys_are_those_of_the_flow() -> None:
    """Both directions have the same, other ports, protocols and salts another."""
    there, back = side(CLIENT, SERVER), side(SERVER, CLIENT)
    others = np.concatenate([side((1, 40001), SERVER), side(CLIENT, SERVER, proto=17), side((2, 40000), (1, 443))])
    keys = flow_keys(np.concatenate([there, back, others]), 1)
    assert keys[0] == keys[1]
    assert len({*keys[1:].tolist(), *flow_keys(there, 2).tolist()}) == 5


def test_counters_add_up_and_events_hold_what_is_new() -> None:
    """Each event holds the counters since the last one, the table the totals; NEW comes once."""
    table = FlowTable(100, 1)
    opening = [side(CLIENT, SERVER, flags=SYN), side(SERVER, CLIENT, flags=SYN | ACK)]
    first = table.update(np.concatenate(opening)).rows[0]
    later = table.update(side(CLIENT, SERVER, 101.0, flags=ACK, pkts=4, bytes=400)).rows[0]
    assert (first["src_pkts"], first["dst_pkts"], int(first["state"])) == (1, 1, FlowState.NEW)
    assert (later["src_pkts"], later["dst_pkts"], int(later["state"])) == (4, 0, 0)
    total = table.newest(1, 10).rows
    assert len(total) == 1
    assert (total[0]["src_pkts"], total[0]["src_bytes"], total[0]["dst_pkts"], total[0]["end"]) == (5, 460, 1, 101.0)


def test_replies_alone_are_not_held_against_the_one_they_reach() -> None:
    """Answers to forged packets make no new connection of the address that was forged, however many come."""
    table = FlowTable(100, 1)
    for second in range(3):
        events = table.update(side(SERVER, CLIENT, 100.0 + second, flags=RST | ACK)).rows
        assert events["state"].tolist() == [int(FlowState.ANSWERED_ONLY)]
        assert events["src_pkts"].tolist() == [0]
    seen = table.update(side(CLIENT, SERVER, 103.5, flags=SYN, port=7)).rows[0]
    assert int(seen["state"]) & FlowState.NEW
    assert seen["port"] == 7


def test_refusal_fails_at_once_and_silence_after_a_while() -> None:
    """A reset fails a connection immediately, no answer after `ANSWER_SECONDS`; each is said once."""
    table = FlowTable(100, 1)
    tried = [side(CLIENT, SERVER, flags=SYN), side(SERVER, CLIENT, flags=RST | ACK)]
    refused = table.update(np.concatenate(tried)).rows
    assert int(refused["state"][0]) == FlowState.NEW | FlowState.FAILED
    table.update(side((3, 50000), SERVER, flags=SYN))
    assert len(table.sweep(100.0 + ANSWER_SECONDS - 0.1)) == 0
    silent = table.sweep(100.0 + ANSWER_SECONDS + 0.1).rows
    assert silent[["src_vm", "state", "src_pkts"]].tolist() == [(3, FlowState.FAILED, 0)]
    assert len(table.sweep(200.0)) == 0


def test_answered_in_time_is_no_failure() -> None:
    """An answer whose record comes later than the question's clears it."""
    table = FlowTable(100, 1)
    table.update(side(CLIENT, SERVER, flags=SYN))
    table.update(side(SERVER, CLIENT, 100.5, flags=SYN | ACK))
    assert len(table.sweep(110.0)) == 0


def test_same_ports_after_a_long_silence_are_a_new_flow() -> None:
    """A 5-tuple that comes back is NEW again and starts from zero."""
    table = FlowTable(100, 1)
    table.update(side(CLIENT, SERVER, flags=SYN, pkts=9))
    again = table.update(side(CLIENT, SERVER, 101 + IDLE_SECONDS, flags=SYN)).rows[0]
    assert int(again["state"]) & FlowState.NEW
    assert table.newest(None, 5).rows["src_pkts"].tolist() == [1]


def test_a_new_syn_on_the_same_ports_is_a_new_connection() -> None:
    """Seconds after a refusal the same ports are tried again: NEW and FAILED again. A lasting flow is not new."""
    table = FlowTable(100, 1)
    for start in (100.0, 105.0):
        tried = [side(CLIENT, SERVER, start, flags=SYN), side(SERVER, CLIENT, start + 0.001, flags=RST | ACK)]
        assert table.update(np.concatenate(tried)).rows["state"].tolist() == [FlowState.NEW | FlowState.FAILED]
    lasting = side((3, 50000), SERVER, 100.0, flags=SYN | ACK | PSH, pkts=3)
    table.update(lasting)
    lasting["last"] = 110.0
    assert table.update(lasting).rows["state"].tolist() == [0]


def test_flows_finish_once_and_may_go_on() -> None:
    """A silent flow is given out once with its totals; when it goes on it finishes again."""
    table = FlowTable(100, 1)
    table.update(side(CLIENT, SERVER, flags=SYN))
    assert len(table.finish(100.0 + SILENT_SECONDS - 0.1)) == 0
    assert len(table.finish(100.0 + SILENT_SECONDS + 0.1)) == 1
    assert len(table.finish(120.0)) == 0
    table.update(side(CLIENT, SERVER, 121.0, pkts=2))
    assert table.finish(140.0).rows["src_pkts"].tolist() == [3]
    table.set_risk(np.array([42.0]))
    assert table.newest(1, 1).rows["risk"].tolist() == [42.0]


PACKETS = st.tuples(st.integers(1, 5), st.integers(1, 5), st.booleans(), st.integers(1, 9))


@given(st.lists(PACKETS, min_size=1, max_size=60))
def test_no_packet_is_lost_or_counted_twice(packets: list[tuple[int, int, bool, int]]) -> None:
    """For any order and batching, events and table hold exactly the packets that were reported."""
    table = FlowTable(1000, 7)
    rows = [
        side(*((((a, 1000 + a), (b, 2000 + b))) if there else ((b, 2000 + b), (a, 1000 + a))), 100 + i / 50, pkts=n)
        for i, (a, b, there, n) in enumerate(packets)
    ]
    events = [table.update(np.concatenate(rows[i : i + 7])).rows for i in range(0, len(rows), 7)]
    reported = sum(n for *_, n in packets)
    assert sum(int(e["src_pkts"].sum() + e["dst_pkts"].sum()) for e in events) == reported
    kept = table.newest(None, 10_000).rows
    assert int(kept["src_pkts"].sum() + kept["dst_pkts"].sum()) == reported
    assert len(kept) == len({frozenset(((a, 1000 + a), (b, 2000 + b))) for a, b, *_ in packets})


def test_memory_is_bounded_and_keeps_the_newest() -> None:
    """Ten times as many flows as fit: the newest stay, in one batch or many."""
    table = FlowTable(1000, 3)
    for burst in range(10):
        rows = np.concatenate([side((1, 1000 + i), (2, 80), 100.0 + burst, flags=SYN) for i in range(1)] * 1000)
        rows["src_port"] = np.arange(1000) + burst * 1000 + 100
        table.update(rows)
        assert len(table) <= 1000
    newest = table.newest(1, 50).rows
    assert newest["end"].tolist() == [109.0] * 50
    assert len(table.sweep(200.0)) <= 1000


def test_the_end_of_a_talk_that_is_reset_was_not_refused() -> None:
    """A server's last words, to a client that has gone meanwhile: no try at the client's port, as a bare probe is."""
    for size, failed in ((141, False), (54, True)):
        last = side(SERVER, CLIENT, 500.0, flags=PSH | ACK | FIN, pkts=1, bytes=size)
        reset = side(CLIENT, SERVER, 500.001, flags=RST, pkts=1, bytes=54)
        event = FlowTable(100, 1).update(np.concatenate([last, reset])).rows[0]
        assert (int(event["src_lo"]), int(event["src_port"])) == SERVER
        assert bool(event["state"] & FlowState.FAILED) == failed
