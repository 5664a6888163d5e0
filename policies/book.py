"""The rules that are alive, and every change of them: judged, written down with its audit record, then in force.

No messages and no switches here; what has to be sent follows from what has `turned`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from policies import budget, lifecycle
from policies.acl import Policy
from policies.admission import Admitted, Decision, Ground, Held, Merged, Refused, Situation, admit, entitled, meaning
from policies.controls import Controls, Hold, Modes, check
from policies.controlstore import Offender
from policies.ladder import answers, automatic
from policies.lifecycle import Deadlines, RuleRecord, due_at, move
from policies.past import Past
from policies.rules import FirewallRule, Mode, RuleState, SegmentationRule
from policies.store import Entry, Store, record_json
from policies.vfnstate import VfnState
from runtime.errors import PolicyError
from runtime.settings import EngineSettings
from topology.model import Inventory

LOG = logging.getLogger("dynseg.engine")

ENGINE = "engine"
"""The actor of what nobody asked for: expiry, installation, repair."""
_NO_POLICY = Policy()


class Book:
    """Rules that are not over, or have ended and not yet been seen to be gone. Times are epoch seconds."""

    def __init__(
        self,
        store: Store,
        inventory: Inventory,
        settings: EngineSettings,
        now: float,
        met: Callable[[str], Mapping[str, int]] = lambda _rule: {},
    ) -> None:
        """Go on from the store; `met` says how many packets a rule has met, for the record of its removal."""
        check(settings, inventory)
        self._met = met
        self._store = store
        self._inventory = inventory
        self._settings = settings
        self._firewall: dict[str, tuple[FirewallRule, ...]] = {}
        self._in_force: dict[str, tuple[FirewallRule, ...]] = {}
        self._turned: dict[str, tuple[FirewallRule, ...]] = {}
        self._deadlines = Deadlines()
        self._unsettled: set[str] = set()
        """Rules that wait for switches to be read back: with their entries, or without."""
        self._failed_ends: set[str] = set()
        """Rules that were not to be in the switches any more when they ended."""
        self._past = Past(inventory, settings)
        self.records: dict[str, RuleRecord] = {}
        self.controls = store.controls()
        self._past.recall(store.offenders(now - settings.forget_seconds))
        for record in store.issued_since(now - _remembered(settings)):
            self._past.put(record)
        for record in store.pending():
            self._recall(record, now)

    def _recall(self, record: RuleRecord, now: float) -> None:
        """Take over a rule of an earlier run; the inventory may have changed since."""
        rule = record.rule
        try:
            firewall = meaning(rule, self._inventory)
            refused = entitled(rule, self._inventory, self._settings)
            problem = None if refused is None else refused.reason
        except PolicyError as error:
            firewall, problem = (), str(error)
        known = [*record.vfns, *(one.vfn for one in firewall if record.state is not RuleState.PROPOSED)]
        vfns = tuple(name for name in dict.fromkeys(known) if name in self._inventory.vfns)
        self._firewall[rule.id] = firewall
        self._keep(replace(record, vfns=vfns))
        if problem is not None and record.ended_at is None:
            self._end(self.records[rule.id], RuleState.RELEASED, ENGINE, f"the inventory has changed: {problem}", now)

    def live(self) -> tuple[SegmentationRule, ...]:
        """Rules that are, or are on their way, in force."""
        return tuple(record.rule for record in self.records.values() if record.state.live)

    def on_probation(self) -> tuple[RuleRecord, ...]:
        """Rules whose VM or address is watched closely after their end."""
        watched = (RuleState.EXPIRING, RuleState.PROBATION)
        return tuple(r for r in self.records.values() if r.state in watched and r.becomes is not None)

    def in_force(self) -> Mapping[str, tuple[FirewallRule, ...]]:
        """What belongs into the switches, by rule id: a view, which follows what changes."""
        return MappingProxyType(self._in_force)

    def turned(self) -> dict[str, tuple[FirewallRule, ...]]:
        """What has come into force since this was last asked, by rule id, and with nothing what no longer is."""
        turned, self._turned = self._turned, {}
        return turned

    def not_yet_gone(self) -> dict[str, tuple[FirewallRule, ...]]:
        """What may be in the switches, by rule id: what is in force, and what has ended and was not seen to be gone."""
        return dict(self._firewall)

    def judge(self, rule: SegmentationRule, now: float, policy: Policy = _NO_POLICY) -> Decision:
        """Admit, hold, merge or refuse a rule, and write it down whatever it is.

        Args:
            policy: what people have laid down.
        """
        decision = admit(rule, self._situation(rule, now, policy))
        match decision:
            case Refused():
                self._refuse(decision, now)
            case Held():
                until = now + self._settings.proposal_seconds
                record = RuleRecord(decision.rule, RuleState.PROPOSED, now, detail=decision.reason, until=until)
                self._begin(record, "proposed", {"reason": decision.reason}, decision.ends, now)
            case Merged():
                self._merge(decision, now)
            case Admitted():
                record = self._record(decision, now)
                self._begin(record, "admitted", _shape(decision), decision.ends, now)
        return decision

    def approve(self, identity: str, actor: str, now: float, policy: Policy = _NO_POLICY) -> Decision:
        """Let a rule that waits come into force; refused, it goes on waiting.

        Raises:
            PolicyError: it does not wait, or is the actor's own.
            KeyError: there is no such rule.
        """
        record = self._known(identity)
        if record.state is RuleState.PROPOSED and record.rule.issuer == actor:
            raise PolicyError(f"rule {identity} is your own", remedy="somebody else has to approve it")
        approved = replace(move(record, RuleState.APPROVED, now), by=actor)
        expires = None if record.rule.expires is None else record.rule.expires + now - record.rule.created
        asked = replace(record.rule, mode=Mode.ENFORCE, expires=expires)
        decision = admit(asked, replace(self._situation(asked, now, policy), approved=True))
        match decision:
            case Refused():
                told = {"ground": decision.ground, "reason": decision.reason, "remedy": decision.remedy}
                self.note(actor, "approval_refused", now, {**_name(record), "state": record.state, **told})
            case Merged():
                self._merge(replace(decision, ends=(*decision.ends, identity)), now)
            case Admitted():
                self._write([_entry(approved, actor, "approved", now)], [approved])
                self._begin(self._record(decision, now, approved), "admitted", _shape(decision), decision.ends, now)
            case Held():
                raise AssertionError("what is approved is not held")
        return decision

    def reject(self, identity: str, actor: str, reason: str, now: float) -> RuleRecord:
        """Say no to a rule that waits.

        Raises:
            PolicyError: it does not wait.
            KeyError: there is no such rule.
        """
        told = f"rejected by {actor}" + (f": {reason}" if reason else "")
        rejected = replace(move(self._known(identity), RuleState.REFUSED, now, told), by=actor)
        LOG.info("rule %s %s", identity, told)
        return self._change(rejected, actor, "rejected", now, {"reason": reason})

    def release(self, identity: str, actor: str, reason: str, now: float, *, false_alarm: bool = False) -> RuleRecord:
        """End a rule by somebody's will. An automatic one leaves on probation, a false alarm without.

        Raises:
            PolicyError: it has ended already.
            KeyError: there is no such rule.
        """
        record = self._known(identity)
        state = RuleState.PROBATION if self._probation(record) and not false_alarm else RuleState.RELEASED
        forgiven = self._past.forgive(record, now) if false_alarm else ()
        return self._end(record, state, actor, reason, now, _false_alarm(record) if false_alarm else {}, forgiven)

    def roll_back(self, identity: str, actor: str, reason: str, evidence: Mapping[str, Any], now: float) -> RuleRecord:
        """Take a rule back because it does harm, as the evidence says; it answered no offence.

        Raises:
            PolicyError: it has ended already.
            KeyError: there is no such rule.
        """
        record = self._known(identity)
        forgiven = self._past.forgive(record, now)
        return self._end(record, RuleState.ROLLED_BACK, actor, reason, now, {"evidence": dict(evidence)}, forgiven)

    def answering(self, who: str) -> tuple[RuleRecord, ...]:
        """Automatic rules in force about a VM (by name) or address (as a network)."""
        return tuple(record for record in self._past.whose(who) if record.standing and automatic(record.rule))

    def hold(self, on: bool, actor: str, reason: str, now: float) -> None:
        """Hold all automatic action from now on, or no more."""
        hold = Hold(on=on, since=now, actor=actor, reason=reason)
        self._set(self.controls.model_copy(update={"hold": hold}), actor, "hold", hold, now)
        LOG.warning("all automatic action is %s by %s", "held" if on else "no longer held", actor)

    def set_modes(self, modes: Modes, actor: str, now: float) -> None:
        """What is to become of automatic rules from now on."""
        self._set(self.controls.model_copy(update={"modes": modes}), actor, "modes", modes, now)
        LOG.info("modes of automatic rules set by %s", actor)

    def _set(self, controls: Controls, actor: str, kind: str, told: BaseModel, now: float) -> None:
        self._store.write([Entry(now, actor, kind, told.model_dump(mode="json"))], controls=controls)
        self.controls = controls

    def pass_time(self, now: float) -> bool:
        """End what has come to the end of its time, and try again what failed; was there something?"""
        due = self._deadlines.take(now)
        for identity in due:
            self._overdue(self.records[identity], now)
        return bool(due)

    def _overdue(self, record: RuleRecord, now: float) -> None:
        expires = record.rule.expires
        if record.state is RuleState.PROPOSED:
            self._end(record, RuleState.EXPIRED, ENGINE, "nobody approved it in time", now)
        elif record.state is RuleState.PROBATION and record.becomes is not None:
            self._end(record, record.becomes, ENGINE, "probation is over", now)
        elif expires is not None and expires <= now:
            self._end(record, RuleState.EXPIRING, ENGINE, "its time is over", now)
        elif self.controls.hold.on and automatic(record.rule):
            reason = f"all automatic action is held by {self.controls.hold.actor}; it has failed: {record.detail}"
            held = replace(move(record, RuleState.PROPOSED, now, reason), until=now + self._settings.proposal_seconds)
            self._change(held, ENGINE, "proposed", now, {"reason": reason})
        else:
            again = move(record, RuleState.INSTALLING, now)
            self._change(again, ENGINE, "retried", now, {"attempt": record.attempts + 1})

    def confirm(self, vfns: Mapping[str, VfnState], now: float) -> list[RuleRecord]:
        """A VFN was read back: rules become enforced, ended ones are seen to be gone. Returns those that changed."""
        unsettled = [self.records[identity] for identity in self._unsettled]
        changed = self._enforced([record for record in unsettled if _is_there(record, vfns)], now)
        for record in unsettled:
            states = [vfns[name] for name in record.vfns]
            if record.leaving and all(state.in_sync and record.rule.id not in state.rules for state in states):
                changed.append(self._removed(record, now))
        return changed

    def _enforced(self, records: Sequence[RuleRecord], now: float) -> list[RuleRecord]:
        """These rules are in force, written down together; returns them, and those that end for them."""
        if not records:
            return []
        there = [move(record, RuleState.ENFORCED, now) for record in records]
        bodies = [{"vfns": list(one.vfns), "seconds": round(now - one.rule.created, 6)} for one in there]
        entries = [_entry(one, ENGINE, "enforced", now, body) for one, body in zip(there, bodies, strict=True)]
        self._write(entries, there)
        return [*there, *(ended for record in there for ended in self._superseded(record, now))]

    def _superseded(self, record: RuleRecord, now: float) -> list[RuleRecord]:
        """The lesser rules that this one was to stand for end now that it is there."""
        lesser = [self.records[i] for i in record.supersedes if i in self.records and self.records[i].standing]
        reason = f"rule {record.rule.id} ({record.rule.action}) stands for it"
        by = {"superseded_by": record.rule.id}
        return [self._end(one, RuleState.RELEASED, ENGINE, reason, now, by) for one in lesser]

    def _removed(self, record: RuleRecord, now: float) -> RuleRecord:
        gone = replace(record, removed_at=now)
        body = {"vfns": list(record.vfns), "seconds": round(now - (record.ended_at or now), 6)}
        body |= {"hits": dict(self._met(record.rule.id))}
        gone = self._change(gone, ENGINE, "removed", now, body)
        if record.state is RuleState.EXPIRING:
            after = RuleState.EXPIRED if record.becomes is None else RuleState.PROBATION
            gone = self._end(gone, after, ENGINE, record.detail, now)
        return gone

    def settle(self, follows: Callable[[str], bool], now: float) -> None:
        """Of failed rules that have ended no VFN has to be read back anew: what each holds is known already.

        Args:
            follows: was a VFN, by name, read back with just what it is to hold?
        """
        for record in [self.records[identity] for identity in self._failed_ends & self._unsettled]:
            if all(map(follows, record.vfns)):
                self._removed(record, now)
        self._failed_ends &= self._unsettled

    def installing(self, identities: Iterable[str]) -> bool:
        """Is one of these rules on its way into the switches?"""
        return any(self._state(identity) is RuleState.INSTALLING for identity in identities)

    def installed(self, identities: Iterable[str], body: Mapping[str, Any], now: float) -> None:
        """A switch has confirmed entries of these rules (none: of the pipeline alone) by a barrier."""
        records = [self.records[identity] for identity in identities if identity in self.records]
        first = [replace(record, installed_at=now) for record in records if record.installed_at is None]
        self._write([Entry(now, ENGINE, "installed", body)], first)

    def failed(self, identities: Sequence[str], detail: str, now: float, body: Mapping[str, Any]) -> list[RuleRecord]:
        """A VFN did not take its entries; the fault of these rules if they were just being installed."""
        failing = [self.records[i] for i in identities if self._state(i) is RuleState.INSTALLING]
        changed = []
        for place, record in enumerate(failing, 1):
            moved = move(record, RuleState.FAILED, now, detail)
            # One after the other, so that a rule that can be installed is not held back by one that cannot.
            changed.append(replace(moved, retry_at=now + place * lifecycle.backoff(moved.attempts)))
        told = {**body, "rules": [record.rule.id for record in changed], "state": RuleState.FAILED}
        self._write([Entry(now, ENGINE, "failed", told)], changed)
        return changed

    def note(self, actor: str, kind: str, now: float, body: Mapping[str, Any]) -> None:
        """Put something on record that changes no rule."""
        self._write([Entry(now, actor, kind, body)])

    def next_time(self) -> float | None:
        """When `pass_time` will next have something to do."""
        return self._deadlines.next_time()

    def _situation(self, rule: SegmentationRule, now: float, policy: Policy) -> Situation:
        past, segment = self._past, budget.segment_of(rule, self._inventory)
        counts = rule.source_vm is not None or rule.ordinary > 0  # of addresses there may be very many
        return Situation(
            self._inventory,
            self._settings,
            now,
            about=past.about(rule),
            policy=policy,
            controls=self.controls,
            spent=past.spent(segment, now) if counts else (),
            sizes=past.sizes,
            offences=past.offences(rule, now),
            rejected=past.rejected(rule),
        )

    def _record(self, admitted: Admitted, now: float, before: RuleRecord | None = None) -> RuleRecord:
        """A rule that comes into force, perhaps after having been approved."""
        fresh = RuleRecord(admitted.rule, RuleState.INSTALLING, now)
        record = fresh if before is None else replace(move(before, RuleState.INSTALLING, now), rule=admitted.rule)
        self._firewall[admitted.rule.id] = admitted.firewall_rules
        return replace(
            record, vfns=admitted.vfns, supersedes=admitted.supersedes, offence=admitted.offence, detail=admitted.why
        )

    def _begin(self, record: RuleRecord, kind: str, more: Mapping[str, Any], ends: Iterable[str], now: float) -> None:
        """A rule begins, and others end for it, in one transaction."""
        entries, others = self._ended_for(record.rule.id, ends, now)
        entries.append(Entry(now, record.rule.issuer, kind, {**_told(record), "state": record.state, **more}))
        self._write(entries, [*others, record], self._past.offend(record, now))

    def _merge(self, merged: Merged, now: float) -> None:
        record = replace(self.records[merged.rule.id], rule=merged.rule)
        entries, others = self._ended_for(merged.rule.id, merged.ends, now)
        asked = {key: value for key, value in _content(merged.asked).items() if key not in ("id", "created")}
        body = {**_told(record), "reason": merged.reason, "asked": asked}
        self._write(
            [*entries, _entry(record, merged.asked.issuer, "merged", now, body)],
            [*others, record],
            self._past.offend(record, now),
        )

    def _ended_for(self, identity: str, ends: Iterable[str], now: float) -> tuple[list[Entry], list[RuleRecord]]:
        """Proposals and probations that a rule ends."""
        entries, records = [], []
        for other in ends:
            before = self.records[other]
            state = before.becomes or RuleState.RELEASED
            record = move(before, state, now, f"rule {identity} stands for it")
            records.append(record)
            body = {"was": before.state, "reason": record.detail, "superseded_by": identity}
            entries.append(_entry(record, ENGINE, state.value, now, body))
        return entries, records

    def _refuse(self, refused: Refused, now: float) -> None:
        detail = f"{refused.reason} ({refused.remedy})"
        record = RuleRecord(refused.rule, RuleState.REFUSED, now, detail=detail, ended_at=now)
        body = {"ground": refused.ground, "reason": refused.reason, "remedy": refused.remedy}
        # A request that means nothing is put on record, but there is no rule to speak of.
        records = [] if refused.ground is Ground.MEANINGLESS else [record]
        told = {**_told(record), "state": record.state, **body}
        self._store.write([Entry(now, refused.rule.issuer, "refused", told)], records)

    def _probation(self, record: RuleRecord) -> bool:
        """Does it leave on probation?"""
        return answers(record.rule) and record.standing and self._settings.probation_seconds > 0

    def _end(
        self,
        record: RuleRecord,
        state: RuleState,
        actor: str,
        reason: str,
        now: float,
        more: Mapping[str, Any] | None = None,
        offenders: Iterable[Offender] = (),
    ) -> RuleRecord:
        ended = move(record, state, now, reason)
        if record.state is RuleState.FAILED:
            self._failed_ends.add(record.rule.id)
        if state is RuleState.EXPIRING and self._probation(record):
            ended = replace(ended, becomes=RuleState.EXPIRED)
        if state is RuleState.PROBATION:
            until = now + self._settings.probation_seconds
            ended = replace(ended, until=until, becomes=record.becomes or RuleState.RELEASED)
        body = {"was": record.state, "reason": reason, **(more or {})}
        return self._change(ended, actor, state.value, now, body, offenders)

    def _change(
        self,
        record: RuleRecord,
        actor: str,
        kind: str,
        now: float,
        body: Mapping[str, Any],
        offenders: Iterable[Offender] = (),
    ) -> RuleRecord:
        self._write([_entry(record, actor, kind, now, body)], [record], offenders)
        return record

    def _write(
        self, entries: Sequence[Entry], records: Sequence[RuleRecord] = (), offenders: Iterable[Offender] = ()
    ) -> None:
        self._store.write(entries, records, offenders=offenders)
        for record in records:
            self._keep(record)

    def _keep(self, record: RuleRecord) -> None:
        """What is over and gone is forgotten here; the store has it."""
        identity = record.rule.id
        self._past.put(record)
        self._deadlines.set(identity, due_at(record))
        if record.leaving or record.state is RuleState.INSTALLING:
            self._unsettled.add(identity)
        else:
            self._unsettled.discard(identity)
        if record.state.live:
            self._in_force[identity] = self._turned[identity] = self._firewall[identity]
        elif self._in_force.pop(identity, None) is not None:
            self._turned[identity] = ()
        if record.removed_at is not None:
            self._firewall.pop(identity, None)
        if record.over and not record.leaving:
            self.records.pop(identity, None)
            self._firewall.pop(identity, None)
        else:
            self.records[identity] = record

    def _known(self, identity: str) -> RuleRecord:
        record = self.records.get(identity) or self._store.rule(identity)
        if record is None:
            raise KeyError(identity)
        return record

    def _state(self, identity: str) -> RuleState | None:
        record = self.records.get(identity)
        return None if record is None else record.state


def _is_there(record: RuleRecord, vfns: Mapping[str, VfnState]) -> bool:
    """Is a rule on its way into the switches in all of them?"""
    if record.state is not RuleState.INSTALLING:
        return False
    return all(record.rule.id in (vfns[name].confirmed_rules or ()) for name in record.vfns)


def _remembered(settings: EngineSettings) -> float:
    """How old a rule may be, in seconds, to count for budget or as rejected."""
    return settings.proposal_seconds + max(settings.budget_seconds, settings.rejected_seconds)


def _entry(record: RuleRecord, actor: str, kind: str, now: float, body: Mapping[str, Any] | None = None) -> Entry:
    return Entry(now, actor, kind, {**_name(record), "state": record.state, **(body or {})})


def _shape(admitted: Admitted) -> dict[str, Any]:
    """What admission has made of a rule, beside its content."""
    told = {
        "why": admitted.why,
        "downgraded": admitted.downgraded,
        "offence": admitted.offence,
        "supersedes": list(admitted.supersedes),
    }
    return {key: value for key, value in told.items() if value}


def _false_alarm(record: RuleRecord) -> dict[str, Any]:
    """What somebody says about the behaviour that a rule answered."""
    return {"false_alarm": True, "behaviour": record.rule.behaviour}


def _name(record: RuleRecord) -> dict[str, Any]:
    """What tells a rule apart, without its whole content."""
    rule = record.rule
    what = {"vm": rule.source_vm or rule.destination_vm, "source_ip": rule.source_ip and str(rule.source_ip)}
    what["mode"] = None if rule.mode is Mode.ENFORCE else rule.mode
    return {"rule": rule.id, "action": rule.action, **{key: value for key, value in what.items() if value}}


def _told(record: RuleRecord) -> dict[str, Any]:
    """A whole rule, for the record of its beginning."""
    return {"rule": record.rule.id, **{key: value for key, value in _content(record.rule).items() if key != "id"}}


def _content(rule: SegmentationRule) -> dict[str, Any]:
    """What a rule says, as JSON values."""
    values = record_json(RuleRecord(rule, RuleState.PROPOSED, rule.created))["rule"]
    return {key: value for key, value in values.items() if value not in (None, (), [], "")}
