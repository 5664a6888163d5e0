"""Learning goes on while the analyzer judges: late, from what stayed clean, and under the eyes of the anchor.

What comes is held back for `delay` seconds. Of a VM that fell under suspicion meanwhile nothing is learned; neither is
what the anchor, the baseline that was learned first and is frozen, calls out of the question. So whoever moves what is
normal slowly cannot move it past what the anchor bears, and the anchor goes on judging beside its successors. Where
most of a segment changed together (`analyzer.drift`) it was a deployment: there the anchor has no say, and what is
learned becomes the next anchor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from analyzer.baseline import FLOW_SAMPLE, WINDOW, Baseline, Learner, Reservoir
from analyzer.drift import Drift, SegmentDrift
from analyzer.flows import F4, F8, I8, U8, Array, Bool
from analyzer.known import KnownKeys, keys_of
from analyzer.peers import Peers, exchanges

BLOCKS = 4
"""Parts that the delay is divided into."""
MOST_HELD = 10_000
"""Samples of each kind kept of a part."""
ANCHOR_P = 1e-4
"""What the anchor finds less likely is not learned."""
SAMPLE_SECONDS = 1.0
_HELD_FLOW = np.dtype([("vm", "<i4"), *FLOW_SAMPLE.descr])
_HELD_PEER = np.dtype([("vm", "<i4"), ("keys", "<u8", (3,))])


@dataclass
class _Block:
    """What came in a part of the delay."""

    ends: float
    windows: Reservoir = field(default_factory=lambda: Reservoir(MOST_HELD))
    flows: Reservoir = field(default_factory=lambda: Reservoir(MOST_HELD))
    peers: list[Array] = field(default_factory=list)
    dealt: Peers = field(default_factory=Peers)
    suspects: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Relearned:
    """A fitted successor."""

    baseline: Baseline
    deployed: tuple[int, ...]
    """Segments where most VMs had changed together; not empty: it is to be the next anchor."""


class Following:
    """Gathers what a next baseline is learned from. Memory is bounded."""

    def __init__(self, anchor: Baseline, current: Baseline, vms: int, delay: float) -> None:
        """`vms`: the highest VM number; `delay`: seconds."""
        self._anchor, self._known, self._vms = anchor, current.known, vms
        self._delay = delay
        self._blocks: deque[_Block] = deque()
        self._learner = Learner()
        self._peers: list[Array] = []
        self._dealt = Peers(current.known.dealt)
        self._drift = Drift(vms)
        self._sampled = np.full(vms + 1, -np.inf)
        self.left_out = 0
        """Samples that were not learned from since their VM fell under suspicion."""

    def peers(self, now: float, rows: Array) -> None:
        """Events whose initiators may get to know whom they talk to."""
        held = np.zeros(len(rows), _HELD_PEER)
        held["vm"], held["keys"] = rows["src_vm"], keys_of(rows, self._known.salt)
        block = self._block(now)
        block.peers.append(np.unique(held))
        block.dealt.add(exchanges(rows))
        if len(block.peers) > 64:
            block.peers = [np.unique(np.concatenate(block.peers))[: 4 * MOST_HELD]]

    def flows(self, rows: Array, features: F4) -> None:
        """Finished flows."""
        if not len(rows):
            return
        held = np.zeros(len(rows), _HELD_FLOW)
        held["vm"], held["segment"], held["values"] = rows["src_vm"], rows["src_segment"], features
        self._block(float(rows["end"].max())).flows.add(held)

    def windows(self, now: float, vm: I8, segment: Array, values: F8, p: F8, suspect: Bool) -> None:
        """Windows of subjects that were judged just now: their p, and whether a behaviour was found in them."""
        block = self._block(now)
        block.suspects.update(vm[suspect & (vm > 0)].tolist())
        due = np.flatnonzero((vm > 0) & (now - self._sampled[vm] >= SAMPLE_SECONDS))
        self._sampled[vm[due]] = now
        self._drift.note(now, vm[due], segment[due], p[due])
        rows = np.zeros(len(due), WINDOW)
        rows["time"], rows["vm"], rows["segment"] = now, vm[due], segment[due]
        rows["values"] = values[:, due].transpose(1, 0, 2)
        block.windows.add(rows)

    def drift(self) -> list[SegmentDrift]:
        """How far each segment is from its baseline."""
        return self._drift.report()

    @property
    def samples(self) -> int:
        """Windows that may be learned from: they stayed clean for the whole delay."""
        return self._learner.windows

    def successor(self) -> Callable[[int, str], Relearned]:
        """Fits the next baseline from (seed, inventory digest), in any thread; gathering begins anew."""
        learner, peers, dealt = self._learner, self._peers, self._dealt.rows()
        self._learner, self._peers = Learner(), []
        deployed = tuple(found.segment for found in self.drift() if found.deployment)
        return partial(_fit, self._anchor, self._known, learner, peers, dealt, deployed, self._vms)

    def _block(self, now: float) -> _Block:
        """The part that `now` falls in; what is old enough goes over to the learner."""
        if not self._blocks or now >= self._blocks[-1].ends:
            self._blocks.append(_Block(now + self._delay / BLOCKS))
            while self._blocks[0].ends + self._delay <= now:
                self._mature(self._blocks.popleft())
        return self._blocks[-1]

    def _mature(self, block: _Block) -> None:
        suspects = np.array(sorted(block.suspects.union(*(later.suspects for later in self._blocks))), np.int32)

        def clean(rows: Array) -> Array:
            kept = rows[~np.isin(rows["vm"], suspects)]
            self.left_out += len(rows) - len(kept)
            return kept

        windows, flows = block.windows.rows(), block.flows.rows()
        if windows is not None:
            self._learner.take_windows(clean(windows))
        if flows is not None:
            rows = clean(flows)
            self._learner.add_flows(rows["segment"], rows["values"])
        if block.peers:
            self._peers.append(clean(np.unique(np.concatenate(block.peers))))
        self._dealt.add(clean(block.dealt.rows()))


def _fit(
    anchor: Baseline, known: KnownKeys, learner: Learner, peers: list[Array], dealt: Array,
    deployed: tuple[int, ...], vms: int, seed: int, inventory: str,
) -> Relearned:  # fmt: skip
    def borne(windows: Array) -> Bool:
        p = anchor.window_p(windows["segment"], windows["values"].astype(np.float64).transpose(1, 0, 2))
        return np.asarray((p >= ANCHOR_P) | np.isin(windows["segment"], deployed))

    def borne_flows(flows: Array) -> Bool:
        p = anchor.flow_p(flows["segment"], flows["values"].astype(np.float64))
        return np.asarray((p >= ANCHOR_P) | np.isin(flows["segment"], deployed))

    fresh = np.concatenate([part["keys"] for part in peers]) if peers else np.zeros((0, 3), np.uint64)
    merged = _merged(known, fresh, dealt)
    learner.keep(borne, borne_flows)
    return Relearned(learner.fit(merged, vms, seed, inventory, warm_up=0.0), deployed)


def _merged(known: KnownKeys, fresh: U8, dealt: Array) -> KnownKeys:
    tables = (known.peers, known.outside, known.services)
    merged = [np.union1d(old, fresh[:, i]) for i, old in enumerate(tables)]
    return KnownKeys(known.salt, merged[0], merged[1], merged[2], dealt)
