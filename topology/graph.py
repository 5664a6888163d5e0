"""Ways through the network: who is next on the shortest path, and the tree on which broadcasts travel.

Everything here is a function of the inventory and the same on every run, so that VFNs programmed one by one agree.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import cached_property

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


class Ways:
    """The ways between an inventory's VFNs. They depend on its VFNs, links and outside ports alone."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._hops: dict[str, Mapping[str, str]] = {}
        net = graph(inventory)
        self._cables = {vfn: [(other, net.edges[vfn, other]["ports"][vfn]) for other in net[vfn]] for vfn in net}

    @cached_property
    def links(self) -> Mapping[str, tuple[str, ...]]:
        """Interfaces of each VFN that are cables to other VFNs, spare parallel ones included."""
        links: dict[str, list[str]] = {vfn: [] for vfn in self._inventory.vfns}
        for link in self._inventory.links:
            links[link.a].append(link.a_port)
            links[link.b].append(link.b_port)
        return {vfn: tuple(names) for vfn, names in links.items()}

    @cached_property
    def tree(self) -> Mapping[str, tuple[str, ...]]:
        """Interfaces of each VFN that belong to the broadcast tree, in the inventory's order.

        The tree is the breadth-first tree from the inventory's first VFN: every VFN once, no circle.
        """
        return {vfn: tuple(port for _, port in cables) for vfn, cables in self._tree_cables.items()}

    @cached_property
    def outward(self) -> Mapping[str, tuple[str, ...]]:
        """Those interfaces of the broadcast tree behind which there is an outside port, by VFN."""
        goals = {end.vfn for end in self._inventory.outside.values()}
        found: dict[str, set[str]] = {vfn: set() for vfn in self._inventory.vfns}
        for goal in goals:
            waiting, came_from = deque([goal]), {goal: goal}
            while waiting:
                here = waiting.popleft()
                for neighbour, port in self._tree_cables[here]:
                    if neighbour == came_from[here]:
                        found[here].add(port)
                    else:
                        came_from[neighbour] = here
                        waiting.append(neighbour)
        return {vfn: tuple(port for port in ports if port in found[vfn]) for vfn, ports in self.tree.items()}

    @cached_property
    def _tree_cables(self) -> Mapping[str, list[tuple[str, str]]]:
        first = next(iter(self._inventory.vfns))
        tree = nx.bfs_tree(graph(self._inventory), first).to_undirected(as_view=True)
        return {
            vfn: [(other, port) for other, port in cables if tree.has_edge(vfn, other)]
            for vfn, cables in self._cables.items()
        }

    @cached_property
    def transit(self) -> Mapping[str, frozenset[str]]:
        """VFNs to which others hand packets through this one, by this one's name."""
        goals: dict[str, set[str]] = {vfn: set() for vfn in self._inventory.vfns}
        for vfn, cables in self._cables.items():
            neighbours = {port: neighbour for neighbour, port in cables}
            for goal, port in self.hops(vfn).items():
                if neighbours[port] != goal:
                    goals[neighbours[port]].add(goal)
        return {vfn: frozenset(found) for vfn, found in goals.items()}

    def hops(self, vfn: str) -> Mapping[str, str]:
        """Interface of `vfn` that leads on a shortest path to each other VFN, by that VFN's name.

        Each hop is one nearer to the destination, whatever each VFN chooses among equals, so no packet goes in circles.
        """
        if vfn not in self._hops:
            self._hops[vfn] = self._search(vfn)
        return self._hops[vfn]

    def _search(self, vfn: str) -> Mapping[str, str]:
        hops = dict(self._cables[vfn])
        waiting = deque(hops)
        while waiting:
            here = waiting.popleft()
            for neighbour, _ in self._cables[here]:
                if neighbour != vfn and neighbour not in hops:
                    hops[neighbour] = hops[here]
                    waiting.append(neighbour)
        return hops


def get_vfns_for_vm(inventory: Inventory, name: str) -> tuple[Vfn, ...]:
    """The VFNs on which a VM has a port.

    Raises:
        InventoryError: there is no such VM.
    """
    if name not in inventory.vms:
        raise InventoryError(f"no VM {name!r}", remedy=nearest(name, inventory.vms))
    return (inventory.vfns[inventory.vms[name].vfn],)
