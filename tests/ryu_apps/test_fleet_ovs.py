"""Many bridges at one control."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.control import Node, until, vsctl

pytestmark = [pytest.mark.ovs, pytest.mark.slow]

BRIDGES = [f"fl{number}" for number in range(40)]
INVENTORY: dict[str, Any] = {
    "segments": {"web": None},
    "vfns": {name: {"dpid": 0xF100 + number} for number, name in enumerate(BRIDGES)},
    "links": [{"a": BRIDGES[0], "a_port": f"{name}-core", "b": name, "b_port": f"{name}-up"} for name in BRIDGES[1:]],
}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    vsctl(" ".join(f"-- --may-exist add-br {name} -- set Bridge {name} datapath_type=netdev" for name in BRIDGES))
    try:
        with Node(tmp_path) as node:
            node.write(INVENTORY)
            node.start()
            try:
                node.wait_up()
                yield node
            finally:
                node.clean_up()
    finally:
        vsctl(" ".join(f"-- --if-exists del-br {name}" for name in BRIDGES))


def test_every_bridge_is_set_once_and_comes_once(node: Node) -> None:
    """The database tells of what was written bit by bit; nothing is written again for that, and no session lost."""
    until(node.enforced, "all VFNs are enforced", 30.0)
    controllers = vsctl("--bare --columns=_uuid list Controller").split()
    for name in BRIDGES:
        assert node.log.count(f"setting bridge {name}:") == 1
        assert node.log.count(f"VFN {name} is connected") == 1
        assert vsctl(f"get Bridge {name} controller").strip("[]") in controllers
