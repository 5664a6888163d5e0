"""Who owns an address."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from topology.addresses import addresses_of, link_local, mac_number, owner
from topology.inventory import parse

INVENTORY = parse(
    "segments: {s: }\nvfns: {a: {dpid: 1}}\nvms:\n"
    "  one: {segment: s, vfn: a, port: p1, mac: '02:00:00:00:01:01', addresses: [10.0.0.1, 'fd00::1']}\n"
    "  two: {segment: s, vfn: a, port: p2, mac: '34:56:78:9a:bc:de', addresses: ['fe80::3656:78ff:fe9a:bcde']}\n"
)


def test_the_link_local_address_follows_from_the_mac() -> None:
    """The example of RFC 2464, section 4: 34-56-78-9A-BC-DE gives 3656:78FF:FE9A:BCDE."""
    assert link_local("34:56:78:9a:bc:de") == IPv6Address("fe80::3656:78ff:fe9a:bcde")
    assert mac_number("34:56:78:9a:bc:de") == 0x3456789ABCDE


def test_an_address_has_a_vm_or_lies_outside() -> None:
    """Written and link-local addresses lead to their VM, all others to nobody."""
    one, two = INVENTORY.vms["one"], INVENTORY.vms["two"]
    assert owner(INVENTORY, ip_address("10.0.0.1")) == one
    assert owner(INVENTORY, ip_address("fe80::ff:fe00:101")) == one
    assert owner(INVENTORY, ip_address("192.0.2.1")) is None
    assert owner(INVENTORY, ip_address("fe80::1")) is None
    assert addresses_of(one) == (*one.addresses, link_local(one.mac))
    assert addresses_of(two) == two.addresses
