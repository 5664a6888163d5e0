"""The compiler's input as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.acl import Policy
from policies.pipeline.taps import Taps
from policies.rules import FirewallRule
from topology.model import Inventory

Rules = Mapping[str, tuple[FirewallRule, ...]]
"""Firewall rules by the id of their segmentation rule."""


@dataclass(frozen=True)
class Network:
    """Everything that decides what the VFNs must hold."""

    inventory: Inventory
    policy: Policy = field(default_factory=Policy)
    rules: Rules = field(default_factory=dict)
    ports: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """OpenFlow port number by interface name, by VFN. Ends and cables whose port is absent get no entries."""
    taps: Taps = field(default_factory=Taps)
    """What is copied for the analyzer."""
    inspected: frozenset[str] = frozenset()
    """Names of VMs under a consent: their payload is copied."""
