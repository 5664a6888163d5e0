"""From directions to flows: each flow's two directions meet under one key, and the initiator is found.

Batches of sides (`attribute.SIDE`, counters since the last record) go in; events come out (`flows.FLOW`, counters
since the last event of that flow). The table behind keeps the newest flows with their totals.
"""

from __future__ import annotations

import numpy as np

from analyzer.flows import ACK, F8, FLOW, I8, RST, SYN, TCP, Array, Bool, FlowBatch, FlowState
from analyzer.keytable import KeyTable, mix
from analyzer.ledger import COUNTERS, Ledger, Parts

IDLE_SECONDS = 120.0
"""After this silence the same 5-tuple is a new flow."""
REOPEN_SECONDS = 1.0
"""A SYN so long after the last packet is a new connection on the same ports. (A VFN reports a lasting flow under the
time of its first packet, so what goes on never looks like that.)"""
ANSWER_SECONDS = 3.0
"""A TCP connection without any answer for so long has failed: telemetry of the answer may be two seconds late."""
SILENT_SECONDS = 6.0
"""A flow without news for so long is over: its VFN reports the end within five seconds."""
REFUSED_PACKETS = 3
"""A reset within so many packets of either side is a refusal."""

_ADDRESSES = ("hi", "lo", "port")


def refused(flags: Array, src_pkts: Array, dst_pkts: Array) -> Bool:
    """Reset before anything was exchanged (columns of TCP flows)."""
    return np.asarray((flags & RST != 0) & (src_pkts <= REFUSED_PACKETS) & (dst_pkts <= REFUSED_PACKETS))


class FlowTable:
    """The newest flows of the network, at most `memory`."""

    def __init__(self, memory: int, salt: int, recorded: bool = False) -> None:
        """Empty.

        Args:
            memory: flows that are kept at most.
            salt: of the hashes of their keys.
            recorded: `record` is called regularly: what leaves the table before its end is kept for it.
        """
        self._memory = memory
        self._salt = salt
        self._table = KeyTable(memory)
        self._rows = np.zeros(self._table.size, FLOW)
        self._live = np.zeros(self._table.size, bool)
        self._swapped = np.zeros(self._table.size, bool)
        self._unanswered = np.empty(0, np.int64)
        self._open = np.empty(0, np.int64)
        self._finished = np.empty(0, np.int64)
        self._ledger = Ledger(self._table.size) if recorded else None

    def __len__(self) -> int:
        return self._table.used

    def update(self, sides: Array) -> FlowBatch:
        """Add the counters of unspoofed sides; returns one event for each flow that they touch."""
        parts = [self._update(sides[i : i + self._memory // 2]) for i in range(0, len(sides), self._memory // 2)]
        return FlowBatch.concat(parts)

    def sweep(self, now: float) -> FlowBatch:
        """Events (without counters) of TCP connections that nobody has answered in `ANSWER_SECONDS`."""
        rows = self._rows[self._unanswered]
        open_ = (rows["dst_pkts"] == 0) & (rows["state"] & FlowState.FAILED == 0)
        late = open_ & (rows["start"] < now - ANSWER_SECONDS)
        failed = self._unanswered[late]
        self._unanswered = self._unanswered[open_ & ~late]
        self._rows["state"][failed] |= np.uint8(FlowState.FAILED)
        events = self._rows[failed]
        for name in COUNTERS:
            events[name] = 0
        events["state"] = FlowState.FAILED
        return FlowBatch(events)

    def finish(self, now: float) -> FlowBatch:
        """Flows with totals that fell silent `SILENT_SECONDS` ago, each once; marks them FINAL."""
        silent = self._rows["end"][self._open] < now - SILENT_SECONDS
        self._finished, self._open = self._open[silent], self._open[~silent]
        self._rows["state"][self._finished] |= np.uint8(FlowState.FINAL)
        return FlowBatch(self._rows[self._finished])

    def set_risk(self, risk: F8) -> None:
        """Risk of each of the flows that `finish` gave last."""
        self._rows["risk"][self._finished] = risk

    def record(self, seconds: float) -> Parts:
        """For the record, since the last call: flows that ended, parts of those lasting `seconds`, what was displaced.

        To be called after `finish` (and `set_risk`), before anything else.
        """
        assert self._ledger is not None, "a table that is not `recorded` keeps no ledger"
        displaced, ended = self._ledger.take_displaced(), self._ledger.take(self._finished, self._rows)
        return Parts.concat([displaced, ended, self._ledger.lasting(self._open, self._rows, seconds)])

    def newest(self, vm: int | None, limit: int) -> FlowBatch:
        """Flows with totals, newest first; those from or to `vm` only, when given."""
        slots = np.flatnonzero(self._live)
        if vm is not None:
            slots = slots[(self._rows["src_vm"][slots] == vm) | (self._rows["dst_vm"][slots] == vm)]
        if len(slots) > limit:
            slots = slots[np.argpartition(self._rows["end"][slots], -limit)[-limit:]]
        return FlowBatch(self._rows[slots[np.argsort(-self._rows["end"][slots], kind="stable")]])

    def _update(self, sides: Array) -> FlowBatch:
        if not len(sides):
            return FlowBatch.empty()
        swap = _from_upper_end(sides)
        ends = {n: np.where(swap, sides[f"dst_{n}"], sides[f"src_{n}"]) for n in _ADDRESSES}
        others = {n: np.where(swap, sides[f"src_{n}"], sides[f"dst_{n}"]) for n in _ADDRESSES}
        keys = mix(self._salt, *ends.values(), *others.values(), sides["proto"])
        unique, first, group = np.unique(keys, return_index=True, return_inverse=True)
        sums = _Directions(sides, swap, group, len(unique))
        self._make_room(len(unique))
        slots, new = self._table.insert(unique)
        self._live[slots] = True
        pause = sums.first - self._rows["end"][slots]
        asks = (sides["proto"][first] == TCP) & ((sums.flags[:, 0] | sums.flags[:, 1]) & SYN != 0)
        fresh = new | (asks & (pause > REOPEN_SECONDS)) | (pause > IDLE_SECONDS)
        if self._ledger is not None:
            self._ledger.displace(slots[fresh & ~new], self._rows)
            self._ledger.begin(slots[fresh])
        self._swapped[slots[fresh]] = sums.upper_initiates(sides[first])[fresh]
        events = sums.events(sides, first, self._swapped[slots])
        self._merge(slots, new, fresh, events)
        return FlowBatch(events)

    def _merge(self, slots: I8, new: Bool, fresh: Bool, events: Array) -> None:
        """Add events to the table and set their NEW and FAILED marks."""
        rows = self._rows[slots]
        begun = new | (rows["state"] & FlowState.FINAL != 0)  # else it stands among the open ones already
        rows[fresh] = events[fresh]
        for name in COUNTERS:
            rows[name][~fresh] += events[name][~fresh]
        rows["flags"] |= events["flags"]
        rows["end"] = np.maximum(rows["end"], events["end"])
        rows["start"] = np.minimum(rows["start"], events["start"])
        known = np.where(fresh, 0, rows["state"]).astype(np.uint8)
        self._open = np.concatenate([self._open, slots[begun]])
        sent = rows["src_pkts"] > 0
        named = sent & (events["src_pkts"] > 0)  # the port of the initiator is known now
        for name in ("src_vm", "vfn", "port"):
            rows[name] = np.where(named, events[name], rows[name])
        failed = (rows["proto"] == TCP) & sent & refused(rows["flags"], rows["src_pkts"], rows["dst_pkts"])
        unsent = np.where(sent, 0, FlowState.ANSWERED_ONLY)
        marks = np.where(sent, FlowState.NEW, 0) | np.where(failed, FlowState.FAILED, 0)
        events["state"] = (marks & ~known) | unsent
        lasting = FlowState.NEW | FlowState.FAILED
        rows["state"] = marks | (known & lasting) | unsent
        self._rows[slots] = rows
        asked = (rows["proto"] == TCP) & (events["state"] & FlowState.NEW != 0) & (rows["dst_pkts"] == 0)
        self._unanswered = np.concatenate([self._unanswered, slots[asked & ~failed]])

    def _make_room(self, count: int) -> None:
        """Forget the oldest flows once more than `memory` would be kept."""
        if self._table.used + count <= self._memory:
            return
        slots = np.flatnonzero(self._live)
        keep = max(0, self._memory - max(count, self._memory // 4))
        slots = slots[np.argsort(self._rows["end"][slots], kind="stable")]
        lost, kept = np.split(slots, [len(slots) - min(keep, len(slots))])
        if self._ledger is not None:
            self._ledger.displace(lost, self._rows)
        rows, swapped = self._rows[kept], self._swapped[kept]
        waiting, unfinished = np.isin(kept, self._unanswered), np.isin(kept, self._open)
        moved = self._table.rebuild(kept)
        self._live[:] = False
        self._live[moved] = True
        self._rows[moved], self._swapped[moved] = rows, swapped
        if self._ledger is not None:
            self._ledger.move(kept, moved)
        self._unanswered, self._open = moved[waiting], moved[unfinished]
        self._finished = np.empty(0, np.int64)


def _from_upper_end(sides: Array) -> Bool:
    """Does a side go from the upper end of its flow (by address, then port) to the lower one?"""
    src_hi, dst_hi, src_lo, dst_lo = sides["src_hi"], sides["dst_hi"], sides["src_lo"], sides["dst_lo"]
    ports = (src_lo == dst_lo) & (sides["src_port"] > sides["dst_port"])
    return np.asarray((src_hi > dst_hi) | ((src_hi == dst_hi) & ((src_lo > dst_lo) | ports)))


class _Directions:
    """Counters of each flow of a batch, by direction: columns of shape (flows, 2), 1 is the upper end sending."""

    def __init__(self, sides: Array, upper: Bool, group: I8, flows: int) -> None:
        at = (group, upper.astype(np.int64))
        shape = (flows, 2)
        self.pkts = np.zeros(shape, np.uint64)
        self.bytes = np.zeros(shape, np.uint64)
        self.flags = np.zeros(shape, np.uint8)
        self.began = np.full(shape, np.inf)
        self.ended = np.full(shape, -np.inf)
        self.row = np.zeros(shape, np.int64)
        np.add.at(self.pkts, at, sides["pkts"])
        np.add.at(self.bytes, at, sides["bytes"])
        np.bitwise_or.at(self.flags, at, sides["flags"])
        np.minimum.at(self.began, at, sides["first"])
        np.maximum.at(self.ended, at, sides["last"])
        self.row[at] = np.arange(len(sides))
        self.first = self.began.min(axis=1)
        self.last = self.ended.max(axis=1)

    def upper_initiates(self, sample: Array) -> Bool:
        """Who opened each flow; `sample` is any side of it.

        In this order: who sent a SYN and no ACK; who did not answer with a lone SYN-ACK or RST; who was seen first;
        who talks to the lower port.
        """
        tcp = (sample["proto"] == TCP)[:, None]
        sent = self.pkts > 0
        opens = tcp & sent & (self.flags & (SYN | ACK) == SYN)
        lone = (self.pkts == 1) & (self.flags & (SYN | ACK) == SYN | ACK)
        answers = tcp & sent & (lone | (self.flags & (RST | SYN) == RST))
        both = sent.all(axis=1)
        earlier = np.where(both, np.sign(self.began[:, 0] - self.began[:, 1]), 0)  # 1: the upper end was earlier
        upper_sample = _from_upper_end(sample)
        to_lower_port = np.sign(sample["src_port"].astype(np.int32) - sample["dst_port"].astype(np.int32))
        by_port = np.where(upper_sample, to_lower_port, -to_lower_port)
        seen = np.where(both, 0, np.where(sent[:, 1], 1, -1))
        vote = np.zeros(len(sample), np.int64)
        for clue in (_lead(opens), -_lead(answers), earlier, by_port, seen):
            vote = np.where(vote == 0, clue, vote)
        return np.asarray(vote > 0)

    def events(self, sides: Array, first: I8, upper: Bool) -> Array:
        """One FLOW row for each flow, seen from its initiator (`upper`: the upper end is)."""
        flows = np.arange(len(first))
        from_src, from_dst = upper.astype(np.int64), 1 - upper.astype(np.int64)
        rows = np.zeros(len(first), FLOW)
        rows["start"], rows["end"] = self.first, self.last
        rows["src_pkts"], rows["dst_pkts"] = self.pkts[flows, from_src], self.pkts[flows, from_dst]
        rows["src_bytes"], rows["dst_bytes"] = self.bytes[flows, from_src], self.bytes[flows, from_dst]
        rows["flags"] = self.flags[:, 0] | self.flags[:, 1]
        forward = rows["src_pkts"] > 0
        own = sides[np.where(forward, self.row[flows, from_src], self.row[flows, from_dst])]
        rows["proto"] = own["proto"]
        for end, other in (("src", "dst"), ("dst", "src")):
            for name in (*_ADDRESSES, "vm"):
                rows[f"{end}_{name}"] = np.where(forward, own[f"{end}_{name}"], own[f"{other}_{name}"])
        rows["vfn"], rows["port"] = np.where(forward, own["vfn"], -1), np.where(forward, own["port"], -1)
        return rows


def _lead(of: Bool) -> I8:
    """1 where only the upper end (column 1) has it, -1 where only the lower one has, else 0."""
    return of[:, 1].astype(np.int64) - of[:, 0].astype(np.int64)
