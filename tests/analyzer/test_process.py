"""The analyzer as a process: real sockets, a real engine end, NetFlow over UDP, signals."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.telemetry import ACK, START, SYN, Exporters, Talk, inventory, ports, refused, workload

from analyzer.archive import query
from runtime.channel import Connection, Message, Peer, Server, connect

DEADLINE = 60.0
NET = inventory()
CODE = "import sys; from analyzer import process; from runtime import settings; sys.exit(process.run(settings.load()))"


def until(condition: Callable[[], Any], what: str) -> Any:
    """Poll until `condition` gives something, or fail."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    pytest.fail(f"not within {DEADLINE:.0f} s: {what}")


def write_settings(folder: Path, learn_seconds: float) -> int:
    """Settings and inventory of `NET` in `folder`; the NetFlow port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    settings = {
        "inventory": "inventory.yaml",
        "run_dir": "run",
        "state_dir": "state",
        "netflow": {"port": port},
        "analyzer": {"learn_seconds": learn_seconds},
    }
    vms = {
        vm.name: {
            "segment": vm.segment,
            "vfn": vm.vfn,
            "port": vm.port,
            "mac": vm.mac,
            "addresses": [str(a) for a in vm.addresses],
        }
        for vm in NET.vms.values()
    }
    outside = {
        o.name: {"vfn": o.vfn, "port": o.port, "mac": o.mac, "addresses": [str(a) for a in o.addresses]}
        for o in NET.outside.values()
    }
    document = {
        "segments": dict.fromkeys(NET.segments),
        "vfns": {v.name: {"dpid": v.dpid} for v in NET.vfns.values()},
        "links": [{"a": k.a, "a_port": k.a_port, "b": k.b, "b_port": k.b_port} for k in NET.links],
        "vms": vms,
        "outside": outside,
    }
    (folder / "dynseg.yaml").write_text(yaml.safe_dump(settings))
    (folder / "inventory.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return port


@dataclass
class Engine:
    """The engine's end of the channel: keeps what comes, says what it is told to."""

    path: Path
    messages: list[Message] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)
    server: Server | None = None

    def start(self) -> None:
        self.server = Server(self.path)

    def poll(self) -> None:
        """Take what came."""
        assert self.server is not None
        for event in self.server.poll(0):
            if event.peer is None:
                continue
            if event.message is None:
                self.peers.remove(event.peer)
            elif event.message.kind == "hello":
                self.peers.append(event.peer)
            if event.message is not None:
                self.messages.append(event.message)

    def seen(self, kind: str) -> list[Message]:
        self.poll()
        return [m for m in self.messages if m.kind == kind]

    def say(self, kind: str, **data: Any) -> None:
        assert self.server is not None
        for peer in self.peers:
            self.server.send(peer, Message(kind, data))

    def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        self.peers.clear()


class Node:
    """A running analyzer with control connected to it."""

    def __init__(self, folder: Path, learn_seconds: float = 3.0, code: str = CODE) -> None:
        self.folder = folder
        self.port = write_settings(folder, learn_seconds)
        self.process = self.spawn(code)
        self.control = self.connect()
        self._request = 0
        self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        """Open as long as a switch's: whose it is decides whether its reports count."""

    def spawn(self, code: str = CODE) -> subprocess.Popen[bytes]:
        env = {**os.environ, "DYNSEG_CONFIG": str(self.folder / "dynseg.yaml"), "OMP_NUM_THREADS": "1"}
        with (self.folder / "analyzer.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-c", code], env=env, stderr=log)

    def connect(self) -> Connection:
        connection = connect(self.folder / "run" / "analyzer.sock", DEADLINE)
        connection.send(Message("hello", {"role": "control", "pid": os.getpid(), "version": "0"}))
        for name, vfn in NET.vfns.items():
            connection.send(Message("vfn_ports", {"dpid": vfn.dpid, "ports": ports(NET, name)}))
        return connection

    def call(self, method: str, **params: Any) -> tuple[int, Any]:
        """Ask as control does."""
        self._request += 1
        data = {"request": self._request, "method": method, "params": params, "actor": "test", "role": "viewer"}
        self.control.send(Message("call", data))
        answer = self.control.receive()
        assert answer is not None
        assert (answer.kind, answer.data["request"]) == ("result", self._request)
        return answer.data["status"], json.loads(answer.body)

    def status(self) -> dict[str, Any]:
        code, value = self.call("status")
        assert code == 200
        return dict(value)

    def send(self, talks: list[Talk], exporters: Exporters) -> None:
        """All NetFlow of some conversations, at once."""
        for _, datagram in exporters.datagrams(talks):
            self._out.sendto(datagram, ("127.0.0.1", self.port))

    def log(self) -> str:
        return (self.folder / "analyzer.log").read_text()

    def end(self) -> None:
        self._out.close()
        self.control.close()
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(DEADLINE)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.end()


def work(seconds: float, begin: float = 0.0) -> list[Talk]:
    """Ordinary conversations, dated now."""
    return [_dated(t) for t in workload(START + begin, START + begin + seconds, 1) if t.seconds < 10]


_SHIFT = time.time() - START


def _dated(talk: Talk) -> Talk:
    return Talk(**{**talk.__dict__, "start": talk.start + _SHIFT})


@pytest.mark.slow
def test_learns_judges_proposes_and_survives(node: Node) -> None:
    """From first flow to proposal: phases, rubbish, an engine that comes late and goes away, a kill of the analyzer."""
    exporters = Exporters(NET)
    assert node.status()["phase"] == "waiting"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for rubbish in (b"", b"x" * 100, b"\0\5\0\2" + bytes(68)):
            out.sendto(rubbish, ("127.0.0.1", node.port))
        until(lambda: node.status()["rubbish"] == 3, "rubbish is counted")
    node.send(work(20, -60), exporters)
    until(lambda: node.status()["phase"] == "learning", "learning")
    node.send(work(30, -40), exporters)
    until(lambda: node.status()["phase"] == "judging", "judging")

    scan = [refused(START - 5 + i / 300, "web1", f"db{i % 3 + 1}", 1 + i // 3, 33000 + i) for i in range(600)]
    node.send([_dated(talk) for talk in scan], exporters)
    until(lambda: node.call("verdicts", limit=5)[1], "a verdict")
    assert not node.status()["engine_connected"]
    engine = Engine(node.folder / "run" / "engine.sock")
    engine.start()
    hello = until(lambda: engine.seen("hello"), "the analyzer finds the engine")[0]
    assert hello.data["role"] == "analyzer"
    proposal = until(lambda: engine.seen("propose"), "the open proposal is made again")[0]
    assert (proposal.data["action"], proposal.data["source_vm"], proposal.data["segment"]) == ("isolate", "web1", "web")
    engine.stop()
    engine.messages.clear()
    engine.start()
    again = until(lambda: engine.seen("propose"), "after the engine's restart it is made once more")
    assert again[0].data == proposal.data
    engine.say("decided", rule="abc", proposal=proposal.data["proposal"], state="enforced", reason="")
    rule = {"id": "abc", "action": "isolate", "source_vm": "web1", "scope": "all", "source_ip": None}
    engine.say("rules", rules=[rule])

    told = {(verdict["vm"], verdict["behaviours"][0]) for verdict in node.call("verdicts", limit=100)[1]}
    assert ("web1", "scan") in told
    flows = node.call("flows", vm="web1", limit=7)[1]
    assert len(flows) == 7
    assert {"src", "dst", "src_vm", "dst_port", "failed", "risk"} <= set(flows[0])
    points = node.call("risk", since=0.0)[1]
    assert max(p["risk"] for p in points if p["vm"] == "web1") >= 50
    status = node.status()
    assert (status["lost"], status["problem"]) == (0, "")
    assert status["transit"] > 0

    node.process.kill()
    node.process.wait(DEADLINE)
    node.process = node.spawn()
    node.control.close()
    node.control = node.connect()
    assert node.status()["phase"] == "judging"
    engine.stop()


def test_calls_that_make_no_sense_are_answered(node: Node) -> None:
    """Unknown method, unknown VM, wrong or surplus parameters: a status, error and remedy. Ctrl-C ends it in order."""
    for code, method, params in (
        (404, "dance", {}),
        (404, "flows", {"vm": "web99"}),
        (400, "flows", {}),
        (400, "flows", {"vm": "web1", "limit": 0}),
        (400, "verdicts", {"limit": "many"}),
        (400, "risk", {"since": 0, "until": 5}),
    ):
        status, value = node.call(method, **params)
        assert (status, set(value)) == (code, {"error", "remedy"})
    node.control.send(Message("vfn_ports", {"nothing": 1}))
    node.control.send(Message("counters", {"dpid": 17, "time": 0.0, "n": 1}, b"123"))
    assert node.status()["phase"] == "waiting"
    assert "not understood" in node.log()
    node.process.send_signal(signal.SIGINT)
    assert node.process.wait(DEADLINE) == 0
    assert not (node.folder / "run" / "analyzer.sock").exists()


def test_what_it_saw_is_archived_when_it_ends(node: Node) -> None:
    """Status tells of the archive; an orderly end closes the open batch, flows that still go on included."""
    first = Talk(START - 2, "web1", "db1", 5432, 40_000, 6, 0.1, flags=SYN, reply_flags=SYN | ACK)
    talks = [_dated(replace(first, src_port=40_000 + i)) for i in range(20)]
    node.send(talks, Exporters(NET))
    until(lambda: node.status()["flows"] == 20, "the flows are known")
    archive = node.status()["archive"]
    assert (archive["dropped"], archive["failures"], archive["problem"]) == (0, 0, "")
    node.process.terminate()
    assert node.process.wait(DEADLINE) == 0
    assert not (node.folder / "run" / "analyzer.sock").exists()
    rows = query.flows(node.folder / "state" / "flows", query.Filter(vm="db1", segment="web")).read_all().to_pylist()
    assert sorted(row["src_port"] for row in rows) == list(range(40_000, 40_020))
    assert {(row["src_pkts"], row["dst_pkts"], row["decision"]) for row in rows} == {(6, 5, "allowed")}


def test_ends_when_nobody_wants_it(tmp_path: Path) -> None:
    """Without control for its time the process ends with status 0; with control it stays."""
    node = Node(tmp_path, code="from runtime import ending; ending.ORPHAN_SECONDS = 1.0; " + CODE)
    began = time.monotonic()
    until(lambda: node.status()["uptime_seconds"] > 2.5, "it stays while control is there")
    assert time.monotonic() - began > 1.0
    node.control.close()
    assert node.process.wait(DEADLINE) == 0
    assert "nobody has asked for the analyzer" in node.log()
    node.end()


def test_a_taken_port_is_said_in_a_line(tmp_path: Path) -> None:
    """Where somebody else has the NetFlow port it ends with status 1 and a last line that names port and setting."""
    port = write_settings(tmp_path, 1)
    env = {**os.environ, "DYNSEG_CONFIG": str(tmp_path / "dynseg.yaml")}
    command = [sys.executable, "-c", CODE]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"netflow.port: cannot collect NetFlow at 127.0.0.1:{port}/udp" in done.stderr.splitlines()[-1]
