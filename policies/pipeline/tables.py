"""Names and numbers of the pipeline: tables, registers, protocol constants, and how an entry is written down."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache

from policies.entries import Field, SetField, Step, TableEntry

Matches = Mapping[str, int | tuple[int, int]]
"""Field name -> value, or (value, mask)."""


class Table(IntEnum):
    """The tables, in the order in which a packet passes them. From SHADOW on none decides: they count or copy."""

    GUARD = 0
    """Ports speak as themselves, cut ports not at all."""
    BORDER = 1
    """What outside ports send: nobody outside is a VM."""
    TAP = 2
    SOURCE_LISTS = 3
    DESTINATION_LISTS = 4
    SOURCE = 5
    DESTINATION = 6
    OBSERVE = 7
    """Sends the packet through the shadow tables first, where a rule is in observe."""
    ENFORCEMENT = 8
    """Rules by tier, defaults: to COMMIT, LOOKUP, or nowhere."""
    LOOKUP = 9
    """What no rule allows: might it be an answer?"""
    ANSWERS = 10
    """The same packet, with its connection's state."""
    REVERSE = 11
    """Is the connection that it answers allowed?"""
    DENIED = 12
    """Drops, counted by rule."""
    COMMIT = 13
    """What is allowed: will its answers need its connection to be known?"""
    KEEP = 14
    """Then that is kept."""
    SENT = 15
    """What passes: is its source limited, or steered to an inspection port?"""
    RECEIVED = 16
    """The same of its destination."""
    FORWARD = 17
    SHADOW = 18
    SHADOW_LOOKUP = 19
    SHADOW_ANSWERS = 20
    SHADOW_REVERSE = 21
    SHADOW_DENIED = 22
    COPIES = 23
    """Of what enters: is it copied to the controller?"""
    OPENINGS = 24
    """Copies of what opens TCP connections."""
    NAMES = 25
    """Copies of what tells names and addresses: DNS, DHCP, ARP."""
    HELLOS = 26
    """Copies of what clients say first."""
    DELIVERED = 27
    """Of what goes out to a VM: is it copied?"""
    FLOWS = 28
    """IPv6 packets, told of by IPFIX."""


SOURCE_SEGMENT = "reg0"
DESTINATION_SEGMENT = "reg1"
SOURCE_VM = "reg2"
DESTINATION = "reg3"
"""Number of the destination VM, or `OUTSIDE_PORT` + number of the outside port; 0: neither."""
FROM_HERE = "reg4"
"""1: came in from a VM or outside port of this VFN."""
TO_HERE = "reg5"
"""1: goes out to VMs or outside ports of this VFN."""
SOURCE_LISTS = "reg6"
"""A bit for each address list that the source address is in."""
MARK = "reg7"
"""Mark of the rule that decided in ENFORCEMENT; becomes the `ct_mark`."""
DESTINATION_LISTS = "reg8"
SHADOW_MARK = "reg10"
"""`MARK` of the shadow tables."""
SHAPELESS = "reg11"
"""1: nothing tells whether the packet is an answer."""
NEXT_VFN = "reg9"
"""Number + 1 of the VFN where the destination is, if it is another."""
SOURCE_SPARED = "reg12"
"""1: it is what a restricted source may say."""
DESTINATION_SPARED = "reg13"
"""1: it is what a restricted destination may be told."""
COPIED = SOURCE_SPARED
"""From SENT on: `COPIED_TO` + number of the inspection port that has a copy of the packet."""
SHADOW_SOURCE_SPARED = "reg14"
SHADOW_DESTINATION_SPARED = "reg15"

COPIED_TO = 1 << 16
"""Above any port's number, and what restrictions leave in that register."""
OUTSIDE_PORT = 1 << 31
BROADCAST = 65535
"""Destination segment of broadcasts and multicasts."""
NOWHERE = 65536
"""Destination segment of what is for nobody that this VFN knows of: not the outside, and never forwarded."""

ARP = 0x0806
IPV4 = 0x0800
IPV6 = 0x86DD

TCP = 6
UDP = 17
SCTP = 132
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
"""TCP flags."""
ICMP = {4: 1, 6: 58}
"""Protocol number of ICMP by IP version."""
ICMPV6 = ICMP[6]
ETHERTYPES = {4: IPV4, 6: IPV6}
"""By IP version."""

MLD_QUERY = 130
ROUTER_SOLICITATION = 133
ROUTER_ADVERTISEMENT = 134
NEIGHBOUR_SOLICITATION = 135
NEIGHBOUR_ADVERTISEMENT = 136
REDIRECT = 137

BROADCAST_MAC = (1 << 48) - 1
GROUP_BIT = 1 << 40
"""Set in the first byte of every multicast MAC."""


def match(fields: Matches) -> tuple[Field, ...]:
    """Match fields in the one order that entries have."""
    names = tuple(fields)
    return tuple([_field(name, fields[name]) for name in _sorted(names)])


@lru_cache(1024)
def _sorted(names: tuple[str, ...]) -> tuple[str, ...]:
    """Entries have few combinations of fields."""
    return tuple(sorted(names))


@lru_cache(1 << 16)
def _field(name: str, value: int | tuple[int, int]) -> Field:
    """A MAC, an address, a protocol stands in many entries that are made one after the other; once in memory does."""
    return Field(name, *value) if isinstance(value, tuple) else Field(name, value)


def prefix(name: str, address: int, length: int, width: int) -> Matches:
    """A match of a field of `width` bits: exact for one address, nothing for all of them."""
    if length == 0:
        return {}
    return {name: address if length == width else (address, (1 << width) - (1 << width - length))}


def drop(table: Table, priority: int, fields: Matches, rules: tuple[str, ...] = ()) -> TableEntry:
    """An entry without instructions."""
    return TableEntry(table, priority, match(fields), rules=rules)


def go(
    table: Table,
    priority: int,
    fields: Matches,
    goto: Table,
    registers: Mapping[str, int] | None = None,
    *,
    rules: tuple[str, ...] = (),
) -> TableEntry:
    """An entry that sets registers (those that are not 0, as they start) and goes on to another table."""
    steps = _steps(tuple(registers.items())) if registers else ()
    return TableEntry(table, priority, match(fields), steps, goto, rules)


@lru_cache(1024)
def _steps(registers: tuple[tuple[str, int], ...]) -> tuple[Step, ...]:
    """Entries that classify the same end set the same registers."""
    return tuple(SetField(name, value) for name, value in registers if value)


def neighbour_message(kind: int) -> dict[str, int | tuple[int, int]]:
    """Match of a neighbour discovery message whose own fields (`nd_target`, ...) the switch has parsed.

    Open vSwitch reads them only where the ICMPv6 code is 0.
    """
    return {"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": kind, "icmpv6_code": 0}
