"""Crafted headers on a real Open vSwitch: they fill its cache with flows, but not with masks (CVE-2019-25076)."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from itertools import product

import pytest
from support.network import ends, ip_packet
from support.openflow import Switch, bridge, ovs_vsctl
from support.wires import Wires, install, wire, wired

from policies.acl import Acl, AddressList, Peer, Policy, Service
from policies.pipeline.compile import compile_vfn
from policies.rules import Protocol, Tier, Verdict
from topology.addresses import mac_number
from topology.inventory import parse

pytestmark = pytest.mark.ovs

INVENTORY = parse("""
segments: {web: {default: deny, stateless: true}, db: {default: deny}, office: {default: allow}}
vfns: {here: {dpid: 1}}
links: []
vms:
  evil: {segment: web, vfn: here, port: gdm1, mac: "02:00:00:00:00:01", addresses: [10.0.0.1, "fd00::1"]}
  mate: {segment: office, vfn: here, port: gdm2, mac: "02:00:00:00:00:02", addresses: [10.0.0.2, "fd00::2"]}
  db1: {segment: db, vfn: here, port: gdm3, mac: "02:00:00:00:00:03", addresses: [10.0.0.3, "fd00::3"]}
  pal: {segment: office, vfn: here, port: gdm4, mac: "02:00:00:00:00:04", addresses: [10.0.0.4, "fd00::4"]}
outside:
  gate: {vfn: here, port: gdm5, mac: "02:00:00:00:ff:01", addresses: [192.0.2.1, "2001:db8::1"]}
""")
PORTS = {f"gdm{number}": number for number in range(1, 6)}
ENDS = {end.name: end for end in ends(INVENTORY)}
SERVED = 0x5A5A
LISTED = (ip_network("198.51.100.0/24"), ip_network("203.0.113.77/32"), ip_network("2001:db8:5a::/48"))
MAX_MASKS = 60
"""One port's 17 prefix lengths for TCP and UDP over IPv6, a few shapes of IPv4, of markers and of answers looked up."""


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    """A bridge with a port for each end that reports flows, as all of ours do."""
    with bridge("gdm", tuple(PORTS)) as switch:
        ovs_vsctl("--id=@n", "create", "NetFlow", 'targets="127.0.0.1:9"', "--", "set", "Bridge", "gdm", "netflow=@n")
        yield switch


@pytest.fixture(scope="module")
def wires(switch: Switch) -> Iterator[Wires]:
    """All ends."""
    with wired(ENDS.values(), ENDS["mate"]) as wires:
        yield wires


def policy(*more: Service) -> Policy:
    """Single ports and ranges, and a deny list in both directions."""
    services = (Service(Protocol.TCP, ((SERVED, SERVED), (8000, 8999))), Service(Protocol.UDP, ((SERVED, SERVED),)))
    blocked = Peer(list="blocked")
    return Policy(1, (
        Acl("served", Tier.POLICY, Verdict.ALLOW, Peer(segment="web"), Peer(segment="db"), (*services, *more)),
        Acl("serving", Tier.POLICY, Verdict.ALLOW, Peer(segment="db"), Peer(segment="web"), (*services, *more)),
        Acl("from blocked", Tier.INTEL, Verdict.DROP, source=blocked),
        Acl("to blocked", Tier.INTEL, Verdict.DROP, destination=blocked),
    ), {"blocked": AddressList("blocked", LISTED)})  # fmt: skip


def crafted() -> Iterator[bytes]:
    """Ports and addresses that differ from those of the policy first in one bit, at every place of it."""
    flipped = [SERVED ^ 1 << bit for bit in range(16)]
    for version, protocol in product((4, 6), ("tcp", "udp")):
        transport = {"ip_proto": 6, "tcp_flags": 0x10} if protocol == "tcp" else {"ip_proto": 17}
        for source, destination in product(flipped, flipped):
            ports = {**transport, f"{protocol}_src": source, f"{protocol}_dst": destination}
            yield _frame("10.0.0.3" if version == 4 else "fd00::3", ports)
    for net in LISTED:
        for bit in range(net.max_prefixlen):
            target = str(ip_address(int(net.network_address) ^ 1 << bit))
            yield _frame(target, {"ip_proto": 17, "udp_src": 5000, "udp_dst": SERVED})


def _frame(target: str, transport: dict[str, int]) -> bytes:
    """To the database, whatever the address."""
    address = ip_address(target)
    source = next(each for each in ENDS["evil"].addresses if each.version == address.version)
    return wire(ip_packet(ENDS["evil"], source, mac_number(ENDS["db1"].mac), address, transport))


def masks(port: str) -> set[str]:
    """What is left of the cached flows of a port without their values."""
    dump = subprocess.run(["ovs-appctl", "dpctl/dump-flows", "-m"], check=True, capture_output=True, text=True).stdout
    flows = [line.partition(", packets:")[0] for line in dump.splitlines() if f"in_port({port})" in line]
    return {re.sub(r"ufid:\S+|=[^/,()]+|recirc_id\(\w+\)", "", flow) for flow in flows}


RANGES = Service(Protocol.UDP, ((0x4000, 0x5000),))
SOURCES = Service(Protocol.TCP, ((443, 443),), ((SERVED, SERVED), (1024, 2047)))


@pytest.mark.parametrize("more", [(RANGES,), (RANGES, SOURCES)], ids=["destination ports", "source ports, too"])
def test_crafted_headers_call_forth_few_masks(switch: Switch, wires: Wires, more: tuple[Service, ...]) -> None:
    """Over a thousand frames, each crafted to be looked up otherwise, are cached under a bounded number of masks."""
    install(switch, compile_vfn(INVENTORY, "here", PORTS, (), policy(*more)))
    frames = list(crafted())
    assert len(set(frames)) > 1000
    wires.reached("evil", frames)
    assert 1 < len(masks("gdm1")) <= MAX_MASKS
