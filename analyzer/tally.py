"""What flows add up to, interval by interval, for the time-series database: by pair of segments, VM and VFN.

Events are gathered and counted many at a time; an interval that is over waits until somebody takes it. Everything is
bounded: what comes after `most_pairs` combinations of segments, service and decision counts as `(others)`, and of
intervals that nobody takes the oldest are dropped, counted.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from analyzer.archive.decisions import Decision, InForce
from analyzer.flows import I8, ICMP, ICMP6, SCTP, TCP, UDP, Array, Bool, FlowState, fill_segments
from analyzer.intervals import PAIR, PAIR_FIELDS, PAIR_TAGS, VFN, VFN_FIELDS, VM, VM_FIELDS, Interval, Tags
from analyzer.names import Names
from analyzer.risk import Verdict
from topology.model import OUTSIDE, Inventory

MOST_WAITING = 60
"""Intervals that wait to be taken: ten minutes of 10 s."""
MOST_GATHERED = 50_000
"""Events that are counted at once."""
_WITH_PORTS = {"tcp": TCP, "udp": UDP, "sctp": SCTP}


class Tally:
    """Counts events.

    Args:
        inventory: the network.
        services: those with a name of their own, as in `tcp/443`.
        most_pairs: combinations of segments, service and decision with sums of their own.
        seconds: length of an interval; intervals begin at multiples of it.
        now: epoch seconds.
    """

    def __init__(
        self, inventory: Inventory, services: Sequence[str], most_pairs: int, seconds: float, now: float
    ) -> None:
        self.tags = Tags.of(inventory, services)
        self.dropped = 0
        """Intervals that nobody took."""
        self._names = Names(inventory)
        self._in_force = InForce(self._names)
        self._segments = np.array(inventory.segment_numbers, np.int16)
        self._services = _service_table(services)
        self._most_pairs = most_pairs
        self._seconds = seconds
        self._begin = now // seconds * seconds
        self._number = int(self._begin)
        self._waiting: deque[Interval] = deque()
        self._gathered: list[Array] = []
        self._size = 0
        self._place: dict[int, int] = {}
        self._tags: list[tuple[int, ...]] = []
        self._pairs = np.zeros((len(PAIR_FIELDS), 0), np.int64)
        self._vms = np.zeros((len(VM_FIELDS), len(self._segments)), np.int64)
        self._vfns = np.zeros((len(VFN_FIELDS), len(self.tags.vfns) * len(Decision)), np.int64)
        self._risk = np.zeros(len(self._segments), np.float32)
        self._told = np.zeros(len(self._segments), bool)
        """VMs that the last interval had a point of other than zeros for."""
        self._verdicts: Counter[tuple[str, str, bool]] = Counter()
        self._highest: dict[tuple[str, str, bool], float] = {}

    @property
    def begun(self) -> float:
        """When the interval began, in epoch seconds."""
        return self._begin

    def rules(self, rules: Iterable[Mapping[str, Any]], now: float) -> None:
        """The rules in force have changed."""
        self._count()
        self._in_force.update(rules, now)

    def take(self, rows: Array) -> None:
        """Events of flows (dtype FLOW); copies of first packets are left out, as a report of theirs follows."""
        self._gathered.append(rows)
        self._size += len(rows)
        if self._size >= MOST_GATHERED:
            self._count()

    def verdict(self, verdict: Verdict) -> None:
        """A verdict was given."""
        segment = self._names.segment_of(self._names.vm(verdict.vm)) if verdict.address is None else OUTSIDE
        key = verdict.behaviour, segment, verdict.confirmed
        self._verdicts[key] += 1
        self._highest[key] = max(verdict.risk, self._highest.get(key, 0.0))

    def due(self, now: float) -> bool:
        """Is an interval over?"""
        return now >= self._begin + self._seconds

    def close(self, now: float, risk: Mapping[str, float]) -> None:
        """End the interval.

        Args:
            now: epoch seconds.
            risk: highest risk of each subject (a VM's name or an outside address) within it.
        """
        self._count()
        begin = self._begin
        self._begin = now // self._seconds * self._seconds
        outside = self._take_risk(risk)
        verdicts = tuple((*key, count, self._highest[key]) for key, count in self._verdicts.items())
        self._number += 1
        closed = Interval(
            self._number, begin, self._begin, self._pair_rows(), self._vm_rows(), self._vfn_rows(), verdicts, outside
        )
        self._verdicts.clear()
        self._highest.clear()
        self._waiting.append(closed)
        if len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self.dropped += 1

    def after(self, number: int) -> Interval | None:
        """The oldest interval that waits with a higher number; those up to `number` are forgotten."""
        while self._waiting and self._waiting[0].number <= number:
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None

    def _take_risk(self, risk: Mapping[str, float]) -> tuple[int, float]:
        """Put VMs' risk into its column; how many outside addresses have some, and the highest."""
        outside = [value for name, value in risk.items() if not self._names.number(name)]
        for name, value in risk.items():
            self._risk[self._names.number(name)] = value
        self._risk[0] = 0.0
        return len(outside), max(outside, default=0.0)

    def _count(self) -> None:
        """Add up what was gathered."""
        if not self._size:
            return
        rows: Array = np.concatenate(self._gathered)
        self._gathered, self._size = [], 0
        rows = fill_segments(rows[rows["state"] & FlowState.ASKED == 0], self._segments)
        decision = self._in_force.decide(rows, rows["start"]).decision.astype(np.int64)
        new = rows["state"] & FlowState.NEW != 0
        failed = rows["state"] & FlowState.FAILED != 0
        self._count_pairs(rows, decision, new, failed)
        self._count_vms(rows, decision, new, failed)
        self._count_vfns(rows, decision, new)

    def _count_pairs(self, rows: Array, decision: I8, new: Bool, failed: Bool) -> None:
        service = self._services[_CLASS[rows["proto"]], rows["dst_port"]]
        tags = np.stack([rows["src_segment"] + 1, rows["dst_segment"] + 1, service, decision]).astype(np.int64)
        segments, services = len(self.tags.segments), len(self.tags.services)
        key = ((tags[0] * segments + tags[1]) * services + tags[2]) * len(Decision) + tags[3]
        keys, first, of = np.unique(key, return_index=True, return_inverse=True)
        every = zip(keys.tolist(), tags[:, first].T.tolist(), strict=True)
        places = np.fromiter((self._place_of(*one) for one in every), np.int64, len(keys))[of]
        self._make_room()
        columns = (new, rows["src_pkts"], rows["src_bytes"], rows["dst_pkts"], rows["dst_bytes"], failed)
        _add(self._pairs, places, columns)

    def _place_of(self, key: int, tags: Sequence[int]) -> int:
        """Where the sums of a key stand; a new one gets a place as long as there is one, else that of all others."""
        place = self._place.get(key)
        if place is None and len(self._place) >= self._most_pairs:
            others, decision = len(self.tags.segments) - 1, tags[3]
            key, tags = -1 - decision, (others, others, len(self.tags.services) - 1, decision)
            place = self._place.get(key)
        if place is None:
            place = self._place[key] = len(self._place)
            self._tags.append(tuple(tags))
        return place

    def _make_room(self) -> None:
        """For the sums of keys that are new."""
        room = np.zeros((len(PAIR_FIELDS), len(self._place) - self._pairs.shape[1]), np.int64)
        self._pairs = np.concatenate([self._pairs, room], axis=1)

    def _count_vms(self, rows: Array, decision: I8, new: Bool, failed: Bool) -> None:
        denied = new & (decision == Decision.DENIED)
        src, dst = np.maximum(rows["src_vm"], 0), np.maximum(rows["dst_vm"], 0)
        nothing = np.zeros(len(rows), bool)
        sent = rows["src_pkts"], rows["dst_pkts"], rows["src_bytes"], rows["dst_bytes"]
        _add(self._vms, src, (new, nothing, sent[0], sent[1], sent[2], sent[3], denied, nothing, failed))
        _add(self._vms, dst, (nothing, new, sent[1], sent[0], sent[3], sent[2], nothing, denied, nothing))

    def _count_vfns(self, rows: Array, decision: I8, new: Bool) -> None:
        vfns = len(self.tags.vfns)
        vfn = np.where((rows["vfn"] >= 0) & (rows["vfn"] < vfns - 1), rows["vfn"], vfns - 1)
        place = vfn.astype(np.int64) * len(Decision) + decision
        columns = new, rows["src_pkts"] + rows["dst_pkts"], rows["src_bytes"] + rows["dst_bytes"]
        _add(self._vfns, place, columns)

    def _pair_rows(self) -> Array:
        some = np.flatnonzero(self._pairs.any(axis=0))
        rows = np.zeros(len(some), PAIR)
        tags = np.array(self._tags, np.int32).reshape(-1, len(PAIR_TAGS))[some]
        for column, name in enumerate(PAIR_TAGS):
            rows[name] = tags[:, column]
        return _taken(rows, PAIR_FIELDS, self._pairs, some)

    def _vm_rows(self) -> Array:
        self._vms[:, 0] = 0  # the outside, which is no VM
        busy = self._vms.any(axis=0) | (self._risk > 0)
        some = np.flatnonzero(busy | self._told)
        rows = np.zeros(len(some), VM)
        rows["vm"], rows["risk"] = some, self._risk[some]
        self._told, self._risk = busy, np.zeros_like(self._risk)
        return _taken(rows, VM_FIELDS, self._vms, some)

    def _vfn_rows(self) -> Array:
        some = np.flatnonzero(self._vfns.any(axis=0))
        rows = np.zeros(len(some), VFN)
        rows["vfn"], rows["decision"] = np.divmod(some, len(Decision))
        return _taken(rows, VFN_FIELDS, self._vfns, some)


def _add(sums: I8, places: I8, columns: Sequence[Array]) -> None:
    """Add columns to the rows of `sums`, each value at its place."""
    for row, column in enumerate(columns):
        sums[row] += np.bincount(places, column, sums.shape[1]).astype(np.int64)


def _taken(rows: Array, fields: Sequence[str], sums: Array, some: Array) -> Array:
    """`rows` with the sums that stand at `some`, which begin anew."""
    for name, column in zip(fields, sums, strict=True):
        rows[name] = column[some]
    sums[:] = 0
    return rows


def _service_table(services: Sequence[str]) -> Array:
    """Indices of services by class of protocol (`_CLASS`) and port."""
    count = len(services)
    table = np.empty((len(_WITH_PORTS) + 2, 1 << 16), np.int16)
    for row, index in enumerate((count + 3, count, count + 1, count + 3, count + 2)):
        table[row] = index
    for index, service in enumerate(services):
        protocol, _, port = service.partition("/")
        table[_CLASS[_WITH_PORTS[protocol]], int(port)] = index
    return table


_CLASS = np.zeros(256, np.int64)
"""By protocol: 0 others, 1 TCP, 2 UDP, 3 SCTP, 4 ICMP."""
_CLASS[[TCP, UDP, SCTP, ICMP, ICMP6]] = 1, 2, 3, 4, 4
