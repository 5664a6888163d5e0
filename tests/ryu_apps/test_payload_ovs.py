"""Payload inspection on a whole node: control, engine, analyzer, Open vSwitch, and TCP with a planted secret.

What the run leaves behind, every file of it, is searched for the secret at the end.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from support import namespaces
from support.control import INVENTORY, Node, until
from support.namespaces import run

from cli.main import main

pytestmark = [pytest.mark.ovs, pytest.mark.slow]

VMS = {"web1": ("10.9.7.1", "02:00:00:00:da:01"), "db1": ("10.9.7.2", "02:00:00:00:da:02")}
SERVE = """
import socket
server = socket.create_server(("10.9.7.2", 8080))
print("up", flush=True)
while True:
    talk, _ = server.accept()
    with talk:
        if talk.recv(4096):
            talk.send(b"thank you")
"""
SAY = """
import socket, sys
with socket.create_connection(("10.9.7.2", 8080), 5) as talk:
    talk.send(sys.stdin.buffer.read())
    print(talk.recv(100).decode())
"""
RULE = "rule planted { strings: $a = /PLANTED-[0-9a-f]{32}/ condition: $a }"


def inside(vm: str, *command: str) -> tuple[str, ...]:
    """A command in a VM's namespace."""
    return namespaces.inside("py", vm, *command)


@pytest.fixture
def vms() -> Iterator[None]:
    """Two namespaces with fixed neighbours on a bridge."""
    with namespaces.pair("py", VMS):
        yield


@pytest.fixture
def server(vms: None) -> Iterator[None]:
    """A TCP server in db1."""
    with subprocess.Popen(inside("db1", sys.executable, "-c", SERVE), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        try:
            yield
        finally:
            process.kill()


@pytest.fixture
def node(server: None, tmp_path: Path) -> Iterator[Node]:
    """Control with the real engine and analyzer, the pipeline in place."""
    ends = {
        vm: {"segment": vm[:-1], "vfn": "alpha", "port": f"py{vm[0]}-sw", "mac": mac} | {"addresses": [address]}
        for vm, (address, mac) in VMS.items()
    }
    vfns = {"alpha": {**INVENTORY["vfns"]["alpha"], "bridge": "py0"}}
    (tmp_path / "patterns").mkdir()
    (tmp_path / "patterns" / "secrets.yar").write_text(RULE)
    with Node(tmp_path) as node:
        node.settings |= {"payload": {"patterns": "patterns"}, "archive": {"batch_seconds": 0.5}}
        node.settings["log_level"] = "DEBUG"
        node.write({**INVENTORY, "vms": ends, "vfns": vfns, "links": []})
        try:
            node.start()
            node.wait_up()
            until(node.both, "engine and analyzer")
            until(
                lambda: all(vfn["enforced_ratio"] == 1.0 for vfn in node.ask("GET", "/v1/vfns").json()), "the pipeline"
            )
            yield node
        finally:
            node.clean_up()


def say(secret: str) -> None:
    """web1 sends the secret to db1 in a connection of its own."""
    assert run(*inside("web1", sys.executable, "-c", SAY), stdin=f"note {secret} end".encode()) == "thank you\n"


def entries() -> list[str]:
    """The entries of the real switch that copy payload."""
    dump = run("ovs-ofctl", "-O", "OpenFlow13", "--names", "dump-flows", "py0")
    return [line.strip() for line in dump.splitlines() if "max_len=1600" in line]


def cookies() -> set[str]:
    return {match for line in entries() for match in re.findall(r"cookie=(0x[0-9a-f]+)", line)}


def packets(lines: list[str]) -> int:
    return sum(int(found) for line in lines for found in re.findall(r"n_packets=(\d+)", line))


def analyzer(node: Node) -> dict[str, Any]:
    """What the analyzer says of itself, as soon as it finds the time."""

    def told() -> dict[str, Any] | None:
        said: dict[str, Any] = node.ask("GET", "/v1/status").json()["analyzer"]
        return None if "error" in said else said

    answer: dict[str, Any] = until(told, "the analyzer answers")
    return answer


def payload(node: Node) -> dict[str, Any]:
    """What the analyzer says of payload."""
    told: dict[str, Any] = analyzer(node)["payload"]
    return told


def audited(node: Node, kind: str) -> list[dict[str, Any]]:
    """Bodies of a kind of audit rows."""
    return [row["body"] for row in node.ask("GET", f"/v1/audit?kind={kind}&limit=1000").json()]


def found(node: Node) -> list[dict[str, Any]]:
    """What patterns have matched, as the audit log tells it."""
    return [body for body in audited(node, "detection") if body["behaviour"].startswith("payload:")]


def leaves_no_core(pid: int) -> bool:
    """May this process write no core file?"""
    limits = Path(f"/proc/{pid}/limits").read_text()
    (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    return core.split()[4:6] == ["0", "0"]


def dynseg(node: Node, *arguments: str) -> Any:
    """A command of the command line, and its answer."""
    done = CliRunner().invoke(main, [*arguments, "--json"], env=node.environment)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def grant(node: Node, seconds: float) -> str:
    """Lay down a consent for web1 by the command line; its id once the switch copies."""
    until_ = datetime.fromtimestamp(time.time() + seconds, UTC).isoformat()
    words = {"vm": "web1", "purpose": "find what was planted", "patterns": ["secrets:planted"]}
    path = node.folder / "consent.yaml"
    path.write_text(yaml.safe_dump({**words, "agreed_by": "its owner", "until": until_}))
    identity = str(dynseg(node, "consent", "grant", str(path))["id"])
    until(lambda: any(body["consent"] == identity for body in audited(node, "inspecting")), "read back with copies")
    return identity


def untouched_by(node: Node, secret: str) -> None:
    """Said again, the secret is neither copied by the switch nor seen by the analyzer."""
    before = payload(node)["copies"]
    assert entries() == []
    say(secret)
    # Copies of the connection's opening come the same way; when they are there, payload would be.
    opened = analyzer(node)["copies"]
    say(secret)
    until(lambda: analyzer(node)["copies"] > opened, "the opening's copy")
    assert payload(node)["copies"] == before


def traces(folder: Path, secret: str) -> list[str]:
    """Files below a folder with the secret, or half of it: as it is, in hex, or in base64 at any offset."""
    forms: set[bytes] = set()
    for part in (secret[len("PLANTED-") :][:16], secret[-16:]):
        raw = part.encode()
        forms |= {raw, raw.hex().encode(), raw.hex().upper().encode(), bytes.fromhex(part)}
        forms |= {base64.b64encode(bytes(shift) + raw)[(shift * 8 + 5) // 6 : -4] for shift in range(3)}
    found = []
    for path in (path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":  # compressed
            content += json.dumps(pq.read_table(path).to_pylist(), default=str).encode()
        found += [f"{path}: {form!r}" for form in forms if form in content]
    return found


def goes_on_after_a_crash(node: Node, secret: str) -> None:
    """Engine and analyzer are killed: the switch keeps its entries, and new ones go on by what was agreed to."""
    held, told = cookies(), len(found(node))
    before = {name: part["pid"] for name, part in node.processes().items()}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    until(lambda: (now := node.both()) and all(now[name]["pid"] != before[name] for name in before), "new ones")
    until(lambda: payload(node)["consents"] == 1, "the analyzer was told")
    until(lambda: all(vfn["enforced_ratio"] == 1.0 for vfn in node.ask("GET", "/v1/vfns").json()), "read back")
    assert cookies() == held
    say(secret)
    until(lambda: len(found(node)) > told, "found again")


def test_a_planted_secret_is_found_and_leaves_no_trace(node: Node) -> None:
    """Only under a consent, until it ends; what is told has rule, place and hash; no file has any of the secret."""
    secret = f"PLANTED-{secrets.token_hex(16)}"
    untouched_by(node, secret)
    assert payload(node)["running"] is False

    identity = grant(node, 600.0)
    ports = {line for line in entries() if "table=2," in line}
    assert ports
    assert all('in_port="pyw-sw"' in line for line in ports), ports
    say(secret)
    (body, *_) = until(lambda: found(node), "the secret is found")
    assert (body["vm"], body["behaviour"]) == ("web1", "payload:secrets:planted")
    assert f"consent {identity}" in body["reasons"][0]
    assert re.search(r"at byte 5 \(hash [0-9a-f]{16}\)", body["reasons"][0])
    until(lambda: packets(entries()) > 0, "the switch adds up what its cache has counted")
    assert node.ask("GET", "/v1/rules").json() == [], "it only tells"
    goes_on_after_a_crash(node, secret)

    for pair in (("web1", "db1"), ("db1", "web1")):
        assert dynseg(node, "explain", *pair, "--protocol", "udp")["agree"], "policy, entries and switch"
    assert node.process is not None
    assert leaves_no_core(node.process.pid)
    assert leaves_no_core(node.processes()["analyzer"]["pid"])

    began = time.monotonic()
    assert dynseg(node, "consent", "withdraw", identity, "--reason", "enough")["state"] == "withdrawn"
    # Answer and deletion are under way together: to a busy switch the one comes as fast as ever, the other does not.
    until(lambda: entries() == [], "gone from the switch")
    print(f"withdrawn, and gone from the switch, within {time.monotonic() - began:.3f} s of the command")
    until(lambda: any(body["consent"] == identity for body in audited(node, "inspection_over")), "read back without")
    untouched_by(node, secret)

    short = grant(node, 10.0)  # time enough to be read back on a busy machine
    until(lambda: any(body["consent"] == short for body in audited(node, "consent_expired")), "expired")
    until(lambda: entries() == [], "gone by itself")
    untouched_by(node, secret)
    assert audited(node, "drift") == []

    kinds = [row["kind"] for row in node.ask("GET", "/v1/audit?limit=1000").json() if identity in str(row["body"])]
    assert [kind for kind in kinds if kind != "detection"] == [
        "consent_granted", "inspecting", "consent_withdrawn", "inspection_over",
    ]  # fmt: skip
    assert node.end(signal.SIGTERM) == 0
    until(lambda: not (node.run_dir / "analyzer.sock").exists(), "the analyzer has written everything")
    assert list((node.folder / "state").rglob("*.parquet")), "the archive was written"
    assert traces(node.folder, secret) == []


def test_the_search_for_traces_finds_them(tmp_path: Path) -> None:
    """A search that cannot find proves nothing."""
    secret = f"PLANTED-{secrets.token_hex(16)}"
    raw = secret.encode()
    forms = (raw, raw.hex().encode(), raw.hex().upper().encode(), *(base64.b64encode(b"x" * n + raw) for n in range(3)))
    for number, form in enumerate(forms):
        (tmp_path / "log").write_bytes(b"before " + form + b" after")
        assert traces(tmp_path, secret), number
    (tmp_path / "log").write_bytes(b"nothing")
    assert traces(tmp_path, secret) == []
