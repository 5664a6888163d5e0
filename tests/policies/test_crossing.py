"""NetworkPolicies of both directions: whatever they say, what they become lets through what a cluster would."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.crossing import BOTH, cross
from policies.document import parse_what_holds
from policies.kubernetes import convert
from policies.reference import TCP, Packet, decide
from policies.rules import Verdict
from topology.inventory import parse as parse_inventory

INVENTORY = parse_inventory(
    "segments: {shop: , lab: }\nvfns: {v1: {dpid: 1}}\nvms:\n"
    "  web: {segment: shop, vfn: v1, port: a, mac: '02:00:00:00:00:01', addresses: [10.0.0.1], labels: {app: web}}\n"
    "  db: {segment: shop, vfn: v1, port: b, mac: '02:00:00:00:00:02', addresses: [10.0.0.2],"
    " labels: {app: db, tier: back}}\n"
    "  mon: {segment: lab, vfn: v1, port: c, mac: '02:00:00:00:00:03', addresses: [10.0.0.3], labels: {app: mon}}\n"
    "  job: {segment: lab, vfn: v1, port: d, mac: '02:00:00:00:00:04', addresses: [10.0.0.4],"
    " labels: {app: web, tier: back}}\n"
)
OUTSIDE = ("192.0.2.7", "192.0.2.200")
ENDS = (*INVENTORY.vms, *OUTSIDE)
PORTS = (80, 85, 443)

LABELS = st.sampled_from([{}, {"app": "web"}, {"app": "db"}, {"tier": "back"}, {"app": "web", "tier": "back"}])
SELECTORS = st.builds(lambda labels: {"matchLabels": labels}, LABELS)
NAMESPACES = st.sampled_from(["shop", "lab"])
NAMESPACE = st.builds(lambda name: {"matchLabels": {"kubernetes.io/metadata.name": name}}, NAMESPACES)
BLOCKS = st.sampled_from(
    [
        {"cidr": "10.0.0.0/30"},
        {"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]},
        {"cidr": "0.0.0.0/0", "except": ["10.0.0.2/32"]},
    ]
)
PEERS = st.one_of(
    st.builds(lambda pods: {"podSelector": pods}, SELECTORS),
    st.builds(lambda name: {"namespaceSelector": name}, NAMESPACE),
    st.builds(lambda name, pods: {"namespaceSelector": name, "podSelector": pods}, NAMESPACE, SELECTORS),
    st.builds(lambda block: {"ipBlock": block}, BLOCKS),
)
SERVICES = st.lists(st.sampled_from([{"port": 80}, {"port": 80, "endPort": 90}, {"port": 85}, {}]), max_size=2)


def rules(key: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    rule = st.builds(lambda peers, ports: {key: peers, "ports": ports}, st.lists(PEERS, max_size=2), SERVICES)
    return st.lists(rule, max_size=2)


SPECS = st.builds(
    lambda pods, types, ingress, egress: {
        "podSelector": pods,
        "policyTypes": types,
        "ingress": ingress,
        "egress": egress,
    },
    SELECTORS,
    st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
    rules("from"),
    rules("to"),
)
POLICIES = st.lists(st.tuples(NAMESPACES, SPECS), min_size=1, max_size=3)


def is_selected(end: str, selector: dict[str, Any], namespace: str | None) -> bool:
    vm = INVENTORY.vms.get(end)
    labels = selector.get("matchLabels", {})
    return (
        vm is not None
        and namespace in (None, vm.segment)
        and all(vm.labels.get(key) == value for key, value in labels.items())
    )


def is_peer(end: str, peer: dict[str, Any], namespace: str) -> bool:
    if "ipBlock" in peer:
        vm = INVENTORY.vms.get(end)
        address = vm.addresses[0] if vm else ip_address(end)
        block = peer["ipBlock"]
        inside = address in ip_network(block["cidr"])
        return inside and not any(address in ip_network(one) for one in block.get("except", ()))
    where = peer.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name", namespace)
    return is_selected(end, peer.get("podSelector", {}), where)


def is_port(port: int, one: dict[str, int]) -> bool:
    return "port" not in one or one["port"] <= port <= one.get("endPort", one["port"])


def allowed(policies: list[tuple[str, dict[str, Any]]], direction: str, own: str, other: str, port: int) -> bool:
    """As https://kubernetes.io/docs/concepts/services-networking/network-policies/ has it, of one direction."""
    key = "from" if direction == "ingress" else "to"
    limiting = [
        (namespace, spec)
        for namespace, spec in policies
        if direction.capitalize() in spec["policyTypes"] and is_selected(own, spec["podSelector"], namespace)
    ]
    return not limiting or any(
        (not rule[key] or any(is_peer(other, peer, namespace) for peer in rule[key]))
        and (not rule["ports"] or any(is_port(port, one) for one in rule["ports"]))
        for namespace, spec in limiting
        for rule in spec[direction]
    )


@settings(max_examples=30, deadline=None)
@given(POLICIES)
def test_what_passes_is_what_a_cluster_lets_pass(policies: list[tuple[str, dict[str, Any]]]) -> None:
    """Between all VMs and addresses outside, whatever is limited: one direction, or both, by one policy or several."""
    text = "\n---\n".join(
        json.dumps(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": f"p{number}", "namespace": namespace},
                "spec": spec,
            }
        )
        for number, (namespace, spec) in enumerate(policies)
    )
    made, _ = parse_what_holds(convert(text, "k.yaml", inventory=INVENTORY), INVENTORY, lambda _: ())
    for source in ENDS:
        for target in ENDS:
            if source == target or (source in OUTSIDE and target in OUTSIDE):
                continue
            ends = [INVENTORY.vms.get(name) for name in (source, target)]
            addresses = [
                vm.addresses[0] if vm else ip_address(name) for vm, name in zip(ends, (source, target), strict=True)
            ]
            for port in PORTS:
                names = [vm.name if vm else None for vm in ends]
                packet = Packet(names[0], names[1], addresses[0], addresses[1], TCP, 50000, port, 2)
                should = allowed(policies, "egress", source, target, port) and allowed(
                    policies, "ingress", target, source, port
                )
                passes = decide(INVENTORY, made, (), packet).verdict is Verdict.ALLOW
                assert passes == should, (source, target, port, text)


def test_what_nobody_can_do_is_no_rule() -> None:
    """Selectors with nobody in common, ports with none in common, segments that differ."""
    deny = {"action": "deny", "name": "else", "from": "any", "to": {"segment": "lab"}}

    def made(out: dict[str, Any], into: dict[str, Any]) -> list[Any]:
        rules = cross(
            [{"action": "allow", "name": "out", "from": {"segment": "shop"}, "to": "any", **out}, deny],
            [{"action": "allow", "name": "into", "from": "any", "to": {"segment": "lab"}, **into}, deny],
            INVENTORY,
        )
        return [rule for rule in rules if rule["priority"] == BOTH]

    tcp = {"protocol": "tcp"}
    assert made({}, {})[0]["from"] == {"segment": "shop"}
    assert made({"service": [{**tcp, "ports": "80-90"}]}, {"service": [{**tcp, "ports": "85-99"}]})[0]["service"] == [
        {**tcp, "ports": "85-90"}
    ]
    assert made({}, {"from": {"networks": ["10.0.0.0/31"]}})[0]["from"] == {"networks": ["10.0.0.1/32"]}
    for out, into in (
        ({}, {"from": {"segment": "lab"}}),
        ({}, {"from": {"labels": {"app": ["mon"]}}}),
        ({"service": [{**tcp, "ports": 80}]}, {"service": [{**tcp, "ports": 443}]}),
        ({"service": [tcp]}, {"service": [{"protocol": "udp"}]}),
        ({"to": {"networks": ["192.0.2.0/24"]}}, {}),
    ):
        assert made(out, into) == []
