"""The consents that are alive, and every change of them: checked, written down with its audit record, then in force.

No messages and no switches here. Time is told by the caller, by two clocks: what the wall says, and a steady one. A
wall clock that is set back lengthens no consent; one that is set forward ends consents early, which is the safe side.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from policies.consent import Consent, ConsentRecord, ConsentState, covered, ended, inspected, obstacle, record_json
from policies.consentdoc import ConsentDoc, utc
from policies.store import Entry, Store
from runtime.errors import PolicyError
from topology.model import Inventory
from topology.names import nearest

ENGINE = "engine"
_DAY = 86_400.0


class ConsentBook:
    """Consents that are not over, or have ended and not yet been seen to be gone. Times are epoch seconds.

    Args:
        wall: the time now.
        steady: the same moment, in seconds of a clock that never goes back.
        most_days: how long a consent may last.
    """

    def __init__(self, store: Store, inventory: Inventory, wall: float, steady: float, most_days: float) -> None:
        self._store = store
        self._inventory = inventory
        self._most_days = most_days
        self._steady = steady
        self._latest = max(wall, store.latest())
        self.records = {record.consent.id: record for record in store.consents_pending()}
        self._in_force: tuple[Consent, ...] = ()
        self.turn(wall, steady)

    @property
    def in_force(self) -> tuple[Consent, ...]:
        """Those that allow something, as of the last `turn` or change."""
        return self._in_force

    def inspected(self) -> frozenset[str]:
        """Names of the VMs whose payload is to be copied."""
        return inspected(self._in_force, self._inventory)

    def covered(self, consent: Consent) -> tuple[str, ...]:
        """Names of the VMs that a consent is about."""
        return covered(consent, self._inventory)

    def check(self, doc: ConsentDoc, now: float) -> None:
        """Could this be agreed to in this network at this time?

        Raises:
            PolicyError: names the key and what to do.
        """
        vms, segments = self._inventory.vms, self._inventory.segments
        if doc.vm is not None and doc.vm not in vms:
            raise PolicyError(f"no VM {doc.vm!r}", key="vm", remedy=nearest(doc.vm, vms))
        if doc.segment is not None and doc.segment not in segments:
            raise PolicyError(f"no segment {doc.segment!r}", key="segment", remedy=nearest(doc.segment, segments))
        if doc.until <= max(now, self._latest):
            raise PolicyError(f"{utc(doc.until)} is past", key="until", remedy="write a time to come")
        if doc.until - max(now, doc.start or now) > self._most_days * _DAY:
            remedy = "agree anew when the time is over (setting payload.most_days)"
            raise PolicyError(f"more than {self._most_days:g} days from its start", key="until", remedy=remedy)

    def grant(self, doc: ConsentDoc, digests: Mapping[str, str], actor: str, now: float) -> ConsentRecord:
        """Take down a consent; it holds from its start.

        Args:
            digests: SHA-256 of the pattern files that it names.

        Raises:
            PolicyError: as `check`.
        """
        self.check(doc, now)
        start = now if doc.start is None else doc.start
        home = None if doc.vm is None else self._inventory.vms[doc.vm].segment
        identity = secrets.token_hex(6)
        consent = Consent(
            identity,
            vm=doc.vm,
            segment=doc.segment,
            home=home,
            purpose=doc.purpose,
            patterns=doc.patterns,
            digests=dict(digests),
            agreed_by=doc.agreed_by,
            granted_by=actor,
            granted_at=now,
            start=start,
            until=doc.until,
        )
        record = ConsentRecord(consent)
        self._change(record, actor, "consent_granted", now, _told(record.consent))
        self._look(now)
        return record

    def withdraw(self, identity: str, actor: str, reason: str, now: float) -> ConsentRecord:
        """End a consent by somebody's will.

        Raises:
            PolicyError: it has ended already.
            KeyError: there is no such consent.
        """
        record = self.records.get(identity) or self._store.consent(identity)
        if record is None:
            raise KeyError(identity)
        if not record.agreed:
            raise PolicyError(f"consent {identity} is {record.state} already", remedy="see `dynseg consent list`")
        record = self._end(record, ConsentState.WITHDRAWN, actor, reason, now)
        self._look(now)
        return record

    def refuse(self, vms: frozenset[str], reason: str, now: float) -> None:
        """A switch does not take the copies of these VMs: what asks for them ends, so that everything else goes on."""
        for record in [record for record in self.records.values() if record.agreed]:
            if not vms.isdisjoint(self.covered(record.consent)):
                self._end(record, ConsentState.REFUSED, ENGINE, reason, now)
        self._look(now)

    def turn(self, wall: float, steady: float) -> bool:
        """Time has passed: what is over ends, what has begun is in force. Is something else in force than before?"""
        self._latest = max(self._latest + (steady - self._steady), wall)
        self._steady = steady
        for record in [record for record in self.records.values() if record.agreed]:
            reason = obstacle(record.consent, self._inventory)
            if reason is None and self._latest >= record.consent.until:
                reason = "its time is over"
            if reason is not None:
                self._end(record, ConsentState.EXPIRED, ENGINE, reason, wall)
        return self._look(wall)

    def confirm(self, follows: Callable[[str], bool | None], now: float) -> list[ConsentRecord]:
        """A VFN was read back: copies are there, or gone. Returns the consents of which that is news.

        Args:
            follows: was a VFN read back with what is wanted of it now? None: it is not connected.
        """
        changed = []
        for record in list(self.records.values()):
            fresh = record.consent in self._in_force and record.inspecting_at is None
            if not (fresh or record.leaving):
                continue
            told = {vfn: follows(vfn) for vfn in self._vfns(record.consent)}
            vfns = [vfn for vfn, follow in told.items() if follow]
            # One that is away copies nothing yet; but what it holds when a consent ends it still holds.
            if (False in told.values() or not vfns) if fresh else len(vfns) < len(told):
                continue
            since = max(record.consent.granted_at, record.consent.start) if fresh else record.ended_at or now
            body = {"vms": list(self.covered(record.consent)), "vfns": vfns, "seconds": round(now - since, 6)}
            moved = replace(record, inspecting_at=now) if fresh else replace(record, over_at=now)
            self._change(moved, ENGINE, "inspecting" if fresh else "inspection_over", now, body)
            changed.append(moved)
            if not fresh:
                del self.records[record.consent.id]
        return changed

    def next_time(self, wall: float) -> float | None:
        """Seconds until `turn` will next have something to say; None: no consent is waiting for its time."""
        waits = [record.consent.until - self._latest for record in self.records.values() if record.agreed]
        waits += [r.consent.start - wall for r in self.records.values() if r.agreed and r.consent.start > wall]
        return min(waits, default=None)

    def _vfns(self, consent: Consent) -> list[str]:
        """Names of the VFNs that copy for it, or did."""
        vms = self._inventory.vms
        named = (consent.vm,) if consent.vm in vms else self.covered(consent)
        return sorted({vms[vm].vfn for vm in named if vm is not None})

    def _look(self, wall: float) -> bool:
        """Find out what is in force; is that something else than before?"""
        now = tuple(r.consent for r in self.records.values() if r.in_force(wall, self._latest))
        changed = now != self._in_force
        self._in_force = now
        return changed

    def _end(self, record: ConsentRecord, state: ConsentState, actor: str, reason: str, now: float) -> ConsentRecord:
        over = ended(record, state, now, reason)
        self._change(over, actor, f"consent_{state}", now, {**_about(record.consent), "reason": reason})
        return over

    def _change(self, record: ConsentRecord, actor: str, kind: str, now: float, body: Mapping[str, Any]) -> None:
        self._store.write([Entry(now, actor, kind, {"consent": record.consent.id, **body})], consents=[record])
        self.records[record.consent.id] = record


def message(consents: Iterable[Consent], inventory: Inventory) -> list[dict[str, Any]]:
    """Consents in force as the analyzer is told of them."""
    return [
        {
            "id": consent.id,
            "vms": list(covered(consent, inventory)),
            "purpose": consent.purpose,
            "patterns": list(consent.patterns),
            "digests": dict(consent.digests),
            "until": consent.until,
        }
        for consent in consents
    ]


def _about(consent: Consent) -> dict[str, Any]:
    return {"vm": consent.vm} if consent.vm is not None else {"segment": consent.segment}


def _told(consent: Consent) -> dict[str, Any]:
    """A whole consent, for the record of its beginning."""
    values = record_json(ConsentRecord(consent))
    told = {key: values[key] for key in ("purpose", "patterns", "digests", "agreed_by", "start", "until")}
    return {**_about(consent), **told}
