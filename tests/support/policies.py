"""Hypothesis strategies: policies of every shape over an inventory, and packets that they might be about."""

from __future__ import annotations

from ipaddress import ip_network

from hypothesis import strategies as st
from support.network import OUTSIDE_ADDRESSES, own_addresses

from policies.acl import Acl, AddressList, Mode, Peer, Policy, Service
from policies.reference import ICMP, SCTP, TCP, UDP, Packet
from policies.rules import Network, Protocol, Tier, Verdict
from topology.model import OUTSIDE, Address, Inventory, OutsidePort, Vm

PORTS = (22, 53, 80, 443, 8000, 8080, 50000)
RANGES = ((22, 22), (53, 80), (80, 80), (443, 8000), (1, 65535), (1024, 65535), (50000, 50000))
_LISTS = ("grey", "black")
_ICMP_TYPES = {4: (0, 3, 8, 13), 6: (1, 3, 128, 129)}
_WITH_PORTS = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)


@st.composite
def nets(draw: st.DrawFn, inventory: Inventory) -> Network:
    """A prefix around somebody's address, rarely of everything."""
    known = [address for vm in inventory.vms.values() for address in vm.addresses]
    address = draw(st.sampled_from([*known, *OUTSIDE_ADDRESSES]))
    shorter = draw(st.sampled_from((0, 0, 1, 3, 8, address.max_prefixlen)))
    return ip_network(f"{address}/{address.max_prefixlen - shorter}", strict=False)


def peers(inventory: Inventory, lists: tuple[str, ...]) -> st.SearchStrategy[Peer]:
    """Any end of a rule."""
    kinds = [
        st.just(Peer()),
        st.builds(lambda name: Peer(vm=name), st.sampled_from(list(inventory.vms))),
        st.builds(lambda name: Peer(segment=name), st.sampled_from([*inventory.segments, OUTSIDE])),
        st.builds(lambda found: Peer(nets=tuple(found)), st.lists(nets(inventory), min_size=1, max_size=2)),
    ]
    if lists:
        kinds.append(st.builds(lambda name: Peer(list=name), st.sampled_from(lists)))
    return st.one_of(kinds)


@st.composite
def services(draw: st.DrawFn) -> Service:
    """A protocol, and for some of them ports."""
    protocol = draw(st.sampled_from(list(Protocol)))
    ranges = st.lists(st.sampled_from(RANGES), max_size=2).map(tuple)
    if protocol not in _WITH_PORTS:
        return Service(protocol)
    return Service(protocol, draw(ranges), draw(st.one_of(st.just(()), ranges)))


@st.composite
def policies(draw: st.DrawFn, inventory: Inventory, *, most: int = 6) -> Policy:
    """Rules of a few tiers and ranks, so that they overlap and contradict; lists, one of them perhaps empty."""
    names = _LISTS[: draw(st.integers(0, len(_LISTS)))]
    lists = {name: AddressList(name, tuple(draw(st.lists(nets(inventory), max_size=4)))) for name in names}
    acls = []
    for number in range(draw(st.integers(0, most))):
        tier = draw(st.sampled_from((Tier.POLICY, Tier.POLICY, Tier.LEARNED, Tier.OPERATOR, Tier.EMERGENCY)))
        acls.append(
            Acl(
                f"rule{number}",
                tier,
                draw(st.sampled_from(list(Verdict))),
                draw(peers(inventory, names)),
                draw(peers(inventory, names)),
                tuple(draw(st.lists(services(), max_size=2))),
                draw(st.sampled_from((0, 1000, 1001))),
                draw(st.sampled_from((Mode.ENFORCE, Mode.ENFORCE, Mode.OBSERVE))),
            )
        )
    return Policy(1, tuple(acls), lists)


@st.composite
def packets(draw: st.DrawFn, inventory: Inventory) -> tuple[Vm | OutsidePort, Vm | OutsidePort, Packet]:
    """An IP packet from one end to another, with who sends and who shall get it."""
    ends: list[Vm | OutsidePort] = [*inventory.vms.values(), *inventory.outside.values()]
    sender, target = draw(st.permutations(ends))[:2]
    family = draw(st.sampled_from((4, 6)))
    protocol = draw(st.sampled_from((TCP, TCP, UDP, SCTP, ICMP[family], 47)))
    return (
        sender,
        target,
        Packet(
            sender.name if isinstance(sender, Vm) else None,
            target.name if isinstance(target, Vm) else None,
            _address(sender, family),
            _address(target, family),
            protocol,
            draw(st.sampled_from(PORTS)) if protocol in (TCP, UDP, SCTP) else 0,
            draw(st.sampled_from(PORTS)) if protocol in (TCP, UDP, SCTP) else 0,
            draw(st.sampled_from((0x02, 0x12, 0x10, 0x04, 0x11))) if protocol == TCP else 0,
            draw(st.sampled_from(_ICMP_TYPES[family])) if protocol == ICMP[family] else None,
        ),
    )


def _address(end: Vm | OutsidePort, family: int) -> Address:
    return next(address for address in own_addresses(end) if address.version == family)


def transport(packet: Packet) -> dict[str, int]:
    """Fields above IP, as the switch parses them."""
    assert packet.protocol is not None
    names = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}
    fields = {"ip_proto": packet.protocol}
    if packet.protocol in names:
        name = names[packet.protocol]
        fields |= {f"{name}_src": packet.source_port, f"{name}_dst": packet.destination_port}
    if packet.protocol == TCP:
        fields["tcp_flags"] = packet.tcp_flags
    if packet.icmp_type is not None:
        assert packet.source_address is not None
        version = packet.source_address.version
        fields |= {f"icmpv{version}_type": packet.icmp_type, f"icmpv{version}_code": 0}
    return fields
