"""Whether a rule may come into force, and in which shape: a function of the rule and of how things stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain

from policies import budget, ladder
from policies.acl import Acl, Policy
from policies.controls import Controls, mode_of
from policies.cover import decided_before
from policies.ladder import automatic, step, subject
from policies.lifecycle import RuleRecord
from policies.rules import Action, FirewallRule, Mode, Network, Protocol, RuleState, SegmentationRule
from policies.translate import acls_in, tier_of, translate
from runtime.errors import PolicyError
from runtime.settings import EngineSettings
from topology.model import Inventory


class Ground(StrEnum):
    """Why a rule is refused."""

    MEANINGLESS = "meaningless"
    """It names what does not exist or contradicts itself."""
    PROTECTED = "protected"
    DUPLICATE = "duplicate"
    SHADOWED = "shadowed"
    """A higher tier decides everything that it is about."""
    STALE = "stale"
    EXPIRED = "expired"
    UNENTITLED = "unentitled"
    REJECTED = "rejected"
    """Somebody said no to it a short time ago."""
    BUDGET = "budget"


@dataclass(frozen=True)
class Situation:
    """How things stand when a rule is judged. Times are epoch seconds."""

    inventory: Inventory
    settings: EngineSettings
    now: float
    about: Sequence[RuleRecord] = ()
    """Rules that are not over and concern the same VMs or addresses."""
    policy: Policy = field(default_factory=Policy)
    """What people have laid down."""
    controls: Controls = field(default_factory=Controls)
    spent: Sequence[SegmentationRule] = ()
    """Automatic rules that count against the budget of the same segment."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Number of VMs by segment."""
    offences: int = 0
    """How often the same VM or address was answered by automatic rules before."""
    rejected: RuleRecord | None = None
    """The last rule about it that somebody has rejected."""
    approved: bool = False
    """Has somebody approved just this rule?"""


@dataclass(frozen=True)
class Admitted:
    """The rule comes into force."""

    rule: SegmentationRule
    firewall_rules: tuple[FirewallRule, ...]
    why: str = ""
    """Why it is another than was asked for; or for longer."""
    downgraded: bool = False
    """Is it a lesser step than was asked for?"""
    offence: int = 0
    supersedes: tuple[str, ...] = ()
    """Ids of lesser rules in force, which end when it is enforced."""
    ends: tuple[str, ...] = ()
    """Ids of proposals and probations that end with it."""

    @property
    def vfns(self) -> tuple[str, ...]:
        """Names of the VFNs that the rule concerns."""
        return tuple(dict.fromkeys(firewall.vfn for firewall in self.firewall_rules))


@dataclass(frozen=True)
class Held:
    """The rule waits for somebody's approval."""

    rule: SegmentationRule
    reason: str
    ends: tuple[str, ...] = ()
    """Ids of lesser proposals that it stands for, too."""


@dataclass(frozen=True)
class Merged:
    """A rule that is there already takes it in: it holds longer, or has newer reasons."""

    asked: SegmentationRule
    rule: SegmentationRule
    """The one that is there, as it is from now on."""
    reason: str
    ends: tuple[str, ...] = ()
    """Ids of proposals that end with it."""


@dataclass(frozen=True)
class Refused:
    """The rule does not."""

    rule: SegmentationRule
    ground: Ground
    reason: str
    remedy: str
    live_rule: str | None = None
    """Id of the rule that has its effect already."""


Decision = Admitted | Held | Merged | Refused


def admit(asked: SegmentationRule, situation: Situation) -> Decision:
    """Judge a rule."""
    rule = ladder.bare(asked) if automatic(asked) else asked
    refused = _bearable(rule, situation.inventory, situation.settings) or _timely(rule, situation)
    if refused is not None:
        return refused
    rule, why = _raised(rule, asked, _relapse(rule, situation), situation)
    offence = 0
    if automatic(rule):
        standing = any(one.standing and ladder.answers(one.rule) for one in situation.about)
        offence = max(situation.offences + (not standing), 1)
        rule = replace(rule, expires=situation.now + ladder.seconds(offence, situation.settings))
    found = _there_already(rule, situation) or _shadowed(rule, situation)
    return found or _weighed(rule, why, offence if step(rule) else 0, situation)


def meaning(rule: SegmentationRule, inventory: Inventory) -> tuple[FirewallRule, ...]:
    """What a rule means for each VFN; of one that waits for approval, what it will mean.

    Raises:
        PolicyError: it cannot mean anything in this network.
    """
    return translate(replace(rule, mode=Mode.ENFORCE) if rule.mode is Mode.PROPOSE else rule, inventory)


def entitled(rule: SegmentationRule, inventory: Inventory, settings: EngineSettings) -> Refused | None:
    """May there be such a rule at all? Protected VMs are limited in their rate by people only, and else by nobody."""
    if automatic(rule) and rule.action is Action.ALLOW:
        return Refused(rule, Ground.UNENTITLED, "the analyzer may not open anything", "post the rule as an operator")
    vm = inventory.vms.get(rule.source_vm or "")
    if vm is not None and vm.protected and step(rule) > (0 if automatic(rule) else ladder.LIMITED):
        remedy = f"take `protected: true` from vms.{vm.name} in the inventory if it must be isolated"
        return Refused(rule, Ground.PROTECTED, f"VM {vm.name} is protected", remedy)
    if rule.source_ip is not None and step(rule):
        for net in settings.protected:
            if _overlap(net, rule.source_ip):
                remedy = "take it from `engine.protected` or `taps.resolvers` in the settings"
                return Refused(rule, Ground.PROTECTED, f"{rule.source_ip} holds {net}, which is protected", remedy)
    return None


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _bearable(rule: SegmentationRule, inventory: Inventory, settings: EngineSettings) -> Refused | None:
    try:
        meaning(rule, inventory)
    except PolicyError as error:
        reason = f"{error.key}: {error.message}" if error.key else error.message
        return Refused(rule, Ground.MEANINGLESS, reason, error.remedy or "correct the rule")
    return entitled(rule, inventory, settings)


def _timely(rule: SegmentationRule, situation: Situation) -> Refused | None:
    now, settings, last = situation.now, situation.settings, situation.rejected
    if rule.expires is not None and rule.expires <= now:
        return Refused(rule, Ground.EXPIRED, "its time is over already", "give it a later end")
    age = 0.0 if rule.evidence_time is None or situation.approved else now - rule.evidence_time
    if abs(age) > settings.evidence_seconds:
        when = f"{age:.0f} s old" if age > 0 else f"from {-age:.0f} s in the future"
        reason = f"its evidence is {when}, the limit is {settings.evidence_seconds:.0f} s"
        return Refused(rule, Ground.STALE, reason, "check the clocks, or raise `engine.evidence_seconds`")
    asked_again = automatic(rule) and last is not None and not situation.approved and step(rule) <= step(last.rule)
    if asked_again and last is not None and now < last.changed_at + settings.rejected_seconds:
        reason = f"{last.by} rejected rule {last.rule.id} {now - last.changed_at:.0f} s ago"
        return Refused(rule, Ground.REJECTED, reason, "post it as an operator, or lower `engine.rejected_seconds`")
    return None


def _relapse(rule: SegmentationRule, situation: Situation) -> RuleRecord | None:
    """The rule on probation that a new one about the same VM or address follows upon."""
    if not automatic(rule) or situation.approved or rule.risk < situation.settings.relapse_risk:
        return None
    watched = (r for r in situation.about if r.state in (RuleState.PROBATION, RuleState.EXPIRING))
    same = [r for r in watched if automatic(r.rule) and r.becomes is not None and subject(r.rule) == subject(rule)]
    return max(same, key=lambda record: step(record.rule), default=None)


def _raised(
    rule: SegmentationRule, asked: SegmentationRule, relapse: RuleRecord | None, situation: Situation
) -> tuple[SegmentationRule, str]:
    """A higher step than was asked for, and why: after a relapse, or as a lesser one has not helped.

    Args:
        asked: the rule with what a higher step may need.
    """
    if not automatic(rule) or situation.approved:
        return rule, ""
    why = ""
    if relapse is not None:
        why = f"relapse {situation.now - (relapse.ended_at or situation.now):.0f} s after rule {relapse.rule.id} ended"
        raised = ladder.reshaped(rule, relapse.rule)
        if step(raised) > step(rule) and _bearable(raised, situation.inventory, situation.settings) is None:
            return raised, why
    for record in situation.about:
        live, confirmed = record.rule, record.enforced_at
        helpless = confirmed is not None and rule.evidence_time is not None and rule.evidence_time > confirmed
        if record.state is RuleState.ENFORCED and helpless and _asks_no_more(rule, live):
            for raised in ladder.above(asked, live, situation.inventory):
                if _bearable(raised, situation.inventory, situation.settings) is None:
                    return raised, f"rule {live.id} ({live.action}) has not ended it"
    return rule, why


def _asks_no_more(rule: SegmentationRule, live: SegmentationRule) -> bool:
    same = ladder.answers(live) and subject(live) == subject(rule)
    return same and 0 < step(rule) <= step(live) < ladder.OUT


def _there_already(rule: SegmentationRule, situation: Situation) -> Refused | Merged | None:
    """What a rule in force, or on its way, has of its effect already."""
    for record in situation.about:
        live = record.rule
        if not record.standing or not _covers(live, rule) or _stands_beside(rule, live):
            continue
        if automatic(rule) == automatic(live) and _longer(rule, live):
            until = "until it is released" if rule.expires is None else f"{rule.expires - situation.now:.0f} s more"
            taken = replace(live, expires=rule.expires, evidence_time=rule.evidence_time or live.evidence_time)
            reason = f"rule {live.id} has this effect already, and holds {until}"
            return Merged(rule, taken, reason, _lesser(rule, situation))
        reason = f"rule {live.id} of {live.issuer} has this effect already"
        return Refused(rule, Ground.DUPLICATE, reason, f"release {live.id} first to replace it", live.id)
    return None


def _covers(live: SegmentationRule, new: SegmentationRule) -> bool:
    """Does `live` stop or allow everything that `new` would, with at least its rank?"""
    if tier_of(live) < tier_of(new) or (live.mode is Mode.OBSERVE and new.mode is not Mode.OBSERVE):
        return False
    if new.action is Action.ALLOW or live.action is Action.ALLOW:
        same = live.action is new.action
        same = same and live.source_ip == new.source_ip and live.destination_vm == new.destination_vm
        return same and live.port in (None, new.port) and live.protocol in (Protocol.ANY, new.protocol)
    if subject(live) != subject(new):
        return False
    if step(live) != step(new):
        return step(live) > step(new) > 0
    if live.action is Action.RATE_LIMIT:
        return live.rate == new.rate or (live.rate is not None and new.rate is not None and live.rate < new.rate)
    return (live.peers, live.target, live.mirror) == (new.peers, new.target, new.mirror)


def _longer(new: SegmentationRule, live: SegmentationRule) -> bool:
    return live.expires is not None and (new.expires is None or new.expires > live.expires)


def _stands_beside(new: SegmentationRule, live: SegmentationRule) -> bool:
    """A person's rule stands beside one that ends before it, if that is the analyzer's or more than is asked for."""
    if automatic(new) or not _longer(new, live):
        return False
    return automatic(live) or step(live) > step(new)


def _shadowed(rule: SegmentationRule, situation: Situation) -> Refused | None:
    """Is all of it decided by rules that are asked before it, for as long as it would stand?"""
    firewall = meaning(rule, situation.inventory)
    acls = dict.fromkeys(acls_in(firewall))
    if not acls or any(one.cut_port_of is not None for one in firewall):
        return None
    issued = tuple(_longer_lived(rule, situation))
    deciders = []
    for acl in acls:
        laid_down = (acls for tier, acls in situation.policy.lasting.items() if tier >= acl.tier)
        decider = decided_before(acl, chain(issued, *laid_down), situation.inventory, situation.policy.lists)
        if decider is None:
            return None
        deciders.append(decider)
    names = ", ".join(dict.fromkeys(f"{one.rule_id} ({one.tier.name.lower()}, {one.verdict})" for one in deciders))
    reason = f"it has nothing to decide: {names} comes before it"
    return Refused(rule, Ground.SHADOWED, reason, "change or release that one first")


def _longer_lived(rule: SegmentationRule, situation: Situation) -> Iterator[Acl]:
    for record in situation.about:
        if record.standing and not _longer(rule, record.rule) and record.rule.mode is Mode.ENFORCE:
            yield from acls_in(translate(record.rule, situation.inventory))


def _weighed(rule: SegmentationRule, why: str, offence: int, situation: Situation) -> Decision:
    """Modes, the hold switch and the budget."""
    segment = budget.segment_of(rule, situation.inventory)
    if situation.approved:
        return _admitted(rule, why, offence, situation)
    if not automatic(rule):
        waits = rule.mode is Mode.PROPOSE
        return _held(rule, "its issuer asks for approval", situation) if waits else _admitted(rule, "", 0, situation)
    mode, whose = mode_of(rule, segment, situation.controls, situation.settings)
    if mode is Mode.OBSERVE:
        watching = replace(rule, mode=mode)
        refused = _bearable(watching, situation.inventory, situation.settings)
        found = refused or _there_already(watching, situation)
        return found or _admitted(watching, f"it only counts: {whose}", 0, situation)
    if mode is Mode.PROPOSE:
        return _held(rule, whose, situation)
    exceeded = _over_budget(rule, segment, situation)
    if exceeded is None:
        return _admitted(rule, why, offence, situation)
    if situation.settings.over_budget == "refuse":
        return Refused(rule, Ground.BUDGET, exceeded, "post it as an operator, or raise the budget (`engine.budget_*`)")
    lesser = _downgraded(rule, exceeded, offence, situation) if situation.settings.over_budget == "downgrade" else None
    return lesser or _held(rule, exceeded, situation)


def _downgraded(rule: SegmentationRule, exceeded: str, offence: int, situation: Situation) -> Decision | None:
    """A limited rate instead, if that is less, possible and within its own budget."""
    lesser, segment = ladder.limited(rule), budget.segment_of(rule, situation.inventory)
    mode, _ = mode_of(lesser, segment, situation.controls, situation.settings)
    possible = step(rule) > ladder.LIMITED and mode is Mode.ENFORCE
    if not possible or _bearable(lesser, situation.inventory, situation.settings) is not None:
        return None
    there = _there_already(lesser, situation) or _shadowed(lesser, situation)
    if there is not None:
        return replace(there, reason=f"{exceeded}; of its rate limit: {there.reason}")
    if _over_budget(lesser, segment, situation) is not None:
        return None
    return replace(_admitted(lesser, exceeded, offence, situation), downgraded=True)


def _over_budget(rule: SegmentationRule, segment: str, situation: Situation) -> str | None:
    size = situation.sizes.get(segment, 0)
    return budget.over(rule, situation.spent, size, situation.settings)


def _admitted(rule: SegmentationRule, why: str, offence: int, situation: Situation) -> Admitted:
    """It comes into force; what of its like is less ends when it is there, and probation at once."""
    firewall = translate(rule, situation.inventory)
    if not ladder.answers(rule):
        return Admitted(rule, firewall, why)
    own = [r for r in situation.about if automatic(r.rule) and subject(r.rule) == subject(rule) and step(r.rule)]
    lesser = [r for r in own if r.standing and step(r.rule) <= step(rule)]
    ends = [r for r in own if r.state is RuleState.PROBATION and r.rule.id != rule.id]
    return Admitted(
        rule,
        firewall,
        why,
        offence=offence,
        supersedes=tuple(r.rule.id for r in lesser),
        ends=(*(r.rule.id for r in ends), *_lesser(rule, situation)),
    )


def _lesser(rule: SegmentationRule, situation: Situation) -> tuple[str, ...]:
    """Ids of proposals about the same VM or address that ask for no more."""
    if not automatic(rule):
        return ()
    waiting = (r for r in situation.about if r.state is RuleState.PROPOSED and automatic(r.rule))
    return tuple(
        r.rule.id
        for r in waiting
        if r.rule.id != rule.id and subject(r.rule) == subject(rule) and step(r.rule) <= step(rule)
    )


def _held(rule: SegmentationRule, reason: str, situation: Situation) -> Held | Merged:
    """It waits; a proposal of at least as much about the same VM or address takes it in."""
    for record in situation.about:
        waiting = record.rule
        same = record.state is RuleState.PROPOSED and waiting.issuer == rule.issuer
        if same and subject(waiting) is not None and subject(waiting) == subject(rule) and step(waiting) >= step(rule):
            taken = replace(waiting, risk=max(rule.risk, waiting.risk), evidence_time=rule.evidence_time)
            taken = replace(taken, reasons=rule.reasons or waiting.reasons)
            return Merged(rule, taken, f"rule {waiting.id} waits for approval already")
    return Held(rule, reason, _lesser(rule, situation))
