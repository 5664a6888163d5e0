"""The lab's files: inventory and workload."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mininet_labs import workload
from mininet_labs.agent import plan
from mininet_labs.errors import LabError
from mininet_labs.run import ENTERPRISE
from topology import inventory as inventories


@pytest.fixture(scope="module")
def inventory() -> Any:
    return inventories.load(ENTERPRISE / "inventory.yaml")


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """The lab's workload file after a change."""

    def write(change: Callable[[dict[str, Any]], None]) -> Path:
        raw = yaml.safe_load((ENTERPRISE / "workload.yaml").read_text())
        change(raw)
        path = tmp_path / "workload.yaml"
        path.write_text(yaml.safe_dump(raw))
        return path

    return write


def test_enterprise_is_what_the_issue_asks_for(inventory: Any) -> None:
    """Four VFNs, at least twelve VMs in four segments spread over the leaves, two hosts on documentation addresses."""
    assert len(inventory.vfns) == 4
    assert len(inventory.vms) >= 12
    assert set(inventory.segments) - {"outside"} == {"web", "app", "db", "ops"}
    for segment in ("web", "app", "db", "ops"):
        assert len({vm.vfn for vm in inventory.vms.values() if vm.segment == segment}) > 1
    outside = [str(a) for port in inventory.outside.values() for a in port.addresses]
    assert sorted(outside) == ["192.0.2.10", "203.0.113.66"]
    assert inventory.vms["dns1"].protected


def test_every_endpoint_gets_a_plan_that_survives_the_file(inventory: Any, tmp_path: Path) -> None:
    """What an agent reads is what the lab wrote."""
    plans = workload.plans(workload.load(ENTERPRISE / "workload.yaml"), inventory)
    assert set(plans) == {*inventory.vms, *inventory.outside}
    for name, wanted in plans.items():
        wanted.write(tmp_path / name)
        assert plan.read(tmp_path / name) == wanted


def test_nobody_talks_to_the_stranger_and_nobody_to_itself(inventory: Any) -> None:
    """The first contact with the stranger is an attack's, and no VM's traffic stays on the VM."""
    plans = workload.plans(workload.load(ENTERPRISE / "workload.yaml"), inventory)
    targets = {(name, t.name) for name, p in plans.items() for e in p.errands for t in e.targets}
    assert targets
    assert not [pair for pair in targets if pair[1] == "stranger" or pair[0] == pair[1]]
    probes = workload.load(ENTERPRISE / "workload.yaml").probes
    assert "stranger" not in {name for pair in (*probes.innocent, *probes.attacker) for name in pair}


def test_attackers_probes_are_not_innocent(inventory: Any) -> None:
    """A VM that attacks in the demo takes part in no innocent probe."""
    probes = workload.load(ENTERPRISE / "workload.yaml").probes
    assert not {"web1", "web2", "web3"} & {name for pair in probes.innocent for name in pair}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda raw: raw.update(sed=1), "sed"),
        (lambda raw: raw["traffic"][0].update(evry=1), "traffic.0.evry"),
        (lambda raw: raw["services"][1].update(host="x"), "services.1.host"),
        (lambda raw: raw["probes"].update(pairs=[]), "probes.pairs"),
        (lambda raw: raw["traffic"][2].update(every_seconds=0), "traffic.2.every_seconds"),
        (lambda raw: raw["traffic"][1].update(bytes=[9, 3]), "traffic.1"),
        (lambda raw: raw["services"][0].update(port=70000), "services.0.port"),
    ],
)
def test_wrong_keys_and_values_are_refused_by_name(changed: Any, change: Any, key: str) -> None:
    """An unknown key or a value out of range is refused, with file and key in the message."""
    path = changed(change)
    with pytest.raises(LabError) as caught:
        workload.load(path)
    assert caught.value.key == key
    assert str(path) in str(caught.value)


def test_unknown_names_and_missing_services_are_refused(changed: Any, inventory: Any) -> None:
    """A workload that names nobody of the inventory, or asks for what nobody offers, cannot run."""
    path = changed(lambda raw: raw["traffic"][0].update(to=["appp"]))
    with pytest.raises(LabError, match="appp"):
        workload.plans(workload.load(path), inventory)
    path = changed(lambda raw: raw["traffic"][0].update(port=8081))
    with pytest.raises(LabError, match="offers no http on port 8081"):
        workload.plans(workload.load(path), inventory)


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    """A file that is no YAML is refused with its line."""
    path = tmp_path / "workload.yaml"
    path.write_text("seed: 7\nservices: [\n")
    with pytest.raises(LabError) as caught:
        workload.load(path)
    assert caught.value.line == 3
