"""Consents to payload inspection: what somebody has agreed to, and what follows from it at a time. Values only.

A consent is in force from its start to its end and for nothing but what it names. Several that speak of the same VM
stand side by side: each allows its own patterns for its own time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from topology.model import Inventory


class ConsentState(StrEnum):
    """Where a consent is in its life."""

    AGREED = "agreed"
    """It is not over; whether it is in force is a matter of the time."""
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"
    """A switch did not take its copies."""
    EXPIRED = "expired"
    """Its time is over, or what it was about is no longer what it was."""


@dataclass(frozen=True)
class Consent:
    """What was agreed to. Times are epoch seconds."""

    id: str
    """12 lower-case hex digits."""
    vm: str | None
    segment: str | None
    """Either one VM or all VMs of a segment."""
    home: str | None
    """Of a VM: the segment in which it was when this was agreed to."""
    purpose: str
    patterns: tuple[str, ...]
    """As `runtime.patterns` spells them."""
    digests: Mapping[str, str]
    """SHA-256 of each file that they name, as it was when this was agreed to."""
    agreed_by: str
    """Who agreed, in the words of the record."""
    granted_by: str
    """Name of the token that laid it down."""
    granted_at: float
    start: float
    until: float


@dataclass(frozen=True)
class ConsentRecord:
    """A consent and what became of it. Times are epoch seconds."""

    consent: Consent
    state: ConsentState = ConsentState.AGREED
    ended_at: float | None = None
    reason: str = ""
    """Why it has ended."""
    inspecting_at: float | None = None
    """The VFNs of its VMs that were connected had been read back with its copies."""
    over_at: float | None = None
    """After its end: all of them had been read back without."""

    @property
    def agreed(self) -> bool:
        """Is it not over?"""
        return self.state is ConsentState.AGREED

    @property
    def leaving(self) -> bool:
        """Has it ended, but not yet been seen to be gone from the switches?"""
        return not self.agreed and self.over_at is None

    def in_force(self, now: float, latest: float) -> bool:
        """Does it allow anything?

        Args:
            now: what the clock says.
            latest: the latest time that is known to have been, which a clock that is set back does not change.
        """
        return self.agreed and self.consent.start <= now and latest < self.consent.until


def covered(consent: Consent, inventory: Inventory) -> tuple[str, ...]:
    """Names of the VMs that a consent is about, as the inventory is now."""
    if consent.vm is not None:
        return (consent.vm,) if obstacle(consent, inventory) is None else ()
    return tuple(vm.name for vm in inventory.vms.values() if vm.segment == consent.segment)


def obstacle(consent: Consent, inventory: Inventory) -> str | None:
    """Why a consent is about nothing any more; None: it still is about what was agreed to."""
    if consent.vm is None:
        return None if consent.segment in inventory.segments else f"there is no segment {consent.segment} any more"
    vm = inventory.vms.get(consent.vm)
    if vm is None:
        return f"there is no VM {consent.vm} any more"
    if vm.segment != consent.home:
        return f"VM {vm.name} was in segment {consent.home} when this was agreed to and is in {vm.segment} now"
    return None


def ended(record: ConsentRecord, state: ConsentState, now: float, reason: str) -> ConsentRecord:
    """The record of a consent that is over."""
    return replace(record, state=state, ended_at=now, reason=reason)


def inspected(consents: Iterable[Consent], inventory: Inventory) -> frozenset[str]:
    """Names of the VMs whose payload may be copied."""
    return frozenset(vm for consent in consents for vm in covered(consent, inventory))


def record_json(record: ConsentRecord) -> dict[str, Any]:
    """A record as JSON values, for store and REST; `record_of` is the way back."""
    values = asdict(record)
    consent = values.pop("consent")
    return {**consent, "patterns": list(consent["patterns"]), **values}


def record_of(values: Mapping[str, Any]) -> ConsentRecord:
    """The record of `record_json`."""
    own = {key: values[key] for key in Consent.__dataclass_fields__}
    rest = {key: values[key] for key in ConsentRecord.__dataclass_fields__ if key != "consent"}
    consent = Consent(**{**own, "patterns": tuple(own["patterns"])})
    return ConsentRecord(consent, **{**rest, "state": ConsentState(rest["state"])})
