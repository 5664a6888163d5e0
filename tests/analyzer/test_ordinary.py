"""Which flows the engine is told of because they are ordinary and do not pass."""

from __future__ import annotations

import numpy as np
from support.telemetry import START, inventory

from analyzer.flows import ANSWERS_SHIFT, FLOW, Array, Fate, FlowState, address_halves
from analyzer.names import Names
from analyzer.ordinary import ASKED_AGAIN_SECONDS, MOST_ROWS, REMEMBERED_SECONDS, OrdinaryDenied, denied

NET = inventory()


def flows(count: int = 1, fate: int = Fate.DROPPED, state: int = FlowState.NEW, port: int = 5432) -> Array:
    """Openings from app1 to db1, each of a source port of its own."""
    rows = np.zeros(count, FLOW)
    for end, name in (("src", "app1"), ("dst", "db1")):
        vm = NET.vms[name]
        rows[f"{end}_hi"], rows[f"{end}_lo"] = address_halves(str(vm.addresses[0]))
        rows[f"{end}_vm"], rows[f"{end}_segment"] = vm.number, NET.segment_number(vm)
    rows["src_port"], rows["dst_port"], rows["proto"] = 40000 + np.arange(count), port, 6
    rows["start"], rows["end"] = START, START + 1
    rows["src_pkts"], rows["fate"], rows["state"] = 1, fate, state
    return rows


def test_what_the_initiator_sends_must_be_dropped() -> None:
    """By the VFN where it came in or one behind it; what passes, is answered, forged or only an answer is not meant."""
    assert denied(flows()).all()
    assert denied(flows(fate=Fate.FORWARDED | Fate.STOPPED)).all()
    assert denied(flows(fate=Fate.DROPPED | Fate.CUT)).all()
    assert not denied(flows(fate=Fate.DELIVERED)).any()
    assert not denied(flows(fate=Fate.DROPPED | Fate.DELIVERED << ANSWERS_SHIFT)).any()
    assert not denied(flows(state=FlowState.SPOOFED)).any()
    assert not denied(flows(state=FlowState.ANSWERED_ONLY)).any()
    assert not denied(flows(fate=0)).any()


def test_flows_are_told_once_by_kind() -> None:
    """A flow whose packets are reported again is the same one; many of one service are one row."""
    told = OrdinaryDenied(Names(NET), 7, reported=True)
    told.take(flows(5))
    told.take(flows(6))
    told.take(flows(2, port=22))
    (message,) = told.tell(START + 2)
    rows = message.data["flows"]
    assert [(row["source_vm"], row["destination_vm"], row["port"], row["flows"]) for row in rows] == [
        ("app1", "db1", 5432, 6),
        ("app1", "db1", 22, 2),
    ]
    assert (rows[0]["source"], rows[0]["protocol"], rows[0]["first"]) == (
        str(NET.vms["app1"].addresses[0]),
        6,
        START,
    )
    told.take(flows(6))
    assert list(told.tell(START + 4)) == []
    assert all(row["reported"] for row in rows)


def test_what_goes_on_being_dropped_is_told_again_after_a_while() -> None:
    """As long as it is missed, it counts."""
    told = OrdinaryDenied(Names(NET), 7, reported=True)
    told.take(flows())
    assert len(list(told.tell(START + 2))) == 1
    assert list(told.tell(START + 2.5)) == []
    list(told.tell(START + 2 + REMEMBERED_SECONDS))
    told.take(flows())
    assert len(list(told.tell(START + 4 + REMEMBERED_SECONDS))) == 1


def test_what_vfns_do_not_report_is_asked_about_again() -> None:
    """Sooner: a rule that drops it may have come in between."""
    told = OrdinaryDenied(Names(NET), 7, reported=False)
    told.take(flows(fate=0))
    (message,) = told.tell(START + 2)
    assert not message.data["flows"][0]["reported"]
    list(told.tell(START + 2 + ASKED_AGAIN_SECONDS))
    told.take(flows(fate=0))
    assert len(list(told.tell(START + 4 + ASKED_AGAIN_SECONDS))) == 1


def test_a_flood_of_kinds_is_told_in_part() -> None:
    """Those with most flows."""
    told = OrdinaryDenied(Names(NET), 7, reported=True)
    rows = flows(MOST_ROWS + 50)
    rows["dst_port"] = np.arange(len(rows)) + 1
    told.take(np.concatenate([rows, flows(3, port=9)]))
    (message,) = told.tell(START + 2)
    assert len(message.data["flows"]) == MOST_ROWS
    assert (message.data["flows"][0]["port"], message.data["flows"][0]["flows"]) == (9, 4)
