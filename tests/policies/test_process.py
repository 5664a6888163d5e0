"""The engine as a process: its socket, its ends, its messages for people."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import yaml
from support.switch import PlainCodec

from policies import audit, process
from runtime import ending
from runtime import settings as settings_module
from runtime.channel import Connection, Message, connect
from runtime.errors import ChannelError
from runtime.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = (
    "segments: {web: }\nvfns: {v1: {dpid: 1}}\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
)


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    """Settings of a node of its own."""
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    (tmp_path / "dynseg.yaml").write_text(yaml.safe_dump({"run_dir": "run", "state_dir": "state"}))
    return settings_module.load(tmp_path / "dynseg.yaml")


@contextmanager
def running(config: Settings):
    """The engine in a thread; gives a function that ends it and returns its exit status."""
    ending = threading.Event()
    status: list[int] = []
    thread = threading.Thread(target=lambda: status.append(process.run(config, PlainCodec(), ending.is_set)))
    thread.start()

    def end() -> int:
        ending.set()
        thread.join(timeout=60)
        return status[0]

    try:
        yield end
    finally:
        end()


def hello(config: Settings, role: str) -> Connection:
    peer = connect(config.engine_socket, timeout=60)
    peer.send(Message("hello", {"role": role, "pid": 1, "version": "0"}))
    return peer


def receive(peer: Connection, kind: str) -> Message:
    """The next message of a kind; others are passed over."""
    while (message := peer.receive()) is not None:
        if message.kind == kind:
            return message
    raise AssertionError(f"closed before {kind}")


def test_control_and_analyzer_are_served(config: Settings) -> None:
    """A VFN is read and given its entries, calls are answered, a proposal is decided and sent to control at once."""
    with running(config) as end:
        control, analyzer = hello(config, "control"), hello(config, "analyzer")
        assert receive(analyzer, "rules").data == {"rules": [], "probation": []}
        control.send(Message("vfn_up", {"dpid": 1, "ports": {"w1": 1}, "down": []}))
        read = receive(control, "read")
        control.send(Message("installed", {**read.data, "kind": "flows", "last": True}, pickle.dumps([])))
        while (apply := receive(control, "apply")).data["urgent"]:
            pass  # meters
        assert len(pickle.loads(apply.body)[1]) > 10
        assert receive(analyzer, "cookies").data["dpid"] == 1
        call = {"request": 7, "method": "status", "params": {}, "actor": "anna", "role": "viewer"}
        control.send(Message("call", call))
        result = receive(control, "result")
        assert (result.data["request"], result.data["status"]) == (7, 200)
        evidence = {"risk": 90, "reasons": ["x"], "evidence_time": time.time()}
        analyzer.send(Message("propose", {"proposal": 1, "action": "isolate", "source_vm": "web1", **evidence}))
        assert receive(analyzer, "decided").data["state"] == "installing"
        assert receive(control, "apply").data["urgent"] is True
        control.close()
        analyzer.close()
        assert end() == 0
    kinds = [row.kind for row in audit.list(config.database)]
    assert kinds == ["started", "ratio", "admitted", "stopped"]
    assert audit.verify(config.database).ok


def test_what_is_sent_is_on_the_disk(config: Settings) -> None:
    """Whoever hears of a decision finds it in the audit log already, as another process reads it."""
    with running(config):
        control = hello(config, "control")
        control.send(Message("vfn_up", {"dpid": 1, "ports": {"w1": 1}, "down": []}))
        receive(control, "read")
        asking = {"actor": "anna", "role": "operator"}
        control.send(Message("call", {"request": 1, "method": "isolate", "params": {"name": "web1"}, **asking}))
        assert receive(control, "apply").data["urgent"] is True
        assert [row.kind for row in audit.list(config.database)] == ["started", "admitted"]
        rule = json.loads(receive(control, "result").body)["id"]
        control.send(Message("call", {"request": 2, "method": "release", "params": {"id": rule}, **asking}))
        receive(control, "result")
        assert [row.kind for row in audit.list(config.database)] == ["started", "admitted", "released"]
        control.close()


def test_what_contains_an_attack_does_not_wait_for_the_disk(config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written by then, and nobody is told that it was decided. What takes a port down waits."""
    free = threading.Event()
    with running(config):
        control, analyzer = hello(config, "control"), hello(config, "analyzer")
        control.send(Message("vfn_up", {"dpid": 1, "ports": {"w1": 1}, "down": []}))
        read = receive(control, "read")
        control.send(Message("installed", {**read.data, "kind": "flows", "last": True}, pickle.dumps([])))
        while receive(control, "apply").data["urgent"]:
            pass  # meters
        monkeypatch.setattr(os, "fdatasync", lambda _file: free.wait(60))
        evidence = {"risk": 90, "reasons": ["x"], "evidence_time": time.time(), "source_vm": "web1"}
        analyzer.send(Message("propose", {"proposal": 1, "action": "rate_limit", "rate": 10, **evidence}))
        limit = receive(control, "apply").data
        assert [row.kind for row in audit.list(config.database)][-1] == "admitted"
        analyzer.send(Message("propose", {"proposal": 2, "action": "isolate", **evidence}))
        for peer, kind in ((control, "apply"), (analyzer, "decided")):
            peer.limit(0.3)
            with pytest.raises(ChannelError, match="timed out"):
                receive(peer, kind)
            peer.limit(60)
        free.set()
        cut = receive(control, "apply").data
        assert [receive(analyzer, "decided").data["proposal"] for _ in range(2)] == [1, 2]
        assert (limit["urgent"], limit.get("down"), cut["down"]) == (True, None, [1])
        control.close()
        analyzer.close()


def test_who_asks_while_nothing_can_be_written_is_told_so(config: Settings) -> None:
    """The policy of before stays whole, and is what the next engine begins with."""
    asking = {"actor": "anna", "role": "operator"}
    documents = [
        f"rules:\n- {{name: {name}, action: allow, from: {{vm: web1}}, to: {{segment: web}}}}\n"
        for name in ("one", "two")
    ]

    def lay_down(control: Connection, number: int) -> Message:
        params = {"text": documents[number]}
        control.send(Message("call", {"request": number, "method": "lay_down", "params": params, **asking}))
        return receive(control, "result")

    with running(config) as end:
        control = hello(config, "control")
        assert lay_down(control, 0).data["status"] == 200
        with closing(sqlite3.connect(config.database)) as other, other:
            other.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        refused = lay_down(control, 1)
        assert (refused.data["request"], refused.data["status"]) == (1, 503)
        assert json.loads(refused.body)["error"] == "not confirmed: the engine's store cannot be written: disk full"
        assert control.receive() is None
        control.close()
        assert end() == 1
    with closing(sqlite3.connect(config.database)) as other, other:
        other.execute("DROP TRIGGER full")
    with running(config):
        control = hello(config, "control")
        control.send(Message("call", {"request": 9, "method": "policy", "params": {}, **asking}))
        assert json.loads(receive(control, "result").body)["text"] == documents[0]
        control.close()


def test_rubbish_and_strangers_do_no_harm(config: Settings) -> None:
    """Bytes that are no message, a role that does not exist, and messages before hello leave it serving."""
    with running(config):
        stranger = hello(config, "visitor")
        stranger.send(Message("vfn_up", {"dpid": 1, "ports": {}}))
        rubbish = connect(config.engine_socket)
        rubbish._sock.sendall(b"\xff" * 64)
        assert rubbish.receive() is None
        control = hello(config, "control")
        control.send(Message("vfn_up", {"dpid": 99, "ports": {}, "down": []}))
        control.send(Message("vfn_up", {"dpid": 1, "ports": {}, "down": []}))
        assert receive(control, "read").data["dpid"] == 1
        for peer in (stranger, rubbish, control):
            peer.close()


def test_a_control_that_returns_is_served_anew(config: Settings) -> None:
    """When control goes, VFNs are away; the next one is served from the start."""
    with running(config):
        for _ in range(2):
            control = hello(config, "control")
            control.send(Message("vfn_up", {"dpid": 1, "ports": {"w1": 1}, "down": []}))
            assert receive(control, "read").data["dpid"] == 1
            control.close()


def test_without_control_it_ends(config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that nobody adopts ends by itself, in order."""
    monkeypatch.setattr(ending, "ORPHAN_SECONDS", 0.2)
    assert process.run(config, PlainCodec(), lambda: False) == 0
    assert [row.kind for row in audit.list(config.database)] == ["started", "stopped"]


def test_a_second_engine_says_that_there_is_one(config: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    """The socket of a living engine is not taken over."""
    with running(config):
        hello(config, "control").close()
        assert process.run(config, PlainCodec(), lambda: True) == 1
    assert "already listens" in capfd.readouterr().err


def test_a_broken_inventory_is_one_readable_line(config: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    """A mistake in the inventory ends the process with its place, and no trace of a stack."""
    config.inventory.write_text(INVENTORY.replace("vfn: v1", "vfn: v2"))
    assert process.run(config, PlainCodec(), lambda: True) == 1
    error = capfd.readouterr().err
    assert "inventory.yaml:4: vms.web1.vfn: no VFN 'v2'" in error
    assert "Traceback" not in error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_real_process_in_order(config: Settings, number: signal.Signals) -> None:
    """`dynseg engine` ends on SIGTERM and SIGINT with status 0, its end on record and its socket gone."""
    environment = {"DYNSEG_CONFIG": str(config.inventory.parent / "dynseg.yaml"), "PATH": "/usr/bin:/bin"}
    engine = subprocess.Popen([sys.executable, "-m", "cli.main", "engine"], cwd=ROOT, env=environment)
    try:
        connect(config.engine_socket, timeout=60).close()
        engine.send_signal(number)
        assert engine.wait(timeout=60) == 0
    finally:
        engine.kill()
        engine.wait()
    assert [row.kind for row in audit.list(config.database)] == ["started", "stopped"]
    assert not config.engine_socket.exists()
