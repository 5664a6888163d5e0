"""What becomes of packets when processes die, the connection is cut or a table is full while the policy changes."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.control import Node, until, vsctl
from support.severing import Severing
from support.spaces import host, ip
from support.streams import talking

from policies.pipeline.tables import Table
from runtime.tokens import Role
from ryu_apps.wire.oxm import ONF
from topology.inventory import parse

pytestmark = [pytest.mark.ovs, pytest.mark.slow]

BRIDGE, DPID, FILLING = "cr0", 0xC400, 400
VMS = {"client": "office", "server": "shop", "intruder": "guests", "vault": "safe"}
INVENTORY: dict[str, Any] = {
    "segments": {segment: {"default": "deny"} for segment in VMS.values()},
    "vfns": {"core": {"dpid": DPID, "bridge": BRIDGE}},
    "vms": {
        name: {"segment": segment, "vfn": "core", "port": f"cr-{name}", "mac": f"02:00:00:00:c4:0{number}"}
        | {"addresses": [f"10.74.0.{number}"]}
        for number, (name, segment) in enumerate(VMS.items(), 1)
    },
}
NETWORK = parse(yaml.safe_dump(INVENTORY))


def policy(edition: int, filling: int = FILLING) -> str:
    """Allows the stream of client and server, each time in another way; half of the rest is as in the one before."""
    ends = [({"segment": "office"}, {"segment": "shop"}), ({"vm": "client"}, {"vm": "server"})][edition % 2]
    stream = {"name": f"stream{edition}", "action": "allow", "from": ends[0], "to": ends[1]}
    start = edition * FILLING // 2
    rest = [
        {
            "name": f"r{number}",
            "action": "allow",
            "from": {"segment": "office"},
            "to": {"segment": "safe"},
            "service": {"protocol": "tcp", "ports": [1001 + 2 * number]},
        }
        for number in range(start, start + filling)
    ]
    return json.dumps({"rules": [stream, *rest]})


def lay_down(node: Node, edition: int, filling: int = FILLING) -> int:
    """Ask for an edition; the number of its version."""
    answer = node.ask("PUT", "/v1/policy", Role.OPERATOR, json={"text": policy(edition, filling)})
    assert answer.is_success, answer.text
    version: int = answer.json()["version"]
    return version


def enforced(node: Node, version: int) -> bool:
    """Does the VFN follow this version, as the present engine has read back?"""
    answer = node.ask("GET", "/v1/policy")
    told = answer.json()
    return answer.is_success and (told["version"], told["state"], told["vfns"]) == (version, "enforced", {"core": True})


def ages() -> dict[str, float]:
    """Seconds that each entry has been there, by its cookie."""
    command = ["ovs-ofctl", "-O", "OpenFlow13", "dump-flows", BRIDGE]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {cookie: float(age) for cookie, age in re.findall(r"cookie=(0x\w+), duration=([\d.]+)s", shown)}


def audit(node: Node, *kinds: str) -> list[Mapping[str, Any]]:
    """Bodies of the audit log."""
    rows = node.ask("GET", "/v1/audit?limit=1000").json()
    return [row["body"] for row in rows if row["kind"] in kinds]


@pytest.fixture
def bridge() -> Iterator[None]:
    settings = f"datapath_type=netdev fail_mode=secure protocols=OpenFlow13 other_config:datapath-id={DPID:016x}"
    vsctl(f"--if-exists del-br {BRIDGE} -- add-br {BRIDGE} -- set Bridge {BRIDGE} {settings}")
    try:
        yield
    finally:
        vsctl(f"--if-exists del-br {BRIDGE}")


@pytest.fixture
def hosts(bridge: None) -> Iterator[None]:
    """The VMs, each of which knows the others' MACs."""
    with ExitStack() as stack:
        for number, vm in enumerate(NETWORK.vms.values(), 1):
            stack.enter_context(host(vm, BRIDGE, number))
        for vm in NETWORK.vms.values():
            for other in NETWORK.vms.values():
                if other is not vm:
                    address = str(other.addresses[0])
                    ip("-n", vm.port, "neigh", "add", address, "lladdr", other.mac, "dev", f"{vm.port}-in")
        yield


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path) as node:
        node.write(INVENTORY)
        node.start()
        try:
            node.wait_up()
            until(lambda: node.processes()["engine"]["connected"], "the engine is there")
            yield node
        finally:
            node.clean_up()


def kill(node: Node, victims: Collection[str]) -> None:
    """Kill these at once, as nobody can prepare for, and have them back."""
    engine = node.processes()["engine"]["pid"]
    if "engine" in victims:
        os.kill(engine, signal.SIGKILL)
    if "control" in victims:
        node.end(signal.SIGKILL)
        node.start()
        node.wait_up()

    def back() -> bool:
        now = node.processes()["engine"]
        return bool(now["connected"]) and (now["pid"] != engine) is ("engine" in victims)

    until(back, "all are there again", 30.0)


@pytest.mark.parametrize("victims", [("engine",), ("control",), ("engine", "control")], ids="+".join)
def test_no_packet_notices_who_dies(node: Node, hosts: None, victims: tuple[str, ...]) -> None:
    """In the middle of a new policy, and without one: what both allow goes on, what is denied stays so."""
    until(lambda: node.ask("GET", "/v1/vfns").json()[0]["connected"], "the VFN is there")
    first = lay_down(node, 1)
    until(lambda: enforced(node, first), "the first policy is enforced", 30.0)
    vms = NETWORK.vms
    with talking(vms["client"], vms["server"]) as allowed, talking(vms["intruder"], vms["vault"]) as denied:
        before, began = ages(), time.monotonic()
        second = lay_down(node, 2)
        kill(node, victims)
        until(lambda: enforced(node, second), "the second policy is enforced", 30.0)
        after, passed = ages(), time.monotonic() - began
        unchanged, read = time.monotonic(), len(audit(node, "installed"))
        kill(node, victims)
        until(lambda: enforced(node, second), "and is found to be there", 30.0)
        youngest = min(ages().values())
        assert youngest > time.monotonic() - unchanged
        assert len(audit(node, "installed")) == read
    assert allowed.sent["client"] > 1000
    assert allowed.lost == {"client": 0, "server": 0}
    assert denied.lost["intruder"] == denied.sent["intruder"] > 1000
    common = before.keys() & after.keys()
    assert FILLING // 2 < len(common) < len(after)
    assert all(after[cookie] > passed for cookie in common)


def test_a_connection_cut_in_a_bundle_leaves_the_old_policy_whole(tmp_path: Path, bridge: None) -> None:
    """Nothing of what had come is there; the next connection brings all of it, and the record says when."""
    with Node(tmp_path, manage_bridges=False) as node:
        node.write(INVENTORY)
        node.start()
        severing = Severing(node.openflow)
        try:
            node.wait_up()
            until(lambda: node.processes()["engine"]["connected"], "the engine is there")
            vsctl(f"set-controller {BRIDGE} tcp:127.0.0.1:{severing.port} -- set Controller {BRIDGE} max_backoff=1000")
            until(lambda: node.ask("GET", "/v1/vfns").json()[0]["connected"], "the VFN is there")
            first = lay_down(node, 1)
            until(lambda: enforced(node, first), "the first policy is enforced", 30.0)
            before, told = ages(), len(audit(node, "installed"))

            severing.sever_after(20_000)
            second = lay_down(node, 2)
            until(severing.severed.is_set, "the connection is cut")
            assert bytes(severing.passed).count(struct.pack("!II", ONF, 2301)) > 50, "parts of a bundle have passed"
            assert not re.search(struct.pack("!II", ONF, 2300) + b".{5}\x04", severing.passed, re.DOTALL), (
                "no commit has"
            )
            until(lambda: not node.ask("GET", "/v1/vfns").json()[0]["connected"], "the VFN is away")
            assert ages().keys() == before.keys()
            assert len(audit(node, "installed")) == told
            assert not audit(node, "policy_enforced")[1:]

            severing.listen()
            until(lambda: enforced(node, second), "the second policy is enforced", 30.0)
            assert ages().keys() != before.keys()
            (row,) = audit(node, "installed")[told:]
            assert (row["vfn"], row["urgent"]) == ("core", False)
            assert [body["version"] for body in audit(node, "policy_enforced")] == [first, second]
        finally:
            severing.close()
            node.clean_up()


def limit_table(entries: int) -> None:
    """Let the table of rules take so many entries and no more."""
    vsctl(
        f"-- --id=@t create Flow_Table flow_limit={entries} overflow_policy=refuse"
        f" -- set Bridge {BRIDGE} flow_tables:{int(Table.ENFORCEMENT)}=@t"
    )


def rules_held() -> int:
    """Entries in that table."""
    command = ["ovs-ofctl", "-O", "OpenFlow13", "dump-flows", BRIDGE, f"table={int(Table.ENFORCEMENT)}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.count("cookie=")


def test_a_full_table_names_vfn_and_rules_and_changes_nothing(node: Node, hosts: None) -> None:
    """A policy that does not fit is refused, a rule fails, each by name; with more room the rule comes by itself."""
    until(lambda: node.ask("GET", "/v1/vfns").json()[0]["connected"], "the VFN is there")
    first = lay_down(node, 1)
    until(lambda: enforced(node, first), "the first policy is enforced", 30.0)
    before = ages()
    limit_table(rules_held())
    second = lay_down(node, 2, 2 * FILLING)
    (refused,) = until(lambda: audit(node, "policy_refused"), "the second policy is refused")
    assert (refused["version"], refused["vfn"]) == (second, "core")
    assert "table full" in refused["reason"]
    assert refused["rules"]
    assert all(re.fullmatch(r"(policy:)?(r\d+|stream2)", rule) for rule in refused["rules"])
    until(lambda: enforced(node, first), "the first policy goes on", 30.0)
    assert ages().keys() == before.keys()

    wish = {"action": "allow", "source_ip": "10.74.0.3", "destination_vm": "vault", "protocol": "tcp", "port": 22}
    rule = node.ask("POST", "/v1/rules", Role.OPERATOR, json=wish).json()["id"]

    def state() -> Mapping[str, Any]:
        found: Mapping[str, Any] = node.ask("GET", f"/v1/rules/{rule}").json()
        return found

    until(lambda: state()["state"] == "failed", "the rule fails")
    assert "VFN core" in state()["detail"]
    assert "table full" in state()["detail"]
    assert ages().keys() == before.keys()
    limit_table(4 * FILLING)
    until(lambda: state()["state"] == "enforced", "with more room it is tried again", 60.0)
