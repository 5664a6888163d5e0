"""`python -m mininet_labs.record --out FILE`: labelled flows of a lab, for the classifier of known attacks.

The lab's ordinary work, then one attack after the other, while the analyzer only learns, so that nobody stops them.
What VFNs reported is taken from its archive, in the common schema: what an attacker opened towards its targets while it
attacked is the attack's, flows that touch an attacker otherwise in that time are nobody's, the rest is benign.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mininet_labs.attacks import catalogue
from mininet_labs.attacks.catalogue import Attack
from mininet_labs.children import exit_when_told, wait_for
from mininet_labs.errors import LabError
from mininet_labs.product import dynseg
from mininet_labs.run import LabRun, Progress
from mininet_labs.workload import address, endpoints
from runtime.errors import DynsegError
from topology.model import Inventory

CALM_SECONDS = 25.0
"""Ordinary work before the first attack."""
ATTACK_SECONDS = 8.0
PAUSE_SECONDS = 2.0
SETTLE_SECONDS = 10.0
"""NetFlow's last record of a flow comes five seconds after its last packet."""
CLASSES = {
    "scan": "scan",
    "worm": "scan",
    "flood": "flood",
    "brute_force": "brute-force",
    "exfiltration": "exfiltration",
}
"""By the name of the attack."""


@dataclass(frozen=True)
class Deed:
    """An attack that was carried out."""

    attack: Attack
    begin: float
    end: float


def attacks(inventory: Inventory, log: Path) -> tuple[Attack, ...]:
    """One of each kind."""
    return (
        catalogue.scan(inventory, "web1", "db", log),
        catalogue.worm(inventory, "web2", ("app", "db")),
        catalogue.brute_force(inventory, "web3", "db1"),
        catalogue.flood(inventory, "app1", "db2", 5432, rate=400),
        catalogue.exfiltration(inventory, "app2", "stranger"),
    )


def record(out: Path) -> pd.DataFrame:
    """Run the lab; its flows, labelled."""
    with LabRun(out, 3600.0, Progress()) as run:
        run.product.wait_for_analyzer(180.0)  # its first start compiles
        wait_for("the analyzer learns", lambda: run.product.phase() == "learning", 60.0)
        run.calm(CALM_SECONDS)
        deeds = [_carry_out(run, attack) for attack in attacks(run.inventory, run.logs / "nmap.txt")]
        run.calm(SETTLE_SECONDS)
        run.product.stop()
        return labelled(_archived(run.product.file), deeds, run.inventory)


def labelled(flows: pd.DataFrame, deeds: Sequence[Deed], inventory: Inventory) -> pd.DataFrame:
    """Flows in the common schema with `label` and `label_detail`; without those that nobody can tell about."""
    ends = endpoints(inventory)
    flows = flows.assign(label="benign", label_detail="lab")
    unsure = pd.Series(False, flows.index)
    for deed in deeds:
        attacker = str(address(ends[deed.attack.vm]))
        targets = {str(address(ends[name])) for name in deed.attack.targets}
        during = (flows["end"] >= deed.begin) & (flows["start"] <= deed.end)
        touched = during & ((flows["src_ip"] == attacker) | (flows["dst_ip"] == attacker))
        own = touched & (flows["src_ip"] == attacker) & flows["dst_ip"].isin(targets) & (flows["start"] >= deed.begin)
        unsure |= touched & ~own
        flows.loc[own, "label"], flows.loc[own, "label_detail"] = "malicious", CLASSES[deed.attack.name]
    return flows[~unsure]


def _archived(config: Path) -> pd.DataFrame:
    told = dynseg(config, "flows", "--common-schema")
    if told.returncode:
        raise LabError(f"the archive cannot be read: {told.stderr.strip()}")
    return pd.read_csv(io.StringIO(told.stdout))


def _carry_out(run: LabRun, attack: Attack) -> Deed:
    run.moment(attack.title)
    begin = time.time()
    with run.under(attack, attack.name):
        run.calm(ATTACK_SECONDS)
    deed = Deed(attack, begin, time.time())
    run.calm(PAUSE_SECONDS)
    return deed


def main(arguments: Sequence[str] | None = None) -> int:
    """Record; returns the exit status."""
    parser = argparse.ArgumentParser(description="record labelled flows of a lab")
    parser.add_argument("--out", type=Path, default=Path("out/lab/flows.csv.gz"))
    out: Path = parser.parse_args(arguments).out
    out.parent.mkdir(parents=True, exist_ok=True)
    exit_when_told()
    try:
        flows = record(out.parent)
        if missing := set(CLASSES.values()) - set(flows["label_detail"]):
            raise LabError(f"nothing was recorded of {', '.join(sorted(missing))}", remedy=f"see {out.parent / 'logs'}")
    except KeyboardInterrupt:
        print("interrupted; everything is taken down", file=sys.stderr)
        return 130
    except DynsegError as error:
        print(f"record: {error}", file=sys.stderr)
        return 1
    flows.to_csv(out, index=False)
    counts = flows.groupby(["label", "label_detail"]).size()
    print(f"written to {out}:\n{counts.to_string()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
