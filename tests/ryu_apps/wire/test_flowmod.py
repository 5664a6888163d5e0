"""Flow-mods, requests and bundles: byte by byte what Ryu would have sent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.entries import entries, steps
from support.ryu import DATAPATH, OFPROTO, PARSER, part, ryu_action, ryu_flow_mod, ryu_instructions, ryu_match, wire

from policies.entries import Copy, Step, TableEntry, Track
from runtime.errors import PolicyError
from ryu_apps.wire import bundle, flowmod, stats
from ryu_apps.wire.content import cookie, installed
from ryu_apps.wire.oxm import pack_match

ROOT = Path(__file__).parents[3]
APPLY = OFPROTO.OFPIT_APPLY_ACTIONS
xids = st.integers(0, 0xFFFFFFFF)
cookies = st.integers(0, 0xFFFF_FFFF_FFFF_FFFF)


@given(steps())
def test_action_equals_ryu(step: Step) -> None:
    """Every kind of action is the same bytes as Ryu's."""
    entry = TableEntry(0, 0, (), (step,))
    assert installed(entry).instructions == part(PARSER.OFPInstructionActions(APPLY, [ryu_action(step)]))


@pytest.mark.parametrize(
    ("step", "key"),
    [
        (Copy("eth_src", "eth_dst"), "eth_src"),
        (Copy("reg0", "ct_zone"), "reg0"),
        (Copy("reg0", "reg16"), "reg16"),
        (Track("ct_mark"), "ct_mark"),
        (Track("reg2", mark="reg7"), "reg7"),
    ],
)
def test_impossible_action_is_refused(step: Step, key: str) -> None:
    """An action without an OpenFlow form, or that would come back in another, raises an error that names its field."""
    with pytest.raises(PolicyError) as caught:
        cookie(TableEntry(0, 0, (), (step,)))
    assert caught.value.key == key


@given(entries())
def test_instructions_equal_ryu(entry: TableEntry) -> None:
    """meter, apply-actions and goto-table are the same bytes as Ryu's, and a drop is none."""
    assert installed(entry).instructions == b"".join(part(instruction) for instruction in ryu_instructions(entry))


@given(entries(), xids)
def test_add_equals_ryu(entry: TableEntry, xid: int) -> None:
    """A whole flow-mod ADD is the same bytes as Ryu's."""
    assert flowmod.add(entry, cookie(entry), xid) == wire(ryu_flow_mod(entry, cookie(entry)), xid)


def ryu_delete(entry: TableEntry, named: int, match: Any) -> Any:
    """A DELETE_STRICT that names table, priority, match and the whole cookie."""
    return PARSER.OFPFlowMod(
        DATAPATH,
        cookie=named,
        cookie_mask=0xFFFF_FFFF_FFFF_FFFF,
        table_id=entry.table,
        command=OFPROTO.OFPFC_DELETE_STRICT,
        priority=entry.priority,
        buffer_id=OFPROTO.OFP_NO_BUFFER,
        out_port=OFPROTO.OFPP_ANY,
        out_group=OFPROTO.OFPG_ANY,
        match=match,
    )


@given(entries(), xids)
def test_remove_equals_ryu(entry: TableEntry, xid: int) -> None:
    """An entry of our own goes by what it was added with."""
    assert flowmod.remove(entry, cookie(entry), xid) == wire(
        ryu_delete(entry, cookie(entry), ryu_match(entry.match)), xid
    )


@given(entries(), cookies, xids)
def test_delete_equals_ryu(entry: TableEntry, found: int, xid: int) -> None:
    """An entry that was read goes by what was read, its fields in the order in which they came."""
    there = installed(entry)._replace(cookie=found)
    ryus = wire(ryu_delete(entry, found, ryu_match(entry.match)), xid)
    ours = flowmod.delete(there, xid)
    assert (ours[:48], len(ours)) == (ryus[:48], len(ryus))
    assert ours[48:] == pack_match(there.match)


@given(cookies, cookies, xids)
def test_delete_by_cookie_equals_ryu(named: int, mask: int, xid: int) -> None:
    """Deleting by cookie reaches every table and match."""
    expected = PARSER.OFPFlowMod(
        DATAPATH,
        cookie=named,
        cookie_mask=mask,
        table_id=OFPROTO.OFPTT_ALL,
        command=OFPROTO.OFPFC_DELETE,
        priority=0,
        buffer_id=OFPROTO.OFP_NO_BUFFER,
        out_port=OFPROTO.OFPP_ANY,
        out_group=OFPROTO.OFPG_ANY,
    )
    assert flowmod.delete_by_cookie(named, mask, xid) == wire(expected, xid)


@given(st.integers(0, 255), cookies, cookies, xids)
def test_flow_statistics_request_equals_ryu(table: int, named: int, mask: int, xid: int) -> None:
    """A request by table and cookie is the same bytes as Ryu's."""
    expected = PARSER.OFPFlowStatsRequest(DATAPATH, 0, table, OFPROTO.OFPP_ANY, OFPROTO.OFPG_ANY, named, mask)
    assert stats.request(xid, table, named, mask) == wire(expected, xid)


@given(xids)
def test_barrier_request_equals_ryu(xid: int) -> None:
    """A barrier is the same bytes as Ryu's."""
    assert flowmod.barrier_request(xid) == wire(PARSER.OFPBarrierRequest(DATAPATH), xid)


def bundled(content: list[TableEntry], bundle_id: int, xid: int) -> list[bytes]:
    """The pieces of a bundle of adds whose transaction ids begin with `xid`."""
    adds = (flowmod.add(entry, cookie(entry), number) for number, entry in enumerate(content, xid + 1))
    return list(bundle.pieces(adds, bundle_id, xid, xid + 1 + len(content)))


@given(st.lists(entries(), max_size=3), st.integers(0, 0xFFFFFFFF), st.integers(1, 0xFFFF0000))
def test_bundle_equals_ryu(content: list[TableEntry], bundle_id: int, xid: int) -> None:
    """Open, the flow-mods under their own numbers, commit: the same bytes as Ryu's extension messages."""
    flags = OFPROTO.ONF_BF_ATOMIC | OFPROTO.ONF_BF_ORDERED
    expected = wire(PARSER.ONFBundleCtrlMsg(DATAPATH, bundle_id, OFPROTO.ONF_BCT_OPEN_REQUEST, flags, []), xid)
    for position, entry in enumerate(content, 1):
        flow_mod = ryu_flow_mod(entry, cookie(entry))
        flow_mod.set_xid(xid + position)
        expected += wire(PARSER.ONFBundleAddMsg(DATAPATH, bundle_id, flags, flow_mod, []), xid + position)
    commit = PARSER.ONFBundleCtrlMsg(DATAPATH, bundle_id, OFPROTO.ONF_BCT_COMMIT_REQUEST, flags, [])
    assert bundled(content, bundle_id, xid) == [expected, wire(commit, xid + len(content) + 1)]


def test_long_bundle_comes_in_pieces() -> None:
    """Messages are made as they are asked for, and none is lost between two pieces."""
    made: list[int] = []

    def messages() -> Iterator[bytes]:
        for xid in range(2, 1002):
            made.append(xid)
            yield flowmod.barrier_request(xid)

    pieces = bundle.pieces(messages(), 5, 1, 1002)
    first = next(pieces)
    assert 0 < len(made) < 500
    rest = list(pieces)
    assert len(rest) > 3
    assert bundle.stage(rest[-1]) == bundle.Staged(rest[-1], b"", b"")
    assert len(first + b"".join(rest)) == 24 + 1000 * (24 + 8) + 24


@given(st.lists(entries(), max_size=3))
def test_bundle_is_staged_before_it_is_committed(content: list[TableEntry]) -> None:
    """Open and adds go first; then the commit, or in its place a discard that equals Ryu's."""
    flags = OFPROTO.ONF_BF_ATOMIC | OFPROTO.ONF_BF_ORDERED
    whole = b"".join(bundled(content, 5, 100))
    staged = bundle.stage(whole)
    discard = PARSER.ONFBundleCtrlMsg(DATAPATH, 5, OFPROTO.ONF_BCT_DISCARD_REQUEST, flags, [])
    assert staged == bundle.Staged(whole[:-24], whole[-24:], wire(discard, 101 + len(content)))


@given(st.lists(entries(), max_size=3))
def test_messages_without_a_bundle_stay_whole(content: list[TableEntry]) -> None:
    """Flow-mods that were to be sent at once have nothing to be committed; nor has a bundle that is not ours."""
    loose = b"".join(flowmod.add(entry, cookie(entry), 99) for entry in content)
    assert bundle.stage(loose) == bundle.Staged(loose, b"", b"")
    cut = next(bundle.pieces([flowmod.barrier_request(101)], 5, 100, 102))
    assert bundle.stage(cut) == bundle.Staged(cut, b"", b"")
    other = cut + list(bundle.pieces([], 6, 200, 201))[-1]
    assert bundle.stage(other) == bundle.Staged(other, b"", b"")


def test_failed_message_is_found_in_its_bundle() -> None:
    """An error's data leads to the cookie of its flow-mod, enveloped or not, and to nothing else."""
    entry = TableEntry(0, 1, ())
    add = flowmod.add(entry, cookie(entry), 101)
    opened, commit = bundle.pieces([add], 1, 100, 102)
    enveloped = opened[24:][:64]
    assert bundle.failed_cookie(enveloped) == cookie(entry)
    assert bundle.failed_cookie(add) == cookie(entry)
    for control in (opened[:24], commit, b"", flowmod.barrier_request(999)):
        assert bundle.failed_cookie(control) is None


def test_encoder_loads_neither_ryu_nor_eventlet() -> None:
    """The engine process can use the codec without Ryu's monkey patching coming along."""
    program = (
        "import sys; import ryu_apps.wire.codec, ryu_apps.wire.stats;"
        "print([name for name in sys.modules if name.split('.')[0] in ('ryu', 'eventlet')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
