"""100,000 flows of known size through three VFNs: is each on record once, whole, and with what became of it?"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from analyzer.archive.decisions import Decision
from analyzer.ledger import Parts
from benchmarks.rows import Row
from benchmarks.traffic.frames import (
    ACK,
    ECHO,
    ECHO_REPLY,
    FIN,
    ICMP,
    PSH,
    SMALLEST,
    SYN,
    TCP,
    UDP,
    End,
    echo,
    tcp,
    udp,
)
from benchmarks.traffic.site import MARKER_PORT, RECEIVERS, SERVED, Assembly, Ends, site
from mininet_labs.children import wait_for
from mininet_labs.errors import LabError
from topology.model import Inventory, OutsidePort, Vm

FLOWS = 100_000
AT_ONCE = 500
"""Flows under way together."""
_SEED = 7
_PATIENCE = 60.0
"""Seconds after the last packet, in which everything has to be reported."""
_OUTSIDE = ("203.0.113", "198.51.100", "192.0.2")

Key = tuple[str, int, str, int, int]
"""Source and its port, destination and its port, protocol."""


@dataclass(frozen=True)
class Kind:
    """Flows from and to any of some ends."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    protocols: tuple[int, ...]
    allowed: bool
    port: int | None = None
    """None: any."""


PLAIN, KEPT = ("p1", "p2", "p3", "p4"), ("k1", "k2", "k3")
KINDS = (
    Kind(PLAIN, PLAIN, (TCP, UDP), allowed=True),
    Kind(KEPT, PLAIN, (TCP, UDP), allowed=True),
    Kind(PLAIN, KEPT, (TCP, UDP), allowed=True, port=SERVED),
    Kind(PLAIN, KEPT, (TCP, UDP), allowed=False, port=80),
    Kind(PLAIN, ("l1",), (TCP,), allowed=True, port=SERVED),
    Kind(("l1",), PLAIN, (TCP, UDP), allowed=True),
    Kind(PLAIN, ("bad",), (TCP, UDP), allowed=False),
    Kind((*PLAIN, *KEPT), ("gate",), (TCP, UDP, ICMP), allowed=True),
    Kind(("gate",), PLAIN, (TCP, UDP, ICMP), allowed=True),
    Kind(("gate",), KEPT, (TCP, UDP, ICMP), allowed=False),
)


@dataclass(frozen=True)
class Flow:
    """One flow as it is sent."""

    source: End
    target: End
    protocol: int
    ports: tuple[int, int]
    allowed: bool
    there: tuple[int, ...]
    """Bytes of each frame of the initiator."""
    back: tuple[int, ...]

    @property
    def key(self) -> Key:
        """As it has to be on record."""
        sport, dport = (0, 0) if self.protocol == ICMP else self.ports
        return str(self.source.address), sport, str(self.target.address), dport, self.protocol

    def frame(self, number: int) -> bytes:
        """Number `number` of the initiator's."""
        size, last = self.there[number], number == len(self.there) - 1
        if self.protocol == TCP:
            flags = SYN if number == 0 or not self.allowed else ACK | (FIN if last else PSH)
            return tcp(self.source, self.target, self.ports, flags, size)
        if self.protocol == UDP:
            return udp(self.source, self.target, self.ports, size)
        return echo(self.source, self.target, ECHO, self.ports[0], size)

    def answer(self, number: int) -> bytes:
        """Number `number` of the other end's."""
        size, ports = self.back[number], (self.ports[1], self.ports[0])
        if self.protocol == TCP:
            return tcp(self.target, self.source, ports, SYN | ACK if number == 0 else ACK | PSH, size)
        if self.protocol == UDP:
            return udp(self.target, self.source, ports, size)
        return echo(self.target, self.source, ECHO_REPLY, self.ports[0], size)


def rows() -> list[Row]:
    """Measure."""
    with site() as (ends, assembly, inventory):
        assembly.isolate("bad")
        flows = list(_flows(ends, FLOWS))
        begin = time.monotonic()
        _send(ends, assembly, flows)
        seconds = time.monotonic() - begin
        senders = [name for name in ends.ends if name != "bad"]
        expected = sum(len(flow.there) + len(flow.back) for flow in flows)
        marked = [(name, receiver) for name in senders for receiver in RECEIVERS if name != receiver]
        expected += ends.markers * len(marked)
        beyond = _beyond(flows, inventory) + ends.markers * sum(_apart(*pair, inventory) for pair in marked)
        missing = _until_reported(assembly, expected, beyond)
        handed = ends.received()
        parts, decided = assembly.result()
    wrong = _compare(flows, parts, [Decision(one) for one in decided.decision.tolist()])
    due = Counter(flow.target.name for flow in flows if flow.allowed for _ in flow.there)
    due.update(flow.source.name for flow in flows for _ in flow.back)
    markers = {name: ends.markers * (len(senders) - 1) * (name in RECEIVERS) for name in ends.ends}
    stray = sum(abs(handed[name] - due[name] - markers[name]) for name in ends.ends)
    told = "".join(f"; {count} {what}" for what, count in wrong.items()) + missing
    lost = sum(assembly.collector.sequences.lost.values())
    kinds = Counter({TCP: 0, UDP: 0, ICMP: 0})
    kinds.update(flow.protocol for flow in flows)
    of = f"{kinds[TCP]} TCP, {kinds[UDP]} UDP, {kinds[ICMP]} ICMP, {sum(not flow.allowed for flow in flows)} denied"
    reason = f"{of}; sent in {seconds:.0f} s; NetFlow lost {lost}{told}"
    return [
        Row(
            "flows on record that are not as they were sent",
            sum(wrong.values()),
            "flows",
            "<=",
            0,
            FLOWS,
            reason=reason,
        ),
        Row("frames handed over against the policy, or not by it", stray, "frames", "<=", 0, expected),
    ]


def _flows(ends: Ends, count: int) -> Iterator[Flow]:
    """Flows of all kinds in turn, no two with the same 5-tuple."""
    chance = random.Random(_SEED)
    used: set[Key] = set()
    number = 0
    while number < count:
        kind = KINDS[chance.randrange(len(KINDS))]
        source, target = (_end(ends, chance.choice(names), chance) for names in (kind.sources, kind.targets))
        protocol = chance.choice(kind.protocols)
        port = kind.port or chance.randrange(1024, 30_000)
        sizes = [chance.randrange(SMALLEST, 400) for _ in range(7)]
        there = tuple(sizes[: chance.randrange(1, 5)])
        back = tuple(sizes[4 : chance.randrange(5, 8)]) if kind.allowed else ()
        flow = Flow(source, target, protocol, (chance.randrange(30_000, 65_000), port), kind.allowed, there, back)
        if source.name == target.name or {flow.key, _mirrored(flow.key)} & used:
            continue
        used.add(flow.key)
        number += 1
        yield flow


def _mirrored(key: Key) -> Key:
    return key[2], key[3], key[0], key[1], key[4]


def _end(ends: Ends, name: str, chance: random.Random) -> End:
    """An end; behind the outside port there are many addresses."""
    found = ends.ends[name]
    if name != "gate":
        return found
    return End(name, found.mac, IPv4Address(f"{chance.choice(_OUTSIDE)}.{chance.randrange(2, 250)}"))


def _send(ends: Ends, assembly: Assembly, flows: list[Flow]) -> None:
    """Send all frames, what answers after what it answers."""
    senders = [name for name in ends.ends if name != "bad"]
    for start in range(0, len(flows), AT_ONCE):
        batch = flows[start : start + AT_ONCE]
        ends.send([(flow.source.name, flow.frame(0)) for flow in batch], senders)
        ends.send([(flow.target.name, flow.answer(0)) for flow in batch if flow.back], senders)
        for number in range(1, 4):
            frames = [(flow.source.name, flow.frame(number)) for flow in batch if number < len(flow.there)]
            frames += [(flow.target.name, flow.answer(number)) for flow in batch if number < len(flow.back)]
            ends.send(frames, senders)
        assembly.collect()


def _apart(one: str, other: str, inventory: Inventory) -> bool:
    owners: dict[str, Vm | OutsidePort] = {**inventory.vms, **inventory.outside}
    return owners[one].vfn != owners[other].vfn


def _beyond(flows: list[Flow], inventory: Inventory) -> int:
    """Frames of which another VFN than the first has to say what became of them: what its own does not deny."""
    count = 0
    for flow in flows:
        passes = flow.allowed or flow.target.name == "bad"
        if _apart(flow.source.name, flow.target.name, inventory):
            looked_up = flow.protocol == ICMP and flow.source.name in KEPT  # of such answers no VFN's report tells
            count += passes * len(flow.there) + (not looked_up) * len(flow.back)
    return count


def _until_reported(assembly: Assembly, expected: int, beyond: int) -> str:
    """Wait until every packet has been reported; what there is to say when not all are: the rows will tell the rest."""

    def reported() -> bool:
        assembly.collect()
        return assembly.packets >= expected and assembly.beyond >= beyond

    try:
        wait_for("reports of every packet", reported, _PATIENCE)
    except LabError:
        return (
            f"; {expected - assembly.packets} packets were not reported in {_PATIENCE:g} s, and of "
            f"{beyond - assembly.beyond} the last VFN said nothing"
        )
    return ""


def _compare(flows: list[Flow], parts: Parts, decisions: list[Decision]) -> dict[str, int]:
    """How many flows are not on record as they were sent, by what is wrong."""
    names = {flow.key: flow for flow in flows}
    sums: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    decided: dict[Key, set[Decision]] = defaultdict(set)
    wrong: Counter[str] = Counter()
    fields = ("src_lo", "src_port", "dst_lo", "dst_port", "proto", "src_pkts", "src_bytes", "dst_pkts", "dst_bytes")
    columns = [parts.rows[name].tolist() for name in fields]
    for number, decision, values in zip(parts.number.tolist(), decisions, zip(*columns, strict=True), strict=True):
        src, sport, dst, dport, proto, *counts = values
        key = str(IPv4Address(src & 0xFFFF_FFFF)), sport, str(IPv4Address(dst & 0xFFFF_FFFF)), dport, proto
        if sport == dport == MARKER_PORT:
            continue
        for i, value in enumerate((*counts, number == 0)):
            sums[key][i] += value
        decided[key].add(decision)
    for key in sums.keys() - names.keys():
        wrong["with its ends the wrong way round" if _mirrored(key) in names else "that nobody sent"] += 1
    for key, flow in names.items():
        if key not in sums:
            wrong["missing"] += 1
        elif sums[key][:4] != [len(flow.there), sum(flow.there), len(flow.back), sum(flow.back)]:
            wrong["with other packets or bytes"] += 1
        elif sums[key][4] != 1:
            wrong["double"] += 1
        elif decided[key] != {Decision.ALLOWED if flow.allowed else Decision.DENIED}:
            kinds = "/".join(sorted(decision.name.lower() for decision in decided[key]))
            wrong[f"{'allowed' if flow.allowed else 'denied'} that are called {kinds}"] += 1
    return dict(wrong)
