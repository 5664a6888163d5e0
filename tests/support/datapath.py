"""What the data path of the local Open vSwitch has cached, and putting something wrong there."""

from __future__ import annotations

import subprocess


def appctl(*words: str) -> str:
    """Run ovs-appctl, which must succeed; its output."""
    return subprocess.run(["ovs-appctl", *words], check=True, capture_output=True, text=True).stdout


def works(*command: str) -> bool:
    """Run a command; did it succeed?"""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def spoil(interface: str) -> None:
    """Have the data path drop the IPv4 packets of an interface of which it has one cached decision.

    The revalidators go on believing what they have put there, and mend nothing.
    """
    lines = appctl("dpctl/dump-flows", "-m", "--names").splitlines()
    cached = [line.partition(", packets:")[0] for line in lines if "eth_type(0x0800)" in line]
    (flow,) = [flow for flow in cached if f"in_port({interface})" in flow]
    appctl("dpctl/mod-flow", flow, "drop")
