"""The product as a lab uses it: from outside, by its settings file, `ryu-manager`, and REST."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import yaml

from mininet_labs.children import ROOT, Child, module, wait_for
from mininet_labs.errors import LabError
from mininet_labs.machine import free_port
from runtime import settings, tokens


class Product:
    """One dynseg node with folders and ports of its own.

    Args:
        folder: its settings file, sockets and state; removed by whoever made it.
        logs: where control's log goes.
        inventory: the inventory file.
        learn_seconds: how much traffic the analyzer learns from before it judges.
        resolvers: addresses of DNS servers whose answers name addresses.
        sections: of its settings (`engine`, `metrics`), as far as they are not left as they are.
    """

    def __init__(
        self,
        folder: Path,
        logs: Path,
        inventory: Path,
        learn_seconds: float,
        resolvers: Sequence[str] = (),
        sections: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._logs = logs
        self.learn_when = folder / "traffic-runs"
        """Touched by the lab when its traffic runs: learning begins."""
        self.file = folder / "dynseg.yaml"
        written = {**self._settings(folder, inventory, learn_seconds, resolvers), **(sections or {})}
        self.file.write_text(yaml.safe_dump(written, sort_keys=False))
        self.settings = settings.load(self.file)
        self._control: Child | None = None
        self._rest: httpx.Client | None = None

    def _settings(
        self, folder: Path, inventory: Path, learn_seconds: float, resolvers: Sequence[str]
    ) -> dict[str, Any]:
        return {
            "inventory": str(inventory.resolve()),
            "run_dir": str(folder / "run"),
            "state_dir": str(folder / "state"),
            "openflow": {"port": free_port(6653)},
            "rest": {"port": free_port(8080)},
            "netflow": {"port": free_port(2055, socket.SOCK_DGRAM)},
            "taps": {"first_payload": True, "resolvers": list(resolvers)},
            "analyzer": {"learn_seconds": learn_seconds, "learn_when": str(self.learn_when)},
        }

    def start(self, timeout: float = 30.0) -> None:
        """Start `ryu-manager ryu_apps/controller.py` and wait until every VFN enforces its policy.

        Raises:
            LabError: it ended, or the VFNs did not come.
        """
        command = [str(Path(sys.executable).with_name("ryu-manager")), "ryu_apps/controller.py"]
        env = {"DYNSEG_CONFIG": str(self.file)}
        self._control = Child("ryu-manager", command, self._logs / "control.log", env=env, pipe=False)
        wait_for("REST answers", self._answers, timeout)
        wait_for("all VFNs enforce their policy", self._enforces, timeout)

    def stop(self) -> None:
        """End control, and with it engine and analyzer; keep their logs and the database."""
        if self._rest is not None:
            self._rest.close()
        if self._control is None:
            return
        self._control.stop(20.0)
        self._control = None
        for name in ("engine", "analyzer"):
            log = self.settings.run_dir / f"{name}.log"
            if log.exists():
                (self._logs / log.name).write_bytes(log.read_bytes())
        if self.settings.database.exists():
            with closing(sqlite3.connect(self.settings.database)) as source:
                source.execute("VACUUM INTO ?", (str(self._logs / self.settings.database.name),))

    def ask(self, verb: str, path: str, body: Any = None, **query: Any) -> Any:
        """One REST request, with a JSON body if there is one; returns the JSON value.

        Raises:
            LabError: refused, or nobody answers.
        """
        assert self._rest is not None, "start() comes first"
        try:
            response = self._rest.request(verb, f"/v1{path}", params=query, json=body)
        except httpx.HTTPError as error:
            raise LabError(f"REST does not answer: {error!r}", remedy=f"see {self._logs / 'control.log'}") from error
        value = response.json()
        if response.is_error:
            raise LabError(f"{verb} {path}: {value.get('error')}", remedy=value.get("remedy"))
        return value

    def status(self) -> Mapping[str, Any]:
        """`GET /v1/status`."""
        found: Mapping[str, Any] = self.ask("GET", "/status")
        return found

    def phase(self) -> str:
        """What the analyzer is doing: waiting, learning, fitting, judging, or `away`."""
        return str(self.status()["analyzer"].get("phase", "away"))

    def wait_for_analyzer(self, seconds: float = 60.0) -> None:
        """Wait until the analyzer takes what VFNs report; `start` waits for control and engine only.

        Raises:
            LabError: not in time.
        """
        wait_for("the analyzer answers", lambda: self.phase() != "away", seconds)

    def lay_down(self, policy: Path) -> None:
        """Put a policy file in force and wait until every VFN has confirmed it.

        Raises:
            LabError: refused, or not confirmed in time.
        """
        self.ask("PUT", "/policy", {"text": policy.read_text(), "folder": str(policy.resolve().parent)})
        self.wait_for_policy()

    def wait_for_policy(self, seconds: float = 30.0) -> None:
        """Wait until every VFN has been read back with the policy that was laid down last.

        Raises:
            LabError: not in time.
        """
        wait_for("the policy is enforced", lambda: self.ask("GET", "/policy")["state"] == "enforced", seconds)

    def rules(self) -> list[dict[str, Any]]:
        """All rules that there ever were, oldest first."""
        return sorted(self.ask("GET", "/rules"), key=lambda rule: float(rule["created"]))

    def audit(self) -> list[dict[str, Any]]:
        """The whole audit log."""
        rows: list[dict[str, Any]] = []
        while page := self.ask("GET", "/audit", after=rows[-1]["seq"] if rows else 0, limit=1000):
            rows += page
        return rows

    def risk(self, since: float) -> list[dict[str, Any]]:
        """The analyzer's time line of risk."""
        found: list[dict[str, Any]] = self.ask("GET", "/risk", since=since)
        return found

    def analyzer_pid(self) -> int | None:
        """Process id of the analyzer, None while there is none."""
        found: int | None = self.status()["control"]["processes"]["analyzer"]["pid"]
        return found

    def kill_analyzer(self) -> int:
        """End the analyzer with KILL; returns its process id."""
        pid = self.analyzer_pid()
        if pid is None:
            raise LabError("there is no analyzer to kill")
        os.kill(pid, signal.SIGKILL)
        return pid

    def _answers(self) -> bool:
        assert self._control is not None
        if (status := self._control.process.poll()) is not None:
            words = self._control.log.read_text().strip().splitlines()
            raise LabError(f"ryu-manager ended with status {status}: {words[-1] if words else 'no word'}")
        if self._rest is None:
            if not self.settings.tokens_file.exists():
                return False
            token = next(t for t in tokens.load(self.settings.tokens_file) if t.role == tokens.Role.OPERATOR)
            base = f"http://{self.settings.rest.listen}:{self.settings.rest.port}"
            headers = {"Authorization": f"Bearer {token.token}"}
            self._rest = httpx.Client(base_url=base, headers=headers, timeout=10.0, trust_env=False)
        try:
            return bool(self.status()["control"]["vfns"])
        except LabError:
            return False

    def _enforces(self) -> bool:
        try:
            vfns = self.ask("GET", "/vfns")
        except LabError:
            return False  # the engine is still starting
        return bool(vfns) and all(vfn["connected"] and vfn["enforced_ratio"] == 1.0 for vfn in vfns)


def dynseg(config: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command `dynseg` as an operator does, with a node's settings file."""
    env = {**os.environ, "DYNSEG_CONFIG": str(config)}
    return subprocess.run(
        module("cli.main", *arguments), check=False, capture_output=True, text=True, env=env, cwd=ROOT, timeout=120
    )


def verify_audit(config: Path) -> tuple[bool, str]:
    """Run `dynseg audit verify`; returns whether the chain holds, and what it said."""
    done = dynseg(config, "audit", "verify")
    return done.returncode == 0, (done.stdout + done.stderr).strip()
