"""The analyzer without any input or output: flow events in, verdicts out. Live and replay run this same code.

Time is that of the events. What is judged at a moment depends on earlier events only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from analyzer import behaviours
from analyzer.baseline import Baseline, Learner
from analyzer.behaviours import Scene
from analyzer.features import flow_features
from analyzer.flows import F8, I8, Array, FlowBatch, FlowState
from analyzer.following import Following
from analyzer.known import Known
from analyzer.observe import ADMIN_PORTS, contributions
from analyzer.risk import AGREE_P, MOST_ALONE, UNUSUAL_P, Finding, Verdict, decayed, risk_of, risk_of_p
from analyzer.subjects import Subjects
from analyzer.windows import Windows

AGREEING = 2
"""Evaluations, of the last three of a subject, in which behaviour and baseline must agree."""
_LAST_THREE = 0b111
NOTABLE = 20.0
"""A flow of so much risk by itself is one that its initiator's risk may come from."""
_DEEDS = FlowState.NEW | FlowState.ASKED | FlowState.FAILED | FlowState.SPOOFED
"""What makes the initiator of an event worth a look."""
_PROVES_NOTHING = FlowState.SPOOFED | FlowState.FAILED | FlowState.ASKED
"""Such events make nobody a known peer."""


class Core:
    """State of the analyzer: windows, baseline or learner, and what it thinks of each subject."""

    def __init__(self, segment_of: Array, salt: int) -> None:
        """Start learning.

        Args:
            segment_of: segment number of each VM number, index 0 unused.
            salt: of hashes; secret in a live network.
        """
        self._vms = len(segment_of) - 1
        self.subjects = Subjects(self._vms, salt)
        self._segment = np.zeros(self.subjects.size, np.int16)
        self._segment[: len(segment_of)] = segment_of
        self._windows = Windows(self.subjects.size, salt)
        self._history = np.zeros(self.subjects.size, np.uint8)
        self._risk = np.zeros(self.subjects.size)
        self._risk_time = np.zeros(self.subjects.size)
        self._forgotten = np.full(self.subjects.size, -np.inf)
        self._cut = np.zeros(self._vms + 1, bool)
        self._known = Known(salt)
        self.learner: Learner | None = Learner()
        self.baseline: Baseline | None = None
        self.following: Following | None = None
        """Learns on while the baseline judges; whoever leads this core may set it."""

    def restart_learning(self) -> None:
        """Learn from scratch."""
        self.following = None
        self._known, self.learner, self.baseline = Known(self._known.salt), Learner(), None

    def stop_learning(self) -> Callable[[int, str], Baseline]:
        """Stop collecting; the result fits a baseline from (seed, inventory digest), in any thread."""
        learner, self.learner = self.learner or Learner(), None
        return partial(learner.fit, self._known.save(), self._vms)

    def judge_by(self, baseline: Baseline) -> None:
        """From now on judge."""
        self.learner, self.baseline = None, baseline
        self._known = Known.load(baseline.known)

    def set_cut(self, vms: set[int]) -> None:
        """These VMs are cut off by a rule: they are not judged, and failing to reach them is nobody's fault."""
        self._cut[:] = False
        self._cut[[vm for vm in vms if 0 < vm <= self._vms]] = True

    def forget(self, vm: int, now: float) -> None:
        """Only what a VM does after `now` counts: it has been released."""
        one = np.array([vm])
        self._windows.forget(one)
        self._history[vm], self._risk[vm] = 0, 0.0
        self._forgotten[vm] = now

    def feed(self, events: FlowBatch) -> list[Verdict]:
        """Count events and evaluate their initiators; the verdicts, riskiest first. Empty while learning."""
        if not len(events):
            return []
        index, recycled = self.subjects.index(events.rows)
        if len(recycled):
            self._reuse(recycled)
        counted = (index >= 0) & (events.rows["end"] > self._forgotten[index])
        rows, index = events.rows[counted], index[counted]
        now = float(events.rows["end"].max())
        novelty, _ = self._known.judge(rows)
        excused = self._cut[np.maximum(rows["dst_vm"], 0)]
        self._windows.add(now, index, contributions(rows, novelty, excused))
        if self.learner is not None:
            self._known.learn(rows[rows["state"] & _PROVES_NOTHING == 0])
        if self.following is not None:
            self.following.peers(now, rows[rows["state"] & _PROVES_NOTHING == 0])
        did = (rows["state"] & _DEEDS != 0) | (rows["src_bytes"] > 0)
        active = np.unique(index[did])
        active = active[~self._cut[np.where(active <= self._vms, active, 0)]]
        return self._evaluate(self._windows.now, active) if len(active) else []

    def count_packets(self, now: float, vm: I8, name: str, packets: F8) -> None:
        """Entry counters of VMs (none twice): packets since the last reading."""
        self._windows.add_sums(now, vm, name, packets)

    def finish(self, rows: Array) -> F8:
        """Risk (0..100) of finished flows by themselves; while learning they are learned from, and it is 0."""
        features = self.features_of(rows)
        if self.learner is not None:
            self.learner.add_flows(rows["src_segment"], features)
        if self.following is not None:
            self.following.flows(rows, features)
        return self._flow_risk(rows, features)

    def flow_risk(self, rows: Array) -> F8:
        """Risk (0..100) of flows by themselves, finished or not; nothing is learned from them."""
        return self._flow_risk(rows, self.features_of(rows))

    def score(self, rows: Array, own: F8) -> F8:
        """Risk (0..100) of each flow as things stand.

        It is the flow's own, or its initiator's where that is higher and the flow is of the kind that made it.
        """
        suspect = (rows["state"] & FlowState.FAILED != 0) | ADMIN_PORTS[rows["dst_port"]] | (own >= NOTABLE)
        initiator = self.risk_now(self.subjects.lookup(rows), rows["end"])
        return np.maximum(own, np.where(suspect, initiator, 0.0))

    def risk_now(self, index: I8, now: Array) -> F8:
        """Decayed risk of subjects, 0 for NOBODY."""
        risk = decayed(self._risk[index], now - self._risk_time[index])
        return np.where(index >= 0, risk, 0.0)

    def windows_of(self, rows: Array) -> F8:
        """(lengths, rows, features) windows of each row's initiator as things stand; -1 where it is not judged."""
        index = self.subjects.lookup(rows)
        values = self._windows.values(np.maximum(index, 0))
        values[:, index < 0] = -1.0
        return values

    def features_of(self, rows: Array) -> F8:
        """(n, len(FLOW_FEATURES)) of flows as things stand."""
        novelty, new_service = self._known.judge(rows)
        return flow_features(rows, novelty, new_service)

    def _flow_risk(self, rows: Array, features: F8) -> F8:
        if self.baseline is None:
            return np.zeros(len(rows))
        return np.minimum(risk_of_p(self.baseline.flow_p(rows["src_segment"], features)), MOST_ALONE)

    def _reuse(self, recycled: I8) -> None:
        self._windows.forget(recycled)
        self._history[recycled], self._risk[recycled] = 0, 0.0

    def _evaluate(self, now: float, active: I8) -> list[Verdict]:
        values = self._windows.values(active)
        vm = np.where(active <= self._vms, active, 0)
        segment = self._segment[active]
        if self.learner is not None:
            self.learner.add_windows(now, active, vm, segment, values)
        if self.baseline is None:
            return []
        own, group = self.baseline.usual(vm, segment)
        scene = Scene(values, own, group)
        strengths = np.stack([behaviour.strength(scene) for behaviour in behaviours.ALL])
        learned = self.baseline.window_p(segment, values)
        acting = np.array([behaviour.acts for behaviour in behaviours.ALL])
        # There is no baseline of what strangers do: towards an outside address the behaviour decides alone.
        agreed = (strengths[acting] >= 1).any(axis=0) & ((learned <= AGREE_P) | (vm == 0))
        if self.following is not None:
            self.following.windows(now, vm, segment, values, learned, (strengths[acting] >= 1).any(axis=0))
        self._history[active] = (self._history[active] << 1 | agreed) & _LAST_THREE
        notable = np.flatnonzero((strengths >= 1).any(axis=0) | (learned <= UNUSUAL_P))
        verdicts = [
            self._verdict(now, int(active[i]), int(i), scene, strengths[:, i], float(learned[i])) for i in notable
        ]
        return sorted(verdicts, key=lambda verdict: -verdict.risk)

    def _verdict(self, now: float, subject: int, i: int, scene: Scene, strengths: F8, learned: float) -> Verdict:
        found = [
            Finding(b.name, b.technique, float(strengths[k]), b.reason(scene, i), b.acts)
            for k, b in enumerate(behaviours.ALL)
            if strengths[k] >= 1
        ]
        findings = tuple(sorted(found, key=lambda finding: (not finding.acts, -finding.strength)))
        fresh = risk_of(findings, learned)
        old = float(self.risk_now(np.array([subject]), np.array([now]))[0])
        if fresh >= old:
            self._risk[subject], self._risk_time[subject] = fresh, now
        is_vm = self.subjects.is_vm(subject)
        agreeing = int(self._history[subject]).bit_count() >= AGREEING
        return Verdict(
            subject=subject,
            vm=subject if is_vm else 0,
            address=None if is_vm else self.subjects.address(subject),
            time=now,
            risk=max(fresh, old),
            learned_p=learned,
            findings=findings,
            confirmed=agreeing and any(finding.acts for finding in findings),
        )
