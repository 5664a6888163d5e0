"""A run of a lab: network, product, crew and instruments put together.

The demo and the benchmarks tell their stories with it.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mininet_labs import machine, workload
from mininet_labs.attacks.catalogue import Attack
from mininet_labs.attacks.raw import begun
from mininet_labs.children import ENDING, ROOT, end, wait_for
from mininet_labs.crew import Crew
from mininet_labs.errors import LabError
from mininet_labs.evidence import Barred, Evidence, Explained, Moment, Release, Rule, Strike
from mininet_labs.instruments import EchoMeter, Prober, Watcher
from mininet_labs.network import LabNetwork
from mininet_labs.product import Product, verify_audit
from topology import inventory as inventories

ENTERPRISE = Path(__file__).with_name("enterprise")
LIVE = ("installing", "enforced")
DETECTION_LIMIT = 20.0
"""Seconds within which an attack has to be answered."""


class Progress:
    """Plain lines with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, text: str) -> None:
        """Print one line."""
        print(f"[{time.monotonic() - self._start:6.1f} s] {text}", flush=True)


class LabRun:
    """A lab that runs, as a context manager; afterwards the machine is as it was.

    Args:
        out: folder for logs; made when absent.
        learn_seconds: traffic that the analyzer learns from.
        say: told what happens.
        lab: folder with `inventory.yaml`, `policy.yaml` and `workload.yaml`.
        engine: settings of the engine that differ from what they are by default.
        metrics: the same of the section `metrics`; without it no metrics are written.
    """

    def __init__(
        self,
        out: Path,
        learn_seconds: float,
        say: Callable[[str], None],
        lab: Path = ENTERPRISE,
        engine: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        self.inventory = inventories.load(lab / "inventory.yaml")
        self.workload = workload.load(lab / "workload.yaml")
        self._inventory_file = lab / "inventory.yaml"
        self._policy_file = lab / "policy.yaml"
        self._learn_seconds = learn_seconds
        self._sections = {"engine": dict(engine or {}), "metrics": dict(metrics or {})}
        self._say = say
        self.logs = out / "logs"
        self._stack = ExitStack()
        self._strikes: list[Strike] = []
        self._releases: list[Release] = []
        self._barred: list[Barred] = []
        self._moments: list[Moment] = []
        self._risk: list[dict[str, Any]] = []
        self._explained: list[Explained] = []

    def __enter__(self) -> Self:
        """Bring everything up until every VFN enforces its policy and the traffic runs.

        Raises:
            LabError: the machine lacks something, or a part did not come up.
        """
        machine.check()
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        try:
            self._bring_up()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._say("taking the lab down")
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, *ENDING)}
        try:
            self._stack.close()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _bring_up(self) -> None:
        self.started = time.time()
        if not self._stack.enter_context(machine.open_vswitch()):
            self._say("Open vSwitch started")
        self.network = self._stack.enter_context(LabNetwork(self.inventory))
        self._say(f"network up: {len(self.inventory.vfns)} VFNs, {len(self.inventory.vms)} VMs in"
                  f" {len(self.inventory.segments)} segments, {len(self.inventory.outside)} hosts outside")  # fmt: skip
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="dynseg-lab-")))
        known = workload.resolvers(self.workload, self.inventory)
        self.product = Product(folder, self.logs, self._inventory_file, self._learn_seconds, known, self._sections)
        self._stack.callback(self.product.stop)
        self.product.start()
        self.product.lay_down(self._policy_file)
        self.enforcing = time.time()
        self._say(f"ryu-manager runs; every VFN enforces {self._policy_file.name}")
        ports = self.product.settings.openflow
        self._echo = EchoMeter(ports.listen, ports.port, self.logs)
        self._stack.callback(self._echo.close)
        self.crew = Crew(self.network, self.workload, self.logs / "agents")
        self._stack.callback(self.crew.stop)
        self.crew.start()
        self.crew.work()
        probes = self.workload.probes
        pairs = (*probes.innocent, *probes.attacker)
        self._prober = self._probe(pairs, "probes")
        self._extra: list[Prober] = []
        self.product.learn_when.touch()
        self._say(f"workload and {len(pairs)} probes of {probes.rate} Hz run")

    def learn(self) -> None:
        """Wait until the analyzer has its baseline and judges.

        Raises:
            LabError: it takes three times as long as it was told to.
        """
        self._say(f"learning what is normal ({self._learn_seconds:.0f} s)")
        wait_for("the analyzer judges", lambda: self.product.phase() == "judging", 3 * self._learn_seconds + 60, 0.25)
        self.moment("baseline learned, judging")

    def calm(self, seconds: float) -> None:
        """Let ordinary traffic run for a while."""
        time.sleep(seconds)

    def note_risk(self) -> None:
        """Keep the analyzer's time line of risk so far: it lives in the analyzer's memory only."""
        since = self._risk[-1]["time"] if self._risk else self.started
        self._risk += self.product.risk(since)

    def moment(self, text: str) -> None:
        """Note and say that something happened."""
        self._moments.append(Moment(time.time(), text))
        self._say(text)

    def barred(self, errands: tuple[str, ...], start: float, end: float) -> None:
        """Note that a policy which harms kept errands from working between two times (epoch seconds)."""
        self._barred.append(Barred(errands, start, end))

    def strike(self, attack: Attack, linger: float, probe: tuple[str, str] | None = None) -> Strike:
        """Carry out an attack until it is answered, and then on for `linger` seconds.

        Args:
            attack: what to do.
            linger: seconds that it goes on after its rule is enforced: the cut has to hold.
            probe: a pair whose probe is part of the attack and starts with it.
        """
        number = len(self._strikes) + 1
        name = f"{number}-{attack.name}"
        watcher = Watcher(self.network, attack, self.workload.probes.port, self.logs, f"watch-{name}")
        self._say(attack.title)
        start = time.time()
        try:
            with self.under(attack, name):
                if probe is not None:
                    self._extra.append(self._probe((probe,), f"probes-{name}"))
                rule = self._answer_to(attack, start)
                time.sleep(linger)
        finally:
            watch = watcher.stop()
        watch = watch.since(begun(self._attack_log(name)) or start)
        strike = Strike(attack, start, time.time(), watch, rule)
        self._strikes.append(strike)
        self._say(_outcome(strike))
        return strike

    @contextmanager
    def under(self, attack: Attack, name: str) -> Iterator[None]:
        """An attack goes on; what its tool says is in the log of that name."""
        with self._attack_log(name).open("wb") as log:
            process = self.network.popen(attack.vm, attack.command, output=log, cwd=ROOT)
        try:
            yield
        finally:
            end(process)

    def _attack_log(self, name: str) -> Path:
        return self.logs / f"attack-{name}.log"

    def explain(self, source: str, destination: str, port: int, expected: str) -> None:
        """Ask which rule decides about a TCP packet; `expected` is its name, or `default of SEGMENT`."""
        found = self.product.ask("GET", "/explain", source=source, destination=destination, port=port)
        self._explained.append(Explained(f"{source} to {destination}:{port}", expected, found))

    def standing(self, vm: str) -> list[Rule]:
        """Rules that are in force about a VM, the highest step first."""
        live = [rule for rule in self.product.rules() if rule["source_vm"] == vm and rule["state"] in LIVE]
        return sorted(live, key=lambda rule: rule["action"] != "isolate")

    def release(self, rule: Rule) -> None:
        """Release a rule through REST, as an operator does."""
        self._releases.append(Release(rule["id"], rule["source_vm"], time.time()))
        self.product.ask("DELETE", f"/rules/{rule['id']}")

    def probe_returns(self, vm: str, since: float) -> bool:
        """Has a probe of the VM that was sent after `since` come back?"""
        name = vm + ">"
        return any(sent > since for pair, sent in self._prober.returned().items() if pair.startswith(name))

    def finish(self) -> Evidence:
        """Bring traffic and instruments to rest, collect what the product says, and stop it."""
        probes = self._prober.stop()
        for prober in self._extra:
            probes.update(prober.stop())
        echo = self._echo.stop()
        ended = time.time()
        work = self.crew.rest()
        self._say("workload at rest; reading rules and audit")
        self.note_risk()
        rules, audit, hits = self.product.rules(), self.product.audit(), self.product.ask("GET", "/hits")
        self.product.stop()
        verified, words = verify_audit(self.product.file)
        return Evidence(
            started=self.started,
            enforcing=self.enforcing,
            ended=ended,
            strikes=tuple(self._strikes),
            releases=tuple(self._releases),
            barred=tuple(self._barred),
            probes=probes,
            innocent=tuple(f"{a}>{b}" for a, b in self.workload.probes.innocent),
            echo=echo,
            work=work,
            rules=tuple(rules),
            audit=tuple(audit),
            risk=tuple(self._risk),
            moments=tuple(self._moments),
            hits=tuple(hits),
            explained=tuple(self._explained),
            audit_verified=verified,
            audit_words=words,
        )

    def _probe(self, pairs: tuple[tuple[str, str], ...], name: str) -> Prober:
        probes = self.workload.probes
        prober = Prober(self.network, pairs, self.logs, name, rate=probes.rate, port=probes.port)
        self._stack.callback(prober.close)
        return prober

    def _answer_to(self, attack: Attack, start: float) -> Rule | None:
        """The isolation of the attacker, once it is enforced; None when none came in time."""
        found: list[Any] = []

        def enforced() -> bool:
            found[:] = [
                rule
                for rule in self.product.rules()
                if rule["source_vm"] == attack.vm
                and rule["action"] == "isolate"
                and rule["created"] >= start
                and rule["state"] == "enforced"
            ]
            return bool(found)

        try:
            wait_for(f"{attack.vm} isolated", enforced, DETECTION_LIMIT, 0.1)
        except LabError:
            return None
        rule: Rule = found[0]
        return rule


def _outcome(strike: Strike) -> str:
    vm = strike.attack.vm
    if strike.rule is None or strike.contained_seconds is None:
        return f"{vm} was not isolated"
    reasons = "; ".join(strike.rule["reasons"])
    return (f"{vm} isolated {strike.contained_seconds:.2f} s after the first packet, risk {strike.rule['risk']:.0f}"
            f" ({reasons}); {strike.sent_after} attack packets sent since, {strike.forwarded_after} of its packets"
            " delivered")  # fmt: skip
