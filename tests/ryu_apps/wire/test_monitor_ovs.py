"""What a real Open vSwitch tells of its entries: every change by others, none of our own, and how many there are."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest
from support.openflow import DEADLINE, Switch, bridge

from policies.codec import Change, Happened
from policies.entries import Field, SetField, TableEntry
from ryu_apps.wire import multipart
from ryu_apps.wire.codec import WireCodec
from ryu_apps.wire.content import installed

pytestmark = pytest.mark.ovs

CODEC = WireCodec()
WEB = (Field("eth_type", 0x0800), Field("ip_proto", 6), Field("tcp_dst", 80))


@pytest.fixture
def switch() -> Iterator[Switch]:
    """A bridge that is being watched."""
    with bridge("tw3") as made:
        assert made.send(CODEC.watch()).errors == ()
        yield made


def ofctl(*arguments: str) -> None:
    """Change entries in another session."""
    subprocess.run(["ovs-ofctl", "-O", "OpenFlow13", *arguments], check=True)


def reported(switch: Switch, messages: bytes = b"") -> list[Change]:
    """What the switch reports until it has carried out these messages of ours."""
    parts = [multipart.split(message) for message in switch.transact(messages).messages if message[1] == 19]
    assert all((part.xid, part.kind) == (0, multipart.EXPERIMENTER) for part in parts)
    return [change for part in parts for change in CODEC.decode_changes(part.body)]


def awaited(switch: Switch) -> list[Change]:
    """The next report; of what another session has done it may come after a barrier of ours."""
    deadline = time.monotonic() + DEADLINE
    while not (changes := reported(switch)):
        assert time.monotonic() < deadline
    return changes


def test_changes_by_others_are_reported_with_what_changed(switch: Switch) -> None:
    """An entry that is added, edited and deleted by somebody else: its cookie, place and instructions each time."""
    entry = TableEntry(4, 5, WEB, (SetField("reg0", 7),), 6)
    there = installed(entry)
    flow = f"table=4,priority=5,cookie={there.cookie:#x},tcp,tp_dst=80,actions=set_field:7->reg0,goto_table:6"
    ofctl("add-flow", "tw3", flow)
    [added] = awaited(switch)
    assert added == Change(Happened.ADDED, there)
    ofctl("mod-flows", "tw3", "table=4,tcp,tp_dst=80,actions=drop")
    [edited] = awaited(switch)
    assert edited == Change(Happened.MODIFIED, there._replace(instructions=b""))
    ofctl("del-flows", "tw3", "table=4")
    [deleted] = awaited(switch)
    assert deleted == Change(Happened.DELETED, there._replace(instructions=b""))


def test_own_changes_are_not_reported(switch: Switch) -> None:
    """Bundles and loose flow-mods of the session that watches, replacements and deletes included."""
    before, after = TableEntry(4, 5, WEB, goto=6), TableEntry(4, 5, WEB, goto=7)
    assert reported(switch, CODEC.change({CODEC.cookie(before): before}, (), {}, 1)) == []
    assert reported(switch, CODEC.add(after)) == []
    assert [entry.cookie for entry in switch.entries()] == [CODEC.cookie(after)]
    assert reported(switch, CODEC.change({}, switch.entries(), {}, 2)) == []
    ofctl("add-flow", "tw3", "table=9,actions=drop")
    assert [change.entry.table for change in awaited(switch)] == [9]


def test_many_changes_are_reported_without_loss(switch: Switch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Thousands of entries in one transaction are reported one by one."""
    flows = tmp_path_factory.mktemp("flows") / "flows"
    flows.write_text(
        "".join(f"table=5,priority=1,ip,nw_src=10.0.{n >> 8}.{n & 255},actions=drop\n" for n in range(5000))
    )
    ofctl("--bundle", "add-flows", "tw3", str(flows))
    deadline = time.monotonic() + DEADLINE
    seen: set[bytes] = set()
    while len(seen) < 5000:
        seen |= {change.entry.match for change in reported(switch)}
        assert time.monotonic() < deadline, len(seen)


def test_entries_are_counted_by_table(switch: Switch) -> None:
    """Tables without entries are left out."""
    content = [TableEntry(4, 5, WEB), TableEntry(4, 6, WEB), TableEntry(9, 0, ())]
    switch.transact(CODEC.change({CODEC.cookie(entry): entry for entry in content}, (), {}, 1))
    counts = [CODEC.decode_counts(part) for part in switch.parts(CODEC.count())]
    assert counts == [{4: 2, 9: 1}]
