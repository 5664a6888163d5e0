"""A network and its flow events, of the kind that `dashboards.metrics.estimate` counts the series of."""

from __future__ import annotations

import time
from ipaddress import IPv4Address

import numpy as np

from analyzer.flows import ACK, FIN, PSH, SYN, TCP, Array, Fate, FlowBatch, FlowState, address_halves
from analyzer.tally import Tally
from dashboards.metrics.estimate import Usage
from dashboards.metrics.lines import Encoder
from dashboards.metrics.points import Intervals
from runtime.settings import MetricsSettings
from topology.model import Inventory, Segment, Vfn, Vm

SERVICES = MetricsSettings().services
START = (time.time() // 86_400 - 2) * 86_400
"""A day that is over: VictoriaMetrics leaves out, without a word, what lies more than two days ahead."""
SCANNED_PORT = 4444


def inventory(usage: Usage) -> Inventory:
    """So many VMs, spread evenly over segments and VFNs."""
    segments = {f"segment-{i}": Segment(f"segment-{i}", i) for i in range(1, usage.segments + 1)}
    vfns = {f"vfn-{i}": Vfn(f"vfn-{i}", i, 0x100 + i, f"br{i}") for i in range(usage.vfns)}
    vms = {}
    for number in range(1, usage.vms + 1):
        name, vfn = f"vm-{number}", f"vfn-{number % usage.vfns}"
        address = IPv4Address(0x0A000000 + number)
        mac = "02:00:00:" + ":".join(f"{number:06x}"[i : i + 2] for i in (0, 2, 4))
        vms[name] = Vm(name, number, f"segment-{1 + number % usage.segments}", vfn, f"eth{number}", mac, (address,))
    return Inventory(segments, vfns, (), vms)


class Traffic:
    """Who talks to whom, drawn once; and events of that, rarely used pairs among them.

    A segment opens flows to `usage.peers` others (the outside among them), to itself, and is opened to from outside
    with probability `usage.incoming`. Each pair has one to three services (two on average); a tenth of those are seen
    denied, too.
    """

    def __init__(self, usage: Usage, seed: int = 7) -> None:
        self._rng = rng = np.random.default_rng(seed)
        self._usage = usage
        count = usage.segments
        pairs = [(segment, 0) for segment in range(1, count + 1)] + [(s, s) for s in range(1, count + 1)]
        for segment in range(1, count + 1):
            others = rng.permutation(np.delete(np.arange(1, count + 1), segment - 1))[: int(usage.peers) - 1]
            pairs += [(segment, int(other)) for other in others]
        pairs += [(0, s) for s in range(1, count + 1) if rng.random() < usage.incoming]
        kinds = [(src, dst, int(kind)) for src, dst in pairs for kind in self._kinds()]
        self._kind = np.array(kinds, np.int64)
        self._deniable = rng.random(len(kinds)) < 0.1
        # Some pairs talk all the time, others a few times a day.
        self._weight = rng.pareto(1.2, len(kinds)) + 0.05
        self._weight /= self._weight.sum()

    def _kinds(self) -> Array:
        return self._rng.choice(len(SERVICES), self._rng.integers(1, 4), replace=False)

    def events(self, count: int, begin: float, seconds: float) -> FlowBatch:
        """`count` events of flows that begin and end within `seconds` from `begin` on."""
        rng = self._rng
        batch = FlowBatch.empty(count)
        rows = batch.rows
        kind = rng.choice(len(self._kind), count, p=self._weight)
        src, dst, service = self._kind[kind].T
        rows["src_vm"], rows["dst_vm"] = self._member(src), self._member(dst)
        for end, vm in (("src", rows["src_vm"]), ("dst", rows["dst_vm"])):
            rows[f"{end}_lo"] = address_halves("10.0.0.0")[1] + vm.astype(np.uint64)
        words = [name.partition("/") for name in SERVICES]
        rows["dst_port"] = np.array([int(port) for _, _, port in words])[service]
        rows["proto"] = np.array([TCP if protocol == "tcp" else 17 for protocol, _, _ in words])[service]
        rows["src_port"] = rng.integers(32768, 61000, count)
        rows["start"] = rows["end"] = begin + np.sort(rng.random(count)) * seconds
        rows["src_pkts"], rows["dst_pkts"] = rng.poisson(12, count) + 1, rng.poisson(15, count) + 1
        rows["src_bytes"], rows["dst_bytes"] = rows["src_pkts"] * np.uint64(200), rows["dst_pkts"] * np.uint64(700)
        rows["flags"], rows["state"] = SYN | ACK | PSH | FIN, FlowState.NEW | FlowState.FINAL
        rows["vfn"] = np.where(rows["src_vm"] > 0, rows["src_vm"] % self._usage.vfns, 0)
        denied = self._deniable[kind] & (rng.random(count) < 0.3)
        rows["fate"] = np.where(denied, Fate.DROPPED, Fate.DELIVERED)
        return batch

    def scan(self, vm: int, begin: float) -> FlowBatch:
        """A VM turns to one VM of each segment, at a port that is no named service's; all is dropped."""
        batch = FlowBatch.empty(self._usage.segments)
        rows = batch.rows
        rows["src_vm"], rows["dst_vm"] = vm, self._member(np.arange(1, self._usage.segments + 1))
        rows["dst_port"], rows["proto"], rows["flags"] = SCANNED_PORT, TCP, SYN
        rows["start"] = rows["end"] = begin
        rows["src_pkts"], rows["src_bytes"], rows["state"] = 1, 74, FlowState.NEW
        rows["vfn"], rows["fate"] = vm % self._usage.vfns, Fate.DROPPED
        return batch

    def _member(self, segment: Array) -> Array:
        """A VM of each of these segments (0: the outside, which is VM 0). VM n is in segment 1 + n % segments."""
        count = self._usage.segments
        each = self._usage.vms // count
        member = self._rng.integers(0, each, len(segment))
        number = (segment - 1) % count + member * count
        return np.where(segment == 0, 0, np.where(number == 0, each * count, number))


class Site:
    """The analyzer's sums and the points that are made of them."""

    def __init__(self, usage: Usage, seconds: float, now: float = START) -> None:
        self.inventory = inventory(usage)
        self.encoder = Encoder("bench", texts=False)
        self.tally = Tally(self.inventory, SERVICES, usage.most_pairs, seconds, now)
        self._intervals = Intervals(self.encoder, self.inventory, SERVICES)
        self._taken = 0

    def lines(self, now: float) -> list[str]:
        """End the interval at `now`; its points."""
        self.tally.close(now, {})
        interval = self.tally.after(self._taken)
        assert interval is not None, "one was just closed"
        self._taken = interval.number
        return self._intervals.lines(interval)
