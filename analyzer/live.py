"""The analyzer of a running network, without its sockets: records and messages in, messages for the engine out."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from ipaddress import ip_address
from typing import Any

import numpy as np

from analyzer import copies, ipfix, modelstore
from analyzer.advisor import Advisor, Proposal, Subject, subject_of
from analyzer.archive.recorder import Recorder, Sink
from analyzer.attribute import Attributed, Attribution
from analyzer.behaviours.base import ALERT, ISOLATE, LADDER, RESTRICT, STEPS
from analyzer.calm import Calm
from analyzer.core import Core
from analyzer.counters import Counters
from analyzer.firstpackets import FirstPackets
from analyzer.flows import Array, FlowBatch, FlowState, address_halves, fill_segments
from analyzer.journal import Journal
from analyzer.learning import Learning, Phase
from analyzer.models.known import taken_up
from analyzer.models.signing import Signer
from analyzer.modelstore import ModelStore
from analyzer.names import Names
from analyzer.naming import explained
from analyzer.netflow import Records
from analyzer.ordinary import OrdinaryDenied, denied
from analyzer.pair import FlowTable
from analyzer.payload.inspector import RISK, Inspector
from analyzer.risk import Finding, Verdict
from analyzer.shedding import Shedder
from analyzer.tally import Tally
from analyzer.unanswered import Unanswered
from runtime.channel import Message
from runtime.settings import Settings
from topology.model import Inventory

SLICE_ROWS = 64
"""Events of one evaluation: under an attack a burst of records is several of them."""
MOST_SLICES = 32
"""Evaluations of one burst at most; a larger burst is cut into larger ones, so that delay stays bounded."""
JUDGING_SECONDS = 0.2
"""What comes at once is judged for about so long; what is more than that is shed (`analyzer.shedding`)."""
NEVER_SHED = SLICE_ROWS * MOST_SLICES
"""So many events at once are always judged: evaluations cost more than events, and they are no more than that."""
FIRST_PACE = 20e-6
"""Seconds of judging an event, before that was measured."""
PACE_GAIN = 0.2
"""Weight of the newest measurement."""
ALERT_RISK = 50.0
"""Verdicts from here on are told to the engine."""
REPEAT_SECONDS = 1.0
"""The same behaviour of the same subject is told this often."""
LOGGED_FLOWS = 3
MOST_SKEW = 5.0
"""Seconds by which a VFN's clock may be ahead of this one's."""
LIVE_STATES = ("installing", "enforced")


class Live:
    """Everything the analyzer knows of a running network."""

    def __init__(self, settings: Settings, inventory: Inventory, archive: Sink | None = None) -> None:
        """Begin, or go on from a saved baseline; every flow goes to `archive`, if there is one."""
        self._segments = np.array(inventory.segment_numbers, np.int16)
        salt = secrets.randbits(63)
        self.names = Names(inventory)
        self.table = FlowTable(settings.analyzer.memory_flows, salt, recorded=archive is not None)
        self.journal = Journal()
        self.tally = _tally(settings, inventory)
        """For the time-series database, if there is one."""
        self.transit = 0
        self.forged_outside = 0
        self.misdated = 0
        self.attribution = Attribution(inventory)
        self.ipfix = ipfix.Decoder()
        self._waiting: list[FlowBatch] = []
        self.shedder = Shedder(salt)
        self._pace = FIRST_PACE
        self._core = Core(self._segments, salt)
        self._recorder: Recorder | None = None
        if archive is not None:
            seconds = settings.archive.part_seconds
            self._recorder = Recorder(archive, self._core, self.table, self.names, self._with_segments, seconds)
        digest = modelstore.inventory_digest(inventory)
        signer = Signer.of(settings.model_key)
        store = ModelStore(settings.models, signer, settings.analyzer.trusted_keys)
        keys = signer.public, *settings.analyzer.trusted_keys
        self._core.attacks = taken_up(settings.analyzer.known_attacks, keys)
        self.learning = Learning(self._core, settings.analyzer, store, digest, len(self._segments) - 1)
        self._counters = Counters(inventory)
        self._denied = OrdinaryDenied(self.names, salt, reported=True)
        self._unanswered = Unanswered(salt, settings.netflow.active_timeout_seconds)
        self._missed = OrdinaryDenied(self.names, salt, reported=False)
        self._vfn_by_dpid = {vfn.dpid: vfn.number for vfn in inventory.vfns.values()}
        self._opened: list[FlowBatch] = []
        self.first = FirstPackets(inventory, settings.taps, salt)
        self.payload = Inspector(settings, inventory, self.first.vm_on)
        self.copies = 0
        self.copies_unread = 0
        self._advisor = Advisor(first=int(time.time() * 1000), relieve=False)
        self._calm = Calm(settings.analyzer.calm_seconds)
        self._tick = settings.analyzer.tick_seconds
        self._told: dict[tuple[Subject, str], float] = {}
        self._fresh = False

    def take_records(self, records: Records, now: float) -> Iterator[Message]:
        """`absorb` records and `judge` at once."""
        self.absorb(records, now)
        yield from self.judge()

    def absorb(self, records: Records, now: float) -> None:
        """Make flows of records; what they show waits for `judge`.

        Records from the future are left out: the windows' clock follows the records and never goes back.
        """
        timely = records.until(now + MOST_SKEW)
        self.misdated += len(records) - len(timely)
        self._waiting.append(self._assembled(self.attribution.attribute(timely)))

    def absorb_ipfix(self, datagrams: Sequence[tuple[float, bytes]]) -> None:
        """The same with IPFIX datagrams, each with the epoch seconds of its receipt."""
        decoded = self.ipfix.decode(datagrams)
        decoded.sides["port"] = self.attribution.ports_of(decoded.sides["vfn"], decoded.interfaces)
        self._waiting.append(self._assembled(self.attribution.settle(decoded.sides)))

    def judge(self) -> Iterator[Message]:
        """Judge what was absorbed; messages for the engine that follow, each as soon as it is known: consume all."""
        events, self._waiting = FlowBatch.concat(self._waiting), []
        yield from self._feed(events)

    def _assembled(self, attributed: Attributed) -> FlowBatch:
        """Events of flows that these sides are of, and of forged sources."""
        self.transit += attributed.transit
        self.forged_outside += attributed.forged_outside
        self.table.witness(attributed.beyond)
        events = self.table.update(attributed.own)
        forged = _lone_events(attributed.spoofed, FlowState.SPOOFED)
        if self._recorder is not None:
            self._recorder.forged(forged.rows.copy())
        return FlowBatch.concat([events, forged])

    def tick(self, now: float, monotonic: float) -> Iterator[Message]:
        """Once a second or so: failed connections, finished flows, phases of learning. Consume all messages."""
        yield from self._feed(self.table.sweep(now))
        finished = self.table.finish(now)
        if len(finished):
            self.table.set_risk(self._core.finish(self._with_segments(finished.rows)))
        if self._recorder is not None:
            self._recorder.record()
        unanswered = self._unanswered.over(now)
        self._missed.take(unanswered[self._core.ordinary(unanswered)])
        yield from self._denied.tell(now)
        yield from self._missed.tell(now)
        self.learning.step(monotonic, self._fresh)
        self._fresh = False
        self.payload.tick()
        for odd in self.first.tick():
            self._core.count_packets(odd.time, odd.vm, odd.feature, odd.names)
        self.journal.tick(now)
        if self.tally is not None and self.tally.due(now):
            self.tally.close(now, self.journal.highest_since(self.tally.begun))
        for subject, since in self._calm.ended(now):
            yield Message("calm", {**self.names.subject(subject), "since": since})

    def set_ports(self, dpid: int, ports: Mapping[str, int]) -> None:
        """Take over the ports of a VFN (interface name -> OpenFlow port)."""
        self.attribution.set_ports(dpid, ports)
        self.first.set_ports(dpid, ports)

    def take_copies(self, dpid: int, count: int, body: bytes) -> None:
        """Copies of packets of a VFN: what they name is known at once, what they open is counted by `feed_copies`.

        Raises:
            ChannelError: the body is not so many copies.
        """
        read = copies.read(count, body)
        self.first.take(dpid, read)
        self.payload.take(dpid, read)
        opened = read.made_by(copies.OPENINGS)
        sides = self.attribution.settle(copies.openings(opened, self._vfn_by_dpid.get(dpid, -1)).sides).sides
        own = sides[~sides["spoofed"]]
        self.copies += len(own)
        self.copies_unread += len(opened) - len(own)
        self._opened.append(_lone_events(own, FlowState.ASKED))

    @property
    def copies_waiting(self) -> int:
        """Copies for `feed_copies`."""
        return sum(map(len, self._opened))

    def feed_copies(self) -> Iterator[Message]:
        """Count the copies that came. Consume all messages."""
        events, self._opened = FlowBatch.concat(self._opened), []
        yield from self._feed(events)

    def named_flow(self, row: Array) -> dict[str, Any]:
        """A flow (one row of FLOW) for people, with the name that its initiator knows the other end by."""
        flow = self.names.flow(row)
        return {**flow, "name": self.first.dns.name_of(int(row["src_vm"]), ip_address(flow["dst"]))}

    def newest_flows(self, vm: str | None) -> list[str]:
        """The latest flows of a VM in short, for the log: what a proposal about it rests on."""
        number = 0 if vm is None else self.names.number(vm)
        newest = self.table.newest(number, LOGGED_FLOWS).rows if number else ()
        return [
            f"{flow['src']}:{flow['src_port']}>{flow['dst']}:{flow['dst_port']}/{flow['proto']}"
            for flow in map(self.names.flow, newest)
        ]

    def take_counters(self, dpid: int, taken: float, body: bytes) -> None:
        """A reading of a VFN's entry counters."""
        for counted in self._counters.read(dpid, body):
            self._core.count_packets(taken, counted.vm, counted.feature, counted.packets)

    def take_from_engine(self, message: Message, now: float) -> None:
        """`cookies`, `decided`, `rules` or `consents`."""
        data = message.data
        if message.kind == "cookies":
            self._counters.name(int(data["dpid"]), data["entries"])
        elif message.kind == "decided" and data.get("proposal") is not None:
            self._advisor.decided(int(data["proposal"]), data["state"] in LIVE_STATES)
        elif message.kind == "rules":
            self._rules_changed(data["rules"], now)
        elif message.kind == "consents":
            self.payload.agree(data["consents"])

    def payload_found(self) -> Iterator[Message]:
        """What patterns have matched in payload: told, and never acted upon alone. Consume all messages."""
        for found in self.payload.found():
            finding = Finding(found.behaviour, "", 1.0, found.reason.__str__, acts=False)
            verdict = Verdict(-1, found.vm.number, None, found.time, RISK, 1.0, (finding,), confirmed=False)
            self.journal.note({"vm": found.vm.name}, verdict)
            data = {"behaviour": found.behaviour, "risk": RISK, "reasons": [found.reason], "time": found.time}
            yield Message("detection", {"vm": found.vm.name, **data})

    def close(self) -> None:
        """Let a fit that runs end, and archive every flow that is still open."""
        if self._recorder is not None:
            self._recorder.close()
        self.learning.close()
        self.payload.close()

    def outstanding(self) -> list[Message]:
        """What to ask for again after the engine was away."""
        return [self._propose(proposal) for proposal in self._advisor.outstanding()]

    def _feed(self, events: FlowBatch) -> Iterator[Message]:
        if not len(events):
            return
        if self.tally is not None:
            self.tally.take(events.rows)
        self._fresh = True
        begun = time.perf_counter()
        rows = events.rows[self.shedder.choose(events.rows, max(NEVER_SHED, int(JUDGING_SECONDS / self._pace)))]
        ordered = FlowBatch(self._with_segments(rows[np.argsort(rows["end"], kind="stable")]))
        edges = ordered.steps(self._tick, max(SLICE_ROWS, len(ordered) // MOST_SLICES))
        for step in self._core.steps(ordered, edges):
            verdicts = [explained(verdict, self.first.dns) for verdict in step.verdicts]
            yield from map(self._propose, self._advisor.advise(verdicts))
            yield from self._tell(verdicts)
        barred = ordered.rows[denied(ordered.rows)]
        self._denied.take(barred[self._core.ordinary(barred)])
        self._unanswered.take(ordered.rows)
        if len(rows) >= NEVER_SHED:
            self._pace += PACE_GAIN * ((time.perf_counter() - begun) / len(rows) - self._pace)

    def _with_segments(self, rows: Array) -> Array:
        return fill_segments(rows, self._segments)

    def _rules_changed(self, rules: Iterable[Mapping[str, Any]], now: float) -> None:
        """Whom rules are about now. Of a VM that was released only what it does from now on counts."""
        rules = list(rules)
        if self._recorder is not None:
            self._recorder.rules(rules, now)
        if self.tally is not None:
            self.tally.rules(rules, now)
        held = self._held_by(rules)
        for subject in self._advisor.set_in_force(held):
            if isinstance(subject, int) and subject:
                self._core.forget(subject, now)
                self.journal.released(self.names.vm(subject), now)
        self._calm.hold({subject for subject, action in held.items() if action in STEPS}, now)
        self._core.set_cut({who for who, action in held.items() if action == ISOLATE and isinstance(who, int)})

    def _held_by(self, rules: Iterable[Mapping[str, Any]]) -> dict[Subject, str]:
        """Subjects of rules in force, each with the highest step of the ladder that is taken against it."""
        held: dict[Subject, str] = {}
        for rule in rules:
            action = str(rule["action"])
            if action not in LADDER:
                continue
            if rule["source_vm"] is not None:
                subject: Subject = self.names.number(rule["source_vm"])
            elif str(rule["source_ip"]).endswith(("/32", "/128")):
                subject = address_halves(str(rule["source_ip"]).split("/")[0])
            else:
                continue
            held[subject] = max(held.get(subject, ALERT), action, key=LADDER.index)
        return held

    def _tell(self, verdicts: list[Verdict]) -> Iterator[Message]:
        """Detections for the engine, each behaviour of a subject at most every `REPEAT_SECONDS`."""
        for verdict in verdicts:
            who = self.names.subject(subject_of(verdict))
            self.journal.note(who, verdict)
            if self._recorder is not None:
                self._recorder.verdict(verdict)
            if self.tally is not None:
                self.tally.verdict(verdict)
            key = subject_of(verdict), verdict.behaviour
            if verdict.risk >= ALERT_RISK:
                self._calm.disturbed(subject_of(verdict), verdict.time)
            if verdict.risk < ALERT_RISK or verdict.time < self._told.get(key, -np.inf) + REPEAT_SECONDS:
                continue
            if len(self._told) > 10_000:
                self._told.clear()
            self._told[key] = verdict.time
            data = {"behaviour": verdict.behaviour, "risk": round(verdict.risk, 1), "reasons": list(verdict.reasons)}
            yield Message("detection", {**who, **data, "time": verdict.time})

    def _propose(self, proposal: Proposal) -> Message:
        verdict = proposal.verdict
        data: dict[str, Any] = {
            "proposal": proposal.number,
            "action": proposal.action,
            "risk": round(verdict.risk, 1),
            "reasons": list(verdict.reasons),
            "evidence_time": verdict.time,
            "behaviour": verdict.behaviour,
        }
        if verdict.address is None:
            vm = self.names.vm(verdict.vm)
            data |= {"source_vm": vm, "segment": self.names.segment_of(vm), "scope": "all"}
            if proposal.action == RESTRICT:
                data["peers"] = [asdict(peer) for peer in self._core.peers_of(verdict.vm)]
        else:
            data |= {"source_ip": self.names.subject(verdict.address)["address"]}
        return Message("propose", data)

    @property
    def phase(self) -> Phase:
        """What the analyzer is doing."""
        return self.learning.phase


def _tally(settings: Settings, inventory: Inventory) -> Tally | None:
    metrics = settings.metrics
    if metrics.url is None:
        return None
    return Tally(inventory, metrics.services, metrics.most_pairs, metrics.interval_seconds, time.time())


def _lone_events(sides: Array, state: FlowState) -> FlowBatch:
    """Evidence about the VM on the port; the flow itself is kept nowhere."""
    batch = FlowBatch.empty(len(sides))
    rows = batch.rows
    for name in ("src_hi", "src_lo", "dst_hi", "dst_lo", "src_port", "dst_port", "proto", "flags", "vfn", "port"):
        rows[name] = sides[name]
    rows["start"], rows["end"] = sides["first"], sides["last"]
    rows["src_vm"], rows["dst_vm"] = sides["src_vm"], sides["dst_vm"]
    rows["src_pkts"], rows["src_bytes"] = sides["pkts"], sides["bytes"]
    rows["state"] = state
    return batch
