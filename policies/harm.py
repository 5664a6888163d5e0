"""Does a rule harm? Ordinary flows that it keeps from passing, against what it may cost: values and pure functions.

Whom a rule isolates is cut off on purpose, so what that VM misses is no harm; see docs/policy.md for what is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from policies.rules import Action, SegmentationRule
from topology.model import Address

EXAMPLES = 5
"""Flows that the evidence shows one by one."""


@dataclass(frozen=True)
class Denied:
    """Ordinary flows of one kind that VFNs dropped. Times are epoch seconds."""

    source_vm: str | None
    """None: from outside."""
    destination_vm: str | None
    source: Address
    destination: Address
    protocol: int
    """IANA number."""
    port: int
    source_port: int
    """Of one of them."""
    flows: int
    first: float
    """When one of them opened."""
    last: float
    reported: bool = True
    """False: VFNs do not say what became of them, but nobody answered them."""


@dataclass(frozen=True)
class Subject:
    """What may do harm: a segmentation rule, or a version of the policy."""

    rule: str | None = None
    version: int | None = None

    def __str__(self) -> str:
        return f"rule {self.rule}" if self.rule is not None else f"version {self.version} of the policy"


@dataclass(frozen=True)
class Budget:
    """What a rule may cost: more than `flows` ordinary flows dropped within `seconds` are harm."""

    flows: int
    seconds: float


@dataclass(frozen=True)
class Harm:
    """A budget that is used up, and by what."""

    flows: int
    ends: tuple[str, ...]
    """VMs (or addresses outside) that missed them, sorted."""
    services: tuple[str, ...]
    """What they turned to, most flows first: `db1 tcp/5432`."""
    examples: tuple[Denied, ...]
    first: float
    last: float


def answerable(rule: SegmentationRule) -> bool:
    """Can what a rule drops be harm?

    An isolation is about one VM that a verdict or a person named, and is to cost it everything.
    """
    return rule.action is not Action.ISOLATE


def judge(denied: Sequence[Denied], budget: Budget, now: float) -> Harm | None:
    """Harm by flows that one rule or version dropped, if they are more than it may cost.

    Args:
        denied: in the order in which they were told; those out of the budget's time do not count.
        now: epoch seconds.
    """
    counted = recent(denied, budget, now)
    flows = sum(one.flows for one in counted)
    if flows <= budget.flows:
        return None
    sums: dict[str, int] = {}
    for one in counted:
        sums[_service(one)] = sums.get(_service(one), 0) + one.flows
    kinds = {(one.source, one.destination, one.protocol, one.port): one for one in counted}
    return Harm(
        flows,
        tuple(sorted({one.source_vm or str(one.source) for one in counted})),
        tuple(sorted(sums, key=lambda service: (-sums[service], service))),
        tuple(sorted(kinds.values(), key=lambda one: -one.flows)[:EXAMPLES]),
        min(one.first for one in counted),
        max(one.last for one in counted),
    )


def recent(denied: Iterable[Denied], budget: Budget, now: float) -> list[Denied]:
    """Those within the budget's time."""
    return [one for one in denied if one.last > now - budget.seconds]


def evidence(harm: Harm, budget: Budget) -> dict[str, Any]:
    """As the audit log and REST tell it."""
    return {
        "flows": harm.flows,
        "budget": budget.flows,
        "seconds": budget.seconds,
        "missed_by": list(harm.ends),
        "services": list(harm.services),
        "first": harm.first,
        "last": harm.last,
        "examples": [
            {
                "time": one.first,
                "source": _named(one.source_vm, one.source),
                "source_port": one.source_port,
                "destination": _named(one.destination_vm, one.destination),
                "protocol": one.protocol,
                "port": one.port,
                "flows": one.flows,
            }
            for one in harm.examples
        ],
    }


def in_words(harm: Harm, budget: Budget) -> str:
    """A sentence for the reason."""
    shown = ", ".join(harm.services[:3]) + (", ..." if len(harm.services) > 3 else "")
    return (
        f"{harm.flows} ordinary flows of {len(harm.ends)} ends dropped within {budget.seconds:.0f} s"
        f" (budget {budget.flows}), to {shown}"
    )


def _named(vm: str | None, address: Address) -> str:
    return f"{vm} {address}" if vm else str(address)


def _service(one: Denied) -> str:
    names = {6: "tcp", 17: "udp", 132: "sctp", 1: "icmp", 58: "icmpv6"}
    name = names.get(one.protocol, str(one.protocol))
    return f"{one.destination_vm or one.destination} {name}{f'/{one.port}' if one.port else ''}"
