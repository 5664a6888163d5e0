"""The network that the compile is measured on."""

from __future__ import annotations

import random

from benchmarks.vfn import compile as compiling
from benchmarks.vfn.bench import Bench
from policies.pipeline.compile import missing_ports


def small(monkeypatch) -> None:
    """A twentieth of everything."""
    for name in ("VMS", "SEGMENTS", "VFNS", "RULES"):
        monkeypatch.setattr(compiling, name, getattr(compiling, name) // 20)


def test_every_port_of_the_network_is_there(monkeypatch) -> None:
    """No VFN lacks a port of its VMs or cables, or it would be compiled without them."""
    small(monkeypatch)
    network = compiling.large_network()
    assert len(network.inventory.vms) == 500
    assert {missing_ports(network.inventory, vfn, network.ports[vfn]) for vfn in network.inventory.vfns} == {()}


def test_one_vm_moves_at_a_time(monkeypatch) -> None:
    """A move changes the segment of one VM and leaves everything else as it is, by identity."""
    small(monkeypatch)
    before = compiling.large_network()
    after = compiling.moved(before, random.Random(1))
    changed = [name for name, vm in after.inventory.vms.items() if vm is not before.inventory.vms[name]]
    assert len(changed) == 1
    assert after.inventory.vms[changed[0]].segment != before.inventory.vms[changed[0]].segment
    assert after.policy is before.policy


def test_it_measures_both_figures(monkeypatch, tmp_path) -> None:
    """A row for the whole and one for a move, with how many entries a VFN has."""
    small(monkeypatch)
    whole, move = compiling.rows(Bench(lambda _: None, tmp_path))
    assert whole.value is not None
    assert move.value is not None
    assert "entries a VFN: least" in str(whole.reason)
