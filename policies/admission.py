"""Whether a rule may come into force: a function of the rule, the network and what is in force already."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from policies.rules import Action, FirewallRule, Protocol, Scope, SegmentationRule
from policies.translate import ANALYZER, tier_of, translate
from runtime.errors import PolicyError
from runtime.settings import EngineSettings
from topology.model import Inventory


class Ground(StrEnum):
    """Why a rule is refused."""

    MEANINGLESS = "meaningless"
    """It names what does not exist or contradicts itself."""
    PROTECTED = "protected"
    DUPLICATE = "duplicate"
    STALE = "stale"
    EXPIRED = "expired"
    UNENTITLED = "unentitled"


@dataclass(frozen=True)
class Admitted:
    """The rule comes into force."""

    rule: SegmentationRule
    firewall_rules: tuple[FirewallRule, ...]

    @property
    def vfns(self) -> tuple[str, ...]:
        """Names of the VFNs that the rule concerns."""
        return tuple(dict.fromkeys(firewall.vfn for firewall in self.firewall_rules))


@dataclass(frozen=True)
class Refused:
    """The rule does not."""

    rule: SegmentationRule
    ground: Ground
    reason: str
    remedy: str
    live_rule: str | None = None
    """Id of the rule that has its effect already."""


def admit(
    rule: SegmentationRule,
    inventory: Inventory,
    live_rules: Iterable[SegmentationRule],
    now: float,
    settings: EngineSettings,
) -> Admitted | Refused:
    """Judge a rule.

    Args:
        live_rules: rules in force or on their way.
        now: epoch seconds.
    """
    try:
        firewall_rules = translate(rule, inventory)
    except PolicyError as error:
        reason = f"{error.key}: {error.message}" if error.key else error.message
        return Refused(rule, Ground.MEANINGLESS, reason, error.remedy or "correct the rule")
    refused = entitled(rule, inventory) or _timely(rule, now, settings) or _new(rule, live_rules)
    return refused or Admitted(rule, firewall_rules)


def entitled(rule: SegmentationRule, inventory: Inventory) -> Refused | None:
    """May there be such a rule at all, whoever is protected now?"""
    if rule.action is Action.ISOLATE and rule.source_vm is not None and inventory.vms[rule.source_vm].protected:
        remedy = f"take `protected: true` from vms.{rule.source_vm} in the inventory if it must be isolated"
        return Refused(rule, Ground.PROTECTED, f"VM {rule.source_vm} is protected", remedy)
    if rule.action is Action.ALLOW and rule.issuer == ANALYZER:
        return Refused(rule, Ground.UNENTITLED, "the analyzer may not open anything", "post the rule as an operator")
    return None


def _timely(rule: SegmentationRule, now: float, settings: EngineSettings) -> Refused | None:
    if rule.expires is not None and rule.expires <= now:
        return Refused(rule, Ground.EXPIRED, "its time is over already", "give it a later end")
    age = 0.0 if rule.evidence_time is None else now - rule.evidence_time
    if abs(age) > settings.evidence_seconds:
        when = f"{age:.0f} s old" if age > 0 else f"from {-age:.0f} s in the future"
        reason = f"its evidence is {when}, the limit is {settings.evidence_seconds:.0f} s"
        return Refused(rule, Ground.STALE, reason, "check the clocks, or raise `engine.evidence_seconds`")
    return None


def _new(rule: SegmentationRule, live_rules: Iterable[SegmentationRule]) -> Refused | None:
    for live in live_rules:
        if _covers(live, rule) and not _outlasts(rule, live):
            reason = f"rule {live.id} of {live.issuer} has this effect already"
            return Refused(rule, Ground.DUPLICATE, reason, f"release {live.id} first to replace it", live.id)
    return None


def _covers(live: SegmentationRule, new: SegmentationRule) -> bool:
    """Does `live` stop or allow everything that `new` would, with at least its rank?"""
    if live.action is not new.action or tier_of(live) < tier_of(new):
        return False
    if new.action is Action.ISOLATE:
        return live.source_vm == new.source_vm and live.scope in (Scope.ALL, new.scope)
    if live.source_ip != new.source_ip or live.destination_vm != new.destination_vm:
        return False
    return live.port in (None, new.port) and live.protocol in (Protocol.ANY, new.protocol)


def _outlasts(new: SegmentationRule, live: SegmentationRule) -> bool:
    """A person's rule stands beside the analyzer's when it would hold longer; everybody else waits for the end."""
    if new.issuer == ANALYZER or live.issuer != ANALYZER or live.expires is None:
        return False
    return new.expires is None or new.expires > live.expires
