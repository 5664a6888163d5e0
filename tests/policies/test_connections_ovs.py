"""Real connections between namespaces over two bridges: what is allowed is answered, what no longer is, is cut."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from support.control import until
from support.openflow import Switch, bridge, ovs_vsctl
from support.spaces import host, socket_in

from policies.acl import Acl, Mode, Peer, Policy, Service
from policies.entries import TableEntry
from policies.pipeline.compile import compile_vfn
from policies.pipeline.judgement import mark
from policies.pipeline.tables import Table
from policies.pipeline.taps import PortMeters
from policies.rules import Protocol, Tier, Verdict
from ryu_apps.wire.codec import WireCodec
from topology.inventory import parse

pytestmark = [pytest.mark.ovs, pytest.mark.slow]

INVENTORY = parse("""
segments:
  closed: {default: deny}
  shy: {default: deny, outward: deny}
  fast: {default: deny, stateless: true}
vfns: {nca: {dpid: 0xAC01}, ncb: {dpid: 0xAC02}}
links: [{a: nca, a_port: nca-up, b: ncb, b_port: ncb-up}]
vms:
  client: {segment: closed, vfn: nca, port: nc-client, mac: "02:00:00:00:ac:01", addresses: [10.8.0.1, "fd00:8::1"]}
  server: {segment: shy, vfn: ncb, port: nc-server, mac: "02:00:00:00:ac:02", addresses: [10.8.0.2, "fd00:8::2"]}
  quick: {segment: fast, vfn: ncb, port: nc-quick, mac: "02:00:00:00:ac:03", addresses: [10.8.0.3, "fd00:8::3"]}
""")
PORTS = {"nca": {"nca-up": 1, "nc-client": 2}, "ncb": {"ncb-up": 1, "nc-server": 2, "nc-quick": 3}}
CODEC = WireCodec()
SERVICE, OTHER = 5000, 5001
PATIENCE = 5.0
"""Seconds for what must come."""
SILENCE = 0.3
"""Seconds without what must not."""


def acl(name: str, verdict: Verdict, source: str, destination: str, *services: Service, **fields: Any) -> Acl:
    """A rule between segments, in the policy's tier."""
    ends = Peer(segment=source), Peer(segment=destination)
    return Acl(name, Tier.POLICY, verdict, *ends, services, **fields)


TCP = Service(Protocol.TCP, ((SERVICE, SERVICE),))
UDP = Service(Protocol.UDP, ((SERVICE, SERVICE),))
ASK = acl("ask", Verdict.ALLOW, "closed", "shy", TCP, UDP, Service(Protocol.ICMP))
ASK_ANEW = acl("ask-anew", Verdict.ALLOW, "closed", "shy", TCP, UDP, rank=7)
FORBID = acl("forbid", Verdict.DROP, "closed", "shy", TCP, rank=2000)
SPEED = acl("speed", Verdict.ALLOW, "closed", "fast", TCP, UDP)


@dataclass(frozen=True)
class World:
    """Two bridges with their hosts."""

    switches: Mapping[str, Switch]

    def lay_down(self, *acls: Acl) -> None:
        """The switches hold what this policy asks for, by one bundle each, and forward by it."""
        for vfn, switch in self.switches.items():
            desired = {CODEC.cookie(entry): entry for entry in self.compiled(vfn, acls)}
            missing, foreign = CODEC.differences(desired, switch.entries())
            assert switch.transact(CODEC.change(missing, foreign, {}, 1)).errors == ()
        for _ in range(2):  # the pass that ends first may have begun before the change
            subprocess.run(["ovs-appctl", "revalidator/wait"], check=True)

    def compiled(self, vfn: str, acls: tuple[Acl, ...]) -> tuple[TableEntry, ...]:
        """Entries of a VFN."""
        return compile_vfn(INVENTORY, vfn, PORTS[vfn], (), Policy(1, acls))

    def counted(self, name: str, table: Table, *acls: Acl) -> int:
        """Packets that met the entries of a rule in a table, on both bridges, while this policy stands."""
        found = 0
        for vfn, switch in self.switches.items():
            entries = (entry for entry in self.compiled(vfn, acls) if entry.table == table and name in entry.rules)
            cookies = {CODEC.cookie(entry) for entry in entries}
            found += sum(entry.packets for entry in switch.entries() if entry.cookie in cookies)
        return found


@pytest.fixture(scope="module")
def hosts() -> Iterator[World]:
    with ExitStack() as stack:
        switches = {vfn: stack.enter_context(bridge(vfn, (), INVENTORY.vfns[vfn].dpid)) for vfn in INVENTORY.vfns}
        for vfn, other in (("nca", "ncb"), ("ncb", "nca")):
            patch = ["type=patch", f"options:peer={other}-up", "ofport_request=1"]
            ovs_vsctl("add-port", vfn, f"{vfn}-up", "--", "set", "Interface", f"{vfn}-up", *patch)
        for vm in INVENTORY.vms.values():
            stack.enter_context(host(vm, vm.vfn, PORTS[vm.vfn][vm.port]))
            meters = dict.fromkeys([vm.number, *PortMeters.of(PORTS[vm.vfn][vm.port])], 1000)
            answer = switches[vm.vfn].send(CODEC.set_meters(meters))
            assert answer.errors == ()
        yield World(switches)


@pytest.fixture
def world(hosts: World) -> World:
    """Nothing is allowed, nothing is known."""
    hosts.lay_down()
    subprocess.run(["ovs-appctl", "dpctl/flush-conntrack"], check=True)
    return hosts


def address(name: str, version: int) -> str:
    return next(str(one) for one in INVENTORY.vms[name].addresses if one.version == version)


def udp(name: str, version: int = 4, port: int = 0) -> socket.socket:
    """A datagram socket of a host, at a port of its own."""
    sock = socket_in(INVENTORY.vms[name].port, socket.SOCK_DGRAM, version)
    sock.bind((address(name, version), port))
    return sock


@contextmanager
def connection(client: str, server: str, version: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection to the service: both its ends."""
    with socket_in(INVENTORY.vms[server].port, socket.SOCK_STREAM, version) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address(server, version), SERVICE))
        listening.listen()
        listening.settimeout(PATIENCE)
        with socket_in(INVENTORY.vms[client].port, socket.SOCK_STREAM, version) as one:
            one.settimeout(PATIENCE)
            one.connect((address(server, version), SERVICE))
            other, _ = listening.accept()
            with other:
                yield one, other


def arrives(sender: socket.socket, receiver: socket.socket, word: bytes, patience: float = PATIENCE) -> bool:
    """Does what the one end of a connection says come to the other?"""
    sender.sendall(word)
    receiver.settimeout(patience)
    try:
        return receiver.recv(100).endswith(word)
    except TimeoutError:
        return False


def hears(receiver: socket.socket, patience: float = PATIENCE) -> bytes | None:
    """The next datagram."""
    receiver.settimeout(patience)
    try:
        return receiver.recv(100)
    except TimeoutError:
        return None


def conntrack() -> list[str]:
    """The connections that the switch keeps."""
    command = ["ovs-appctl", "dpctl/dump-conntrack"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def pings(source: str, destination: str, version: int) -> bool:
    command = ["ping", "-c", "1", "-W", "1", address(destination, version)]
    space = ["ip", "netns", "exec", INVENTORY.vms[source].port]
    return subprocess.run([*space, *command], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("version", [4, 6])
def test_answers_pass_and_nothing_else_comes_back(world: World, version: int) -> None:
    """A client in a default-deny segment is answered by a server that may send nothing itself."""
    world.lay_down(ASK)
    with connection("client", "server", version) as (client, server):
        assert arrives(client, server, b"request")
        assert arrives(server, client, b"answer")
    with socket_in("nc-server", socket.SOCK_STREAM, version) as back:
        back.settimeout(SILENCE)
        with pytest.raises(TimeoutError):
            back.connect((address("client", version), SERVICE))
    assert pings("client", "server", version)
    assert not pings("server", "client", version)


@pytest.mark.parametrize("version", [4, 6])
def test_datagrams_are_answered_from_where_they_went(world: World, version: int) -> None:
    """The reply of the port that was asked arrives, one from another port does not; a refusal by ICMP does."""
    world.lay_down(ASK)
    with udp("client", version) as client, udp("server", version, SERVICE) as server, udp("server", version) as other:
        client.sendto(b"request", (address("server", version), SERVICE))
        assert hears(server) == b"request"
        other.sendto(b"stranger", client.getsockname())
        server.sendto(b"answer", client.getsockname())
        assert hears(client) == b"answer"
        assert hears(client, SILENCE) is None
    with udp("client", version) as client:
        client.connect((address("server", version), SERVICE))
        client.send(b"nobody there")
        with pytest.raises(ConnectionRefusedError):
            hears(client)


@pytest.mark.parametrize("version", [4, 6])
def test_taking_the_allow_away_cuts_the_connection_both_ways(world: World, version: int) -> None:
    """No word passes either way while it is not allowed; once it is again, by another rule, all that was said does."""
    world.lay_down(ASK)
    with connection("client", "server", version) as (client, server):
        assert arrives(client, server, b"one")
        assert arrives(server, client, b"two")
        world.lay_down()
        assert not arrives(client, server, b"three", SILENCE)
        assert not arrives(server, client, b"four", SILENCE)
        world.lay_down(ASK_ANEW)
        assert server.recv(100) == b"three"
        client.settimeout(PATIENCE)
        assert client.recv(100) == b"four"


def test_a_new_deny_cuts_both_ways(world: World) -> None:
    """A deny above the allow ends a running connection, the server's half too."""
    world.lay_down(ASK)
    with connection("client", "server", 4) as (client, server):
        assert arrives(client, server, b"one")
        world.lay_down(ASK, FORBID)
        assert not arrives(server, client, b"two", SILENCE)
        assert not arrives(client, server, b"three", SILENCE)
        until(lambda: world.counted("forbid", Table.REVERSE, ASK, FORBID), "answers are refused by name")
        until(lambda: world.counted("forbid", Table.DENIED, ASK, FORBID), "packets are refused by name")


def test_replacing_a_rule_by_another_loses_nothing(world: World) -> None:
    """A connection that both policies allow notices nothing of the change, and is known under the new rule's mark."""
    world.lay_down(ASK)
    with connection("client", "server", 4) as (client, server):
        for number in range(4):
            world.lay_down(ASK_ANEW if number % 2 else ASK)
            assert arrives(client, server, b"%d" % number, SILENCE)
            assert arrives(server, client, b"%d" % number, SILENCE)
        ours = [line for line in conntrack() if f"sport={client.getsockname()[1]},dport={SERVICE}" in line]
        assert len(ours) == 2, "one in the zone of each end"
        assert all(f"mark={mark('ask-anew')}" in line for line in ours), ours


@pytest.mark.parametrize("version", [4, 6])
def test_a_stateless_segment_is_answered_without_being_tracked(world: World, version: int) -> None:
    """Connections into it work, none is kept, and it still cannot open one itself."""
    world.lay_down(SPEED)
    with connection("client", "quick", version) as (client, quick):
        assert arrives(client, quick, b"request")
        assert arrives(quick, client, b"answer")
    assert not [line for line in conntrack() if address("quick", version) in line]
    with socket_in("nc-quick", socket.SOCK_STREAM, version) as back:
        back.settimeout(SILENCE)
        with pytest.raises(TimeoutError):
            back.connect((address("client", version), SERVICE))


def test_observation_counts_exactly_and_lets_pass(world: World) -> None:
    """Of what rules in observe would drop every packet arrives and is counted once; answers are not counted."""
    ports = (Service(Protocol.UDP, ((SERVICE, OTHER),)),)
    watch = acl("watch", Verdict.DROP, "closed", "shy", Service(Protocol.UDP, ((OTHER, OTHER),)), mode=Mode.OBSERVE)
    back = acl("back", Verdict.DROP, "shy", "closed", mode=Mode.OBSERVE)
    allowed = (acl("ask", Verdict.ALLOW, "closed", "shy", *ports), acl("open", Verdict.ALLOW, "shy", "closed"))
    policy = (*allowed, watch, back)
    world.lay_down(*policy)
    with udp("client") as client, udp("server", 4, SERVICE) as server, udp("server", 4, OTHER) as other:
        for _ in range(50):
            client.sendto(b"request", server.getsockname())
            assert hears(server)
            server.sendto(b"answer", client.getsockname())
            assert hears(client)
        for _ in range(7):
            other.sendto(b"unasked", client.getsockname())
            assert hears(client)
        for _ in range(20):
            client.sendto(b"watched", other.getsockname())
            assert hears(other)
    until(lambda: _seen(world, policy) >= (20, 7), "what was observed")
    subprocess.run(["ovs-appctl", "revalidator/wait"], check=True)
    assert _seen(world, policy) == (20, 7)


def _seen(world: World, policy: tuple[Acl, ...]) -> tuple[int, ...]:
    return tuple(world.counted(name, Table.SHADOW_DENIED, *policy) for name in ("watch", "back"))
