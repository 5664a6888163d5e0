"""The codec against a real Open vSwitch: what goes in comes back, and bundles are all or nothing."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.entries import ALWAYS, FAMILIES, METERS, entries, fields
from support.openflow import DEADLINE, Switch, bridge, ovs_vsctl

from policies.entries import Field, Output, TableEntry
from ryu_apps.wire import stats
from ryu_apps.wire.bundle import Control
from ryu_apps.wire.codec import WireCodec
from ryu_apps.wire.content import installed
from ryu_apps.wire.oxm import FIELDS
from ryu_apps.wire.stats import decode_counters

pytestmark = pytest.mark.ovs

CODEC = WireCodec()
WEB = (Field("eth_type", 0x0800), Field("ip_proto", 6), Field("tcp_dst", 80))
ON_SWITCH = settings(
    max_examples=10,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
"""The fixture empties the bridge once a test, `assert_reads_back` once an example; shrinking would take minutes."""


@pytest.fixture(scope="module")
def tw0() -> Iterator[Switch]:
    """A bridge with two internal ports, and the meters that entries name."""
    with bridge("tw0", ["tw0p1", "tw0p2"]) as switch:
        assert switch.send(CODEC.set_meters(dict.fromkeys(METERS, 1000))).errors == ()
        yield switch


@pytest.fixture
def switch(tw0: Switch) -> Switch:
    """The bridge, empty."""
    tw0.clear()
    return tw0


def adding(*content: TableEntry) -> bytes:
    """A bundle that adds entries."""
    return CODEC.change({CODEC.cookie(entry): entry for entry in content}, (), {}, 1)


def install(switch: Switch, *content: TableEntry) -> None:
    """Install entries in one bundle, which must be committed."""
    answer = switch.transact(adding(*content))
    replies = [int.from_bytes(message[20:22], "big") for message in answer.messages]
    assert (answer.errors, replies) == ((), [Control.OPEN_REPLY, Control.COMMIT_REPLY])


def assert_reads_back(switch: Switch, content: list[TableEntry]) -> None:
    """Install into the empty switch, and find exactly that: identities byte by byte, and no difference."""
    switch.clear()
    install(switch, *content)
    there = switch.entries()
    assert sorted(entry[:4] for entry in there) == sorted(installed(entry)[:4] for entry in content)
    assert CODEC.differences({CODEC.cookie(entry): entry for entry in content}, there) == ({}, [])


def distinct(content: list[TableEntry]) -> list[TableEntry]:
    """The entries that a switch can hold together: the last of each table, priority and match."""
    places = {}
    for entry in content:
        there = installed(entry)
        places[there.table, there.priority, there.match] = entry
    return list(places.values())


@ON_SWITCH
@given(st.data())
def test_every_field_reads_back(switch: Switch, data: st.DataObject) -> None:
    """Each field, exact and masked, with its prerequisites, comes back as the identity says."""
    content: list[TableEntry] = []
    for fixed, optional in FAMILIES:
        needs = [Field(name, value) for name, value in fixed.items()]
        for name in (*optional, *ALWAYS):
            match = sorted([*needs, data.draw(fields(name))], key=lambda field: field.name)
            content.append(TableEntry(6, len(content) + 1, tuple(match), goto=7))
    assert {field.name for entry in content for field in entry.match} == set(FIELDS)
    assert_reads_back(switch, content)


@ON_SWITCH
@given(st.lists(entries(), max_size=20))
def test_whole_entries_read_back(switch: Switch, content: list[TableEntry]) -> None:
    """Any mixture of fields, actions and gotos comes back without a difference."""
    assert_reads_back(switch, distinct(content))


def counted(switch: Switch) -> list[tuple[int, int, int, int]]:
    """Cookie, packets, bytes and table of every entry."""
    rows: list[tuple[int, int, int, int]] = decode_counters(switch.parts(stats.request(1))[0]).tolist()
    return rows


def test_counters_count(switch: Switch) -> None:
    """Packets and bytes of an entry are read under its cookie and table; one that replaces it has met none yet."""
    entry, replacement = (TableEntry(0, 10, (Field("in_port", 1),), (Output(port),)) for port in (2, 3))
    install(switch, entry)
    frame = "ffffffffffff02000000000188cc" + "00" * 46
    action = f"in_port=1 packet={frame} actions=table"
    subprocess.run(["ovs-ofctl", "-O", "OpenFlow13", "packet-out", "tw0", action], check=True)
    deadline = time.monotonic() + DEADLINE
    while counted(switch) != [(CODEC.cookie(entry), 1, 60, 0)]:
        assert time.monotonic() < deadline, counted(switch)
    install(switch, replacement)
    assert counted(switch) == [(CODEC.cookie(replacement), 0, 0, 0)]


def test_statistics_are_asked_by_table_and_cookie(switch: Switch) -> None:
    """A request returns only what it asks for."""
    first = TableEntry(3, 10, WEB, goto=4)
    second = TableEntry(6, 10, (Field("reg0", 5),))
    install(switch, first, second)
    requests = {
        stats.request(1): {first, second},
        stats.request(1, table=6): {second},
        CODEC.read([CODEC.cookie(first)]): {first},
    }
    for request, expected in requests.items():
        cookies = {cookie for part in switch.parts(request) for cookie in decode_counters(part)["cookie"].tolist()}
        assert cookies == {CODEC.cookie(entry) for entry in expected}


@pytest.mark.parametrize(
    "bad",
    [TableEntry(0, 5, (Field("tcp_dst", 80),)), TableEntry(254, 5, ()), TableEntry(6, 5, WEB, goto=2)],
    ids=["prerequisite missing", "table of the switch's own", "goto backwards"],
)
def test_bundle_with_a_bad_message_changes_nothing(switch: Switch, bad: TableEntry) -> None:
    """One refused message leaves the switch as it was, and the error says which one."""
    before = TableEntry(0, 1, (), goto=1)
    install(switch, before)
    after = [TableEntry(0, priority, WEB, goto=1) for priority in range(10, 20)]
    content = [*after[:4], bad, *after[4:]]
    bundle = CODEC.change({CODEC.cookie(entry): entry for entry in content}, switch.entries(), {}, 9)
    [error] = switch.transact(bundle).errors
    assert CODEC.failed_cookie(error.data) == CODEC.cookie(bad)
    assert [entry.cookie for entry in switch.entries()] == [CODEC.cookie(before)]


def test_commit_sent_too_early_installs_a_part(switch: Switch) -> None:
    """Why bundles are staged: Open vSwitch commits the rest of a bundle of which it has refused a message."""
    good, bad = TableEntry(0, 1, (), goto=1), TableEntry(0, 5, (Field("tcp_dst", 80),))
    answer = switch.send(adding(good, bad))
    assert len(answer.errors) == 1
    assert [entry.cookie for entry in switch.entries()] == [CODEC.cookie(good)]


def test_bundle_refused_at_commit_changes_nothing(switch: Switch) -> None:
    """What is only found out at the commit (here a full table) undoes the bundle; the error names the message."""
    limit = ["--", "--id=@t", "create", "Flow_Table", "flow_limit=3", "overflow_policy=refuse"]
    ovs_vsctl(*limit, "--", "set", "Bridge", "tw0", "flow_tables:6=@t")
    try:
        content = [TableEntry(6, priority, WEB, goto=7) for priority in range(1, 6)]
        bundle = adding(*content)
        errors = switch.transact(bundle).errors
        assert [CODEC.failed_cookie(error.data) for error in errors] == [CODEC.cookie(content[3]), None]
        assert switch.entries() == []
    finally:
        ovs_vsctl("clear", "Bridge", "tw0", "flow_tables")


def test_delete_takes_only_the_entry_it_names(switch: Switch) -> None:
    """Neighbours stay, and an entry that was replaced meanwhile stays too."""
    one, other = TableEntry(6, 10, WEB, goto=7), TableEntry(6, 11, WEB, goto=7)
    install(switch, one, other)
    seen = next(entry for entry in switch.entries() if entry.priority == 10)
    replacement = TableEntry(6, 10, WEB)
    install(switch, replacement)
    switch.transact(CODEC.change({}, [seen], {}, 2))
    assert {entry.cookie for entry in switch.entries()} == {CODEC.cookie(replacement), CODEC.cookie(other)}
    seen = next(entry for entry in switch.entries() if entry.priority == 10)
    switch.transact(CODEC.change({}, [seen], {}, 3))
    assert [entry.cookie for entry in switch.entries()] == [CODEC.cookie(other)]


FOREIGN = (
    "table=0,priority=7,tcp,nw_ttl=64,tcp_flags=+syn-ack,ct_state=+trk+new,actions=ct(commit)",
    "table=1,priority=7,icmp6,icmp_type=135,nd_target=fd00::1,nd_sll=02:00:00:00:00:01,actions=drop",
    "table=2,priority=7,ip,nw_frag=later,pkt_mark=3,tun_id=9,actions=learn(table=9),NORMAL",
    "table=3,priority=7,dl_vlan=5,dl_vlan_pcp=3,actions=strip_vlan,output:2",
    "table=4,priority=7,mpls,mpls_label=5,mpls_ttl=9,actions=pop_mpls:0x0800,resubmit(,9)",
    "table=5,priority=7,ct_state=+trk+est,ct_mark=5,ct_nw_src=10.0.0.1,ct_nw_proto=6,ct_tp_dst=80,ip,actions=NORMAL",
)


def test_foreign_entries_are_found_and_removed(switch: Switch) -> None:
    """Entries of any make, Nicira fields with prerequisites included, are differences and can be deleted."""
    mine = TableEntry(6, 10, WEB, goto=7)
    install(switch, mine)
    for flow in FOREIGN:
        subprocess.run(["ovs-ofctl", "-O", "OpenFlow13", "add-flow", "tw0", flow], check=True)
    missing, foreign = CODEC.differences({CODEC.cookie(mine): mine}, switch.entries())
    assert (missing, sorted(entry.table for entry in foreign)) == ({}, list(range(len(FOREIGN))))
    answer = switch.transact(CODEC.change({}, foreign, {}, 1))
    assert answer.errors == ()
    assert [entry.cookie for entry in switch.entries()] == [CODEC.cookie(mine)]


def test_entry_edited_by_hand_is_repaired(switch: Switch) -> None:
    """Changed actions under an unchanged cookie are drift; adding the entry again repairs it."""
    mine = TableEntry(6, 10, WEB)
    install(switch, mine)
    flow = "table=6,tcp,tp_dst=80,actions=goto_table:7"
    subprocess.run(["ovs-ofctl", "-O", "OpenFlow13", "mod-flows", "tw0", flow], check=True)
    desired = {CODEC.cookie(mine): mine}
    assert [entry.cookie for entry in switch.entries()] == [CODEC.cookie(mine)]
    assert CODEC.differences(desired, switch.entries()) == (desired, [])
    install(switch, mine)
    assert CODEC.differences(desired, switch.entries()) == ({}, [])


def test_ten_thousand_entries(switch: Switch, capsys: pytest.CaptureFixture[str]) -> None:
    """10,000 entries are pushed in one bundle and read back without a difference, in well under a second each."""
    content = [
        TableEntry(6, 20_000 + number % 900, (WEB[0], WEB[1], Field("ipv4_src", 0x0A000000 + number), WEB[2]), goto=7)
        for number in range(10_000)
    ]
    begin = time.perf_counter()
    desired = dict(zip(CODEC.cookies(content), content, strict=True))
    named = time.perf_counter() - begin
    bundle = CODEC.change(desired, (), {}, 1)
    encoded = time.perf_counter() - begin - named
    answer = switch.transact(bundle)
    assert answer.errors == ()
    parts = switch.parts(stats.request(1))
    slowest = 0.0
    for part in parts:
        begin = time.perf_counter()
        decode_counters(part)
        slowest = max(slowest, time.perf_counter() - begin)
    begin = time.perf_counter()
    there = [entry for part in parts for entry in CODEC.decode(part)]
    assert CODEC.differences(desired, there) == ({}, [])
    compared = time.perf_counter() - begin
    with capsys.disabled():
        print(
            f"\n10,000 entries: cookies {named:.3f} s, encoded {encoded:.3f} s, "
            f"pushed to barrier {answer.seconds:.3f} s, decoded and compared {compared:.3f} s, "
            f"slowest of {len(parts)} parts to counters {slowest * 1000:.2f} ms"
        )
    assert answer.seconds < 1.0
    assert slowest < 0.020
