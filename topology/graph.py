"""Ways through the network: who is next on the shortest path, and the tree on which broadcasts travel.

Everything here is a function of the inventory and the same on every run, so that VFNs programmed one by one agree.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import networkx as nx

from runtime.errors import InventoryError
from topology.model import Inventory, Vfn
from topology.names import nearest


def graph(inventory: Inventory) -> nx.Graph[str]:
    """The VFNs (nodes, by name) and their cables (edges).

    An edge's attribute `ports` maps each of its two VFNs to its interface name. Of parallel cables the inventory's
    first one carries everything.
    """
    net: nx.Graph[str] = nx.Graph()
    net.add_nodes_from(inventory.vfns)
    for link in inventory.links:
        if not net.has_edge(link.a, link.b):
            net.add_edge(link.a, link.b, ports={link.a: link.a_port, link.b: link.b_port})
    return net


def next_hops(inventory: Inventory, vfn: str) -> Mapping[str, str]:
    """Interface of `vfn` that leads on a shortest path to each other VFN, by that VFN's name.

    Each hop is one nearer to the destination, whatever each VFN chooses among equals, so no packet goes in circles.
    """
    net = graph(inventory)
    hops: dict[str, str] = {}
    waiting = deque([vfn])
    while waiting:
        here = waiting.popleft()
        for neighbour in net[here]:
            if neighbour != vfn and neighbour not in hops:
                hops[neighbour] = net.edges[vfn, neighbour]["ports"][vfn] if here == vfn else hops[here]
                waiting.append(neighbour)
    return hops


def broadcast_ports(inventory: Inventory, vfn: str) -> tuple[str, ...]:
    """Interfaces of `vfn` that belong to the broadcast tree, in the inventory's order.

    The tree is the breadth-first tree from the inventory's first VFN: every VFN once, no circle.
    """
    net = graph(inventory)
    tree = nx.bfs_tree(net, next(iter(inventory.vfns))).to_undirected(as_view=True)
    return tuple(net.edges[vfn, neighbour]["ports"][vfn] for neighbour in net[vfn] if tree.has_edge(vfn, neighbour))


def get_vfns_for_vm(inventory: Inventory, name: str) -> tuple[Vfn, ...]:
    """The VFNs on which a VM has a port.

    Raises:
        InventoryError: there is no such VM.
    """
    if name not in inventory.vms:
        raise InventoryError(f"no VM {name!r}", remedy=nearest(name, inventory.vms))
    return (inventory.vfns[inventory.vms[name].vfn],)
