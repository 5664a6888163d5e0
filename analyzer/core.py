"""The analyzer without any input or output: flow events in, verdicts out. Live and replay run this same code.

Time is that of the events. What is judged at a moment depends on earlier events only. Events come in steps; at the end
of each those who had part in it are evaluated. Many steps are worked on at once: what remembers goes through them in
compiled loops (windows, dealings, suspicion), what is a function of values (behaviours, models) takes all evaluations
of all steps as columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np

from analyzer.baseline import Baseline, Learner, over_lengths
from analyzer.behaviours import Scene
from analyzer.behaviours.tunnel import in_one_flow
from analyzer.calibration import Calibration
from analyzer.compiled import compiled
from analyzer.dealings import Used
from analyzer.features import flow_features
from analyzer.flows import F4, F8, I8, NOBODY, TCP, Array, Bool, FlowBatch, FlowState
from analyzer.following import Following
from analyzer.judging import Judgement, Usual, blamed, judged, misbehaving, strengths_in
from analyzer.known import Known
from analyzer.models.known import KnownAttacks
from analyzer.observe import ADMIN_PORTS, DNS_PORT, Novelty, contributions
from analyzer.oddflows import OddFlows
from analyzer.peers import Peer
from analyzer.risk import Verdict, advised, fisher, flow_risk, needed_at_once, risk_of_strength
from analyzer.services import Services
from analyzer.subjects import Subjects
from analyzer.suspicion import AGREEING, About, Found, Memory, Scored, score, steps
from analyzer.windows import Seen, Windows, feature

P = ParamSpec("P")
T = TypeVar("T")

NOTABLE = 20.0
"""A flow of so much risk by itself is one that its initiator's risk may come from."""
SUSPECT = 50.0
"""What a subject does is not ordinary while the risk of its deeds is this."""
AT_ONCE = 1 << 15
"""Steps that begin within so many events are worked on together. Where they end is of no account: so what was cut off
later is judged the same."""
CORRECTED = 1024
"""What tails are corrected by (`analyzer.calibration`) follows after the steps that begin within so many events."""
WORTH_A_THREAD = 1024
"""Events of steps from which on a second thread pays. Fewer are counted before it would be awake: where all processors
are busy, as in an attack, handing over takes many times longer."""
_PROVES_NOTHING = FlowState.SPOOFED | FlowState.FAILED | FlowState.ASKED
"""Such events make nobody a known peer."""


@dataclass(frozen=True)
class Step:
    """What came of one step of events."""

    verdicts: list[Verdict]
    """Riskiest first."""
    risk: F8
    """0..100 of each of its flows when it came, if they are whole flows."""


class _Flows(NamedTuple):
    """What can be said of whole flows before the windows of their initiators are counted, as columns."""

    unusual: F8
    """Uncorrected tail probabilities of how they look."""
    rare: F8
    """Those of being as new as they are."""
    new: Bool
    slots: I8
    """Where the dealings that they belong to are kept."""


_NO_FLOWS = _Flows(np.zeros(0), np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64))


@dataclass(frozen=True)
class _Events:
    """Events of steps that are worked on together."""

    rows: Array
    edges: I8
    """(steps + 1,) where each step's begin."""
    index: I8
    """Initiators."""
    flows: _Flows
    """What they are as whole flows; `_NO_FLOWS`: they are none."""

    @property
    def whole(self) -> bool:
        """Are they whole flows as well?"""
        return self.flows is not _NO_FLOWS


class _Who(NamedTuple):
    """Who was seen, as columns."""

    time: F8
    vm: I8
    """0: nobody of ours."""
    segment: Array

    @classmethod
    def of(cls, seen: Seen, vms: int, segment: Array) -> _Who:
        time = np.repeat(seen.times, np.diff(seen.edges))
        return cls(time, np.where(seen.subject <= vms, seen.subject, 0), segment[seen.subject])


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
        size = self.subjects.size
        self._segment = np.zeros(size, np.int16)
        self._segment[: len(segment_of)] = segment_of
        self._segment[0] = 0
        self._windows = Windows(size, salt)
        self._began = np.inf
        self._services = Services(salt)
        self._odd = OddFlows(size)
        self._memory = Memory.of(size)
        self._forgotten = np.full(size, -np.inf)
        self._cut = np.zeros(size, bool)
        self._known = Known(salt)
        self._usual: Usual | None = None
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="count")
        self.learner: Learner | None = Learner()
        self.baseline: Baseline | None = None
        self.calibration: Calibration | None = None
        self.following: Following | None = None
        """Learns on while the baseline judges; whoever leads this core may set it."""
        self.attacks: KnownAttacks | None = None
        """Names what verdicts look like, if it is set; decides nothing."""

    def restart_learning(self) -> None:
        """Learn from scratch."""
        self.following = None
        self._known, self.learner, self.baseline = Known(self._known.salt), Learner(), None
        self.calibration = None

    def stop_learning(self) -> Callable[[int, str], Baseline]:
        """Stop collecting; the result fits a baseline from (seed, inventory digest), in any thread."""
        learner, self.learner = self.learner or Learner(), None
        return partial(learner.fit, self._known.save(), self._vms)

    def judge_by(self, baseline: Baseline) -> None:
        """From now on judge."""
        self.learner, self.baseline = None, baseline
        self.calibration = Calibration(baseline, self._vms, int(self._segment.max(initial=0)))
        self._known = Known.load(baseline.known)
        self._usual = Usual(baseline, self._segment[: self._vms + 1])

    def set_cut(self, vms: set[int]) -> None:
        """These VMs are cut off by a rule: they are not judged, and failing to reach them is nobody's fault."""
        self._cut[:] = False
        self._cut[[vm for vm in vms if 0 < vm <= self._vms]] = True

    def forget(self, vm: int, now: float) -> None:
        """Only what a VM does after `now` counts: it has been released."""
        one = np.array([vm])
        self._reuse(one)
        self._forgotten[vm] = now

    def ordinary(self, rows: Array) -> Bool:
        """Which flows (dtype FLOW, with segments) does the baseline know, by peer and service, with nobody suspected?

        None while there is no baseline. Failing to get through makes nobody suspicious here: what does is a behaviour.
        """
        if self.baseline is None or self._known.blank:
            return np.zeros(len(rows), bool)
        novelty = self._known.judge(rows)
        risk = self._memory.thought(About.DEEDS, self.subjects.lookup(rows), rows["end"])
        return np.asarray(~novelty.peer & ~novelty.service & (rows["dst_segment"] >= 0) & (risk < SUSPECT))

    def peers_of(self, vm: int) -> tuple[Peer, ...]:
        """With whom a VM exchanged packets while the baseline was learned."""
        return self._known.dealt.of(vm)

    def feed(self, events: FlowBatch, edges: I8 | None = None) -> list[Verdict]:
        """Count events and evaluate those who had part in them; the verdicts of all steps. Empty while learning.

        `edges`: where steps begin, and the end; without them all is one step.
        """
        edges = np.array([0, len(events)]) if edges is None else edges
        return [verdict for step in self.steps(events, edges) for verdict in step.verdicts]

    def steps(self, events: FlowBatch, edges: I8, *, whole: bool = False) -> Iterator[Step]:
        """Count events step by step, and evaluate; what came of each step.

        Args:
            events: in order of time.
            edges: (steps + 1,) where each step begins; none is empty.
            whole: they are whole flows as well, to be judged by themselves: as `finish` does, ahead of each step.
        """
        edges = edges[np.r_[True, np.diff(edges) > 0]]
        first = 0
        while first < len(edges) - 1:
            last = first
            while last < len(edges) - 1 and edges[last] - edges[first] < AT_ONCE:
                last = _reach(edges, last, CORRECTED)
            part = events.rows[edges[first] : edges[last]]
            done, found = self._together(part, edges[first : last + 1] - edges[first], whole)
            yield from found
            first += done

    def count_packets(self, now: float, vm: I8, name: str, packets: F8) -> None:
        """What VMs (none twice) did that is not told of as flows: packets since the last reading, names asked for."""
        self._windows.add_sums(now, vm, name, packets)

    def finish(self, rows: Array) -> F8:
        """Risk (0..100) of finished flows by themselves; while learning they are learned from, and it is 0."""
        index = self.subjects.lookup(rows)
        self._services.sizes(index, rows)
        novelty = self._known.judge(rows)
        unusual = self._unusual(rows, novelty)
        p = self._flow_p(rows, unusual, novelty)
        if self.calibration is not None:
            self.calibration.note_flows(rows, unusual)
        if self.baseline is not None:
            self._odd.add(self._blameable(rows, index), rows["end"], p)
        return flow_risk(p)

    def flow_risk(self, rows: Array) -> F8:
        """Risk (0..100) of flows by themselves, finished or not; nothing is learned from them."""
        if self.baseline is None:
            return np.zeros(len(rows))
        novelty = self._known.judge(rows)
        unusual = self.baseline.flow_p(rows["src_segment"], flow_features(rows, novelty))
        return flow_risk(self._flow_p(rows, unusual, novelty))

    def features_of(self, rows: Array) -> F4:
        """What the flow models see of flows, as things stand."""
        return flow_features(rows, self._known.judge(rows))

    def score(self, rows: Array, own: F8) -> F8:
        """Risk (0..100) of each flow as things stand (`analyzer.suspicion.score`)."""
        index = self.subjects.lookup(rows)
        risk = np.empty(len(rows))
        new, slots = self._new(rows, self._known.judge(rows)), self._services.slots(index, rows)
        scored = self._scored(rows, index, own, new, slots)
        score(self._memory, self._services.table, scored, 0, len(rows), risk)
        return risk

    def windows_of(self, rows: Array) -> tuple[F8, I8]:
        """Windows of the initiators of flows as things stand, and (rows,) whose each flow is.

        Windows are (lengths, initiators, features), -1 of whom is not judged.
        """
        place = self.subjects.lookup(rows) + 1  # nobody's is 0
        present = np.zeros(self.subjects.size + 1, bool)
        present[place] = True
        index = np.flatnonzero(present) - 1
        values = self._windows.values(np.maximum(index, 0))
        values[:, index < 0] = -1.0
        return values, (np.cumsum(present) - 1)[place]

    def _together(self, rows: Array, edges: I8, whole: bool) -> tuple[int, Iterator[Step]]:
        """Work on steps at once; how many could be, and what came of each."""
        index, done, recycled = self.subjects.index(edges, rows)
        rows, edges, index = rows[: edges[done]], edges[: done + 1], index[: edges[done]]
        counts = (index >= 0) & (rows["end"] > self._forgotten[index])
        subject = np.where(counts, index, NOBODY)
        novelty = self._novelty(rows, edges, counts)
        excused = self._cut[np.maximum(rows["dst_vm"], 0)]
        counting = self._beside(len(rows), self._seen, rows, edges, subject, novelty, excused)
        used = self._services.update(edges, subject, rows, novelty, excused, index if whole else None)
        events = _Events(rows, edges, index, self._flows(rows, index, novelty) if whole else _NO_FLOWS)
        seen = counting()
        self._began = min(self._began, float(seen.times[0]))
        found = list(self._evaluated(events, seen, used))
        if len(recycled):
            self._reuse(recycled)
        return done, iter(found)

    def _beside(self, events: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Callable[[], T]:
        """Begin work on so many events in the second thread, or do it if they are few; returns what waits for it."""
        if events < WORTH_A_THREAD:
            done = work(*args, **kwargs)
            return lambda: done
        return self._aside.submit(work, *args, **kwargs).result

    def _novelty(self, rows: Array, edges: I8, counts: Bool) -> Novelty:
        proof = counts & (rows["state"] & _PROVES_NOTHING == 0)
        if self.following is not None:
            self.following.peers(float(rows["end"].max()), rows[proof])
        return self._known.judge(rows) if self.learner is None else self._known.learn(edges, rows, proof)

    def _seen(self, rows: Array, edges: I8, subject: I8, novelty: Novelty, excused: Bool) -> Seen:
        """Windows of those who had part in steps."""
        reflected = rows["state"] & FlowState.ANSWERED_ONLY != 0
        victim = np.where(reflected, rows["src_vm"], rows["dst_vm"]).astype(np.int64)
        victim = np.where((victim > 0) & (rows["end"] > self._forgotten[victim]), victim, NOBODY)
        times = np.maximum.reduceat(rows["end"], edges[:-1])
        return self._windows.add(edges, times, contributions(rows, subject, victim, novelty, excused), ~self._cut)

    def _flows(self, rows: Array, index: I8, novelty: Novelty) -> _Flows:
        unusual = self._unusual(rows, novelty)
        rare = unusual if self.baseline is None else self.baseline.novelty_p(rows, novelty)
        return _Flows(unusual, rare, self._new(rows, novelty), self._services.slots(index, rows))

    def _unusual(self, rows: Array, novelty: Novelty) -> F8:
        """Tail probabilities of how finished flows look, uncorrected; 1 while learning."""
        features = flow_features(rows, novelty)
        if self.learner is not None:
            self.learner.add_flows(rows["src_segment"], features)
        if self.following is not None:
            self.following.flows(rows, features)
        return np.ones(len(rows)) if self.baseline is None else self.baseline.flow_p(rows["src_segment"], features)

    def _flow_p(self, rows: Array, unusual: F8, novelty: Novelty) -> F8:
        if self.baseline is None or self.calibration is None:
            return unusual
        unusual = self.calibration.flows(rows["src_segment"], unusual)
        return fisher(unusual, self.baseline.novelty_p(rows, novelty))

    def _new(self, rows: Array, novelty: Novelty) -> Bool:
        """Which flows are new, where enough was learned for that to say something."""
        if self._usual is None:
            return np.zeros(len(rows), bool)
        return np.asarray(novelty.anyhow(rows) & self._usual.knows[np.maximum(rows["src_vm"], 0)])

    def _blameable(self, rows: Array, index: I8) -> I8:
        """Initiators whose doing flows are: not if we have cut off the other end."""
        return np.where(self._cut[np.maximum(rows["dst_vm"], 0)], NOBODY, index)

    def _evaluated(self, events: _Events, seen: Seen, used: Used) -> Iterator[Step]:
        """Evaluate who was seen, and remember."""
        rows, edges = events.rows, events.edges
        who = _Who.of(seen, self._vms, self._segment)
        if self.learner is not None:
            self.learner.add_windows(who.time, seen.subject, who.vm, who.segment, seen.values)
        if self.baseline is None:
            for begin, end in pairwise(edges.tolist()):
                yield Step([], np.zeros(end - begin))
            return
        judgement, dealing_edges, p = self._judged(events, seen, used, who)
        blame, blame_edges = blamed(judgement.scene, who.time, dealing_edges)
        found = Found(seen.subject, who.time, judgement.agreed, judgement.repeated, judgement.raised, judgement.acts)
        risk, evidence, thought = np.zeros(len(rows)), np.zeros((2, len(seen)), np.uint8), np.zeros(len(seen))
        part, flows = slice(len(p)), events.flows
        scored = self._scored(rows[part], events.index[part], flow_risk(p), flows.new, flows.slots)
        at = (edges if events.whole else np.zeros_like(edges), seen.edges, blame_edges)
        steps(self._memory, self._services.table, at, scored, found, blame, risk, evidence, thought)
        for k, verdicts in enumerate(self._verdicts(judgement, seen, who.time, evidence, thought)):
            yield Step(verdicts, risk[edges[k] : edges[k + 1]])

    def _judged(self, events: _Events, seen: Seen, used: Used, who: _Who) -> tuple[Judgement, I8, F8]:
        """What is found in those who were seen, where each step's dealings begin in its scene, and p of whole flows."""
        assert self.baseline is not None
        assert self._usual is not None
        subject = np.ascontiguousarray(used.dealings.rows["subject"])  # what lies apart would be compiled anew
        dealer = _dealers(seen.subject, seen.edges, subject, used.edges, self.subjects.size)
        dealt = np.flatnonzero(dealer >= 0)
        usual, dealings = self._usual, used.dealings.take(dealt)
        scene = Scene(seen.values, usual.own, usual.group, who.vm, who.vm == 0, usual.closed[who.vm],
                      usual.settled[who.vm], dealings, dealer[dealt])  # fmt: skip
        ages = who.time - self._began
        asking = self._beside(len(events.rows), self.baseline.window_tails, who.segment, seen.values, ages)
        strengths, tails = strengths_in(scene), asking()
        bad = misbehaving(strengths)
        unusual, learned = self._corrected(events, seen, who, tails, bad)
        p = np.zeros(0)
        flows = feature(seen.values, "flows", OddFlows.SECONDS)
        if events.whole:
            p = fisher(unusual, events.flows.rare)
            finished = self._blameable(events.rows, events.index), np.ascontiguousarray(events.rows["end"]), p
            odd = self._odd.in_steps(events.edges, finished, seen.edges, (seen.subject, who.time, flows))
        else:
            odd = self._odd.p(seen.subject, who.time, flows)
        judgement = judged(scene, strengths, usual, np.minimum(learned, odd))
        self._follow(seen, who, tails, bad)
        return judgement, np.searchsorted(dealt, used.edges), p

    def _corrected(self, events: _Events, seen: Seen, who: _Who, tails: F8, misbehaving: Bool) -> tuple[F8, F8]:
        """Tail probabilities of whole flows and of windows as they should be, by what was met before."""
        assert self.calibration is not None
        unusual, learned = events.flows.unusual.copy(), np.empty(len(seen))
        first = 0
        while first < len(events.edges) - 1:
            last = _reach(events.edges, first, CORRECTED)
            part = slice(seen.edges[first], seen.edges[last])
            segment = who.segment[part]
            learned[part] = over_lengths(self.calibration.windows(segment, tails[:, part]))
            self.calibration.note_windows(who.time[part], who.vm[part], segment, tails[:, part], misbehaving[part])
            if events.whole:
                part = slice(events.edges[first], events.edges[last])
                rows, met = events.rows[part], events.flows.unusual[part]
                unusual[part] = self.calibration.flows(rows["src_segment"], met)
                self.calibration.note_flows(rows, met)  # now that it is known who is suspect
            first = last
        return unusual, learned

    def _follow(self, seen: Seen, who: _Who, tails: F8, misbehaving: Bool) -> None:
        if self.following is None:
            return
        unadjusted = over_lengths(tails)
        for begin, end in pairwise(seen.edges.tolist()):
            if end > begin:
                part = slice(begin, end)
                self.following.windows(
                    float(who.time[begin]), who.vm[part], who.segment[part], seen.values[:, part], unadjusted[part],
                    misbehaving[part],
                )  # fmt: skip

    def _scored(self, rows: Array, index: I8, own: F8, new: Bool, slots: I8) -> Scored:
        """Flows with what their risk may come from, beside their own."""
        failed, reflected = rows["state"] & FlowState.FAILED != 0, rows["state"] & FlowState.ANSWERED_ONLY != 0
        target = np.where(reflected, rows["src_vm"], rows["dst_vm"]).astype(np.int64)
        tunnel = in_one_flow(rows)
        blatant = np.where(tunnel >= 1, risk_of_strength(tunnel), 0.0)
        kinds = np.stack(
            [
                failed | ADMIN_PORTS[rows["dst_port"]] | (own >= NOTABLE) | new,
                rows["dst_port"] == DNS_PORT,
                reflected | failed | (rows["dst_pkts"] == 0),
            ]
        )
        # Where an exporter tells no ports, either end may have begun it.
        portless = (rows["proto"] == TCP) & (rows["src_port"] == 0) & (rows["dst_port"] == 0)
        other = np.where(portless & (rows["dst_vm"] > 0), rows["dst_vm"], NOBODY).astype(np.int64)
        return Scored(np.ascontiguousarray(rows["end"]), index, other, target, slots, np.maximum(own, blatant), kinds)

    def _verdicts(
        self, found: Judgement, seen: Seen, time: F8, evidence: Array, thought: F8
    ) -> Iterator[list[Verdict]]:
        """Of each step, riskiest first."""
        notable = np.flatnonzero(found.notable)
        notable = notable[np.lexsort((seen.subject[notable], np.searchsorted(seen.edges, notable, side="right")))]
        columns = seen.subject[notable], time[notable], evidence[:, notable], thought[notable]
        verdicts = self._told(found, notable, *columns)
        if self.attacks is not None and verdicts:
            verdicts = self.attacks.name(verdicts, found.scene.values[:, notable])
        edges = np.searchsorted(notable, seen.edges).tolist()
        for begin, end in pairwise(edges):
            yield sorted(verdicts[begin:end], key=lambda verdict: -verdict.risk) if end > begin else []

    def _told(self, found: Judgement, which: I8, subject: I8, time: F8, evidence: Array, thought: F8) -> list[Verdict]:
        """Verdicts of some evaluations; `evidence` (2, verdicts) and `thought` are of `suspicion.remember`."""
        inside, learned = subject <= self._vms, found.learned[which]
        agreed, repeated = np.bitwise_count(evidence) >= AGREEING
        risk = np.maximum(found.risk(which), thought)
        confirmed = (agreed | repeated) & found.acted(which)
        at_once = needed_at_once(learned, ~inside)
        columns = (subject, inside, time, risk, learned, confirmed, at_once, agreed, repeated, found.enough[which])
        rows = zip(found.findings(which), *(column.tolist() for column in columns), strict=True)
        return [
            Verdict(
                subject=who,
                vm=who if is_vm else 0,
                address=None if is_vm else self.subjects.address(who),
                time=when,
                risk=high,
                learned_p=p,
                findings=findings,
                confirmed=sure,
                action=advised(findings, needed, agree, repeat, enough),
            )
            for findings, who, is_vm, when, high, p, sure, needed, agree, repeat, enough in rows
        ]

    def _reuse(self, recycled: I8) -> None:
        self._windows.forget(recycled)
        self._services.forget(recycled)
        self._odd.forget(recycled)
        self._memory.forget(recycled)


def _reach(edges: I8, first: int, count: int) -> int:
    """The step behind those that begin less than `count` events after step `first` does."""
    return min(int(np.searchsorted(edges, edges[first] + count)), len(edges) - 1)


@compiled
def _dealers(subject: I8, edges: I8, dealer: Array, dealing_edges: I8, subjects: int) -> I8:
    """Position of the subject of each dealing among those who are looked at in its step; -1 where it is not."""
    found, place = np.full(len(dealer), -1), np.full(subjects, -1)
    for k in range(len(edges) - 1):
        for i in range(edges[k], edges[k + 1]):
            place[subject[i]] = i
        for i in range(dealing_edges[k], dealing_edges[k + 1]):
            if place[dealer[i]] >= edges[k]:
                found[i] = place[dealer[i]]
    return found
