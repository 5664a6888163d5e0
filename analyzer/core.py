"""The analyzer without any input or output: flow events in, verdicts out. Live and replay run this same code.

Time is that of the events. What is judged at a moment depends on earlier events only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from analyzer import behaviours
from analyzer.baseline import POOLED, Baseline, Learner
from analyzer.behaviours import ALERT, Scene
from analyzer.behaviours.tunnel import in_one_flow
from analyzer.features import flow_features
from analyzer.flows import F8, I8, NOBODY, Array, Bool, FlowBatch, FlowState
from analyzer.following import Following
from analyzer.known import Known
from analyzer.models.known import KnownAttacks
from analyzer.observe import ADMIN_PORTS, DNS_PORT, Novelty, contributions, received
from analyzer.oddflows import OddFlows
from analyzer.risk import (
    AGREE_P,
    CLEAR,
    OVERWHELMING,
    UNUSUAL_P,
    Finding,
    Verdict,
    advised,
    decayed,
    fisher,
    flow_risk,
    risk_of,
    risk_of_strength,
)
from analyzer.services import Dealings, Services
from analyzer.subjects import Subjects
from analyzer.suspicion import About, Suspicion
from analyzer.windows import Windows, feature

AGREEING = 2
"""Evaluations, of the last three of a subject, in which behaviour and baseline must agree."""
_LAST_THREE = 0b111
NOTABLE = 20.0
"""A flow of so much risk by itself is one that its initiator's risk may come from."""
RECALL = 600.0
"""Half-life, in seconds, of what is thought of dealings with one service: they are slower than windows."""
_ACTS = np.array([behaviour.action != ALERT and not behaviour.passive for behaviour in behaviours.ALL])
_PASSIVE = np.array([behaviour.passive for behaviour in behaviours.ALL])
_ABOUT = {b.name: About.TARGET if b.passive else About.NAMES if b.names else About.DEEDS for b in behaviours.ALL}
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
        self._began = np.inf
        self._services = Services(salt)
        self._odd = OddFlows(self.subjects.size)
        self._history = np.zeros((2, self.subjects.size), np.uint8)
        """By subject, a bit an evaluation: did behaviour and baseline agree; was it overwhelming, or done to it?"""
        self._suspicion = Suspicion(self.subjects.size)
        self._forgotten = np.full(self.subjects.size, -np.inf)
        self._cut = np.zeros(self._vms + 1, bool)
        self._known = Known(salt)
        self.learner: Learner | None = Learner()
        self.baseline: Baseline | None = None
        self.following: Following | None = None
        """Learns on while the baseline judges; whoever leads this core may set it."""
        self.attacks: KnownAttacks | None = None
        """Names what verdicts look like, if it is set; decides nothing."""

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
        self._reuse(one)
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
        self._began = min(self._began, now)
        novelty = self._known.judge(rows)
        excused = self._cut[np.maximum(rows["dst_vm"], 0)]
        self._windows.add(now, index, contributions(rows, novelty, excused))
        victims, aimed = received(
            events.rows[events.rows["end"] > self._forgotten[np.maximum(events.rows["dst_vm"], 0)]]
        )
        self._windows.add(now, victims.astype(np.int64), aimed)
        dealings = self._services.update(index, rows, novelty, excused)
        if self.learner is not None:
            self._known.learn(rows[rows["state"] & _PROVES_NOTHING == 0])
        if self.following is not None:
            self.following.peers(now, rows[rows["state"] & _PROVES_NOTHING == 0])
        did = (rows["state"] & _DEEDS != 0) | (rows["src_bytes"] > 0)
        active = np.unique(np.concatenate([index[did], victims]))
        active = active[~self._cut[np.where(active <= self._vms, active, 0)]]
        return self._evaluate(self._windows.now, active, dealings) if len(active) else []

    def count_packets(self, now: float, vm: I8, name: str, packets: F8) -> None:
        """Entry counters of VMs (none twice): packets since the last reading."""
        self._windows.add_sums(now, vm, name, packets)

    def finish(self, rows: Array) -> F8:
        """Risk (0..100) of finished flows by themselves; while learning they are learned from, and it is 0."""
        novelty = self._known.judge(rows)
        features = flow_features(rows, novelty)
        index = self.subjects.lookup(rows)
        self._services.sizes(index, rows)
        if self.learner is not None:
            self.learner.add_flows(rows["src_segment"], features)
        if self.following is not None:
            self.following.flows(rows, features)
        if self.baseline is None:
            return np.zeros(len(rows))
        p = self._flow_p(rows, features, novelty)
        excused = self._cut[np.maximum(rows["dst_vm"], 0)]
        self._odd.add(np.where(excused, NOBODY, index), rows["end"], p)
        return flow_risk(p)

    def flow_risk(self, rows: Array) -> F8:
        """Risk (0..100) of flows by themselves, finished or not; nothing is learned from them."""
        if self.baseline is None:
            return np.zeros(len(rows))
        novelty = self._known.judge(rows)
        return flow_risk(self._flow_p(rows, flow_features(rows, novelty), novelty))

    def features_of(self, rows: Array) -> F8:
        """What the flow models see of flows, as things stand."""
        return flow_features(rows, self._known.judge(rows))

    def score(self, rows: Array, own: F8) -> F8:
        """Risk (0..100) of each flow as things stand.

        It is the highest of the flow's own, of its initiator's where the flow is of the kind that made it, of what is
        thought of the dealings it belongs to, and of what goes on against its target.
        """
        index = self.subjects.lookup(rows)
        time, failed = rows["end"], rows["state"] & FlowState.FAILED != 0
        reflected = rows["state"] & FlowState.ANSWERED_ONLY != 0
        target = np.where(reflected, rows["src_vm"], rows["dst_vm"]).astype(np.int64)
        found, when = self._services.risk(index, rows)
        tunnel = in_one_flow(rows)
        blatant = np.where(tunnel >= 1, risk_of_strength(tunnel), 0.0)
        suspected = (
            (About.DEEDS, index, failed | ADMIN_PORTS[rows["dst_port"]] | (own >= NOTABLE)),
            (About.NAMES, index, rows["dst_port"] == DNS_PORT),
            (About.TARGET, target, reflected | failed | (rows["dst_pkts"] == 0)),
        )
        parts = [np.where(of_kind, self._suspicion.now(about, who, time), 0.0) for about, who, of_kind in suspected]
        return np.asarray(np.max([own, blatant, decayed(found, time - when, RECALL), *parts], axis=0))

    def windows_of(self, rows: Array) -> F8:
        """(lengths, rows, features) windows of each row's initiator as things stand; -1 where it is not judged."""
        index = self.subjects.lookup(rows)
        values = self._windows.values(np.maximum(index, 0))
        values[:, index < 0] = -1.0
        return values

    def _flow_p(self, rows: Array, features: F8, novelty: Novelty) -> F8:
        assert self.baseline is not None
        unusual = self.baseline.flow_p(rows["src_segment"], features)
        return fisher(unusual, self.baseline.novelty_p(rows, novelty))

    def _reuse(self, recycled: I8) -> None:
        self._windows.forget(recycled)
        self._services.forget(recycled)
        self._odd.forget(recycled)
        self._suspicion.forget(recycled)
        self._history[:, recycled] = 0

    def _evaluate(self, now: float, active: I8, dealings: Dealings) -> list[Verdict]:
        values = self._windows.values(active)
        vm = np.where(active <= self._vms, active, 0)
        segment = self._segment[active]
        if self.learner is not None:
            self.learner.add_windows(now, active, vm, segment, values)
        if self.baseline is None:
            return []
        own, group = self.baseline.usual(vm, segment)
        dealer = np.searchsorted(active, dealings.rows["subject"])
        judged = active[np.minimum(dealer, len(active) - 1)] == dealings.rows["subject"]
        dealings, dealer = dealings.take(judged), dealer[judged]
        scene = Scene(values, own, group, vm == 0, dealings, dealer)
        strengths = np.stack([behaviour.strength(scene) for behaviour in behaviours.ALL])
        self._blame(now, scene)
        flows = feature(values, "flows", OddFlows.SECONDS)
        windows = self.baseline.window_p(segment, values, now - self._began)
        learned = np.minimum(windows, self._odd.p(active, now, flows))
        found = strengths >= 1
        # There is no baseline of what strangers do: towards an outside address the behaviour decides alone.
        agreed = found[_ACTS].any(axis=0) & ((learned <= AGREE_P) | scene.outside)
        if self.following is not None:
            self.following.windows(now, vm, segment, values, learned, found[_ACTS].any(axis=0))
        enough = np.where(self._knows(segment), OVERWHELMING, CLEAR)
        repeated = found[_PASSIVE].any(axis=0) | (strengths[_ACTS] >= enough).any(axis=0)
        self._history[:, active] = (self._history[:, active] << 1 | [agreed, repeated]) & _LAST_THREE
        notable = np.flatnonzero(found.any(axis=0) | (learned <= UNUSUAL_P))
        verdicts = [
            self._verdict(now, int(active[i]), int(i), scene, strengths[:, i], float(learned[i]), float(enough[i]))
            for i in notable
        ]
        if self.attacks is not None and verdicts:
            verdicts = self.attacks.name(verdicts, values[:, notable])
        return sorted(verdicts, key=lambda verdict: -verdict.risk)

    def _knows(self, segment: Array) -> Bool:
        """Was enough learned for windows of these segments to be judged by a model of their own?"""
        assert self.baseline is not None
        windows = self.baseline.windows
        models = [windows.get(number, windows[POOLED]) for number in segment.tolist()]
        return np.array([any(model.weights for model in of.values()) for of in models], bool)

    def _blame(self, now: float, scene: Scene) -> None:
        """Remember what was found in dealings with one service."""
        for behaviour in behaviours.DEALINGS:
            each = behaviour.each(scene.dealings)
            bad = each >= 1
            self._services.blame(scene.dealings.slots[bad], risk_of_strength(each[bad]), now)

    def _verdict(
        self, now: float, subject: int, i: int, scene: Scene, strengths: F8, learned: float, enough: float
    ) -> Verdict:
        found = [
            Finding(
                b.name, b.technique, float(strengths[k]), b.reason(scene, i), b.action != ALERT, b.action, b.passive
            )
            for k, b in enumerate(behaviours.ALL)
            if strengths[k] >= 1
        ]
        findings = tuple(sorted(found, key=lambda finding: (not finding.acts, -finding.strength)))
        deeds = tuple(finding for finding in findings if not finding.passive)
        for about in About:
            grounds = tuple(f for f in findings if f.acts and _ABOUT[f.behaviour] == about)
            if grounds:
                self._suspicion.raise_to(about, subject, risk_of(grounds, 1.0), now)
        thought = [float(self._suspicion.now(about, np.array([subject]), np.array([now]))[0]) for about in About]
        is_vm = self.subjects.is_vm(subject)
        agreed, repeated = (int(bits).bit_count() >= AGREEING for bits in self._history[:, subject])
        return Verdict(
            subject=subject,
            vm=subject if is_vm else 0,
            address=None if is_vm else self.subjects.address(subject),
            time=now,
            risk=max(risk_of(deeds, learned), *thought),
            learned_p=learned,
            findings=findings,
            confirmed=(agreed or repeated) and any(finding.acts for finding in deeds),
            action=advised(findings, learned <= AGREE_P or not is_vm, agreed, repeated, enough),
        )
