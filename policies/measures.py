"""What is done to packets that pass: limits and steering, by whom they are about.

Several rules may be about one VM. Of limits the lowest rate holds; a redirection is stronger than a mirror, and of two
of a kind the rule with the first id is followed. Rules in observe count what no other measure of the VM is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from policies.rules import FirewallRule, Mode, Network


class Subject(NamedTuple):
    """Whom measures are about: a VM, or addresses outside. One of them is set."""

    vm: str | None = None
    net: Network | None = None


@dataclass(frozen=True)
class Steering:
    """Where a VM's traffic goes."""

    target: str
    """Name of an inspection VM on its own VFN."""
    mirror: bool
    rules: tuple[str, ...]
    """Ids of the rules that ask for just that."""


@dataclass(frozen=True)
class Measures:
    """What is done at one VFN to what a subject sends and gets. Ids of rules are sorted."""

    limits: tuple[tuple[str, int | None], ...] = ()
    """Ids and packets per second of the limits in force."""
    steering: Steering | None = None
    watching: tuple[str, ...] = ()
    """Ids of limits and steering in observe."""

    @property
    def limiting(self) -> tuple[str, ...]:
        """Ids of the limits in force."""
        return tuple(rule for rule, _ in self.limits)

    def rate(self, usual: int) -> int:
        """Packets per second of the lowest limit; `usual`: of rules that do not say."""
        return min(usual if rate is None else rate for _, rate in self.limits)


def is_measure(rule: FirewallRule) -> bool:
    """Does a firewall rule decide nothing, but say what is done to what passes?"""
    return rule.limits or rule.target is not None


def subject_of(rule: FirewallRule) -> Subject:
    """Whom a measure is about."""
    return Subject(rule.source_vm, rule.source_net)


def measures_of(rules: Iterable[FirewallRule]) -> Mapping[Subject, Measures]:
    """The measures among the firewall rules of one VFN, by subject."""
    found: dict[Subject, list[FirewallRule]] = {}
    for rule in rules:
        if is_measure(rule):
            found.setdefault(subject_of(rule), []).append(rule)
    return {subject: _together(group) for subject, group in found.items()}


def _together(group: Iterable[FirewallRule]) -> Measures:
    ordered = sorted(group, key=lambda rule: rule.rule_id)
    enforced = [rule for rule in ordered if rule.mode is Mode.ENFORCE]
    return Measures(
        tuple((rule.rule_id, rule.rate) for rule in enforced if rule.limits),
        _steering([rule for rule in enforced if rule.target is not None]),
        tuple(dict.fromkeys(rule.rule_id for rule in ordered if rule.mode is Mode.OBSERVE)),
    )


def _steering(rules: list[FirewallRule]) -> Steering | None:
    first = min(rules, key=lambda rule: (rule.mirror, rule.rule_id), default=None)
    if first is None or first.target is None:
        return None
    same = (rule.rule_id for rule in rules if (rule.target, rule.mirror) == (first.target, first.mirror))
    return Steering(first.target, first.mirror, tuple(same))
