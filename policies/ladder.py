"""The ladder of steps against one VM or address: what is more, what comes next, and for how long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from policies.rules import Action, Mode, Scope, SegmentationRule
from policies.translate import ANALYZER
from runtime.settings import EngineSettings
from topology.model import Inventory

LIMITED, STEERED, RESTRICTED, CUT_OFF, OUT = range(1, 6)
"""Rate limited; sent to an inspection VM; known peers only; kept to its segment; kept from everybody."""


def automatic(rule: SegmentationRule) -> bool:
    """Has nobody decided about it?"""
    return rule.issuer == ANALYZER


def subject(rule: SegmentationRule) -> str | None:
    """The VM or address whom it takes something from; None: nobody. No VM's name looks like an address."""
    if rule.action is Action.ALLOW:
        return None
    return rule.source_vm if rule.source_ip is None else str(rule.source_ip)


def step(rule: SegmentationRule) -> int:
    """Its place on the ladder; 0: it takes nothing from anybody."""
    match rule.action:
        case Action.ALLOW:
            return 0
        case Action.STEER:
            return 0 if rule.mirror else STEERED
        case Action.RATE_LIMIT:
            return LIMITED
        case Action.RESTRICT:
            return RESTRICTED
        case Action.DENY:
            return OUT
        case Action.ISOLATE:
            return OUT if rule.scope is Scope.ALL else CUT_OFF


def answers(rule: SegmentationRule) -> bool:
    """Does an automatic rule take something from somebody, and not only count or ask?"""
    return automatic(rule) and rule.mode is Mode.ENFORCE and step(rule) > 0


def reshaped(rule: SegmentationRule, like: SegmentationRule) -> SegmentationRule:
    """A rule for the same reasons that does what another does."""
    return replace(
        rule,
        action=like.action,
        scope=like.scope,
        rate=like.rate,
        peers=like.peers,
        target=like.target,
        mirror=like.mirror,
    )


def bare(rule: SegmentationRule) -> SegmentationRule:
    """A rule without what means nothing to its own step, though perhaps to a later one."""
    keeps = rule.action
    return replace(
        rule,
        rate=rule.rate if keeps is Action.RATE_LIMIT else None,
        peers=rule.peers if keeps is Action.RESTRICT else (),
        target=rule.target if keeps is Action.STEER else None,
        mirror=rule.mirror and keeps is Action.STEER,
    )


def limited(rule: SegmentationRule) -> SegmentationRule:
    """The lowest step instead."""
    return bare(replace(rule, action=Action.RATE_LIMIT, scope=Scope.ALL))


def above(rule: SegmentationRule, standing: SegmentationRule, inventory: Inventory) -> Iterator[SegmentationRule]:
    """What answers a rule that asks for no more than what stands already, the next step first.

    Steering needs an inspection VM on the VM's VFN, restricting needs peers that the rule names.
    """
    if rule.source_ip is not None:
        yield bare(replace(rule, action=Action.DENY))
        return
    steps = []
    target = rule.target or _inspection(rule, inventory)
    if target is not None:
        steps.append(replace(rule, action=Action.STEER, target=target, mirror=False))
    if rule.peers:
        steps.append(replace(rule, action=Action.RESTRICT))
    steps.append(replace(rule, action=Action.ISOLATE))
    yield from (bare(replace(one, scope=Scope.ALL)) for one in steps if step(one) > step(standing))


def _inspection(rule: SegmentationRule, inventory: Inventory) -> str | None:
    own = inventory.vms[rule.source_vm or ""]
    there = (vm.name for vm in inventory.vms.values() if vm.inspection and vm.vfn == own.vfn and vm is not own)
    return next(there, None)


def seconds(offence: int, settings: EngineSettings) -> float:
    """How long the rule holds that answers the first, second ... offence."""
    durations: Sequence[float] = (settings.isolation_seconds, *settings.repeat_seconds)
    return durations[min(max(offence, 1), len(durations)) - 1]
