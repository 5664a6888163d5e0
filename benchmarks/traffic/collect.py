"""NetFlow datagrams on loopback, to bidirectional flows in the analyzer's batch: how many records a second on one core?

The socket's buffer is filled, then emptied against the clock by the product's collector, attribution and flow table, as
they are set up in a running analyzer. The peer parses the same datagrams into its own objects, and does no more.
"""

from __future__ import annotations

import socket
import statistics
import time
from dataclasses import dataclass
from ipaddress import IPv4Address

import netflow
import numpy as np

from analyzer import warm
from analyzer.attribute import Attribution
from analyzer.collector import Collector
from analyzer.exporters import Exporters, reporting_uids
from analyzer.flows import Array
from analyzer.netflow import HEADER, MOST_RECORDS, RECORD
from analyzer.pair import FlowTable
from benchmarks.rows import Row
from runtime.settings import AnalyzerSettings, OvsdbSettings
from topology.model import Inventory, Segment, Vfn, Vm

VFNS, VMS = 4, 64
FLOWS = 100_000
"""Reported each second, both directions of each."""
NEW = 0.1
"""Part of them that are other flows than a second ago."""
ROUNDS = 9
TARGET, TARGET_RATIO = 800_000, 2.0
_SEED = 5
_SAMPLE = 300
"""Datagrams that the peer parses."""


@dataclass
class Traffic:
    """Flows between random VMs, some of which are others each second."""

    inventory: Inventory
    chance: np.random.Generator
    ends: Array
    """(flows, 2): numbers of the VMs."""
    ports: Array
    sequence: dict[int, int]

    @classmethod
    def new(cls, inventory: Inventory) -> Traffic:
        """All flows new."""
        chance = np.random.default_rng(_SEED)
        source, step = chance.integers(0, VMS, FLOWS), chance.integers(1, VMS, FLOWS)
        ends = np.column_stack([source, (source + step) % VMS])
        return cls(inventory, chance, ends, chance.integers(1024, 65_535, FLOWS), {})

    def second(self) -> list[bytes]:
        """What the VFNs report in a second, 30 records a datagram."""
        other = self.chance.random(FLOWS) < NEW
        self.ports[other] = self.chance.integers(1024, 65_535, int(other.sum()))
        there, back = (self._records(self.ends[:, i], self.ends[:, 1 - i], i) for i in (0, 1))
        records = np.concatenate([there, back]).astype(RECORD)  # big-endian again, which joining does not keep
        at = self.ends.T.ravel() % VFNS
        datagrams = []
        for vfn in range(VFNS):
            mine = self.chance.permutation(records[at == vfn])
            datagrams += [self._datagram(vfn, mine[i : i + MOST_RECORDS]) for i in range(0, len(mine), MOST_RECORDS)]
        return datagrams

    def _records(self, source: Array, target: Array, back: int) -> Array:
        records = np.zeros(FLOWS, RECORD)
        records["src"], records["dst"] = 0x0A4F0001 + source, 0x0A4F0001 + target
        records["src_port"], records["dst_port"] = (443, self.ports) if back else (self.ports, 443)
        records["input"], records["output"] = 2 + source // VFNS, np.where(source % VFNS == target % VFNS, 2, 1)
        records["packets"], records["bytes"] = 9, 5000
        records["proto"], records["flags"], records["first"], records["last"] = 6, 27, 99_000, 100_000
        return records

    def _datagram(self, vfn: int, records: Array) -> bytes:
        now, header = time.time(), np.zeros(1, HEADER)
        self.sequence[vfn] = self.sequence.get(vfn, 0) + len(records)
        header["version"], header["count"], header["uptime"] = 5, len(records), 100_100
        header["seconds"], header["nanoseconds"] = int(now), int(now % 1 * 1e9)
        header["sequence"], header["engine"] = self.sequence[vfn], vfn
        return header.tobytes() + records.tobytes()


class Pipeline:
    """The product's, as far as the batch of flows."""

    def __init__(self, inventory: Inventory) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        uids = reporting_uids(OvsdbSettings().endpoint)
        self.collector = Collector("127.0.0.1", port, Exporters(range(VFNS), (), uids, ("127.0.0.1", port)))
        self._attribution = Attribution(inventory)
        for vfn in inventory.vfns.values():
            self._attribution.set_ports(vfn.dpid, {f"{vfn.name}-{i}": i for i in range(1, VMS)})
        self._table = FlowTable(AnalyzerSettings().memory_flows, _SEED, recorded=True)

    def empty(self) -> tuple[int, int, float, float]:
        """Take everything that waits; records, events, and seconds by the wall and of the processor."""
        records = events = 0
        wall, used = time.perf_counter(), time.process_time()
        while len(burst := self.collector.drain()):
            attributed = self._attribution.attribute(burst)
            self._table.witness(attributed.beyond)
            events += len(self._table.update(attributed.own))
            records += len(burst)
        return records, events, time.perf_counter() - wall, time.process_time() - used

    def upkeep(self) -> None:
        """What is done once a second, so that flows that are over leave."""
        self._table.finish(time.time())
        self._table.record(300.0)


def rows() -> list[Row]:
    """Measure."""
    warm.up()
    network = _network()
    traffic, pipeline = Traffic.new(network), Pipeline(network)
    rates, of_processor, count = [], [], 0
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for _ in range(ROUNDS + 1):
                datagrams = traffic.second()
                for datagram in datagrams:
                    out.sendto(datagram, pipeline.collector.sock.getsockname())
                count, events, wall, used = pipeline.empty()
                pipeline.upkeep()
                rates.append(count / wall)
                of_processor.append(count / used)
    finally:
        pipeline.collector.close()
    peer = _peer(datagrams)
    rate, of_processor_median = (statistics.median(found[1:]) for found in (rates, of_processor))
    lost = sum(pipeline.collector.sequences.lost.values())
    reason = (
        f"median of {ROUNDS} seconds of {count} records, {events} events in the last one, {lost} lost; "
        f"{of_processor_median:.0f} records/s by the processor's time"
    )
    name, peer_name = "NetFlow v5 on loopback to bidirectional flows, one core", "netflow's bare parsing, records/s"
    return [
        Row(name, round(rate), "records/s", ">=", TARGET, ROUNDS, peer_name, round(peer), reason),
        Row("the same, over the peer", round(rate / peer, 1), "x", ">=", TARGET_RATIO, ROUNDS, peer_name, round(peer)),
    ]


def _peer(datagrams: list[bytes]) -> float:
    """Records a second of the PyPI package `netflow`, best of three."""
    best = float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        flows = sum(len(netflow.parse_packet(datagram, {}).flows) for datagram in datagrams[:_SAMPLE])
        best = min(best, (time.perf_counter() - begin) / flows)
    return 1 / best


def _network() -> Inventory:
    """VMs in turn on the VFNs, from OpenFlow port 2 on; port 1 leads to the other VFNs."""
    vfns = {f"v{i}": Vfn(f"v{i}", i, 0xF80 + i, f"v{i}") for i in range(VFNS)}
    vms = {}
    for i in range(VMS):
        vfn, address = f"v{i % VFNS}", IPv4Address(0x0A4F0001 + i)
        vms[f"vm{i}"] = Vm(f"vm{i}", i + 1, "all", vfn, f"{vfn}-{2 + i // VFNS}", f"02:00:00:00:f8:{i:02x}", (address,))
    return Inventory({"all": Segment("all", 1)}, vfns, (), vms, {})
