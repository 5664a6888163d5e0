"""What passes where a sender's egress and a receiver's ingress must both allow it, as rules of which the first decides.

Kubernetes means its policies so. Each direction comes as allows and denies of its own, and becomes these:

| priority | between | rules |
|---|---|---|
| 1000 | limited senders and limited receivers | for each allow of egress and each of ingress what both have in common |
| 950 | the same | deny |
| 900 | limited senders and anybody else, anybody else and limited receivers | the allows of that direction |
| 850 | the same | its denies |

What two selectors have in common is one with the labels of both; what a selector and a network have in common are those
addresses of its VMs that lie in the network, as the inventory has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from itertools import product
from typing import Any

from policies.prefixes import aggregate, network
from policies.rules import Network
from policies.selectors import select
from topology.addresses import addresses_of
from topology.model import Inventory

BOTH, NOT_BOTH, ONE, NOT_ONE = 1000, 950, 900, 850
"""Priorities, as above."""
Rule = Mapping[str, Any]
Peer = Any
"""`any`, or a mapping as a policy file has it: `networks`, or `segment` and `labels`."""
Service = Mapping[str, Any]


def cross(egress: Sequence[Rule], ingress: Sequence[Rule], inventory: Inventory) -> Iterator[Rule]:
    """Rules of a policy file from those of its two directions, each of which has allows, and denies below them."""
    (sending, no_sending), (receiving, no_receiving) = _apart(egress), _apart(ingress)
    for (place, out), (other, into) in product(enumerate(sending), enumerate(receiving)):
        source, destination = (_common(out[end], into[end], inventory) for end in ("from", "to"))
        services = _common_services(out.get("service", ()), into.get("service", ()))
        if source is not None and destination is not None and services is not None:
            yield {
                "name": f"both-{place}-{other}",
                "action": "allow",
                "from": source,
                "to": destination,
                **({"service": services} if services else {}),
                "priority": BOTH,
                "comment": f"what {out['name']} and {into['name']} both allow",
            }
    for (place, out), (other, into) in product(enumerate(no_sending), enumerate(no_receiving)):
        ends = {"from": out["from"], "to": into["to"]}
        yield {"name": f"both-{place}-{other}-else", "action": "deny", **ends, "priority": NOT_BOTH}
    yield from ({**rule, "priority": ONE} for rule in (*sending, *receiving))
    yield from ({**rule, "priority": NOT_ONE} for rule in (*no_sending, *no_receiving))


def _apart(rules: Sequence[Rule]) -> tuple[list[Rule], list[Rule]]:
    """Allows, and denies; of denies of the same only one."""
    allows = [rule for rule in rules if rule["action"] == "allow"]
    denies = {repr((rule["from"], rule["to"])): rule for rule in reversed(rules) if rule["action"] == "deny"}
    return allows, list(denies.values())[::-1]


def _common(one: Peer, other: Peer, inventory: Inventory) -> Peer | None:
    """Who is meant by both ends; None: nobody."""
    if one == "any" or other == "any":
        return other if one == "any" else one
    if "networks" in one and "networks" in other:
        return _networks(_shared(_parsed(one), _parsed(other)))
    if "networks" in one or "networks" in other:
        block, selector = (one, other) if "networks" in one else (other, one)
        vms = select(inventory, selector.get("labels", {}), selector.get("segment"))
        return _networks(_shared(_parsed(block), [ip_network(each) for vm in vms for each in addresses_of(vm)]))
    segments = {peer["segment"] for peer in (one, other) if "segment" in peer}
    labels: dict[str, list[str]] = {key: list(values) for key, values in one.get("labels", {}).items()}
    for key, values in other.get("labels", {}).items():
        labels[key] = [value for value in labels.get(key, values) if value in values]
    segment = next(iter(segments), None)
    if len(segments) > 1 or not select(inventory, labels, segment):
        return None
    return {**({"segment": segment} if segment else {}), **({"labels": labels} if labels else {})}


def _parsed(peer: Peer) -> list[Network]:
    return [network(text) for text in peer["networks"]]


def _shared(ones: Sequence[Network], others: Sequence[Network]) -> Iterator[Network]:
    """Of two networks one holds the other, or they have nothing in common."""
    for one, other in product(ones, others):
        if one.version == other.version and one.overlaps(other):
            yield max(one, other, key=lambda net: net.prefixlen)


def _networks(nets: Iterator[Network]) -> Peer | None:
    found = aggregate(nets)
    return {"networks": [str(net) for net in found]} if found else None


def _common_services(ones: Sequence[Service], others: Sequence[Service]) -> list[Service] | None:
    """Services that are among both; empty: all are. None: none is."""
    if not ones or not others:
        return list(ones or others)
    found = [shared for one, other in product(ones, others) if (shared := _common_service(one, other)) is not None]
    return found or None


def _common_service(one: Service, other: Service) -> Service | None:
    if one["protocol"] != other["protocol"]:
        return None
    if "ports" not in one or "ports" not in other:
        return {**one, **other}
    (first, last), (begin, end) = _ports(one), _ports(other)
    first, last = max(first, begin), min(last, end)
    if first > last:
        return None
    return {"protocol": one["protocol"], "ports": first if first == last else f"{first}-{last}"}


def _ports(service: Service) -> tuple[int, int]:
    first, _, last = str(service["ports"]).partition("-")
    return int(first), int(last or first)
