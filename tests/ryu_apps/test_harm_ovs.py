"""A policy that bars ordinary IPv6 traffic on a real bridge is taken back, though no VFN says what it drops of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from support.control import Node, until, vsctl
from support.spaces import host, socket_in

from runtime.tokens import Role
from topology.inventory import parse

pytestmark = [pytest.mark.ovs, pytest.mark.slow]

BRIDGE = "hv0"
VMS = {
    name: {"segment": segment, "vfn": "alpha", "port": f"hv-{name}", "mac": f"02:00:00:00:6a:0{number}"}
    | {"addresses": [f"fd6a::{number}"]}
    for number, (name, segment) in enumerate((("web1", "web"), ("web2", "web"), ("db1", "db")), 1)
}
INVENTORY: dict[str, Any] = {
    "segments": {"web": None, "db": {"default": "deny"}},
    "vfns": {"alpha": {"dpid": 0x6A00, "bridge": BRIDGE}},
    "vms": VMS,
}
PORT = 5432
GOOD = "rules:\n- {name: sql, action: allow, from: {segment: web}, to: {segment: db}}\n"
BAD = GOOD + "- {name: no-sql, action: deny, from: {segment: web}, to: {segment: db}, priority: 2000}\n"
PAUSE, PATIENCE = 0.1, 0.5


@dataclass
class Client:
    """Asks the database again and again, each time over a connection of its own."""

    space: str
    worked: int = 0
    failed: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until it is over."""
        while not self.over.wait(PAUSE):
            with socket_in(self.space, socket.SOCK_STREAM, 6) as sock:
                sock.settimeout(PATIENCE)
                try:
                    sock.connect((VMS["db1"]["addresses"][0], PORT))
                    sock.sendall(b"question")
                    self.worked += bool(sock.recv(16))
                except OSError:
                    self.failed += 1


@contextmanager
def database() -> Iterator[None]:
    """Answers every question."""
    with socket_in("hv-db1", socket.SOCK_STREAM, 6) as listener:
        listener.bind((VMS["db1"]["addresses"][0], PORT))
        listener.listen(64)

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return  # the test is over
                with client:
                    client.settimeout(PATIENCE)
                    try:
                        client.sendall(client.recv(16))
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def clients() -> Iterator[tuple[Client, ...]]:
    """Two that ask."""
    made = tuple(Client(f"hv-{name}") for name in ("web1", "web2"))
    threads = [threading.Thread(target=client.run) for client in made]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        for client in made:
            client.over.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def node(tmp_path: Any) -> Iterator[Node]:
    network = parse(yaml.safe_dump(INVENTORY))
    vsctl(f"--if-exists del-br {BRIDGE} -- add-br {BRIDGE} -- set Bridge {BRIDGE} datapath_type=netdev")
    with ExitStack() as stack:
        stack.callback(vsctl, f"--if-exists del-br {BRIDGE}")
        for number, vm in enumerate(network.vms.values(), 1):
            stack.enter_context(host(vm, BRIDGE, number))
        stack.enter_context(database())
        node = stack.enter_context(Node(tmp_path))
        node.settings["analyzer"] = {"learn_seconds": 8.0}
        node.settings["engine"] = {"harm": {"flows": 10}}
        node.write(INVENTORY)
        node.start()
        stack.callback(node.clean_up)
        node.wait_up()
        until(node.both, "engine and analyzer are there")
        yield node


def lay_down(node: Node, text: str) -> None:
    answer = node.ask("PUT", "/v1/policy", Role.OPERATOR, json={"text": text, "folder": "/"})
    assert answer.is_success, answer.text


def policy(node: Node) -> Any:
    return node.ask("GET", "/v1/policy").json()


def test_ordinary_ipv6_that_a_version_bars_takes_it_back(node: Node) -> None:
    """The clients get on as before, with nobody's doing; the audit names them, the rule's version and their service."""
    lay_down(node, GOOD)
    with clients() as asking:
        until(lambda: all(client.worked > 5 for client in asking), "the workload works")
        until(
            lambda: node.ask("GET", "/v1/status").json()["analyzer"]["phase"] == "judging", "the analyzer has learned"
        )
        lay_down(node, BAD)
        until(lambda: all(client.failed for client in asking), "the policy bars the workload")
        until(lambda: policy(node)["version"] == 3 and policy(node)["state"] == "enforced", "the policy before is back")
        before = [client.worked for client in asking]
        until(lambda: all(c.worked > done for c, done in zip(asking, before, strict=True)), "the workload works again")
    now = policy(node)
    (row,) = (row["body"] for row in node.ask("GET", "/v1/audit?kind=harm").json())
    print(f"dropped from {row['first']:.3f} to {row['last']:.3f}, back {now['enforced_at'] - row['last']:.1f} s later")
    assert (now["actor"], now["text"]) == ("engine", GOOD)
    assert (row["version"], row["missed_by"]) == (2, ["web1", "web2"])
    assert row["services"] == [f"db1 tcp/{PORT}"]
    assert now["enforced_at"] - row["last"] <= 10.0
