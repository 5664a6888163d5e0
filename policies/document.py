"""The policy file: what is written in YAML becomes a checked `policies.acl.Policy`.

`policies/schema.py` says which keys there are; here the parts are checked against each other and the network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from policies import selectors
from policies.acl import MAX_LISTS, Acl, AddressList, Peer, Policy, Service
from policies.prefixes import MAX_PREFIXES, aggregate
from policies.prefixes import read as read_prefixes
from policies.rules import Network, Protocol, Tier, Verdict
from policies.schema import (
    INLINE,
    MAX_CHARACTERS,
    NAMED,
    ListDoc,
    PeerDoc,
    PolicyDoc,
    RuleDoc,
    ScheduleDoc,
    ServiceDoc,
    plain,
)
from policies.shadow import shadowed
from policies.terms import Schedule, Terms, moment
from runtime import document
from runtime.errors import PolicyError
from runtime.validation import refusal
from topology.addresses import addresses_of
from topology.model import OUTSIDE, Inventory
from topology.names import nearest

ReadList = Callable[[str], tuple[Network, ...]]
"""The prefixes of a list's file, by the path that the document gives."""

_TIERS = {"policy": Tier.POLICY, "operator": Tier.OPERATOR, "emergency": Tier.EMERGENCY}
_VERDICTS = {"allow": Verdict.ALLOW, "deny": Verdict.DROP}
_WITH_PORTS = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)
_FAMILIES = frozenset({4, 6})
_RULE_ID_LENGTH = 12
MAX_MATCHES = 20_000
"""Of one rule: pairs of its networks, for each port range of its services."""


class NobodyError(PolicyError):
    """A rule speaks of what this network does not have, so no packet can match it; or has no room for."""


@dataclass(frozen=True)
class Reading:
    """What a text says."""

    policy: Policy
    base_version: int | None = None
    """The version that it was made from, if it says so."""
    remarks: tuple[str, ...] = ()
    """What its author should look at, though it is no mistake."""


def load(path: str | Path, inventory: Inventory, now: float | None = None) -> Reading:
    """Read a policy file and the lists beside it. Arguments and errors as of `read`."""
    path = Path(path)
    return read(read_text(path), inventory, reading_in(path.parent), file=str(path), now=now)


def read_text(path: Path) -> str:
    """The text of a policy file.

    Raises:
        PolicyError: it is not readable, or too long.
    """
    try:
        if path.stat().st_size > 4 * MAX_CHARACTERS:
            raise PolicyError(f"longer than {MAX_CHARACTERS} characters", file=path, remedy="put addresses into lists")
        return path.read_bytes().decode()
    except OSError as error:
        raise PolicyError(f"cannot be read: {error.strerror}", file=path, remedy="name a policy file") from error
    except UnicodeDecodeError as error:
        raise PolicyError(f"not UTF-8 at byte {error.start}", file=path, remedy="save it as UTF-8") from error


def reading_in(folder: Path) -> ReadList:
    """Reads lists from files, relative paths in this folder."""
    return lambda name: read_prefixes(folder / name)


def read(
    text: str, inventory: Inventory, read_list: ReadList, *, file: str = "policy", now: float | None = None
) -> Reading:
    """Check a policy's text.

    Args:
        file: the name that errors give.
        now: epoch seconds; rules whose time was over then are refused. None: they are kept, and never in force.

    Raises:
        PolicyError: not YAML, unknown keys, or parts that contradict each other, the network or the time; names file,
            line, key and remedy.
    """
    reader = _reader(text, inventory, read_list, file)
    if reader.blank:
        # A file that was cut off while it was written should not take a whole policy away.
        raise PolicyError("has no rules", file=file, remedy="write `rules: []` for a policy without rules")
    policy = reader.policy(tuple(reader.rules()))
    if now is not None:
        reader.not_over(now)
    reader.remark(policy)
    return Reading(policy, reader.doc.base_version, tuple(reader.remarks))


def parse(text: str, inventory: Inventory, read_list: ReadList, *, file: str = "policy") -> Policy:
    """The policy of a text, whatever time it is. Errors as of `read`."""
    return read(text, inventory, read_list, file=file).policy


def parse_document(text: str, file: str = "policy") -> PolicyDoc:
    """The parts of a text whose keys are right, as no inventory is asked.

    Raises:
        PolicyError: not YAML, unknown keys or values of the wrong kind.
    """
    return _document(text, file)[1]


def unbased(text: str) -> str:
    """A text without the line that says from which version it is made: two that mean the same policy are the same."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("base_version:"))


def rebased(text: str, version: int) -> str:
    """A text that says from which version it is made; as JSON where YAML leaves no place for that line."""
    own = unbased(text).splitlines(keepends=True)
    at = next((place + 1 for place, line in enumerate(own) if line.startswith("---")), 0)
    made = "".join([*own[:at], f"base_version: {version}\n", *own[at:]])
    try:
        if parse_document(made).base_version == version:
            return made
    except PolicyError:
        pass  # a mapping in braces, which a line before it would break
    return json.dumps({**plain(parse_document(text)), "base_version": version}, indent=1) + "\n"


def parse_what_holds(
    text: str, inventory: Inventory, read_list: ReadList, *, file: str = "policy"
) -> tuple[Policy, tuple[NobodyError, ...]]:
    """A policy that was checked when the inventory was another: rules that can no longer match anything are left out.

    Raises:
        PolicyError: something else is wrong with it.
    """
    reader = _reader(text, inventory, read_list, file)
    kept: list[Acl] = []
    left_out: list[NobodyError] = []
    for index in range(len(reader.doc.rules)):
        try:
            kept.append(reader.rule(index))
        except NobodyError as error:
            left_out.append(error)
    return reader.policy(tuple(kept)), tuple(left_out)


def _reader(text: str, inventory: Inventory, read_list: ReadList, file: str) -> _Reader:
    return _Reader(*_document(text, file), inventory, read_list)


def _document(text: str, file: str) -> tuple[document.Document, PolicyDoc]:
    written = document.read(text, file, PolicyError, MAX_CHARACTERS)
    try:
        return written, PolicyDoc.model_validate({} if written.data is None else written.data)
    except ValidationError as error:
        raise refusal(error, written, PolicyError, _right_key, tags=(INLINE, NAMED)) from error


class _Reader:
    """Makes values of a document whose keys are right."""

    def __init__(self, read: document.Document, doc: PolicyDoc, inventory: Inventory, read_list: ReadList) -> None:
        self.doc = doc
        self.remarks: list[str] = []
        self._read = read
        self._inventory = inventory
        self._services = {
            name: tuple(self._service(("services", name, index), part) for index, part in enumerate(parts))
            for name, parts in doc.services.items()
        }
        self._lists = {name: self._list(name, part, read_list) for name, part in doc.lists.items()}

    @property
    def blank(self) -> bool:
        """Is there nothing but comments, or nothing behind `rules:`?"""
        return self._read.data is None or self._read.data.get("rules", ()) is None

    def policy(self, acls: tuple[Acl, ...]) -> Policy:
        """The policy of these rules.

        Raises:
            PolicyError: two of all its rules have one name, or contradict each other.
        """
        self._unique()
        self._free_of_contradictions(acls)
        return Policy(acls=acls, lists=self._lists, terms=self._terms())

    def remark(self, policy: Policy) -> None:
        """Look for rules that are no mistake, but have nothing to do."""
        places = {rule.name: index for index, rule in enumerate(self.doc.rules)}
        for acl, first in shadowed(policy, self._inventory):
            line = self._read.line(("rules", places[first.rule_id], "name"))
            message = (
                f"rule {acl.rule_id} has nothing to decide: {first.rule_id} (line {line}) decides all that it matches"
            )
            remedy = "take it out, or give it a higher `priority`"
            self.remarks.append(str(self._error(("rules", places[acl.rule_id]), message, remedy)))
        for index, rule in enumerate(self.doc.rules):
            for end in (rule.source.list, rule.destination.list):
                if end is not None and not self._lists[end].nets:
                    message = f"rule {rule.name} matches nobody: list {end} is empty"
                    self.remarks.append(
                        str(self._error(("rules", index), message, "fill the list, or take the rule out"))
                    )

    def not_over(self, now: float) -> None:
        """See that no rule's time is over.

        Raises:
            PolicyError: one's is.
        """
        for index, rule in enumerate(self.doc.rules):
            if rule.expires is not None and rule.expires <= now:
                message = f"rule {rule.name}: its time was over at {moment(rule.expires)}; it is {moment(round(now))}"
                raise self._error(("rules", index, "expires"), message, "give it a later end, or take the rule out")

    def rules(self) -> Iterator[Acl]:
        """Every rule."""
        return (self.rule(index) for index in range(len(self.doc.rules)))

    def rule(self, index: int) -> Acl:
        """One rule.

        Raises:
            PolicyError: it cannot mean anything.
        """
        rule, path = self.doc.rules[index], ("rules", index)
        source = self._peer((*path, "from"), rule.name, rule.source)
        destination = self._peer((*path, "to"), rule.name, rule.destination)
        if not self._families(source) & self._families(destination):
            message = f"rule {rule.name}: its ends have no address family in common"
            raise self._error(path, message, "name addresses of the same family at both ends", NobodyError)
        services = self._services_of(index, rule)
        if (matches := _matches(source, destination, services)) > MAX_MATCHES:
            message = f"rule {rule.name} is {matches} pairs of networks and port ranges"
            raise self._error(path, message, "put the networks of one end into `lists`, and name the list")
        tier, verdict = _TIERS[rule.tier], _VERDICTS[rule.action]
        return Acl(rule.name, tier, verdict, source, destination, services, rule.priority, rule.mode)

    def _error(
        self, path: document.Path, message: str, remedy: str, kind: type[PolicyError] = PolicyError
    ) -> PolicyError:
        return self._read.error(kind, path, message, remedy)

    def _service(self, path: document.Path, part: ServiceDoc) -> Service:
        for key in ("ports", "source_ports"):
            if getattr(part, key) and part.protocol not in _WITH_PORTS:
                message = f"protocol {part.protocol} has no ports"
                raise self._error((*path, key), message, "write tcp, udp or sctp, or leave the ports out")
        return Service(part.protocol, _joined(part.ports), _joined(part.source_ports))

    def _services_of(self, index: int, rule: RuleDoc) -> tuple[Service, ...]:
        """Each once; none if any traffic is meant."""
        found: list[Service] = []
        for place, part in enumerate(rule.service):
            path: document.Path = ("rules", index, "service", place)
            if isinstance(part, ServiceDoc):
                found.append(self._service(path, part))
                continue
            if part not in self._services:
                raise self._error(path, f"rule {rule.name}: no service {part!r}", nearest(part, self._services))
            found += self._services[part]
        anything = any(service.protocol is Protocol.ANY for service in found)
        return (
            () if anything else tuple(sorted(set(found), key=lambda one: (one.protocol, one.ports, one.source_ports)))
        )

    def _list(self, name: str, part: ListDoc, read_list: ReadList) -> AddressList:
        path = ("lists", name)
        nets = aggregate(part.networks)
        if part.file is not None:
            try:
                from_file = read_list(part.file)
            except PolicyError as error:
                named = (*path, "file")
                if error.line is None:
                    raise self._error(named, f"{error.file}: {error.message}", error.remedy or "") from error
                # The place in the list's file says more than that of its name here.
                key = document.dotted(named)
                raise PolicyError(
                    error.message, file=error.file, line=error.line, key=key, remedy=error.remedy
                ) from error
            nets = aggregate((*nets, *from_file)) if nets else from_file
        if len(nets) > MAX_PREFIXES:
            remedy = f"a list may have {MAX_PREFIXES}: leave out what is not needed, or split the list"
            raise self._error(path, f"list {name} has {len(nets)} prefixes", remedy)
        return AddressList(name, nets)

    def _peer(self, path: document.Path, rule: str, peer: PeerDoc) -> Peer:
        vms, segments = self._inventory.vms, (*self._inventory.segments, OUTSIDE)
        if peer.vm is not None and peer.vm not in vms:
            raise self._error((*path, "vm"), f"rule {rule}: no VM {peer.vm!r}", nearest(peer.vm, vms), NobodyError)
        if peer.segment is not None and peer.segment not in segments:
            message, remedy = f"rule {rule}: no segment {peer.segment!r}", nearest(peer.segment, segments)
            raise self._error((*path, "segment"), message, remedy, NobodyError)
        if peer.list is not None and peer.list not in self._lists:
            message = f"rule {rule}: no list {peer.list!r}"
            raise self._error((*path, "list"), message, nearest(peer.list, self._lists))
        if peer.labels is not None:
            return self._selected((*path, "labels"), rule, peer, peer.labels)
        return Peer(peer.vm, peer.segment, None, aggregate(peer.networks or ()), peer.list)

    def _selected(self, path: document.Path, rule: str, peer: PeerDoc, labels: selectors.Labels) -> Peer:
        """VMs by their labels: as one of them, as their segment, or as the list of their addresses."""
        name = selectors.written(peer)
        vms = selectors.select(self._inventory, labels, peer.segment)
        if not vms:
            remedy = selectors.what_there_is(self._inventory, labels)
            raise self._error(path, f"rule {rule}: {name} selects no VM", remedy, NobodyError)
        if len(vms) == len(self._inventory.vms) > 1:
            self.remarks.append(
                str(self._error(path, f"rule {rule}: {name} selects every VM", "write any if so meant"))
            )
        if (same := selectors.as_peer(self._inventory, vms)) is not None:
            return same
        if name not in self._lists:
            if len(self._lists) == MAX_LISTS:
                message = f"rule {rule}: {name} would be the {MAX_LISTS + 1}th list of addresses"
                remedy = "select whole segments or single VMs, or the same VMs by the same labels"
                raise self._error(path, message, remedy, NobodyError)
            self._lists[name] = selectors.as_list(name, vms)
        return Peer(list=name)

    def _terms(self) -> dict[str, Terms]:
        found = {
            rule.name: Terms(rule.owner, rule.comment, rule.expires, _schedule(rule.schedule))
            for rule in self.doc.rules
        }
        return {name: terms for name, terms in found.items() if terms != Terms()}

    def _families(self, peer: Peer) -> frozenset[int]:
        """Of the addresses that an end can have; an empty list may have either one day."""
        if peer.vm is not None:
            return frozenset(address.version for address in addresses_of(self._inventory.vms[peer.vm]))
        nets = peer.nets or (self._lists[peer.list].nets if peer.list is not None else ())
        # Sorted by family, so the ends tell; a million prefixes need no search.
        return frozenset(net.version for net in (nets[0], nets[-1])) if nets else _FAMILIES

    def _unique(self) -> None:
        seen: dict[str, int] = {}
        for index, rule in enumerate(self.doc.rules):
            path = ("rules", index, "name")
            if len(rule.name) == _RULE_ID_LENGTH and not set(rule.name) - set("0123456789abcdef"):
                message = f"{rule.name!r} looks like the id of a rule that was issued at run time"
                raise self._error(path, message, "choose another name")
            if rule.name in seen:
                first = self._read.line(("rules", seen[rule.name], "name"))
                raise self._error(path, f"rule {rule.name} is there already, in line {first}", "rename one of them")
            seen[rule.name] = index

    def _free_of_contradictions(self, acls: tuple[Acl, ...]) -> None:
        """Two rules that say the opposite of the very same traffic, neither before the other: one is a mistake."""
        seen: dict[object, Acl] = {}
        hours = {rule.name: rule.schedule for rule in self.doc.rules}
        for acl in acls:
            when = hours[acl.rule_id]
            key = (acl.tier, acl.rank, acl.source, acl.destination, acl.services, acl.mode, when)
            first = seen.setdefault(key, acl)
            if first.verdict is not acl.verdict:
                index = next(i for i, rule in enumerate(self.doc.rules) if rule.name == acl.rule_id)
                message = f"rule {acl.rule_id} contradicts rule {first.rule_id}: the same traffic, at the same priority"
                raise self._error(("rules", index), message, "remove one of them, or give one a higher `priority`")


def _schedule(doc: ScheduleDoc | None) -> Schedule | None:
    return None if doc is None else Schedule(doc.days, doc.begins, doc.ends, doc.timezone)


def _matches(source: Peer, destination: Peer, services: tuple[Service, ...]) -> int:
    """How many matches a rule is made of, port ranges counted once."""
    pairs = max(1, len(source.nets)) * max(1, len(destination.nets))
    ports = (max(1, len(service.ports)) * max(1, len(service.source_ports)) for service in services)
    return pairs * max(1, sum(ports))


def _joined(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """The same ports in the fewest ranges, so that equal services are equal values."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return tuple(joined)


def _right_key(path: document.Path) -> str:
    return nearest(str(path[-1]), _keys(_model(path[:-1])))


def _model(path: document.Path) -> type[BaseModel]:
    """The part of the schema that stands at a path."""
    match path:
        case ("services", *_) | ("rules", _, "service", *_):
            return ServiceDoc
        case ("lists", *_):
            return ListDoc
        case ("rules", _, "from" | "to", *_):
            return PeerDoc
        case ("rules", _, "schedule", *_):
            return ScheduleDoc
        case ("rules", *_):
            return RuleDoc
    return PolicyDoc


def _keys(model: type[BaseModel]) -> Mapping[str, object]:
    """Its keys as they are written."""
    return {field.alias or name: field for name, field in model.model_fields.items()}
