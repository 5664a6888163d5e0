"""Bridges for a measurement, gone after its block; what a killed run left, `mininet_labs.marks` sweeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mininet_labs import marks


@contextmanager
def bridges(names: Sequence[str]) -> Iterator[None]:
    """Bridges in userspace without ports or controller, which forward nothing until they are told to.

    Raises:
        LabError: one of them is there already and is not ours.
    """
    settings = ["datapath_type=netdev", "fail_mode=secure", "protocols=OpenFlow13", marks.own()]
    adds = [word for name in names for word in ("--", "add-br", name, "--", "set", "Bridge", name, *settings)]
    try:
        marks.run("ovs-vsctl", *adds)
        yield
    finally:
        marks.remove_own()
