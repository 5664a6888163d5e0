"""The rules that are alive, and every change of them: judged, written down with its audit record, then in force.

No messages and no switches here; what has to be sent follows from `in_force`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from policies import lifecycle
from policies.admission import Admitted, Ground, Refused, admit, entitled
from policies.lifecycle import RuleRecord, move
from policies.rules import FirewallRule, RuleState, SegmentationRule
from policies.store import Entry, Store, record_json
from policies.translate import translate
from policies.vfnstate import VfnState
from runtime.errors import PolicyError
from runtime.settings import EngineSettings
from topology.model import Inventory

ENGINE = "engine"
"""The actor of what nobody asked for: expiry, installation, repair."""


class Book:
    """Rules that are not over, or have ended and not yet been seen to be gone. Times are epoch seconds."""

    def __init__(self, store: Store, inventory: Inventory, settings: EngineSettings, now: float) -> None:
        self._store = store
        self._inventory = inventory
        self._settings = settings
        self._firewall: dict[str, tuple[FirewallRule, ...]] = {}
        self.records: dict[str, RuleRecord] = {}
        for record in store.pending():
            self._recall(record, now)

    def _recall(self, record: RuleRecord, now: float) -> None:
        """Take over a rule of an earlier run; the inventory may have changed since."""
        rule = record.rule
        try:
            firewall = translate(rule, self._inventory)
            refused = entitled(rule, self._inventory)
            problem = None if refused is None else refused.reason
        except PolicyError as error:
            firewall, problem = (), str(error)
        known = [*record.vfns, *(one.vfn for one in firewall)]
        vfns = tuple(name for name in dict.fromkeys(known) if name in self._inventory.vfns)
        self._firewall[rule.id] = firewall
        self.records[rule.id] = replace(record, vfns=vfns)
        if problem is not None and not record.over:
            self._end(rule.id, RuleState.RELEASED, ENGINE, f"the inventory has changed: {problem}", now)

    def live(self) -> tuple[SegmentationRule, ...]:
        """Rules that are, or are on their way, in force."""
        return tuple(record.rule for record in self.records.values() if record.state.live)

    def in_force(self) -> dict[str, tuple[FirewallRule, ...]]:
        """What belongs into the switches, by rule id."""
        return {identity: self._firewall[identity] for identity, r in self.records.items() if r.state.live}

    def not_yet_gone(self) -> dict[str, tuple[FirewallRule, ...]]:
        """What may be in the switches, by rule id: what is in force, and what has ended and was not seen to be gone."""
        return dict(self._firewall)

    def judge(self, rule: SegmentationRule, now: float) -> Admitted | Refused:
        """Admit or refuse a rule, and write it down either way."""
        standing = [record.rule for record in self.records.values() if not record.over]
        decision = admit(rule, self._inventory, standing, now, self._settings)
        if isinstance(decision, Refused):
            detail = f"{decision.reason} ({decision.remedy})"
            record = RuleRecord(rule, RuleState.REFUSED, now, detail=detail, ended_at=now)
            body = {"ground": decision.ground, "reason": decision.reason, "remedy": decision.remedy}
            # A request that means nothing is put on record, but there is no rule to speak of.
            records = [] if decision.ground is Ground.MEANINGLESS else [record]
            self._write([Entry(now, rule.issuer, "refused", {**_told(record), **body})], records)
            return decision
        record = RuleRecord(rule, RuleState.INSTALLING, now, decision.vfns)
        self._write([Entry(now, rule.issuer, "admitted", _told(record))], [record])
        self.records[rule.id] = record
        self._firewall[rule.id] = decision.firewall_rules
        return decision

    def release(self, identity: str, actor: str, reason: str, now: float) -> RuleRecord:
        """End a rule by somebody's will.

        Raises:
            PolicyError: it has ended already.
            KeyError: there is no such rule.
        """
        if identity in self.records:
            return self._end(identity, RuleState.RELEASED, actor, reason, now)
        known = self._store.rule(identity)
        if known is None:
            raise KeyError(identity)
        return move(known, RuleState.RELEASED, now)

    def expire(self, now: float) -> bool:
        """End what has come to the end of its time; was there something?"""
        ending = lifecycle.expired(self.records.values(), now)
        for record in ending:
            self._end(record.rule.id, RuleState.EXPIRED, ENGINE, "its time is over", now)
        return bool(ending)

    def retry(self, now: float) -> bool:
        """Try again what failed and is due; was there something?"""
        again = lifecycle.due(self.records.values(), now)
        for record in again:
            self._change(
                move(record, RuleState.INSTALLING, now), ENGINE, "retried", now, {"attempt": record.attempts + 1}
            )
        return bool(again)

    def confirm(self, vfns: Mapping[str, VfnState], now: float) -> list[RuleRecord]:
        """A VFN was read back: rules become enforced, ended ones are seen to be gone. Returns those that changed."""
        changed = []
        for record in list(self.records.values()):
            states = [vfns[name] for name in record.vfns]
            identity = record.rule.id
            if record.state is RuleState.INSTALLING and all(identity in (s.confirmed_rules or ()) for s in states):
                body = {"vfns": list(record.vfns), "seconds": round(now - record.rule.created, 6)}
                changed.append(self._change(move(record, RuleState.ENFORCED, now), ENGINE, "enforced", now, body))
            elif record.leaving and all(s.in_sync and identity not in s.rules for s in states):
                gone = replace(record, removed_at=now)
                body = {"vfns": list(record.vfns), "seconds": round(now - (record.ended_at or now), 6)}
                changed.append(self._change(gone, ENGINE, "removed", now, body))
                del self.records[identity], self._firewall[identity]
        return changed

    def installing(self, identities: Iterable[str]) -> bool:
        """Is one of these rules on its way into the switches?"""
        return any(self._state(identity) is RuleState.INSTALLING for identity in identities)

    def installed(self, identities: Iterable[str], now: float, body: Mapping[str, Any]) -> None:
        """A switch has confirmed entries of these rules (none: of the pipeline alone) by a barrier."""
        records = [self.records[identity] for identity in identities if identity in self.records]
        first = [replace(record, installed_at=now) for record in records if record.installed_at is None]
        self.records |= {record.rule.id: record for record in first}
        self._write([Entry(now, ENGINE, "installed", body)], first)

    def failed(self, identities: Sequence[str], detail: str, now: float, body: Mapping[str, Any]) -> list[RuleRecord]:
        """A VFN did not take its entries; the fault of these rules if they were just being installed."""
        failing = [self.records[i] for i in identities if self._state(i) is RuleState.INSTALLING]
        changed = []
        for place, record in enumerate(failing, 1):
            moved = move(record, RuleState.FAILED, now, detail)
            # One after the other, so that a rule that can be installed is not held back by one that cannot.
            changed.append(replace(moved, retry_at=now + place * lifecycle.backoff(moved.attempts)))
        told = {**body, "rules": [record.rule.id for record in changed]}
        self._write([Entry(now, ENGINE, "failed", told)], changed)
        self.records |= {record.rule.id: record for record in changed}
        return changed

    def note(self, actor: str, kind: str, now: float, body: Mapping[str, Any]) -> None:
        """Put something on record that changes no rule."""
        self._write([Entry(now, actor, kind, body)])

    def next_time(self) -> float | None:
        """When `expire` or `retry` will next have something to do."""
        return lifecycle.next_time(self.records.values())

    def _state(self, identity: str) -> RuleState | None:
        record = self.records.get(identity)
        return None if record is None else record.state

    def _end(self, identity: str, state: RuleState, actor: str, reason: str, now: float) -> RuleRecord:
        ended = move(self.records[identity], state, now, reason)
        return self._change(ended, actor, state.value, now, {"reason": reason})

    def _change(self, record: RuleRecord, actor: str, kind: str, now: float, body: Mapping[str, Any]) -> RuleRecord:
        self._write([Entry(now, actor, kind, {**_name(record), **body})], [record])
        self.records[record.rule.id] = record
        return record

    def _write(self, entries: Sequence[Entry], records: Sequence[RuleRecord] = ()) -> None:
        self._store.write(entries, records)


def _name(record: RuleRecord) -> dict[str, Any]:
    """What tells a rule apart, without its whole content."""
    rule = record.rule
    what = {"vm": rule.source_vm or rule.destination_vm, "source_ip": rule.source_ip and str(rule.source_ip)}
    return {"rule": rule.id, "action": rule.action, **{key: value for key, value in what.items() if value}}


def _told(record: RuleRecord) -> dict[str, Any]:
    """A whole rule, for the record of its beginning."""
    content = {key: value for key, value in record_json(record)["rule"].items() if value not in (None, ())}
    return {"rule": record.rule.id, **{key: value for key, value in content.items() if key != "id"}}
