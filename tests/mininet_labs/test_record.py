"""Labels of flows that a lab recorded."""

from pathlib import Path

import pandas as pd

from mininet_labs.attacks import catalogue
from mininet_labs.record import Deed, labelled
from mininet_labs.run import ENTERPRISE
from mininet_labs.workload import address, endpoints
from topology import inventory as inventories


def test_only_what_an_attacker_opened_towards_its_targets_is_the_attack(tmp_path: Path) -> None:
    """Other talk of the attacker meanwhile is nobody's, the rest is benign, and so is the attacker before and after."""
    inventory = inventories.load(ENTERPRISE / "inventory.yaml")
    web1, db1, app1 = (str(address(endpoints(inventory)[name])) for name in ("web1", "db1", "app1"))
    attack = catalogue.scan(inventory, "web1", "db", tmp_path / "nmap.txt")
    rows = [
        (110.0, 111.0, web1, db1, "malicious", "scan"),
        (110.0, 111.0, web1, app1, None, None),
        (110.0, 111.0, db1, web1, None, None),
        (99.0, 105.0, web1, db1, None, None),
        (110.0, 111.0, app1, db1, "benign", "lab"),
        (50.0, 60.0, web1, db1, "benign", "lab"),
        (130.0, 131.0, web1, db1, "benign", "lab"),
    ]
    flows = pd.DataFrame(rows, columns=["start", "end", "src_ip", "dst_ip", "label", "label_detail"])
    found = labelled(flows[["start", "end", "src_ip", "dst_ip"]], [Deed(attack, 100.0, 120.0)], inventory)
    told = flows.dropna()
    assert found[["label", "label_detail"]].to_numpy().tolist() == told[["label", "label_detail"]].to_numpy().tolist()
    assert found.index.tolist() == told.index.tolist()
