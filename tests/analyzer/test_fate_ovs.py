"""A rule that comes while a flow goes on, on real switches: the record has a row for each time."""

import subprocess

import pytest

from analyzer.archive.decisions import Decision
from benchmarks.traffic.frames import udp
from benchmarks.traffic.site import MARKER_PORT, Assembly, Ends, site
from benchmarks.vfn.datapath import follow
from mininet_labs.children import wait_for

pytestmark = pytest.mark.ovs

PACKETS = 7
SIZE = 100
PORTS = (30_000, 4789)


def send(ends: Ends, assembly: Assembly, beyond: int) -> None:
    """Some packets from p1 to p4, three VFNs away, and wait until all is reported: `beyond` of them by the last VFN."""
    frame = udp(ends.ends["p1"], ends.ends["p4"], PORTS, SIZE)
    wanted = assembly.packets + PACKETS + 3, assembly.beyond + beyond + 2  # with the markers
    ends.send([("p1", frame)] * PACKETS, ("p1",))

    def reported() -> bool:
        assembly.collect()
        return assembly.packets >= wanted[0] and assembly.beyond >= wanted[1]

    wait_for("reports", reported, 30.0)


@pytest.mark.parametrize(("vfn", "seen"), [("xt1", 0), ("xt3", PACKETS)])
def test_a_rule_that_comes_later_makes_a_row_of_its_own(vfn: str, seen: int) -> None:
    """Allowed, then denied where the flow enters or where it leaves, then allowed again: no packet in two rows.

    VFNs report at different moments of a second: what the last one says may come after the packets it is about.
    """
    drop = "table=0,priority=65000,udp,tp_dst=4789"
    with site() as (ends, assembly, _):
        for _ in range(2):
            send(ends, assembly, PACKETS)
        subprocess.run(["ovs-ofctl", "-O", "OpenFlow13", "add-flow", vfn, f"{drop},actions=drop"], check=True)
        follow()
        for _ in range(2):
            send(ends, assembly, seen)
        subprocess.run(["ovs-ofctl", "-O", "OpenFlow13", "--strict", "del-flows", vfn, drop], check=True)
        follow()
        for _ in range(2):
            send(ends, assembly, PACKETS)
        parts, decided = assembly.result()
    own = parts.rows["dst_port"] == PORTS[1]
    assert (parts.rows["dst_port"] == MARKER_PORT).any()
    found = [Decision(one) for one in decided.decision[own].tolist()]
    assert found == [Decision.ALLOWED, Decision.DENIED, Decision.ALLOWED]
    packets = parts.rows["src_pkts"][own]
    assert int(packets.sum()) == 6 * PACKETS
    assert int(parts.rows["src_bytes"][own].sum()) == 6 * PACKETS * SIZE
    if vfn == "xt1":
        assert packets.tolist() == [2 * PACKETS] * 3
    else:
        assert (packets >= PACKETS).all()
    assert parts.number[own].tolist() == [0, 1, 2]
