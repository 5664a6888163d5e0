"""A policy in real switches: in force when read back, explained the same by everybody, its packets counted exactly."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.control import Node, until, vsctl
from support.frames import frame
from support.network import ip_packet

from cli.main import main
from runtime.tokens import Role
from topology.addresses import mac_number
from topology.inventory import parse

pytestmark = [pytest.mark.ovs, pytest.mark.slow]

BRIDGES = {"hb0": ("hb0-up", "hb0-1", "hb0-2", "hb0-3"), "hb1": ("hb1-up", "hb1-1", "hb1-2")}
INVENTORY: dict[str, Any] = {
    "segments": {"web": None, "db": {"default": "deny"}, "lab": {"outward": "deny"}},
    "vfns": {"alpha": {"dpid": 0xDD00, "bridge": "hb0"}, "beta": {"dpid": 0xDD01, "bridge": "hb1"}},
    "links": [{"a": "alpha", "a_port": "hb0-up", "b": "beta", "b_port": "hb1-up"}],
    "vms": {
        name: {"segment": segment, "vfn": vfn, "port": port, "mac": f"02:00:00:00:dd:0{number}"}
        | {"addresses": [f"10.9.0.{number}", f"fd09::{number}"]}
        for number, (name, segment, vfn, port) in enumerate(
            (
                ("web1", "web", "alpha", "hb0-1"),
                ("web2", "web", "alpha", "hb0-2"),
                ("db1", "db", "beta", "hb1-1"),
                ("lab1", "lab", "beta", "hb1-2"),
            ),
            1,
        )
    },
    "outside": {"gate": {"vfn": "alpha", "port": "hb0-3", "mac": "02:00:00:00:ff:dd", "addresses": ["192.0.2.1"]}},
}
POLICY = """\
services: {sql: {protocol: tcp, ports: [5432, 6000-6007]}}
lists: {bad: {file: bad.txt}}
rules:
- {name: sql, action: allow, from: {segment: web}, to: {vm: db1}, service: sql}
- {name: bad, action: deny, from: {list: bad}, to: any, tier: operator}
- {name: not-ssh, action: deny, from: any, to: {segment: web}, service: {protocol: tcp, ports: 22}}
- {name: trial, action: deny, from: {vm: web1}, to: {vm: web2}, service: {protocol: udp, ports: 53}, mode: observe}
- {name: pings, action: allow, from: any, to: {segment: db}, service: {protocol: icmp}}
"""
QUESTIONS = (
    (("web1", "db1", "--port", "5432"), "allow", "sql"),
    (("fd09::1", "db1", "--port", "6003"), "allow", "sql"),
    (("web1", "db1", "--port", "5433"), "drop", None),
    (("web1", "db1", "--protocol", "icmp"), "allow", "pings"),
    (("fd09::1", "fd09::3", "--protocol", "icmp"), "allow", "pings"),
    (("db1", "web1", "--source-port", "5432", "--port", "50000", "--answer"), "allow", None),
    (("web1", "lab1", "--port", "80"), "allow", None),
    (("lab1", "web1", "--port", "80"), "drop", None),
    (("lab1", "web1", "--source-port", "80", "--port", "50000", "--answer"), "allow", None),
    (("lab1", "db1", "--protocol", "icmp"), "allow", "pings"),
    (("lab1", "web1", "--protocol", "icmp", "--answer"), "allow", None),
    (("db1", "lab1", "--protocol", "udp", "--answer"), "allow", None),
    (("lab1", "db1", "--protocol", "udp", "--source-port", "53", "--answer"), "allow", None),
    (("203.0.113.9", "web1"), "drop", "bad"),
    (("192.0.2.1", "web2", "--port", "22"), "drop", "not-ssh"),
    (("192.0.2.1", "web2", "--port", "443"), "allow", None),
    (("web1", "web2", "--protocol", "udp", "--port", "53"), "allow", None),
    (("web1", "192.0.2.50", "--protocol", "sctp"), "allow", None),
    (("web1", "web2", "--source-address", "10.9.0.3"), "drop", None),
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    for name, ports in BRIDGES.items():
        added = " ".join(f"-- add-port {name} {port} -- set Interface {port} type=internal" for port in ports)
        vsctl(f"--if-exists del-br {name} -- add-br {name} -- set Bridge {name} datapath_type=netdev {added}")
    try:
        with Node(tmp_path_factory.mktemp("policy")) as node:
            node.write(INVENTORY)
            node.start()
            try:
                node.wait_up()
                until(lambda: node.processes()["engine"]["connected"], "the engine is there")
                until(lambda: all(vfn["enforced"] for vfn in node.ask("GET", "/v1/vfns").json()), "the VFNs are filled")
                yield node
            finally:
                node.clean_up()
    finally:
        for name in BRIDGES:
            vsctl(f"--if-exists del-br {name}")


def run(node: Node, *arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env=node.environment)


def lay_down(node: Node, text: str) -> None:
    """Apply a policy and wait until both VFNs have confirmed it."""
    file = node.folder / "policy.yaml"
    file.write_text(text)
    result = run(node, "policy", "apply", str(file), "--json")
    assert result.exit_code == 0, result.output
    version = json.loads(result.stdout)["version"]

    def enforced() -> bool:
        told = json.loads(run(node, "policy", "show", "--json").stdout)
        return (told["version"], told["state"], *told["vfns"].values()) == (version, "enforced", True, True)

    until(enforced, "the policy is enforced")


def hits(node: Node) -> dict[str, dict[str, int]]:
    """Packets by rule and what became of them, without those that have met none."""
    found = {row["rule"]: row["packets"] for row in json.loads(run(node, "hits", "--json").stdout)}
    return {rule: {what: n for what, n in sums.items() if n} for rule, sums in found.items() if any(sums.values())}


def test_everybody_agrees_on_a_dozen_packets(node: Node) -> None:
    """Policy, compiled entries and ofproto/trace on real bridges; rules, defaults, answers, isolation, the guard."""
    (node.folder / "bad.txt").write_text("203.0.113.0/24 # documentation\n2001:db8:bad::/48\n")
    lay_down(node, POLICY)
    for arguments, verdict, rule in QUESTIONS:
        result = run(node, "explain", *arguments, "--json")
        assert result.exit_code == 0, (arguments, result.output)
        told = json.loads(result.stdout)
        assert (told["policy"]["verdict"], told["policy"]["rule"]) == (verdict, rule), arguments
        vfns = {row["vfn"] for row in told["vfns"]}
        assert {row["vfn"] for row in told["vfns"] if row["by"] == "switch"} == vfns, (arguments, told)
    rule = node.ask("POST", "/v1/vms/web1/isolate", Role.OPERATOR, json={}).json()["id"]
    until(lambda: json.loads(run(node, "rules", "--state", "enforced", "--json").stdout), "the isolation is enforced")
    for words in (["web1", "lab1"], ["lab1", "web1", "--answer"], ["web2", "web1", "--protocol", "icmp"]):
        result = run(node, "explain", *words)
        assert result.exit_code == 0, result.output
        assert "tier: quarantine" in result.stdout
    assert node.ask("DELETE", f"/v1/rules/{rule}", Role.OPERATOR).is_success
    until(lambda: node.ask("GET", f"/v1/rules/{rule}").json()["removed_at"], "the isolation is over")


def test_packets_are_counted_by_rule(node: Node) -> None:
    """Exactly those that were sent: let through, denied by a rule and by a default, and observed, which pass."""
    lay_down(node, POLICY.replace("lists: {bad: {file: bad.txt}}", "lists: {bad: {networks: [203.0.113.0/24]}}"))
    sent = {"trial": (17, 53, "web2", 40), "not-ssh": (6, 22, "web2", 30), "db": (6, 80, "db1", 20)}
    inventory = parse(json.dumps(INVENTORY))
    web1 = inventory.vms["web1"]
    with ExitStack() as stack:
        for port in ("hb0-1", "hb0-2"):
            subprocess.run(["ip", "link", "set", port, "up"], check=True)
        wires = {port: stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW)) for port in ("hb0-1",)}
        wires["hb0-1"].bind(("hb0-1", 0))
        for protocol, service, name, count in sent.values():
            target = inventory.vms[name]
            word = "tcp" if protocol == 6 else "udp"
            fields = {"ip_proto": protocol, f"{word}_src": 50000, f"{word}_dst": service, "tcp_flags": 2}
            packet = ip_packet(web1, ip_address("10.9.0.1"), mac_number(target.mac), target.addresses[0], fields)
            for _ in range(count):
                wires["hb0-1"].send(frame(packet))
        expected = {"trial": {"observed": 40}, "not-ssh": {"denied": 30}, "db": {"denied": 20}}
        until(lambda: hits(node) == expected, f"{expected}, not {hits(node)}")
