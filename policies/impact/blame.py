"""Which rule, or which version of the policy, keeps a flow from passing that would pass without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from policies.acl import Acl, Policy
from policies.harm import Denied, Subject
from policies.impact.ends import Ends
from policies.impact.flows import Named
from policies.impact.judging import Classes, Judge, Verdicts, with_exceptions
from policies.impact.services import Services
from policies.impact.tally import Rules, renamed
from policies.rules import Verdict
from topology.model import Inventory


def blame(inventory: Inventory, now: Rules, before: Policy, flows: Sequence[Denied]) -> tuple[Subject | None, ...]:
    """Who answers for each flow; None: it would pass now, or passed no more before this version.

    A segmentation rule answers for what it decides to drop and the policy would let pass; the policy's version for what
    it does not let pass and the policy before it did, beside the same segmentation rules.

    Args:
        now: the policy in force, the part of it whose time it is, and what segmentation rules mean.
        before: the policy that was in force before it, the part whose time it is.
    """
    if not flows:
        return ()
    allows = tuple(acl for acl in now.issued if acl.verdict is Verdict.ALLOW)
    earlier = renamed(Rules(before, allows))
    every = (now, replace(now, issued=allows), earlier)
    verdicts = _verdicts(inventory, every, flows)
    rule = np.full(len(flows), None, object)
    issued = {acl.rule_id for acl in now.issued}
    for acl, rows in verdicts[0].deciding:
        if acl.rule_id in issued:
            rule[rows] = acl.rule_id
    passing, by_policy, by_earlier = (found.allowed for found in verdicts)
    return tuple(
        _subject(bool(passing[row]), bool(by_policy[row]), bool(by_earlier[row]), rule[row], now.policy.version)
        for row in range(len(flows))
    )


def _subject(passes: bool, by_policy: bool, by_earlier: bool, rule: str | None, version: int) -> Subject | None:
    if passes:
        return None
    if by_policy:
        return None if rule is None else Subject(rule=rule)
    return Subject(version=version) if by_earlier and version else None


def _verdicts(inventory: Inventory, every: Sequence[Rules], flows: Sequence[Denied]) -> list[Verdicts]:
    acls = list(with_exceptions(acl for rules in every for acl in _acls(rules)))
    lists = {name: one for rules in every for name, one in rules.policy.lists.items()}
    ends = Ends(inventory, lists, (end for acl in acls for end in (acl.source, acl.destination)))
    services = Services(service for acl in acls for service in acl.services)
    nobody = np.zeros(len(flows), bool)
    source = ends.classes(_named([f.source_vm for f in flows]), _named([str(f.source) for f in flows]), nobody)
    destination = ends.classes(
        _named([f.destination_vm for f in flows]), _named([str(f.destination) for f in flows]), nobody
    )
    numbers = np.array([(f.source.version, f.protocol, f.source_port, f.port) for f in flows], np.int64)
    ports = services.intervals[numbers[:, 2:]]
    service = services.classes(numbers[:, 0], numbers[:, 1], ports[:, 0], ports[:, 1])
    classes = Classes(source, destination, service)
    known = (ends.peers, services.services)
    return [Judge(inventory, _acls(rules), *known).decide(classes, ends.facts, services.facts) for rules in every]


def _acls(rules: Rules) -> tuple[Acl, ...]:
    return (*rules.policy.acls, *rules.issued)


def _named(texts: Sequence[str | None]) -> Named:
    names = list(dict.fromkeys(text for text in texts if text is not None))
    place = {name: number for number, name in enumerate(names)}
    return Named(np.array([-1 if t is None else place[t] for t in texts], np.int32), pa.array(names, pa.string()))
