"""Tables LOOKUP, ANSWERS and KEEP: which packets answer a connection, and whose connections are kept to know that.

Connections are kept only where an answer could otherwise be denied (table COMMIT), and by the packets of their own
direction, which are not looked up again for it. A packet that is denied in its own direction is looked up, and passes
as an answer when its connection is known and allowed now (table REVERSE): what was allowed once does not count.

A connection's zone is the number of the VM here that opened it, else of the VM to which it was opened, else of the VM
that opened it from afar: so each VM's connections can be limited without touching another's. Open vSwitch tracks TCP,
UDP and ICMP; what else may be an answer is told by its shape, and so it is for segments that are `stateless`. What has
no shape to be told by (UDP of these segments, other protocols) passes as an answer where a rule allows the connection,
not where only defaults do: else a default-deny segment would be open to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from policies.entries import SetField, Step, TableEntry, Track
from policies.pipeline.judgement import ICMP_ANSWERS, REAL, Chain
from policies.pipeline.masks import exact_ports
from policies.pipeline.tables import (
    ACK,
    BROADCAST,
    DESTINATION,
    DESTINATION_SEGMENT,
    ETHERTYPES,
    FROM_HERE,
    ICMP,
    IPV4,
    IPV6,
    MARK,
    OUTSIDE_PORT,
    RST,
    SCTP,
    SHAPELESS,
    SOURCE_SEGMENT,
    SOURCE_VM,
    SYN,
    TCP,
    TO_HERE,
    UDP,
    Matches,
    Table,
    drop,
    go,
    match,
)
from topology.model import Vm

_ESTABLISHED, _RELATED, _REPLY, _TRACKED = 0x02, 0x04, 0x08, 0x20
"""Bits of `ct_state` (ovs-fields(7))."""
_TRACKABLE: tuple[Matches, ...] = tuple(
    {"eth_type": ETHERTYPES[version], "ip_proto": proto} for version in (4, 6) for proto in (TCP, UDP, ICMP[version])
)


def lookup_entries(chain: Chain, *, tracking: bool) -> Iterator[TableEntry]:
    """LOOKUP and ANSWERS (or their shadows): might a packet that is denied be an answer?

    Args:
        tracking: does anything deny packets here that could be answers?
    """
    yield go(chain.lookup, 0, {}, chain.denied)
    if not tracking:
        return
    yield go(chain.lookup, 1000, {DESTINATION_SEGMENT: BROADCAST}, chain.denied)
    to_vm: Matches = {DESTINATION: (0, OUTSIDE_PORT)}
    places: tuple[tuple[int, Matches, str], ...] = (
        (600, {**to_vm, TO_HERE: 1}, DESTINATION),
        (550, {**to_vm, SOURCE_VM: 0}, DESTINATION),
        (500, {}, SOURCE_VM),
    )
    for fields, (level, ends, zone) in product(_TRACKABLE, places):
        look = (Track(zone, goto=chain.answers),)
        yield TableEntry(chain.lookup, level, match({**fields, **ends}), look)
    for kind in (IPV4, IPV6):
        yield go(chain.lookup, 400, {"eth_type": kind}, chain.reverse, {SHAPELESS: 1})
    yield _with_ports(chain, 401, {"eth_type": IPV6, "ip_proto": SCTP}, shapeless=True)
    yield from _answers(chain)


def stateless_lookup_entries(chain: Chain, segment: int) -> Iterator[TableEntry]:
    """LOOKUP, for each segment here that keeps no connections."""
    yield from _by_shape(chain, 900, {SOURCE_SEGMENT: segment})
    # A connection to the outside is its source's, hence its answers' destination's.
    yield from _by_shape(chain, 800, {SOURCE_SEGMENT: 0, DESTINATION_SEGMENT: segment})


def _answers(chain: Chain) -> Iterator[TableEntry]:
    """ICMP errors are about a connection, not its other direction: they pass with it."""
    related, reply = _TRACKED | _RELATED, _TRACKED | _ESTABLISHED | _REPLY
    if chain is REAL:
        yield go(chain.answers, 200, {"ct_state": (related, related)}, Table.SENT)
    else:
        yield drop(chain.answers, 200, {"ct_state": (related, related)})
    yield go(chain.answers, 100, {"ct_state": (reply, reply)}, chain.reverse)
    yield go(chain.answers, 0, {}, chain.denied)


def _by_shape(chain: Chain, level: int, ends: Matches) -> Iterator[TableEntry]:
    """Whatever can be an answer by what it looks like goes on, the rest of its protocol does not."""
    for version, kind in ETHERTYPES.items():
        tcp = {**ends, "eth_type": kind, "ip_proto": TCP}
        icmp = {**ends, "eth_type": kind, "ip_proto": ICMP[version]}
        for flag in (ACK, RST):
            answer: Matches = {**tcp, "tcp_flags": (flag, flag)}
            onward = go(chain.lookup, level + 2, answer, chain.reverse)
            yield onward if version == 4 else _with_ports(chain, level + 2, answer)
        for number in ICMP_ANSWERS[version]:
            yield go(chain.lookup, level + 2, {**icmp, f"icmpv{version}_type": number}, chain.reverse)
        yield go(chain.lookup, level + 1, tcp, chain.denied)
        yield go(chain.lookup, level + 1, icmp, chain.denied)
        yield go(chain.lookup, level, {**ends, "eth_type": kind}, chain.reverse, {SHAPELESS: 1})
    for proto in (UDP, SCTP):
        yield _with_ports(chain, level + 1, {**ends, "eth_type": IPV6, "ip_proto": proto}, shapeless=True)


def _with_ports(chain: Chain, level: int, fields: Matches, *, shapeless: bool = False) -> TableEntry:
    """To REVERSE, where the other port will be looked at than in ENFORCEMENT."""
    proto = fields["ip_proto"]
    assert isinstance(proto, int)
    told: tuple[Step, ...] = (SetField(SHAPELESS, 1),) if shapeless else ()
    return TableEntry(chain.lookup, level, match(fields), (*told, *exact_ports(proto)), chain.reverse)


def keep_entries() -> Iterator[TableEntry]:
    """KEEP: commit the connection, in the zone of the VM whose it is, under the mark of the rule that allows it."""
    yield go(Table.KEEP, 0, {}, Table.SENT)
    yield go(Table.KEEP, 1000, {DESTINATION_SEGMENT: BROADCAST}, Table.SENT)
    places: tuple[tuple[int, Matches, str], ...] = (
        (600, {DESTINATION: (OUTSIDE_PORT, OUTSIDE_PORT)}, SOURCE_VM),
        (500, {FROM_HERE: 1, SOURCE_VM: 0}, DESTINATION),
        (400, {FROM_HERE: 1}, SOURCE_VM),
        (300, {}, DESTINATION),
    )
    for fields, (level, ends, zone) in product(_TRACKABLE, places):
        yield _kept(level, {**fields, **ends}, zone)


def stateless_keep_entries(segment: int) -> Iterator[TableEntry]:
    """KEEP, for each segment here that keeps no connections."""
    yield go(Table.KEEP, 900, {DESTINATION_SEGMENT: segment}, Table.SENT)
    yield go(Table.KEEP, 900, {DESTINATION_SEGMENT: 0, SOURCE_SEGMENT: segment}, Table.SENT)


def opening_entries(vm: Vm) -> Iterator[TableEntry]:
    """KEEP, of an own VM: how many TCP connections a second it can make the switch keep is metered, by its number."""
    for kind in (IPV4, IPV6):
        opens: Matches = {"eth_type": kind, "ip_proto": TCP, "tcp_flags": (SYN, SYN | ACK)}
        yield _kept(700, {**opens, FROM_HERE: 1, SOURCE_VM: vm.number}, SOURCE_VM, meter=vm.number)


def _kept(level: int, fields: Matches, zone: str, meter: int | None = None) -> TableEntry:
    steps = (Track(zone, commit=True, mark=MARK),)
    return TableEntry(Table.KEEP, level, match(fields), steps, Table.SENT, meter=meter)
