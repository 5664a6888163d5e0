"""Traffic that the old and the new policy allow does not notice that there is another policy, or another engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network

import pytest
from support.openflow import bridge
from support.spaces import host
from support.streams import talking

from benchmarks.vfn.openflow import connection
from benchmarks.vfn.site import Site
from policies.acl import Acl, Peer, Policy, Service
from policies.rules import Protocol, Tier, Verdict
from topology.inventory import parse

pytestmark = [pytest.mark.ovs, pytest.mark.slow]

RULES, EDITS = 5_000, 100
NETWORK = parse(
    "segments: {office: {default: deny}, shop: {default: deny}}\nvfns: {mb0: {dpid: 0x4B00}}\nvms:\n"
    "  client: {segment: office, vfn: mb0, port: mb-c, mac: '02:00:00:00:4b:01', addresses: [10.75.0.1]}\n"
    "  server: {segment: shop, vfn: mb0, port: mb-s, mac: '02:00:00:00:4b:02', addresses: [10.75.0.2]}\n"
)
CLIENT, SERVER = NETWORK.vms["client"], NETWORK.vms["server"]


def crowd() -> tuple[Acl, ...]:
    """Rules about the shop that have nothing to do with the stream."""
    tcp = Protocol.TCP
    return tuple(
        Acl(
            f"r{number}",
            Tier.POLICY,
            Verdict.DROP if number % 9 == 0 else Verdict.ALLOW,
            Peer(nets=(ip_network((0xC633_6400 + (number % 64), 32)),)),
            Peer(segment="shop"),
            (Service(tcp, ((1000 + number, 1000 + number),)),),
        )
        for number in range(RULES - 1)
    )


def allow(edit: int) -> Acl:
    """The rule that allows the stream: each time another one, that does it in another way."""
    ends = [
        (Peer(segment="office"), Peer(segment="shop")),
        (Peer(vm="client"), Peer(vm="server")),
        (Peer(nets=(ip_network("10.75.0.0/24"),)), Peer(segment="shop")),
        (Peer(), Peer(nets=(ip_network("10.75.0.2/32"),))),
    ]
    source, destination = ends[edit % len(ends)]
    services = (Service(Protocol.UDP, ((7000 - edit % 3, 7000),)),)
    return Acl(f"stream{edit}", Tier.POLICY, Verdict.ALLOW, source, destination, services, rank=1000 + edit)


def edited(base: tuple[Acl, ...], edit: int) -> Policy:
    """The policy after so many edits: another rule for the stream, and a few of the crowd turned round."""
    turned = {(edit * 37 + number) % len(base) for number in range(5)}
    verdicts = {Verdict.ALLOW: Verdict.DROP, Verdict.DROP: Verdict.ALLOW}
    acls = tuple(
        replace(acl, verdict=verdicts[acl.verdict]) if number in turned else acl for number, acl in enumerate(base)
    )
    return Policy(edit + 1, (*acls, allow(edit)))


@pytest.fixture
def site() -> Iterator[Site]:
    with (
        bridge("mb0", dpid=0x4B00),
        host(CLIENT, "mb0", 1),
        host(SERVER, "mb0", 2),
        connection("mb0") as session,
    ):
        made = Site(NETWORK, session)
        made.connect(edited(crowd(), 0), {CLIENT.port: 1, SERVER.port: 2})
        yield made


def test_edits_lose_no_packet(site: Site) -> None:
    """A 1 kHz stream and its answers go on through 100 edits or more of 5,000 rules; each replaces what allows it."""
    base = crowd()
    with talking(CLIENT, SERVER) as talk:
        edit, until = 0, time.monotonic() + 0.025 * EDITS  # quick edits are made until the stream has been on that long
        while edit < EDITS or time.monotonic() < until:
            edit += 1
            site.change(edited(base, edit))
    print(f"{edit} edits of {RULES} rules; sent {talk.sent}, lost {talk.lost}")
    assert min(talk.sent.values()) > 20 * EDITS
    assert talk.lost == {CLIENT.name: 0, SERVER.name: 0}


def test_an_edit_that_takes_the_allow_away_is_noticed(site: Site) -> None:
    """The measurement can fail: while no rule allows it, packets of the stream and of its answers are lost."""
    base = crowd()
    with talking(CLIENT, SERVER) as talk:
        for edit in range(1, 6):
            site.change(Policy(edit, base))
            site.change(edited(base, edit))
    assert min(talk.lost.values()) > 0
    assert min(talk.sent.values()) > max(talk.lost.values()), "while it is allowed they pass"
