"""A real control process on free ports, with a small real peer at its engine and analyzer sockets."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from runtime import tokens
from runtime.channel import Message, Server
from runtime.tokens import Role

ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE = 60.0
ON_THIS_MACHINE: dict[str, Any] = {"trust_env": False, "verify": False}
"""How to ask without a proxy, and without reading whom to trust with TLS, which takes longer than the answer."""

INVENTORY: dict[str, Any] = {
    "segments": {"web": None, "db": None},
    "vfns": {"alpha": {"dpid": 0xDC00, "bridge": "tc0"}, "beta": {"dpid": 0xDC01, "bridge": "tc1"}},
    "links": [{"a": "alpha", "a_port": "tc0-up", "b": "beta", "b_port": "tc1-up"}],
    "vms": {
        "web1": {
            "segment": "web",
            "vfn": "alpha",
            "port": "tc0-1",
            "mac": "02:00:00:00:dc:01",
            "addresses": ["10.9.0.1"],
        },
        "db1": {"segment": "db", "vfn": "beta", "port": "tc1-1", "mac": "02:00:00:00:dc:02", "addresses": ["10.9.0.2"]},
    },
}


def until(holds: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """Poll until `holds()` is true and give its value; fail with `what` after the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.01)
    return value


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Peer:
    """The other end of control's channel: notes what comes, sends what it is told, answers calls by `answer`."""

    def __init__(self, path: Path, answer: Callable[[Mapping[str, Any]], tuple[int, Any] | None]) -> None:
        self.got: list[Message] = []
        self._answer = answer
        self._server = Server(path)
        self._sends: list[Message] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def send(self, kind: str, data: Mapping[str, Any], body: bytes = b"") -> None:
        """Send a message to control, which must be connected."""
        self._sends.append(Message(kind, data, body))

    def wait(self, kind: str, seconds: float = DEADLINE, **data: Any) -> Message:
        """The first message of a kind with these fields, taken off the notes."""

        def find() -> Message | None:
            for message in self.got:
                if message.kind == kind and all(message.data.get(key) == value for key, value in data.items()):
                    self.got.remove(message)
                    return message
            return None

        message: Message = until(find, f"{kind} {data}", seconds)
        return message

    def close(self) -> None:
        """End it, as a process that dies would."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        control = None
        while not self._ending.is_set():
            for event in self._server.poll(0.01):
                control = event.peer if event.message is not None else None
                if control is None or event.message is None:
                    continue
                if event.message.kind != "call":
                    self.got.append(event.message)
                elif (answer := self._answer(event.message.data)) is not None:
                    self._server.send(control, _result(event.message.data["request"], *answer))
            while control is not None and self._sends:
                self._server.send(control, self._sends.pop(0))
        self._server.close()


def _result(request: int, status: int, value: Any) -> Message:
    """An answer; one that is bytes already goes into the body."""
    if isinstance(value, bytes):
        return Message("result", {"request": request, "status": status}, value)
    return Message("result", {"request": request, "status": status, "value": value})


@dataclass
class Node:
    """A node of its own: folders, ports, settings, and the control process when started."""

    folder: Path
    manage_bridges: bool = True
    settings: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        self.openflow, self.rest = free_port(), free_port()
        self.settings = {
            "inventory": "inventory.yaml",
            "run_dir": "run",
            "state_dir": "state",
            "openflow": {"port": self.openflow, "statistics_seconds": 0.2},
            "rest": {"port": self.rest},
            "netflow": {"port": free_port(socket.SOCK_DGRAM)},
            "ovsdb": {"manage_bridges": self.manage_bridges},
        }
        self.write(INVENTORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill control if it still runs. Peers of the test are this very process, so nobody is told to end."""
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "DYNSEG_CONFIG": str(self.folder / "dynseg.yaml")}

    def write(self, inventory: Mapping[str, Any]) -> None:
        """Write the settings and an inventory."""
        self.write_settings()
        (self.folder / "inventory.yaml").write_text(yaml.safe_dump(inventory))

    def write_settings(self) -> None:
        """Write the settings."""
        (self.folder / "dynseg.yaml").write_text(yaml.safe_dump(self.settings))

    def start(self, *arguments: str) -> None:
        """Start ryu-manager; `log` has what it says."""
        with (self.folder / "control.log").open("a") as log:
            self.process = subprocess.Popen(
                [Path(sys.executable).with_name("ryu-manager"), *arguments, "ryu_apps/controller.py"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                text=True,
            )

    @property
    def log(self) -> str:
        return (self.folder / "control.log").read_text()

    def end(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Signal control and wait for its end; its exit status."""
        assert self.process is not None
        self.process.send_signal(sign)
        return self.process.wait(timeout=DEADLINE)

    def processes(self) -> Mapping[str, Any]:
        """What control says of the engine and the analyzer."""
        parts: Mapping[str, Any] = self.ask("GET", "/v1/status").json()["control"]["processes"]
        return parts

    def both(self) -> Mapping[str, Any] | None:
        """The same, once both are connected."""
        parts = self.processes()
        return parts if all(part["connected"] for part in parts.values()) else None

    def clean_up(self) -> None:
        """Kill control, and the engine and analyzer that it started: only what is written down and still is that."""
        self.__exit__()
        for name in ("engine", "analyzer"):
            path = self.run_dir / f"{name}.pid"
            pid = int(path.read_text()) if path.exists() else 0
            if pid and f"cli.main {name}" in command_of(pid):
                os.kill(pid, signal.SIGKILL)

    def token(self, role: Role) -> str:
        return next(t.token for t in tokens.load(self.folder / "state" / "tokens.yaml") if t.role is role)

    def ask(self, verb: str, path: str, role: Role | None = Role.ADMIN, **more: Any) -> httpx.Response:
        """A REST request with the token of a role."""
        headers = {} if role is None else {"Authorization": f"Bearer {self.token(role)}"}
        url = f"http://127.0.0.1:{self.rest}{path}"
        return httpx.request(verb, url, headers=headers, timeout=30, **ON_THIS_MACHINE, **more)

    def enforced(self) -> bool:
        """Has the engine read back from every VFN all that it is to hold?"""
        answer = self.ask("GET", "/v1/vfns")
        return answer.is_success and all(vfn["enforced"] for vfn in answer.json())

    def wait_up(self) -> None:
        """Until both ports take connections."""

        def answers() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log
            with contextlib.suppress(OSError):
                for port in (self.openflow, self.rest):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return True
            return False

        until(answers, "control answers")


def command_of(pid: int) -> str:
    """Command line of a process; empty when it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def echo(call: Mapping[str, Any]) -> tuple[int, Any]:
    """Answers a call with what it asked."""
    return 200, {key: call[key] for key in ("method", "params", "actor", "role")}


@contextlib.contextmanager
def answered(folder: Path, answer: Callable[[Mapping[str, Any]], tuple[int, Any]]) -> Iterator[Node]:
    """A running control whose engine and analyzer answer calls like this."""
    with Node(folder, manage_bridges=False) as node:
        node.run_dir.mkdir()
        peers = [Peer(node.run_dir / f"{name}.sock", answer) for name in ("engine", "analyzer")]
        try:
            node.start()
            node.wait_up()
            for peer in peers:
                peer.wait("hello")
            yield node
        finally:
            for peer in peers:
                peer.close()


@contextlib.contextmanager
def bridges(*names: str) -> Iterator[None]:
    """Plain userspace bridges without any setting, each with two internal ports."""
    for name in names:
        ports = [f"-- add-port {name} {name}-{end} -- set Interface {name}-{end} type=internal" for end in ("up", "1")]
        vsctl(f"--if-exists del-br {name} -- add-br {name} -- set Bridge {name} datapath_type=netdev {' '.join(ports)}")
    try:
        yield
    finally:
        for name in names:
            vsctl(f"--if-exists del-br {name}")


def vsctl(arguments: str) -> str:
    """Run ovs-vsctl."""
    done = subprocess.run(
        ["ovs-vsctl", "--timeout=10", *arguments.split()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
