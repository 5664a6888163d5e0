"""The layers of rules and of segments' defaults, VFN by VFN."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

from policies.acl import Acl, AddressList, Mode
from policies.desired import Group, Layer
from policies.entries import TableEntry
from policies.pipeline import judgement
from policies.pipeline.memory import Memory
from policies.pipeline.needs import Needs, needs_of, together
from policies.pipeline.network import Network
from policies.pipeline.registers import Registers
from policies.pipeline.rulebook import Asked, Place, Rulebook
from policies.pipeline.ruleset import Assigned, Ruleset
from policies.pipeline.standing import Shelf, Shelves
from policies.pipeline.whereabouts import Whereabouts
from topology.model import Inventory, Vm


class Home(NamedTuple):
    """What makes a VFN need rules: each the same object while it stays the same."""

    vfn: str
    segments: frozenset[str]
    """Of its own VMs; `outside`, too, where there is an outside port."""
    vms: tuple[Vm, ...]
    """Its own."""
    assigned: Assigned
    judged: tuple[str, ...]
    """Segments whose defaults it needs."""


class Judging:
    """What rules and defaults ask of each VFN."""

    def __init__(self, inventory: Inventory, memory: Memory, layer: Callable[[Iterable[TableEntry]], Layer]) -> None:
        self._segments = inventory.segments
        self._memory = memory
        self._rules = Ruleset(inventory.segments.values())
        self._shelves = Shelves()
        self._registers = Registers(inventory, ())
        self._observed: set[Acl | str] = set()
        """Rules in observe."""
        self._book = Rulebook(layer)
        self.state = object()
        """Another object whenever any VFN may need something else for its rules."""
        self._defaults = object()
        """Another object whenever the defaults have other entries of their own."""
        for segment in inventory.segments.values():
            self._book.put(segment.name, judgement.default_entries(segment))

    def follow(self, network: Network, where: Whereabouts, *, renumbered: bool) -> None:
        """Take the network as it is now.

        Args:
            renumbered: have VMs other numbers?
        """
        state = self._rules.exchange_state
        change = self._rules.follow(network.policy, network.rules, where)
        self._shelves.follow(change.unshelved, change.shelved, self._rules.stands)
        lists = tuple(self._rules.lists)
        again = renumbered or lists != self._registers.lists
        self._registers = Registers(network.inventory, lists)
        touched = self._write(self._rules.acls if again else change.come, change.gone)
        self._tell(touched)
        if touched or change.shelved or change.unshelved or state is not self._rules.exchange_state:
            self.state = object()

    def _write(self, come: Iterable[Acl], gone: Iterable[Acl]) -> set[Hashable]:
        """Bring the rulebook to where the rules are; tells whose own layers are others now."""
        touched: set[Hashable] = set()
        for acl in gone:
            touched |= self._book.remove(acl) | self._book.remove(("shadow", acl))
        for acl in come:
            if acl.mode is Mode.ENFORCE:
                touched |= self._book.put(acl, judgement.acl_entries(acl, self._registers))
        was_observing = bool(self._observed)
        self._observed.difference_update(gone)
        self._observed.update(acl for acl in come if acl.mode is Mode.OBSERVE)
        if self._observed:
            shadowed = come if was_observing else self._rules.acls
            for acl in shadowed:
                touched |= self._book.put(("shadow", acl), judgement.shadow_entries(acl, self._registers))
        if self._observed and not was_observing:
            for name, segment in self._segments.items():
                touched |= self._book.put(("shadow", name), judgement.shadow_default_entries(segment))
        if was_observing and not self._observed:
            for asker in (*self._rules.acls, *self._segments):
                touched |= self._book.remove(("shadow", asker))
        return touched

    def _tell(self, touched: Iterable[Hashable]) -> None:
        """Note where the layers of these askers are used."""
        for asker in touched:
            meant = asker[1] if isinstance(asker, tuple) else asker
            if not isinstance(meant, Acl):
                self._defaults = object()
            elif meant in self._rules.stands:  # rules that are only assigned to VFNs stand on no shelf
                self._shelves.of(meant).content = object()

    @property
    def lists(self) -> Mapping[str, AddressList]:
        """Address lists of the policy; one that has not changed is the same object."""
        return self._rules.lists

    @property
    def registers(self) -> Registers:
        """Register values of the present network."""
        return self._registers

    def assigned(self, vfn: str) -> Assigned:
        """What segmentation rules ask of a VFN; the same object while that stays the same."""
        return self._rules.assigned(vfn)

    def known_to(self, vfn: str, home: frozenset[str]) -> frozenset[str]:
        """Segments that a VFN has to know for its own VMs, which are of these."""
        exchange = self._rules.exchange
        return self._memory.recall(
            (vfn, "known for rules"), (self._rules.exchange_state, home), lambda: exchange.known_to(home)
        )

    def layers(self, home: Home) -> tuple[Needs, tuple[Group, ...]]:
        """What the rules of a VFN need, and what they and the defaults ask for. No layer is there twice."""
        recall, vfn, shelves = self._memory.recall, home.vfn, self._shelves.all
        stood = [self._stood(home, number, shelf) for number, shelf in enumerate(shelves)]
        assigned = self._not_among(home.assigned.acls, stood)
        needed = (home.assigned, home.judged, *(needs for _, needs in stood))
        needs = recall((vfn, "needs"), needed, lambda: self._together(home, [needs for _, needs in stood]))
        asked = [
            self._asked((vfn, "asked", number), acls, shelf.content, shadows=needs.observing)
            for number, (shelf, (acls, _)) in enumerate(zip(shelves, stood, strict=True))
        ]
        asked.append(self._asked((vfn, "asked for rules"), assigned, self.state, shadows=needs.observing))
        asked.append(self._asked((vfn, "asked for defaults"), home.judged, self._defaults, shadows=needs.observing))
        places = [shared for _, shared in asked]
        shared = recall((vfn, "shared"), (self._book.shared_state, *places), lambda: self._shared(places))
        return needs, (*(own for own, _ in asked), shared)

    def _stood(self, home: Home, number: int, shelf: Shelf) -> tuple[tuple[Acl, ...], frozenset[Needs]]:
        """The rules of a shelf that stand at a VFN, and what they need."""
        acls = self._memory.recall(
            (home.vfn, "stood", number),
            (shelf.state, home.segments, home.vms),
            lambda: shelf.at(home.segments, (vm.name for vm in home.vms)),
        )
        return acls, self._memory.recall((home.vfn, "needs", number), (acls,), lambda: needs_of(acls))

    def _not_among(self, acls: Sequence[Acl], stood: Sequence[tuple[tuple[Acl, ...], object]]) -> tuple[Acl, ...]:
        """What the policy does not ask for as well, word by word."""
        stands = self._rules.stands
        return tuple(acl for acl in acls if acl not in stands or not any(acl in shelf for shelf, _ in stood))

    def _together(self, home: Home, needs: Iterable[frozenset[Needs]]) -> Needs:
        rules = needs_of(home.assigned.acls).union(*needs)
        return together(rules, [self._segments[name] for name in home.judged])

    def _asked(self, name: Hashable, askers: Sequence[Acl | str], state: object, *, shadows: bool) -> Asked:
        """What rules or segments have in the rulebook; `state`: another object when that has changed."""
        return self._memory.recall(name, (askers, state, shadows), lambda: self._read(askers, shadows))

    def _read(self, askers: Sequence[Acl | str], shadows: bool) -> Asked:
        enforced: Iterable[Hashable] = askers
        if self._observed:
            enforced = (asker for asker in askers if asker not in self._observed)
        shadowed = (("shadow", asker) for asker in askers) if shadows else ()
        read = tuple(map(self._book.asked.__getitem__, chain(enforced, shadowed)))
        own = tuple(chain.from_iterable(map(itemgetter(0), read)))
        return Asked(own, tuple(dict.fromkeys(chain.from_iterable(map(itemgetter(1), read)))))

    def _shared(self, places: Iterable[Iterable[Place]]) -> Group:
        return tuple(map(self._book.layer, dict.fromkeys(chain.from_iterable(places))))
