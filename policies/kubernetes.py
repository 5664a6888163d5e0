"""Kubernetes NetworkPolicies (networking.k8s.io/v1) as a policy, as far as they mean the same here; else refused.

A namespace is a segment of the same name, a pod a VM with the pod's labels. Who is selected by a policy may be reached
(or, for egress, may reach) only as some policy allows: its rules become allows, above a deny for those it selects.
Whom no policy selects the segments' defaults decide about. Kubernetes lets a packet pass if both the sender's egress
and the receiver's ingress do; here the first rule that matches decides. So what a direction denies stands above the
other's allows where it allows nothing itself; where both allow something, `policies.crossing` makes rules of what they
have in common, for which it has to know the inventory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policies import crossing
from policies.document import parse_document
from policies.prefixes import aggregate, network
from policies.rules import Network
from policies.schema import MAX_PORT
from runtime import document
from runtime.errors import PolicyError, WrongValueError
from runtime.validation import refusal
from topology.model import Inventory
from topology.names import nearest

_NAMESPACE_NAME = "kubernetes.io/metadata.name"
_DENY_PRIORITY = 900
_DENY_FIRST_PRIORITY = 1100
"""Of a direction in which nothing is allowed: above what the other allows."""
_LONGEST = 48
"""Of a policy's name in the names of its rules."""
_DIRECTIONS = ("ingress", "egress")
_HEADER = "# Made from Kubernetes NetworkPolicies. Whom none of them selects the segments' defaults decide about.\n"
_CROSSED = "# Who may do both, send and receive, is as the inventory has it: import them again when that has changed.\n"
Path = document.Path
Peer = str | Mapping[str, Any]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Expression(_Part):
    key: str
    operator: str
    values: tuple[str, ...] = ()


class _Selector(_Part):
    match_labels: Mapping[str, str] = Field({}, alias="matchLabels")
    match_expressions: tuple[_Expression, ...] = Field((), alias="matchExpressions")


class _IpBlock(_Part):
    cidr: str
    but: tuple[str, ...] = Field((), alias="except")


class _Peer(_Part):
    pods: _Selector | None = Field(None, alias="podSelector")
    namespaces: _Selector | None = Field(None, alias="namespaceSelector")
    block: _IpBlock | None = Field(None, alias="ipBlock")


class _Port(_Part):
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    port: str | None = None
    end: str | None = Field(None, alias="endPort")


class _Ingress(_Part):
    peers: tuple[_Peer, ...] | None = Field(None, alias="from")
    ports: tuple[_Port, ...] | None = None


class _Egress(_Part):
    peers: tuple[_Peer, ...] | None = Field(None, alias="to")
    ports: tuple[_Port, ...] | None = None


class _Spec(_Part):
    pods: _Selector | None = Field(None, alias="podSelector")
    types: tuple[Literal["Ingress", "Egress"], ...] | None = Field(None, alias="policyTypes")
    ingress: tuple[_Ingress, ...] | None = None
    egress: tuple[_Egress, ...] | None = None


class _Metadata(BaseModel):
    name: str
    namespace: str | None = None


class _NetworkPolicy(_Part):
    version: Literal["networking.k8s.io/v1"] = Field(alias="apiVersion")
    kind: Literal["NetworkPolicy"]
    metadata: _Metadata
    spec: _Spec
    status: Any = None
    """Clusters write one; it says nothing about traffic."""


_LISTS = ("List", "NetworkPolicyList")
"""Kinds of what `kubectl get` prints of several."""
_MODELS: Mapping[str, type[BaseModel]] = {
    "podSelector": _Selector,
    "namespaceSelector": _Selector,
    "ipBlock": _IpBlock,
    "ingress": _Ingress,
    "egress": _Egress,
    "from": _Peer,
    "to": _Peer,
    "ports": _Port,
    "matchExpressions": _Expression,
    "spec": _Spec,
}


def convert(text: str, file: str, segment: str | None = None, inventory: Inventory | None = None) -> str:
    """A policy's text.

    Args:
        file: the name that errors give.
        segment: of policies without a namespace.
        inventory: says who is selected where both directions allow something.

    Raises:
        PolicyError: it is no NetworkPolicy, or one that has no meaning here; names file, line, key and remedy.
    """
    found = [_Converter(read, segment) for read in _documents(text, file)]
    _all_different(found)
    limited = [one for one in _DIRECTIONS if any(one in converter.limits() for converter in found)]
    allowing = {one: [converter for converter in found if converter.allows(one)] for one in limited}
    crossed = len(limited) == 2 and all(allowing.values())
    made = {one: [rule for converter in found for rule in converter.rules(one, every=crossed)] for one in limited}
    if crossed:
        if inventory is None:
            last = {one: found.index(these[0]) for one, these in allowing.items()}
            key = "egress" if last["egress"] >= last["ingress"] else "ingress"
            message = "allows in one direction while the file also allows in the other: who may do both is not known"
            raise allowing[key][0].error(("spec", key), message, "import it where the inventory is")
        rules = list(crossing.cross(made["egress"], made["ingress"], inventory))
    else:
        above = [one for one in limited if len(limited) == 2 and not allowing[one]]
        rules = [
            {**rule, "priority": _DENY_FIRST_PRIORITY} if one in above else rule
            for one in limited
            for rule in made[one]
        ]
    # By way of JSON, so that what is said twice is written twice: a policy knows no aliases.
    written = yaml.safe_dump(
        {"rules": json.loads(json.dumps(rules))}, sort_keys=False, default_flow_style=None, width=110
    )
    made_text = _HEADER + (_CROSSED if crossed else "") + written
    parse_document(made_text, file)
    return made_text


def _documents(text: str, file: str) -> Iterator[document.Document]:
    """The file's documents, each with the lines that it has in the file."""
    chunk: list[str] = []
    begin = 0
    for number, line in enumerate([*text.splitlines(), "---"]):
        if line.rstrip() != "---":
            chunk.append(line)
            continue
        read = document.read("\n" * begin + "\n".join(chunk), file, PolicyError)
        chunk, begin = [], number + 1
        if read.data is not None:
            yield from _items(read)


def _items(read: document.Document) -> Iterator[document.Document]:
    """The items of a list, each as a document with the lines that it has in the file; else the document itself."""
    items = read.data.get("items") if isinstance(read.data, dict) and read.data.get("kind") in _LISTS else None
    if not isinstance(items, list):
        yield read
        return
    for number, item in enumerate(items):
        lines = {path[2:]: line for path, line in read.lines.items() if path[:2] == ("items", number)}
        yield document.Document(read.file, item, lines)


class _Converter:
    """One NetworkPolicy."""

    def __init__(self, read: document.Document, segment: str | None) -> None:
        self._read = read
        try:
            self._policy = _NetworkPolicy.model_validate(read.data)
        except ValidationError as error:
            raise refusal(error, read, PolicyError, _right_key) from error
        namespace = self._policy.metadata.namespace or segment
        if namespace is None:
            remedy = "add it, or say with --segment to which segment such policies belong"
            raise self.error(("metadata",), "there is no namespace", remedy)
        self._segment = namespace
        spec = self._policy.spec
        types = spec.types or (("Ingress", "Egress") if spec.egress else ("Ingress",))
        self._directions = tuple(one for one in _DIRECTIONS if one.capitalize() in types)

    @property
    def name(self) -> str:
        """By which a cluster knows it."""
        return f"{self._segment}.{self._policy.metadata.name}"

    @property
    def line(self) -> int | None:
        """Where its name stands."""
        return self._read.line(("metadata", "name"))

    def limits(self) -> frozenset[str]:
        """`ingress`, `egress`: what it leaves less of than everything."""
        return frozenset(one for one in self._directions if not any(map(_is_everything, self._given(one))))

    def allows(self, direction: str) -> bool:
        """Does it let anything pass in a direction?"""
        return direction in self._directions and bool(self._given(direction))

    def rules(self, direction: str, *, every: bool) -> Iterator[dict[str, Any]]:
        """Allows of a direction, and a deny below them.

        Args:
            direction: one that a policy of the file limits.
            every: the deny also where everything is allowed, for those who have to know who is selected.
        """
        if direction not in self._directions:
            return
        own = self._vms(("spec", "podSelector"), self._policy.spec.pods)
        name = f"{_shortened(self.name)}.{direction}"
        for number, rule in enumerate(self._given(direction)):
            path = ("spec", direction, number)
            services = self._services((*path, "ports"), rule.ports or ())
            for place, other in enumerate(self._peers(path, rule.peers or ())):
                ends = {"from": other, "to": own} if direction == "ingress" else {"from": own, "to": other}
                service = {"service": services} if services else {}
                yield {"name": f"{name}-{number}-{place}", "action": "allow", **ends, **service}
        if every or direction in self.limits():
            ends = {"from": "any", "to": own} if direction == "ingress" else {"from": own, "to": "any"}
            yield {"name": f"{name}-else", "action": "deny", **ends, "priority": _DENY_PRIORITY}

    def _given(self, direction: str) -> Sequence[_Ingress | _Egress]:
        given: Sequence[_Ingress | _Egress] | None = getattr(self._policy.spec, direction)
        return given or ()

    def _peers(self, path: Path, peers: Sequence[_Peer]) -> Iterator[Peer]:
        if not peers:
            yield "any"
        key = "from" if path[1] == "ingress" else "to"
        for number, peer in enumerate(peers):
            yield from self._peer((*path, key, number), peer)

    def _peer(self, path: Path, peer: _Peer) -> Iterator[Peer]:
        if peer.block is not None:
            if peer.pods is not None or peer.namespaces is not None:
                raise self.error((*path, "ipBlock"), "stands beside a selector", "make two entries of it")
            yield {"networks": self._networks((*path, "ipBlock"), peer.block)}
        elif peer.namespaces is None:
            if peer.pods is None:
                raise self.error(path, "names nobody", "write podSelector, namespaceSelector or ipBlock")
            yield self._vms((*path, "podSelector"), peer.pods)
        else:
            labels = {} if peer.pods is None else self._labels((*path, "podSelector"), peer.pods)
            yield from self._in_namespaces((*path, "namespaceSelector"), peer.namespaces, labels)

    def _in_namespaces(
        self, path: Path, selector: _Selector, labels: Mapping[str, Sequence[str]]
    ) -> Iterator[Mapping[str, Any]]:
        wanted = self._labels(path, selector)
        if not wanted:
            if not labels:
                remedy = f"select them by {_NAMESPACE_NAME}, or pods by their labels"
                raise self.error(path, "selects all namespaces, but nobody outside", remedy)
            yield {"labels": dict(labels)}
        elif set(wanted) != {_NAMESPACE_NAME}:
            raise self.error(path, "selects namespaces by labels of theirs", f"select them by {_NAMESPACE_NAME}")
        for name in wanted.get(_NAMESPACE_NAME, ()):
            yield {"segment": name, **({"labels": dict(labels)} if labels else {})}

    def _vms(self, path: Path, selector: _Selector | None) -> Mapping[str, Any]:
        """Pods of the policy's own namespace."""
        labels = {} if selector is None else self._labels(path, selector)
        return {"segment": self._segment, **({"labels": labels} if labels else {})}

    def _labels(self, path: Path, selector: _Selector) -> dict[str, list[str]]:
        found = {key: [value] for key, value in selector.match_labels.items()}
        for number, one in enumerate(selector.match_expressions):
            where = (*path, "matchExpressions", number)
            if one.operator != "In" or not one.values:
                message = f"operator {one.operator} has no meaning here"
                raise self.error((*where, "operator"), message, "write In, with the values that are meant")
            if one.key in found:
                raise self.error((*where, "key"), f"asks for {one.key} twice", "say it once, with the common values")
            found[one.key] = list(one.values)
        return found

    def _networks(self, path: Path, block: _IpBlock) -> list[str]:
        nets = [self._network((*path, "cidr"), block.cidr)]
        for number, text in enumerate(block.but):
            but = self._network((*path, "except", number), text)
            nets = [part for net in nets for part in _without(net, but)]
        if not nets:
            raise self.error((*path, "except"), "leaves nothing of the block", "take the entry out")
        return [str(net) for net in aggregate(nets)]

    def _network(self, path: Path, text: str) -> Network:
        try:
            return network(text)
        except WrongValueError as error:
            raise self.error(path, error.message, error.remedy) from error

    def _services(self, path: Path, ports: Sequence[_Port]) -> list[dict[str, Any]]:
        return [self._service((*path, number), port) for number, port in enumerate(ports)]

    def _service(self, path: Path, port: _Port) -> dict[str, Any]:
        protocol = {"protocol": port.protocol.lower()}
        if port.port is None:
            if port.end is not None:
                raise self.error((*path, "endPort"), "stands without a port to begin with", "write port, too")
            return protocol
        first = self._number((*path, "port"), port.port)
        last = first if port.end is None else self._number((*path, "endPort"), port.end)
        if last < first:
            raise self.error((*path, "endPort"), f"{last} is below the port {first}", "write the higher one here")
        return {**protocol, "ports": first if last == first else f"{first}-{last}"}

    def _number(self, path: Path, text: str) -> int:
        if not (text.isascii() and text.isdigit()):
            raise self.error(path, f"{text!r} is a name that a pod gives to a port", "write the port's number")
        if not 0 < int(text) <= MAX_PORT:
            raise self.error(path, f"{text} is out of range", f"ports are 1 .. {MAX_PORT}")
        return int(text)

    def error(self, path: Path, message: str, remedy: str) -> PolicyError:
        """An error about what stands there."""
        return self._read.error(PolicyError, path, message, remedy)


def _all_different(found: Sequence[_Converter]) -> None:
    """A cluster has one policy of a name in a namespace; which of two was meant nobody can tell.

    Raises:
        PolicyError: there are two.
    """
    first: dict[str, _Converter] = {}
    for one in found:
        if (other := first.setdefault(one.name, one)) is not one:
            message = f"{one.name} is there already, in line {other.line}"
            raise one.error(("metadata", "name"), message, "keep one of them")


def _is_everything(rule: _Ingress | _Egress) -> bool:
    return not rule.peers and not rule.ports


def _shortened(name: str) -> str:
    """A name that leaves room for what tells a policy's rules apart, and is no other's."""
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - len(digest) - 1]}-{digest}"


def _without(net: Network, but: Network) -> list[Network]:
    """The part of a network that is not in another."""
    if net.version != but.version or not net.overlaps(but):
        return [net]
    if net.prefixlen >= but.prefixlen:
        return []
    return list(net.address_exclude(but))  # type: ignore[arg-type]  # they are of one version


def _right_key(path: Path) -> str:
    parent = next((part for part in reversed(path[:-1]) if part in _MODELS), None)
    model = _MODELS[str(parent)] if parent is not None else _NetworkPolicy
    return nearest(str(path[-1]), [field.alias or name for name, field in model.model_fields.items()])
