"""Real packets under limits, restrictions and steering, in a real Open vSwitch."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from ipaddress import ip_network

import pytest
from support.openflow import bridge
from support.spaces import host, inside, socket_in

from benchmarks.vfn.openflow import connection
from benchmarks.vfn.site import Site
from policies.acl import Policy
from policies.rules import Action, Mode, Peer, Protocol, SegmentationRule
from topology.addresses import mac_number
from topology.inventory import parse
from topology.model import Vm

pytestmark = [pytest.mark.ovs, pytest.mark.slow]

PORT = 7000
RATE = 500
FLOOD, SECONDS = 5_000, 2.0
NETWORK = parse(
    "segments: {s: , d: }\nvfns: {ez0: {dpid: 0xE200}}\nvms:\n"
    "  bad: {segment: s, vfn: ez0, port: ez-b, mac: '02:00:00:00:e2:01', addresses: [10.62.0.1]}\n"
    "  peer: {segment: s, vfn: ez0, port: ez-p, mac: '02:00:00:00:e2:02', addresses: [10.62.0.2]}\n"
    "  other: {segment: s, vfn: ez0, port: ez-o, mac: '02:00:00:00:e2:03', addresses: [10.62.0.3]}\n"
    "  decoy: {segment: d, vfn: ez0, port: ez-d, mac: '02:00:00:00:e2:04', addresses: [10.62.0.4], inspection: true}\n"
)
BAD, PEER, OTHER, DECOY = NETWORK.vms.values()


def rule(action: Action, **fields: object) -> SegmentationRule:
    """A rule about `bad`."""
    return SegmentationRule("e" * 12, action, "anna", 0.0, source_vm="bad", **fields)  # type: ignore[arg-type]


def enforce(site: Site, *rules: SegmentationRule) -> None:
    """These rules and no others, until no packet goes by what the switch had cached before."""
    site.enforce(*rules)
    for _ in range(2):
        subprocess.run(["ovs-appctl", "revalidator/wait"], check=True, timeout=60)


class End:
    """A VM's UDP socket."""

    def __init__(self, vm: Vm) -> None:
        self.address = (str(vm.addresses[0]), PORT)
        self.socket = socket_in(vm.port, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
        self.socket.bind(self.address)
        self.socket.settimeout(1.0)

    def says(self, other: End, *, heard: bool = True) -> None:
        """A word to another; it hears it, or, within a second, does not."""
        word = f"{time.monotonic_ns()}".encode()
        self.socket.sendto(word, other.address)
        got = []
        try:
            while word not in got:
                got.append(other.socket.recv(64))
        except TimeoutError:
            pass
        assert (word in got) is heard

    def count(self) -> int:
        """How many datagrams have come, when none has for a second."""
        found = 0
        with suppress(TimeoutError):
            while self.socket.recv(64):
                found += 1
        return found


def stream(sender: End, receiver: End, rate: int) -> tuple[int, float]:
    """Send so many a second; tells how many were sent and how long that took."""
    sent, begin = 0, time.monotonic()
    while (now := time.monotonic() - begin) < SECONDS:
        while sent < now * rate:
            sender.socket.sendto(b"x", receiver.address)
            sent += 1
        time.sleep(0.001)
    return sent, time.monotonic() - begin


@pytest.fixture
def site() -> Iterator[Site]:
    vms = list(NETWORK.vms.values())
    with ExitStack() as stack:
        stack.enter_context(bridge("ez0", dpid=0xE200))
        for number, vm in enumerate(vms, 1):
            stack.enter_context(host(vm, "ez0", number))
        made = Site(NETWORK, stack.enter_context(connection("ez0")))
        made.connect(Policy(), {vm.port: number for number, vm in enumerate(vms, 1)})
        yield made


@pytest.fixture
def ends(site: Site) -> Iterator[dict[str, End]]:
    found = {vm.name: End(vm) for vm in NETWORK.vms.values()}
    for one in (found["bad"], found["other"]):
        one.says(found["peer"])
    yield found
    for end in found.values():
        end.socket.close()


def test_a_flood_is_held_to_its_rate_and_nobody_elses(site: Site, ends: dict[str, End]) -> None:
    """Of 5,000 packets a second about as many pass as the limit says, either way; a neighbour's all pass."""
    bad, peer, other, decoy = (ends[name] for name in ("bad", "peer", "other", "decoy"))
    enforce(site, rule(Action.RATE_LIMIT, rate=RATE))
    for flooder, victim in ((bad, peer), (peer, bad)):
        neighbour = threading.Thread(target=stream, args=(other, decoy, RATE))
        neighbour.start()
        sent, seconds = stream(flooder, victim, FLOOD)
        neighbour.join()
        passed, share = victim.count(), decoy.count()
        print(f"{sent} packets sent in {seconds:.2f} s, {passed} passed; of the neighbour {share}")
        assert sent > 4 * RATE * seconds
        assert 0.7 * RATE * seconds <= passed <= 1.3 * RATE * seconds + RATE / 10
        assert share >= RATE * SECONDS - 1
    enforce(site)
    sent, _ = stream(bad, peer, FLOOD)
    assert peer.count() == sent


def test_a_restricted_vm_keeps_its_peer_and_loses_everybody_else(site: Site, ends: dict[str, End]) -> None:
    """What was going on with others ends in both directions; in observe nothing does."""
    bad, peer, other = ends["bad"], ends["peer"], ends["other"]
    bad.says(other)
    peers = (Peer(ip_network("10.62.0.2/32"), Protocol.UDP, PORT),)
    enforce(site, rule(Action.RESTRICT, peers=peers, mode=Mode.OBSERVE))
    other.says(bad)
    enforce(site)
    enforce(site, rule(Action.RESTRICT, peers=peers))
    bad.says(other, heard=False)
    other.says(bad, heard=False)
    bad.says(peer)
    peer.says(bad)
    other.says(peer)
    enforce(site)
    bad.says(other)


def test_a_decoy_gets_what_is_steered_and_answers_it(site: Site, ends: dict[str, End]) -> None:
    """Redirected, both directions end at the decoy, who may answer as the peer; mirrored, both arrive all the same."""
    bad, peer = ends["bad"], ends["peer"]
    with inside(DECOY.port):
        decoy = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    with decoy:
        decoy.bind((f"{DECOY.port}-in", 0x0800))
        decoy.settimeout(1.0)
        _steered(site, bad, peer, decoy)


def _steered(site: Site, bad: End, peer: End, decoy: socket.socket) -> None:
    enforce(site, rule(Action.STEER, target="decoy"))
    bad.says(peer, heard=False)
    asked = decoy.recv(2048)
    peer.says(bad, heard=False)
    assert (asked[6:12], asked[:6]) == (_mac(BAD), _mac(PEER))
    assert decoy.recv(2048)[6:12] == _mac(PEER)
    decoy.send(_mac(BAD) + _mac(PEER) + asked[12:26] + asked[30:34] + asked[26:30] + asked[34:])
    bad.socket.settimeout(5.0)
    assert bad.socket.recvfrom(64)[1] == peer.address
    bad.socket.settimeout(1.0)
    enforce(site)
    enforce(site, rule(Action.STEER, target="decoy", mirror=True))
    bad.says(peer)
    assert decoy.recv(2048)[6:12] == _mac(BAD)
    enforce(
        site, *(replace(rule(Action.STEER, target="decoy", mirror=True), id=vm, source_vm=vm) for vm in ("bad", "peer"))
    )
    bad.says(peer)
    peer.says(bad)
    assert [decoy.recv(2048)[6:12] for _ in range(2)] == [_mac(BAD), _mac(PEER)]


def _mac(vm: Vm) -> bytes:
    return mac_number(vm.mac).to_bytes(6, "big")
