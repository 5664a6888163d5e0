"""A network's NetFlow without the network: conversations in, datagrams out as Open vSwitch sends them.

Every hop reports both directions, first at least a second after a flow's first packet, then each second with what
came since; the header's sequence is that of the last record.
"""

from __future__ import annotations

import heapq
import random
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from analyzer.attribute import DROPPED_TO
from topology.model import Inventory, Link, OutsidePort, Segment, Vfn, Vm

START = 1_800_000_000.0
SYN, RST, PSH, ACK, FIN = 2, 4, 8, 16, 1
OPENED = SYN | ACK | PSH | FIN


def inventory() -> Inventory:
    """Four VFNs in a star, fourteen VMs in four segments, two outside hosts; port 1 of a leaf leads to the core."""
    segments = {name: Segment(name, i) for i, name in enumerate(("web", "app", "db", "ops"), 1)}
    vfns = {name: Vfn(name, i, 0x10 + i, name) for i, name in enumerate(("core", "leaf1", "leaf2", "leaf3"))}
    names = [
        *(f"web{i}" for i in range(1, 5)),
        *(f"app{i}" for i in range(1, 5)),
        "db1",
        "db2",
        "db3",
        "ops1",
        "ops2",
        "dns1",
    ]
    vms = {}
    for number, name in enumerate(names, 1):
        segment = "ops" if name == "dns1" else name[:-1]
        leaf, place = f"leaf{(number - 1) % 3 + 1}", (number - 1) // 3 + 2
        address = IPv4Address(f"10.0.{segments[segment].number}.{number}")
        vms[name] = Vm(name, number, segment, leaf, f"{leaf}-eth{place}", f"02:00:00:00:00:{number:02x}", (address,))
    links = tuple(Link("core", f"core-eth{i}", f"leaf{i}", f"leaf{i}-eth1") for i in (1, 2, 3))
    outside = {
        "mirror": OutsidePort("mirror", "core", "core-eth4", "02:00:00:00:ff:01", (IPv4Address("192.0.2.10"),)),
        "stranger": OutsidePort("stranger", "core", "core-eth5", "02:00:00:00:ff:02", (IPv4Address("203.0.113.66"),)),
    }
    return Inventory(segments, vfns, links, vms, outside)


def ports(network: Inventory, vfn: str) -> dict[str, int]:
    """OpenFlow port of each interface: the number in its name."""
    names = [vm.port for vm in network.vms.values() if vm.vfn == vfn]
    names += [
        port for link in network.links for side, port in ((link.a, link.a_port), (link.b, link.b_port)) if side == vfn
    ]
    names += [out.port for out in network.outside.values() if out.vfn == vfn]
    return {name: int(name.rsplit("eth", 1)[1]) for name in names}


@dataclass(frozen=True)
class Talk:
    """One conversation. Amounts are spread evenly over its seconds. `reply_pkts` 0: nobody answers."""

    start: float
    source: str
    target: str
    dst_port: int
    src_port: int
    proto: int = 6
    seconds: float = 0.01
    pkts: int = 6
    size: int = 100
    reply_pkts: int = 5
    reply_size: int = 400
    flags: int = OPENED
    reply_flags: int = OPENED
    claimed: str | None = None
    """Source address on the wire, when it is forged."""
    dropped: bool = False
    """Does the first VFN drop what the initiator sends?"""


def refused(start: float, source: str, target: str, dst_port: int, src_port: int) -> Talk:
    """A SYN that is answered with a reset."""
    return Talk(start, source, target, dst_port, src_port, 6, 0.001, 1, 74, 1, 54, SYN, RST | ACK)


class Exporters:
    """The VFNs' NetFlow exporters."""

    def __init__(self, network: Inventory, seed: int = 1) -> None:
        rng = random.Random(seed)
        self._network = network
        self._phase = {name: rng.random() for name in network.vfns}
        self._sequence: dict[str, int] = defaultdict(lambda: -1)

    def datagrams(self, talks: list[Talk]) -> Iterator[tuple[float, bytes]]:
        """(time of sending, datagram) in order of time."""
        due: dict[tuple[float, str], list[bytes]] = defaultdict(list)
        for talk in talks:
            for begin, end, share_of in _seconds(talk):
                for vfn, forward in self._hops(talk):
                    phase = self._phase[vfn]
                    sent = int(begin + 1.0 - phase) + 1 + phase  # the first beat a second after the first packet
                    for back, port in ((False, forward[0]), (True, forward[1])):
                        if record := self._record(talk, back, port, begin, end, share_of, sent):
                            due[sent, vfn].append(record)
        order = [(sent, vfn) for sent, vfn in due]
        heapq.heapify(order)
        while order:
            sent, vfn = heapq.heappop(order)
            records = due[sent, vfn]
            for i in range(0, len(records), 30):
                yield sent, self._datagram(vfn, sent, records[i : i + 30])

    def _datagram(self, vfn: str, sent: float, records: list[bytes]) -> bytes:
        self._sequence[vfn] += len(records)
        engine = self._network.vfns[vfn].number
        seconds = int(sent)
        nanoseconds = int((sent - seconds) * 1e9)
        header = (5, len(records), _uptime(sent), seconds, nanoseconds, self._sequence[vfn], engine, 0)
        return struct.pack("!HHIIIIHH", *header) + b"".join(records)

    def _record(
        self, talk: Talk, back: bool, port: int, begin: float, end: float, share: tuple[int, int], sent: float
    ) -> bytes:
        number, of = share
        pkts, size = (talk.reply_pkts, talk.reply_size) if back else (talk.pkts, talk.size)
        mine = pkts * (number + 1) // of - pkts * number // of
        if not mine:
            return b""
        source = IPv4Address(talk.claimed) if talk.claimed else self._address(talk.source)
        target = self._address(talk.target)
        ends = (target, source) if back else (source, target)
        sides = (talk.dst_port, talk.src_port) if back else (talk.src_port, talk.dst_port)
        first, last = (_uptime(t) for t in (talk.start + 0.0004 * back, max(end, begin)))
        flags = talk.reply_flags if back else talk.flags
        return struct.pack(
            "!IIIHHIIIIHHBBBBHHBBH",
            *(int(e) for e in ends), 0, port, DROPPED_TO if talk.dropped else 9, mine, mine * size, first, last, *sides,
            0, flags, talk.proto, 0, 0, 0, 0, 0, 0,
        )  # fmt: skip

    def _address(self, name: str) -> IPv4Address:
        owner = self._network.vms.get(name) or self._network.outside[name]
        address = owner.addresses[0]
        assert isinstance(address, IPv4Address)
        return address

    def _hops(self, talk: Talk) -> list[tuple[str, tuple[int, int]]]:
        """VFNs on the way, each with the ports where packets there and back come in."""
        places = []
        for name in (talk.source, talk.target):
            owner = self._network.vms.get(name) or self._network.outside[name]
            places.append((owner.vfn, int(owner.port.rsplit("eth", 1)[1])))
        (first, out), (last, into) = places
        if first == last or talk.dropped:
            return [(first, (out, into))]
        up = {"leaf1": 1, "leaf2": 2, "leaf3": 3}
        hops = [(first, (out, up.get(last, 1) if first == "core" else 1))]
        if "core" not in (first, last):
            hops.append(("core", (up[first], up[last])))
        hops.append((last, (up.get(first, 1) if last == "core" else 1, into)))
        return hops


def _uptime(moment: float) -> int:
    """Milliseconds since the exporter started, 100 s before `START`; 32 bits, like the field."""
    return (int((moment - START) * 1000) + 100_000) % 2**32


def _seconds(talk: Talk) -> Iterator[tuple[float, float, tuple[int, int]]]:
    """Begin, end and (number, count) of the seconds of a conversation."""
    count = max(1, int(talk.seconds + 0.999))
    for number in range(count):
        begin = talk.start + number
        yield begin, min(begin + 0.999, talk.start + talk.seconds), (number, count)


def workload(begin: float, end: float, seed: int) -> list[Talk]:
    """What the machines do all day: pages, call-backs, queries, look-ups, admin sessions, bulk, packages, probes."""
    rng = random.Random(seed)
    web, app, db = ([f"{kind}{i}" for i in range(1, n)] for kind, n in (("web", 5), ("app", 5), ("db", 4)))
    ops = ["ops1", "ops2"]
    kinds = [
        (web, app, 8080, 6, 0.4, (6, 20), (100, 300), (10, 60), (500, 1400), 0.2),
        (app, web, 80, 6, 2.0, (6, 8), (100, 200), (5, 8), (100, 600), 0.1),
        (app, db, 5432, 6, 1.5, (20, 80), (80, 120), (20, 80), (200, 900), 1.0),
        ([*web, *app, *db, *ops], ["dns1"], 53, 17, 2.5, (1, 1), (70, 90), (1, 1), (90, 150), 0.0),
        (ops, [*web, *app, *db], 22, 6, 6.0, (40, 80), (90, 120), (40, 80), (90, 140), 4.0),
        (app, db, 873, 6, 25.0, (400, 1500), (1400, 1400), (200, 700), (66, 66), 1.0),
        (db, ["ops2"], 873, 6, 20.0, (1500, 3500), (1400, 1400), (700, 1700), (66, 66), 2.0),
        ([*web, *app], ["mirror"], 80, 6, 10.0, (10, 200), (66, 90), (20, 400), (1400, 1400), 1.0),
    ]
    talks = []
    for sources, targets, port, proto, every, pkts, size, back, back_size, seconds in kinds:
        for source in sources:
            now = begin + rng.expovariate(1 / every)
            while now < end:
                target = rng.choice([t for t in targets if t != source])
                talks.append(
                    Talk(
                        now, source, target, port, rng.randint(32768, 60999), proto, seconds * rng.random(),
                        rng.randint(*pkts), rng.randint(*size), rng.randint(*back), rng.randint(*back_size),
                        *((OPENED, OPENED) if proto == 6 else (0, 0)),
                    )
                )  # fmt: skip
                now += rng.expovariate(1 / every)
    probes = [("web4", "app4"), ("app2", "db3"), ("web1", "db2"), ("web2", "db1"), ("app4", "mirror")]
    count = int(end - begin)
    talks += [Talk(begin, a, b, 7, 40007, 17, count, 100 * count, 60, 100 * count, 60, 0, 0) for a, b in probes]
    return talks
