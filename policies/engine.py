"""The segmentation engine: events in, messages out. No sockets, no threads, no clock of its own.

What comes from control are VFNs and requests of people, from the analyzer detections and proposals. Each is judged by
the book (`policies.book`), put on record there, and carried out by the enforcer (`policies.enforcer`).
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from policies import telling
from policies.admission import Admitted, Decision, Held, Merged, Refused
from policies.aside import Aside, Way, at_once
from policies.book import ENGINE, Book
from policies.codec import SwitchCodec
from policies.consent import ConsentRecord
from policies.consentbook import ConsentBook
from policies.consentbook import message as consents_told
from policies.consentdoc import ConsentDoc
from policies.controls import guarded
from policies.desired import Desired
from policies.detections import Detection, Detections
from policies.dryrun import DryRun
from policies.enforcer import Enforcer
from policies.explain.answer import Site, View
from policies.failing import fail
from policies.foretell import foretell
from policies.harmcheck import HarmCheck, OrdinaryDenied
from policies.hits import Hits, default_of
from policies.ladder import CUT_OFF, step
from policies.lifecycle import RuleRecord
from policies.outcome import News, Outcome, Refusal, UrgentDone
from policies.pipeline.taps import Taps
from policies.policybook import Draft, PolicyBook
from policies.requests import CalmParams, ProposeParams
from policies.rules import Action, Mode, SegmentationRule, new_rule_id
from policies.sparing import NEVER, Putting, Sparing
from policies.store import Store
from policies.translate import ANALYZER
from policies.versions import PolicyVersion
from policies.vfnstate import Apply, Done, Drift, Failed, Measured, Phase, Synced
from policies.views import sums
from runtime.arrays import COUNTER
from runtime.channel import Message
from runtime.errors import TransientError
from runtime.settings import EngineSettings, OpenFlowSettings, PayloadSettings, TapSettings
from topology.model import Inventory

LOG = logging.getLogger("dynseg.engine")

_NO_PAYLOAD = PayloadSettings()
_USUAL_TAPS = TapSettings()


@dataclass(frozen=True)
class Clock:
    """Two clocks."""

    wall: Callable[[], float]
    """Epoch seconds, for people and for the life of rules."""
    steady: Callable[[], float]
    """Seconds that never go back, for waiting."""


@dataclass(frozen=True)
class Outgoing:
    """A message and who gets it."""

    to: str
    """`control` or `analyzer`."""
    message: Message
    hurried: bool = False
    """It contains somebody, and leaves before the disk is sure of what was written about that."""


class Engine:
    """All of the engine's state. Every method returns what has to be sent because of it."""

    def __init__(
        self,
        inventory: Inventory,
        codec: SwitchCodec,
        store: Store,
        settings: EngineSettings,
        openflow: OpenFlowSettings,
        payload: PayloadSettings = _NO_PAYLOAD,
        taps: TapSettings = _USUAL_TAPS,
        *,
        clock: Clock,
        aside: Aside = at_once,
        reading: Aside = at_once,
        trying: Aside = at_once,
        dry_run: DryRun | None = None,
        sparing: Sparing = NEVER,
        way: Way | None = None,
    ) -> None:
        self.inventory = inventory
        self.store = store
        self.clock = clock
        self.aside = aside
        self.reading = reading
        """For what people ask and takes long, so that no VFN waits for it to be compiled."""
        self.trying = trying
        """For what takes longer still."""
        self.dry_run = dry_run
        """Tries policies out on recorded flows; None: nobody can."""
        self.hits = Hits()
        self.started = clock.wall()
        self.settings = settings = guarded(settings, taps)
        self._detections = Detections()
        self._proposals: dict[str, int] = {}
        self._applies: dict[str, Apply] = {}
        self._putting = Putting(sparing)
        self.patterns = payload.patterns
        """Folder of the patterns that consents may name."""
        self.enforcer = Enforcer(inventory, codec, openflow, payload.packets_per_second, Taps.of(taps), way)
        self.book = Book(store, inventory, settings, clock.wall(), met=self._met)
        self._told = telling.RulesTold(self.book, sparing.telling_seconds)
        self.enforcer.remember(self.book.not_yet_gone())
        self.enforcer.change_rules(self.book.turned())
        self.policies = PolicyBook(store, inventory, clock.wall())
        self.enforcer.set_policy(self.policies.policy)
        self.consents = ConsentBook(store, inventory, clock.wall(), clock.steady(), payload.most_days)
        self.enforcer.set_inspected(self.consents.inspected(), clock.steady())
        self.harm = HarmCheck(self, settings.harm)
        self.book.note(ENGINE, "started", clock.wall(), {"pid": os.getpid(), "rules": len(self.book.records)})

    def stop(self) -> None:
        """Put the end on record."""
        self._record_detections(self._detections.due(self.clock.wall(), all_of_them=True))
        self.book.note(ENGINE, "stopped", self.clock.wall(), {"pid": os.getpid()})

    def from_control(self, message: Message) -> list[Outgoing]:
        """A message about a VFN. Calls of people are not handled here (`policies.service`)."""
        vfn = self.inventory.vfn_by_dpid.get(message.data["dpid"])
        if vfn is None:
            LOG.warning("%s of datapath %#x, which the inventory does not have", message.kind, message.data["dpid"])
            return []
        return self._finish(self._vfn_event(vfn.name, message))

    def _vfn_event(self, vfn: str, message: Message) -> Outcome:
        data, now = message.data, self.clock.steady()
        match message.kind:
            case "vfn_up":
                LOG.info("VFN %s is up", vfn)
                return self.enforcer.up(vfn, data["ports"], data["down"], now)
            case "vfn_ports":
                self.enforcer.ports(vfn, data["ports"], data["down"])
                return Outcome()
            case "vfn_down":
                LOG.warning("VFN %s is gone; it goes on with what it holds", vfn)
                return self.enforcer.down(vfn, now)
            case "installed" | "changed":
                try:
                    return self._told_of_entries(vfn, message)
                except TransientError as error:
                    LOG.warning("what VFN %s says of its entries cannot be read: %s", vfn, error)
                    # A report may be of a change by others, so all is read. A reading stays unanswered, and is tried
                    # again when patience with it ends.
                    return self.enforcer.touched(vfn, now) if message.kind == "changed" else Outcome()
            case "counters":
                counters = np.frombuffer(message.body, COUNTER)
                self.hits.take(vfn, counters, self.enforcer.states[vfn].desired)
                return Outcome()
            case "applied":
                return self.enforcer.applied(vfn, data["request"], data["seconds"], data["errors"], now)
        LOG.warning("control sent %r, which the engine does not know", message.kind)
        return Outcome()

    def _told_of_entries(self, vfn: str, message: Message) -> Outcome:
        data, now = message.data, self.clock.steady()
        if message.kind == "changed":
            return self.enforcer.changed(vfn, message.body, now)
        return self.enforcer.installed(vfn, data["request"], data["kind"], message.body, data["last"], now)

    def control_gone(self) -> list[Outgoing]:
        """Control is gone, and all VFNs with it; they go on by themselves."""
        return self._finish(self.enforcer.all_down(self.clock.steady()))

    def analyzer_here(self) -> list[Outgoing]:
        """The analyzer has connected: it is told what is in force and what counters mean."""
        connected = [vfn for vfn, state in self.enforcer.states.items() if state.phase is not Phase.AWAY]
        cookies = [Outgoing("analyzer", self.enforcer.cookies(vfn)) for vfn in connected]
        told = (self._consents_message(), telling.rules(self.book))
        return [*(Outgoing("analyzer", message) for message in told), *cookies]

    def from_analyzer(self, message: Message) -> list[Outgoing]:
        """A detection, a proposal, or the end of what was proposed for."""
        try:
            match message.kind:
                case "detection":
                    detection = Detection.model_validate(message.data)
                    self._record_detections(self._detections.take(detection, self.clock.wall()))
                    return []
                case "propose":
                    return foretell(self, ProposeParams.model_validate(message.data), self._proposed)
                case "ordinary_denied":
                    return self.harm.take(OrdinaryDenied.model_validate(message.data))
                case "calm":
                    return self._calmed(CalmParams.model_validate(message.data))
        except ValidationError as error:
            LOG.warning("the analyzer sent a %s that is wrong: %s", message.kind, error.errors()[0])
            return []
        LOG.warning("the analyzer sent %r, which the engine does not know", message.kind)
        return []

    def timer(self) -> list[Outgoing]:
        """Time has passed; and what was put off for the sake of urgent messages is done."""
        wall, steady = self.clock.wall(), self.clock.steady()
        self._record_detections(self._detections.due(wall))
        if self.policies.pass_time(wall):
            LOG.info("rules of the policy have come or gone with the time")
            self.enforcer.set_policy(self.policies.policy)
        changed = self.book.pass_time(wall)
        outgoing = self._rules_changed() if changed else []
        self.book.settle(self.enforcer.follows, wall)
        if self.consents.turn(wall, steady):
            outgoing += self._consents_changed()
        self._confirm_consents()
        outgoing += self.catch_up()
        outgoing += self._finish(self.enforcer.timer(steady))
        outgoing += self._tell_rules()
        self._confirm_policy()
        return outgoing

    def catch_up(self) -> list[Outgoing]:
        """Have one VFN compiled, aside: what comes meanwhile, isolations above all, does not wait for it."""
        behind = self.enforcer.behind
        if not behind or self._putting.waits(self.clock.steady(), behind) or not (work := self.enforcer.next_work()):
            return []

        def then(entries: Desired) -> list[Outgoing]:
            return self._finish(self.enforcer.want(work, entries, self.clock.steady()))

        return self.aside(lambda: self.enforcer.compile(work), then)

    def patience(self) -> float | None:
        """Seconds until `timer` will next have something to do; None: until an event comes."""
        now = self.clock.steady()
        if self.enforcer.behind and not self._putting.seconds(now):
            return 0.0
        steady = self.enforcer.next_time()
        due = (self.book.next_time(), self._detections.next_time(), self.policies.next_time())
        walls = [time for time in due if time is not None]
        waits = [time - self.clock.wall() for time in walls]
        waits += [self._putting.seconds(now)] if self.enforcer.behind else []
        waits += [] if steady is None else [steady - now]
        others = (self.consents.next_time(self.clock.wall()), self._told.seconds(now))
        waits += [seconds for seconds in others if seconds is not None]
        return max(0.0, min(waits)) if waits else None

    def propose(self, rule: SegmentationRule) -> tuple[Decision, list[Outgoing]]:
        """Judge a rule and carry it out; what takes something away is sent at once, ahead of everything else."""
        decision = self.book.judge(rule, self.clock.wall(), self.policies.policy)
        return decision, self._carried_out(decision)

    def approve(self, identity: str, actor: str) -> tuple[Decision, list[Outgoing]]:
        """Let a rule that waits come into force.

        Raises:
            PolicyError: it does not wait, or is the actor's own.
            KeyError: there is no such rule.
        """
        decision = self.book.approve(identity, actor, self.clock.wall(), self.policies.policy)
        LOG.info("rule %s approved by %s", identity, actor)
        return decision, self._carried_out(decision)

    def _carried_out(self, decision: Decision) -> list[Outgoing]:
        match decision:
            case Refused(rule=rule, reason=reason):
                LOG.warning("rule of %s refused: %s", rule.issuer, reason)
            case Held(rule=rule, reason=reason):
                LOG.info("rule %s of %s waits for approval: %s", rule.id, rule.issuer, reason)
            case Merged(reason=reason):
                LOG.info("%s", reason)
            case Admitted(rule=rule, why=why):
                whom = rule.source_vm or rule.source_ip
                LOG.info("rule %s of %s: %s %s%s", rule.id, rule.issuer, rule.action, whom, why and f" ({why})")
                takes = rule.action is not Action.ALLOW and rule.mode is Mode.ENFORCE
                return self._rules_changed(urgent=rule.id if takes else None)
        return []

    def release(
        self, identity: str, actor: str, reason: str, *, false_alarm: bool = False
    ) -> tuple[RuleRecord, list[Outgoing]]:
        """End a rule.

        Raises:
            PolicyError: it has ended already.
            KeyError: there is no such rule.
        """
        record = self.book.release(identity, actor, reason, self.clock.wall(), false_alarm=false_alarm)
        LOG.info("rule %s released by %s", identity, actor)
        return record, self._rules_changed()

    def roll_back(self, identity: str, reason: str, evidence: Mapping[str, Any]) -> list[Outgoing]:
        """Take a rule back because it does harm.

        Raises:
            PolicyError: it has ended already.
            KeyError: there is no such rule.
        """
        self.book.roll_back(identity, ENGINE, reason, evidence, self.clock.wall())
        LOG.warning("rule %s is rolled back: %s", identity, reason)
        return self._rules_changed()

    def lay_down(self, draft: Draft, actor: str, base: int | None = None, reason: str = "") -> PolicyVersion:
        """Put a policy in force; the switches follow VFN by VFN from the next `timer` on.

        Raises:
            ConflictError: it was made from a version (`base`) that is no longer in force.
        """
        version = self.policies.accept(draft, actor, self.clock.wall(), base, reason)
        LOG.info("version %d of the policy, of %s", version.number, version.actor)
        self.enforcer.set_policy(self.policies.policy)
        self._keep_hits()
        return version

    def grant(self, doc: ConsentDoc, digests: Mapping[str, str], actor: str) -> tuple[ConsentRecord, list[Outgoing]]:
        """Take down a consent; `digests` are those of its pattern files.

        Raises:
            PolicyError: it cannot be agreed to here and now.
        """
        record = self.consents.grant(doc, digests, actor, self.clock.wall())
        LOG.info("consent %s to inspect payload of %s, of %s", record.consent.id, doc.vm or doc.segment, actor)
        return record, self._consents_changed()

    def withdraw(self, identity: str, actor: str, reason: str) -> tuple[ConsentRecord, list[Outgoing]]:
        """End a consent: nothing is searched for it from now on, and copies that it alone asked for end at once.

        Raises:
            PolicyError: it has ended already.
            KeyError: there is no such consent.
        """
        record = self.consents.withdraw(identity, actor, reason, self.clock.wall())
        LOG.info("consent %s withdrawn by %s", identity, actor)
        return record, self._consents_changed()

    def _consents_changed(self) -> list[Outgoing]:
        """The analyzer hears of it first: what is under way to it is not searched any more."""
        outcome = self.enforcer.set_inspected(self.consents.inspected(), self.clock.steady())
        return [Outgoing("analyzer", self._consents_message()), *self._finish(outcome)]

    def _confirm_consents(self) -> None:
        for record in self.consents.confirm(self._copies_as_agreed, self.clock.wall()):
            LOG.info("consent %s: %s", record.consent.id, "copied" if record.agreed else "copied no more")

    def _copies_as_agreed(self, vfn: str) -> bool | None:
        """Was a VFN read back with just the copies that consents allow? None: it is not connected."""
        return None if self.enforcer.states[vfn].phase is Phase.AWAY else self.enforcer.follows(vfn)

    def _consents_message(self) -> Message:
        return Message("consents", {"consents": consents_told(self.consents.in_force, self.inventory)})

    def site(self) -> Site:
        """What decides about packets, as it is now."""
        rules = {identity: (self.book.records[identity].rule, own) for identity, own in self.book.in_force().items()}
        vfns = {
            name: View(vfn.bridge, self.enforcer.ports_of(name), self.enforcer.states[name].desired)
            for name, vfn in self.inventory.vfns.items()
        }
        return Site(self.inventory, self.policies.policy, self.policies.version.actor, rules, vfns)

    def _met(self, rule: str) -> Mapping[str, int]:
        """Packets that a rule has met, by what became of them."""
        return sums(self.hits.of(rule))["packets"]

    def _keep_hits(self) -> None:
        """Of rules that are over nobody asks what they have met."""
        defaults = {default_of(segment.number) for segment in self.inventory.segments.values()}
        self.hits.keep({acl.rule_id for acl in self.policies.whole.acls} | self.book.records.keys() | defaults)

    def _confirm_policy(self) -> None:
        if not self.policies.pending or self.enforcer.compiling:
            return
        connected = [vfn for vfn, state in self.enforcer.states.items() if state.phase is not Phase.AWAY]
        if not connected or not all(map(self.enforcer.follows, connected)):
            return
        self.policies.confirm(connected, self.clock.wall())
        LOG.info("version %d of the policy is enforced", self.policies.version.number)

    def _proposed(self, proposal: ProposeParams) -> list[Outgoing]:
        rule = proposal.rule(new_rule_id(), ANALYZER, self.clock.wall())
        decision, outgoing = self.propose(rule)
        if isinstance(decision, Admitted):
            self._proposals[rule.id] = proposal.proposal
        carried = {"proposal": proposal.proposal, "rule": rule.id}
        LOG.info("a proposal of the analyzer is %s", type(decision).__name__.lower(), extra=carried)
        return [*outgoing, Outgoing("analyzer", telling.answered(proposal.proposal, rule.id, decision, self.book))]

    def _calmed(self, calm: CalmParams) -> list[Outgoing]:
        """What a VM or address did has ended: it leaves the lesser steps on probation."""
        held = [r.rule.id for r in self.book.answering(calm.vm or str(calm.address)) if step(r.rule) < CUT_OFF]
        for identity in held:
            self.book.release(identity, ANALYZER, "what it answered has ended", self.clock.wall())
        return self._rules_changed() if held else []

    def _rules_changed(self, urgent: str | None = None) -> list[Outgoing]:
        """Have the switches follow the book, and tell the analyzer."""
        self.enforcer.change_rules(self.book.turned())
        first: list[Outgoing] = []
        if urgent is not None:
            self._putting.urgent(self.clock.steady())
            outcome = self.enforcer.send_urgent(urgent, self.clock.steady())
            # A port stays down whatever becomes of this machine, so what takes one down is on the disk before.
            first = [replace(out, hurried="down" not in out.message.data) for out in self._finish(outcome)]
        self._told.change()
        return [*first, *self._tell_rules()]

    def _tell_rules(self) -> list[Outgoing]:
        told = self._told.take(self.clock.steady())
        if told:
            self._proposals = {rule: number for rule, number in self._proposals.items() if rule in self.book.records}
        return [Outgoing("analyzer", message) for message in told]

    def _finish(self, outcome: Outcome) -> list[Outgoing]:
        """Messages of an outcome, and of everything that its news lead to."""
        outgoing = [Outgoing("control", message) for message in outcome.control]
        outgoing += [Outgoing("analyzer", self.enforcer.cookies(vfn)) for vfn in sorted(outcome.renamed)]
        for news in outcome.news:
            outgoing += self._news(news)
        return outgoing

    def _news(self, news: News) -> list[Outgoing]:
        vfn, now = news.vfn, self.clock.wall()
        match news.what:
            case Apply() as apply:
                self._applies[vfn] = apply
            case Done(seconds):
                self.book.installed(*telling.bundle(vfn, self._applies.pop(vfn), seconds), now)
            case UrgentDone() as done:
                self._urgent_done(vfn, done, now)
            case Refusal(what, errors):
                reason = f"{what}: {telling.in_words(errors)}"
                LOG.error("VFN %s: %s", vfn, reason)
                body = {"vfn": vfn, "rules": [], "urgent": True, "reason": reason, "errors": [*errors]}
                self.book.note(ENGINE, "failed", now, body)
            case Synced():
                return self._synced(now)
            case Measured(ratio, entries):
                body = {"vfn": vfn, "enforced_ratio": round(ratio, 6), "entries": entries}
                self.book.note(ENGINE, "ratio", now, body)
            case Drift() as drift:
                LOG.warning("VFN %s: %d entries lost, %d strange ones", vfn, len(drift.lost), len(drift.strange))
                self.book.note(ENGINE, "drift", now, {"vfn": vfn, **telling.drift_told(drift)})
            case Failed() as failed:
                return self._failed(vfn, failed, now)
        return []

    def _synced(self, now: float) -> list[Outgoing]:
        """A VFN was read back with all that it is to hold."""
        changed = self.book.confirm(self.enforcer.states, now)
        for record in changed:
            LOG.info("rule %s is %s", record.rule.id, "removed" if record.removed_at else record.state)
            if record.removed_at:
                self.hits.forget(record.rule.id)
        self._confirm_policy()
        self._confirm_consents()
        # What a stronger rule stands for, now that it is there, leaves the switches.
        return self._rules_changed() if any(record.leaving for record in changed) else []

    def _urgent_done(self, vfn: str, done: UrgentDone, now: float) -> None:
        body: dict[str, Any] = {"vfn": vfn, "rules": [done.rule], "urgent": True}
        if done.errors:
            # Not the last word: the whole bundle follows, and its answer decides about the rule.
            reason = telling.in_words(done.errors)
            self.book.note(ENGINE, "failed", now, {**body, "reason": reason, "errors": [*done.errors]})
            return
        record = self.book.records.get(done.rule)
        seconds = {} if record is None else {"seconds": round(now - record.rule.created, 6)}
        self.book.installed([done.rule], {**body, **seconds, "barrier_seconds": round(done.seconds, 6)}, now)

    def _failed(self, vfn: str, failed: Failed, now: float) -> list[Outgoing]:
        changed, copies = fail(self, vfn, failed, now)
        told = [
            Outgoing("analyzer", telling.decided(number, record.rule.id, record.state, record.detail))
            for record in changed
            if (number := self._proposals.get(record.rule.id)) is not None
        ]
        outgoing = self._consents_changed() if copies else []
        return [*outgoing, *self._rules_changed(), *told] if changed else outgoing

    def _record_detections(self, bodies: list[dict[str, Any]]) -> None:
        for body in bodies:
            self.book.note(ANALYZER, "detection", self.clock.wall(), body)

    def counts(self) -> Mapping[str, int]:
        """How many rules are in which state, of those that are not over."""
        return Counter(record.state.value for record in self.book.records.values() if not record.over)
