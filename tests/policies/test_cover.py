"""Which rule leaves another one nothing to decide: said only where it is sure."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.acl import Acl, AddressList, Mode, Peer, Service
from policies.cover import covers, decided_before
from policies.rules import Protocol, Tier, Verdict
from topology.inventory import parse

INVENTORY = parse(
    "segments: {web: , db: }\nvfns: {v1: {dpid: 1}}\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  db1: {segment: db, vfn: v1, port: d1, mac: '02:00:00:00:00:02', addresses: [10.0.0.2]}\n"
)
LISTS = {"bad": AddressList("bad", (ip_network("203.0.113.0/24"),))}
NET, HOST = (ip_network("198.51.100.0/24"),), (ip_network("198.51.100.7/32"),)
PEERS = (
    Peer(), Peer(vm="web1"), Peer(vm="db1"), Peer(segment="web"), Peer(segment="db"), Peer(not_segment="web"),
    Peer(nets=NET), Peer(nets=HOST), Peer(nets=(*HOST, *LISTS["bad"].nets)), Peer(list="bad"),
)  # fmt: skip
SAME = {(number, number) for number in range(len(PEERS))}
WIDER = SAME | {(0, number) for number in range(len(PEERS))} | {(3, 1), (4, 2), (5, 2), (5, 4), (6, 7), (8, 7), (8, 9)}
"""Of which pairs of these the first holds all of the second."""
SERVICES = (
    (),
    (Service(Protocol.TCP),),
    (Service(Protocol.TCP, ((80, 90),)),),
    (Service(Protocol.TCP, ((80, 80),)), Service(Protocol.TCP, ((85, 86),))),
    (Service(Protocol.UDP, ((80, 80),)),),
    (Service(Protocol.TCP, ((80, 80),), ((1024, 65535),)),),
)
WIDER_SERVICES = (
    {(0, number) for number in range(6)} | {(number, number) for number in range(6)}
    | {(1, 2), (1, 3), (1, 5), (2, 3), (2, 5), (3, 5)}
)  # fmt: skip


def acl(source: Peer, destination: Peer, services: tuple[Service, ...] = (), tier: Tier = Tier.POLICY) -> Acl:
    return Acl("a", tier, Verdict.DROP, source, destination, services)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 5), st.integers(0, 5))
def test_all_three_parts_have_to_hold_the_others(s1: int, s2: int, d1: int, d2: int, v1: int, v2: int) -> None:
    """Source, destination and services, each by itself."""
    first, second = acl(PEERS[s1], PEERS[d1], SERVICES[v1]), acl(PEERS[s2], PEERS[d2], SERVICES[v2])
    expected = (s1, s2) in WIDER and (d1, d2) in WIDER and (v1, v2) in WIDER_SERVICES
    assert covers(first, second, INVENTORY, LISTS) is expected


def test_what_is_asked_earlier_and_enforces_comes_before() -> None:
    """A higher tier, then a higher rank, then a drop beside an allow; what only counts decides nothing."""
    low, high = acl(PEERS[1], PEERS[0]), acl(PEERS[3], PEERS[0], tier=Tier.EMERGENCY)
    assert decided_before(low, [low, high], INVENTORY, LISTS) is high
    assert decided_before(low, [low, replace(high, mode=Mode.OBSERVE)], INVENTORY, LISTS) is None
    assert decided_before(high, [low, high], INVENTORY, LISTS) is None
    ranked, drop = replace(high, tier=low.tier, rank=low.rank + 1), replace(high, tier=low.tier, verdict=Verdict.DROP)
    assert decided_before(low, [replace(ranked, rank=low.rank - 1), ranked], INVENTORY, LISTS) is ranked
    assert decided_before(replace(low, verdict=Verdict.ALLOW), [drop], INVENTORY, LISTS) is drop
    assert decided_before(low, [drop, replace(drop, verdict=Verdict.ALLOW)], INVENTORY, LISTS) is None
    assert decided_before(low, [replace(high, unless=())], INVENTORY, LISTS) is None, "a restriction leaves something"


@pytest.mark.parametrize("wide", PEERS[1:])
def test_nothing_certain_holds_anybody(wide: Peer) -> None:
    """Whatever is named is less than everybody."""
    assert not covers(acl(wide, Peer()), acl(Peer(), Peer()), INVENTORY, LISTS)
