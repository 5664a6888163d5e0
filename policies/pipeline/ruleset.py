"""The rules of a network: which there are, where they stand, and who has to know whom for them.

Follows the network from one state to the next, at the cost of what has changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from policies.acl import Acl, AddressList, Mode, Peer, Policy
from policies.measures import Measures, Subject, measures_of
from policies.pipeline.exchange import Exchange
from policies.pipeline.network import Rules
from policies.pipeline.relevance import Addresses, Reach, reach_of, segments_of, standing
from policies.pipeline.whereabouts import Whereabouts
from policies.rules import FirewallRule
from policies.translate import acls_in
from topology.model import Segment


@dataclass(frozen=True)
class Assigned:
    """What segmentation rules ask of one VFN."""

    rules: Rules = field(default_factory=dict)

    @cached_property
    def acls(self) -> tuple[Acl, ...]:
        """Rules to judge by."""
        return tuple(dict.fromkeys(acls_in(rule for group in self.rules.values() for rule in group)))

    @cached_property
    def cuts(self) -> Mapping[str, tuple[str, ...]]:
        """Ids of the rules that cut a VM's port, sorted, by the VM's name."""
        cuts: dict[str, tuple[str, ...]] = {}
        for rule_id, group in sorted(self.rules.items()):
            for rule in group:
                if rule.cut_port_of is not None:
                    cuts[rule.cut_port_of] = (*cuts.get(rule.cut_port_of, ()), rule_id)
        return cuts

    @cached_property
    def measures(self) -> Mapping[Subject, Measures]:
        """What is done to what passes."""
        return measures_of(rule for group in self.rules.values() for rule in group)


@dataclass(frozen=True)
class Change:
    """What has become of the rules."""

    come: Collection[Acl]
    """Rules to judge by that nobody asked for before."""
    gone: Collection[Acl]
    """Rules that nobody asks for any more."""
    unshelved: Collection[Acl]
    """Rules of the policy that stand nowhere any more."""
    shelved: Collection[Acl]
    """Rules of the policy that (perhaps) stand elsewhere."""


class Ruleset:
    """Policy and firewall rules of a network whose segments stay what they are."""

    def __init__(self, segments: Iterable[Segment]) -> None:
        self.exchange = Exchange(segments)
        self.exchange_state = object()
        """Another object whenever `exchange` has changed."""
        self.stands: dict[Acl, Reach] = {}
        """Where each rule of the policy stands."""
        self._laid: Counter[Acl] = Counter()
        """Rules of the policy, and how often each stands there."""
        self._policy = Policy()
        self._rules: Rules = {}
        self._asked: Counter[Acl] = Counter()
        """Every rule to judge by, and how often the policy and firewall rules ask for it."""
        self._assigned: dict[str, Assigned] = {}
        self._naming: dict[str, dict[Acl, None]] = {}
        """Rules about packets from or to a VM, by its name."""
        self._named: dict[Acl, frozenset[str]] = {}
        """And the other way round."""
        self.lists: Mapping[str, AddressList] = {}
        """Of the policy; a list that has not changed is the same object."""
        self._reaches: dict[Peer, Reach] = {}
        """Of ends of rules, as far as they have been asked for since addresses or lists have changed."""
        self._observed: set[Acl] = set()
        """Rules of the policy that are in observe and may be about packets of VMs to the outside."""
        self._addresses: Addresses | None = None
        """Of the inventory; None: not asked for since they changed."""
        self._where: Whereabouts | None = None

    @property
    def acls(self) -> Collection[Acl]:
        """All rules to judge by, of any mode."""
        return self._asked.keys()

    def assigned(self, vfn: str) -> Assigned:
        """What segmentation rules ask of a VFN; the same object while that stays the same."""
        return self._assigned.get(vfn, _NOTHING)

    def follow(self, policy: Policy, rules: Rules, where: Whereabouts) -> Change:
        """Take the network as it is now."""
        changes = self._assign(rules)
        before, after = _differing(self._policy.acls, policy.acls)
        changes.subtract(before)
        changes.update(after)
        come, gone = self._count(changes)
        moving = self._readdressed(policy, where)
        unshelved, shelved = self._stand(before, after, moving)
        self._let_exchange(where, come, gone, moving)
        self._policy, self._rules = policy, rules
        return Change(come, gone, unshelved, shelved)

    def _assign(self, rules: Rules) -> Counter[Acl]:
        """Hand firewall rules to their VFNs; tells how much more often, or less, each is asked for."""
        changes: Counter[Acl] = Counter()
        if rules is self._rules:
            return changes
        hands: dict[str, dict[str, tuple[FirewallRule, ...]]] = {}
        for name in rules.keys() | self._rules.keys():
            before, after = self._rules.get(name, ()), rules.get(name, ())
            if before is after:
                continue
            changes.subtract(acls_in(before))
            changes.update(acls_in(after))
            for vfn in dict.fromkeys(rule.vfn for rule in (*before, *after)):
                own = hands.setdefault(vfn, dict(self.assigned(vfn).rules))
                own[name] = tuple(rule for rule in after if rule.vfn == vfn)
        for vfn, own in hands.items():
            self._assigned[vfn] = Assigned({name: group for name, group in own.items() if group})
        return changes

    def _count(self, changes: Counter[Acl]) -> tuple[list[Acl], list[Acl]]:
        come: list[Acl] = []
        gone: list[Acl] = []
        for acl, change in changes.items():
            before, after = self._asked[acl], self._asked[acl] + change
            if before != after:
                self._asked[acl] = after
                if not before:
                    come.append(acl)
                if not after:
                    gone.append(acl)
                    del self._asked[acl]
        return come, gone

    def _readdressed(self, policy: Policy, where: Whereabouts) -> list[Acl]:
        """Rules whose ends are now elsewhere, since addresses have other owners or lists other content."""
        moved = self._where is None or where.addresses is not self._where.addresses
        known, given = self.lists, policy.lists
        wanted = {name: known[name] if known.get(name) == given[name] else given[name] for name in given}
        lists = {name for name in wanted if wanted[name] is not known.get(name)}
        if lists or tuple(wanted) != tuple(known):
            self.lists = wanted
        self._where = where
        if moved:
            self._addresses = None
        if moved or lists:
            self._reaches = {}
        if not moved and not lists:
            return []
        ends = ((acl, end) for acl in self._asked for end in (acl.source, acl.destination))
        return [
            acl for acl, end in ends if (moved and end.nets) or (end.list is not None and (moved or end.list in lists))
        ]

    def _stand(
        self, before: Iterable[Acl], after: Iterable[Acl], moving: Iterable[Acl]
    ) -> tuple[Collection[Acl], Collection[Acl]]:
        """Rules of the policy that stand nowhere now, and those that stand elsewhere."""
        self._laid.subtract(before)
        self._laid.update(after)
        wanted = dict.fromkeys(acl for acl in after if self._laid[acl])
        gone = [acl for acl in dict.fromkeys(before) if not self._laid[acl]]
        for acl in gone:
            del self._laid[acl]
        come = [*(acl for acl in wanted if acl not in self.stands), *(acl for acl in moving if acl in self.stands)]
        was_observing = bool(self._observed)
        self._observed.difference_update(gone, come)
        self._observed.update(a for a in come if a.mode is Mode.OBSERVE and self._reach(a.destination).outside)
        for acl in gone:
            del self.stands[acl]
        if bool(self._observed) is not was_observing:
            come = [*self.stands, *come]
        for acl in come:
            self.stands[acl] = standing(acl, *self._ends(acl), observing=bool(self._observed))
        return gone, come

    def _let_exchange(
        self, where: Whereabouts, come: Iterable[Acl], gone: Iterable[Acl], moving: Iterable[Acl]
    ) -> None:
        changed = False
        for acl in gone:
            changed |= self.exchange.remove(acl)
            for vm in self._named.pop(acl, ()):
                del self._naming[vm][acl]
        renamed = (acl for vm in where.moved for acl in self._naming.get(vm, ()))
        for acl in dict.fromkeys((*come, *moving, *renamed)):
            ends = self._ends(acl)
            source, destination = (segments_of(end, where.inventory) for end in ends)
            changed |= self.exchange.put(acl, (source, destination))
            self._name(acl, ends[0].vms | ends[1].vms)
        if changed:
            self.exchange_state = object()

    def _name(self, acl: Acl, vms: frozenset[str]) -> None:
        """Note that a rule speaks of these VMs."""
        for vm in self._named.get(acl, frozenset()) - vms:
            del self._naming[vm][acl]
        for vm in vms:
            self._naming.setdefault(vm, {})[acl] = None
        self._named[acl] = vms

    def _ends(self, acl: Acl) -> tuple[Reach, Reach]:
        return self._reach(acl.source), self._reach(acl.destination)

    def _reach(self, peer: Peer) -> Reach:
        known = self._reaches.get(peer)
        if known is None:
            known = self._reaches[peer] = reach_of(peer, self.lists, self._owners())
        return known

    def _owners(self) -> Addresses:
        if self._addresses is None:
            assert self._where is not None  # there is no rule before the first network
            inventory = self._where.inventory
            self._addresses = Addresses(inventory.vms.values(), many=len(inventory.vfns))
        return self._addresses


_NOTHING = Assigned()
_SLICE = 4096
_WINDOW = 256
"""So many rules further on are looked for what two policies have in common again."""


def _differing(before: Sequence[Acl], after: Sequence[Acl]) -> tuple[Sequence[Acl], Sequence[Acl]]:
    """(gone, come) between two policies. Of many rules few are others, and the rest stands in the same order.

    What they have in common is passed over by comparing slices, which for the same objects costs nanoseconds a rule.
    """
    if before is after:
        return (), ()
    gone: list[Acl] = []
    come: list[Acl] = []
    at = to = 0
    while at < len(before) and to < len(after):
        run = _in_common(before, at, after, to)
        at, to = at + run, to + run
        apart = _apart(before[at : at + _WINDOW], after[to : to + _WINDOW])
        if apart is None:
            break
        gone += before[at : at + apart[0]]
        come += after[to : to + apart[1]]
        at, to = at + apart[0], to + apart[1]
    return gone + list(before[at:]), come + list(after[to:])


def _in_common(before: Sequence[Acl], at: int, after: Sequence[Acl], to: int) -> int:
    """How many rules follow each other in both from there on."""
    run = 0
    while True:
        one, other = before[at + run : at + run + _SLICE], after[to + run : to + run + _SLICE]
        if one != other or not one:
            pairs = enumerate(zip(one, other, strict=False))
            return run + next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))
        run += len(one)


def _apart(before: Sequence[Acl], after: Sequence[Acl]) -> tuple[int, int] | None:
    """How many rules there are ahead of the first that both have; None: they have none in common."""
    places = {acl: place for place, acl in reversed([*enumerate(before)])}
    return next(((places[acl], place) for place, acl in enumerate(after) if acl in places), None)
