"""Real packets between namespaces on real bridges: what people ask over REST is what passes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.control import Node, until, vsctl

from runtime.tokens import Role

pytestmark = [pytest.mark.ovs, pytest.mark.slow]

VMS = {"web1": ("web", "tp0", 1), "web2": ("web", "tp1", 2), "db1": ("db", "tp1", 3)}
INVENTORY: dict[str, Any] = {
    "segments": {"web": None, "db": {"default": "deny"}},
    "vfns": {"tp0": {"dpid": 0xD000}, "tp1": {"dpid": 0xD001}},
    "links": [{"a": "tp0", "a_port": "tp0-link", "b": "tp1", "b_port": "tp1-link"}],
    "vms": {
        name: {
            "segment": segment,
            "vfn": vfn,
            "port": f"tp-{name}",
            "mac": f"02:00:00:00:d0:0{number}",
            "addresses": [f"10.9.0.{number}", f"fd00:9::{number}"],
        }
        for name, (segment, vfn, number) in VMS.items()
    },
}


def ip(arguments: str) -> None:
    done = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"


def join(stack: ExitStack, name: str, vfn: str, number: int) -> None:
    """A namespace with one interface, whose other end is a port of the bridge."""
    space, inner = f"tp-{name}-ns", f"tp-{name}-in"
    ip(f"netns add {space}")
    stack.callback(ip, f"netns del {space}")
    ip(f"link add tp-{name} type veth peer name {inner} netns {space}")
    ip(f"link set tp-{name} up")
    inside = f"-n {space}"
    ip(f"{inside} link set {inner} address 02:00:00:00:d0:0{number}")
    ip(f"{inside} address add 10.9.0.{number}/24 dev {inner}")
    ip(f"{inside} address add fd00:9::{number}/64 dev {inner} nodad")
    ip(f"{inside} link set {inner} up")
    command = ["ip", "netns", "exec", space, "ethtool", "-K", inner, "tx", "off"]
    subprocess.run(command, capture_output=True, check=True)
    vsctl(f"add-port {vfn} tp-{name}")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with ExitStack() as stack, Node(tmp_path) as node:
        for bridge, other in (("tp0", "tp1"), ("tp1", "tp0")):
            stack.callback(vsctl, f"--if-exists del-br {bridge}")
            patch = f"type=patch options:peer={other}-link"
            vsctl(
                f"--if-exists del-br {bridge} -- add-br {bridge} -- set Bridge {bridge} datapath_type=netdev"
                f" -- add-port {bridge} {bridge}-link -- set Interface {bridge}-link {patch}"
            )
        for name, (_, vfn, number) in VMS.items():
            join(stack, name, vfn, number)
        node.settings["openflow"]["reconcile_seconds"] = 0.5
        node.write(INVENTORY)
        stack.callback(node.clean_up)
        node.start()
        node.wait_up()
        until(node.enforced, "the pipeline in both bridges")
        yield node


def reaches(source: str, target: str, address: str | None = None) -> bool:
    """Does a ping come back, the neighbour found anew?"""
    space = f"tp-{source}-ns"
    for family in ("-4", "-6"):
        subprocess.run(["ip", "-n", space, family, "neigh", "flush", "all"], capture_output=True, check=True)
    sender = ["-I", address] if address else []
    command = ["ip", "netns", "exec", space, "ping", "-c", "1", "-W", "1", *sender, target]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def both(source: str, target: str) -> tuple[bool, bool]:
    """The same over IPv4 and IPv6."""
    number = VMS[target][2]
    return reaches(source, f"10.9.0.{number}"), reaches(source, f"fd00:9::{number}")


def issue(node: Node, path: str, **fields: Any) -> Mapping[str, Any]:
    """Post a rule and wait until it is enforced."""
    answer = node.ask("POST", path, Role.OPERATOR, json=fields)
    assert answer.status_code == 201, answer.text
    identity = answer.json()["id"]

    def done() -> Mapping[str, Any] | None:
        rule: Mapping[str, Any] = node.ask("GET", f"/v1/rules/{identity}").json()
        return rule if rule["state"] == "enforced" else None

    rule: Mapping[str, Any] = until(done, "the rule is enforced")
    return rule


def test_packets_pass_exactly_as_people_ask(node: Node) -> None:
    """Default deny, allow, spoofing, isolation and release, each tried with real IPv4, IPv6, ARP and discovery."""
    assert both("web1", "web2") == (True, True)
    assert both("web1", "db1") == (False, False)

    for source in ("10.9.0.1", "fd00:9::1"):
        issue(node, "/v1/rules", action="allow", source_ip=source, destination_vm="db1", protocol="icmp")
    assert both("web1", "db1") == (True, True)
    assert both("web2", "db1") == (False, False)

    for target, forged in (("10.9.0.2", "10.9.0.77"), ("fd00:9::2", "fd00:9::77")):
        nodad = "nodad" if ":" in forged else ""
        ip(f"-n tp-web1-ns address add {forged} dev tp-web1-in {nodad}")
        assert not reaches("web1", target, forged)
        ip(f"-n tp-web1-ns address del {forged} dev tp-web1-in")
        assert reaches("web1", target)

    rule = issue(node, "/v1/vms/web1/isolate", reason="a test")
    print(f"isolation: confirmed {1000 * (rule['installed_at'] - rule['created']):.1f} ms after the request,"
          f" read back after {1000 * (rule['enforced_at'] - rule['created']):.1f} ms")  # fmt: skip
    assert both("web1", "web2") == (False, False)
    assert both("web2", "web1") == (False, False)
    assert both("web1", "db1") == (False, False)

    assert node.ask("DELETE", f"/v1/rules/{rule['id']}", Role.OPERATOR).status_code == 200
    until(lambda: node.ask("GET", f"/v1/rules/{rule['id']}").json()["removed_at"], "the rule is gone")
    assert both("web1", "web2") == (True, True)
    assert both("web2", "web1") == (True, True)
