"""What became of a flow, as far as the analyzer can know: pure functions of flows and of the rules in force.

VFNs report what they dropped like what they did not, and say where it went (`flows.Fate`). A packet that its own
direction denies may still pass as an answer, and its VFN reports it as dropped all the same; so of the two directions
the one that opened the flow counts. In this order:

- denied: the source address was forged (the guard drops that).
- allowed: the initiator's packets went out of a VM's or outside port.
- denied: a VFN dropped the initiator's packets, and either they passed before, or the other end's are dropped, too
  (where those pass by themselves, the initiator's pass as answers to them).
- denied, where VFNs say nothing of the initiator's packets (as of IPv6): a rule cut off one of the ends from before the
  flow opened until its end, or dropped what the other end sent.
- allowed: both ends sent packets, so what one sent has reached the other.
- unknown: forwarded, but neither handed over nor answered: lost, or the report of it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

import numpy as np

from analyzer.flows import ANSWERS_SHIFT, F8, I8, Array, Bool, Fate, FlowState, address_halves
from analyzer.keytable import mix
from analyzer.names import Names

REMEMBERED_SECONDS = 60.0
"""A rule that has ended is remembered for so long: flows of its time are recorded seconds after their end."""
Network = IPv4Network | IPv6Network
_ONE_END = (1 << ANSWERS_SHIFT) - 1


class Decision(IntEnum):
    """What became of a flow."""

    UNKNOWN = 0
    ALLOWED = 1
    DENIED = 2


@dataclass(frozen=True)
class Cut:
    """A rule that keeps a VM (its number), or an outside network (`vm` is 0), from talking."""

    rule: str
    vm: int
    network: Network | None
    since: float
    """Epoch seconds when the analyzer was told."""
    until: float = float("inf")
    within_segment: bool = True
    """Does it keep a VM from its own segment, too?"""
    outranked: bool = False
    """There is an `allow` for some of the same addresses, which may decide first."""


@dataclass(frozen=True)
class Decided:
    """Columns, one element a flow."""

    decision: Array
    """uint8, `Decision`."""
    rule: I8
    """Index in `rules` of the rule that was on one of the ends when the flow ended; -1: none."""
    rules: tuple[str, ...]


def by_reports(rows: Array) -> tuple[Array, Bool]:
    """Decisions (uint8) on flows (dtype FLOW) by what VFNs reported; whether they said what became of the opening."""
    source, other = rows["fate"] & _ONE_END, rows["fate"] >> ANSWERS_SHIFT & _ONE_END
    forged = rows["state"] & FlowState.SPOOFED != 0
    answers_pass = (other & (Fate.FORWARDED | Fate.DELIVERED) != 0) & ~dropped(other) & (rows["fate"] & Fate.CUT == 0)
    delivered = (source & Fate.DELIVERED != 0) & ~dropped(source)
    denied = forged | (dropped(source) & ~answers_pass)
    answered = (rows["src_pkts"] > 0) & (rows["dst_pkts"] > 0)
    allowed = delivered | answers_pass | answered
    decision = np.where(denied, Decision.DENIED, np.where(allowed, Decision.ALLOWED, Decision.UNKNOWN))
    return decision.astype(np.uint8), forged | delivered | dropped(source)


def dropped(fate: Array) -> Bool:
    """Which fates (`Fate`, of one end's packets) say that VFNs kept these from passing?"""
    return np.asarray(fate & (Fate.DROPPED | Fate.STOPPED) != 0)


class InForce:
    """The rules in force, now and a moment ago."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._cuts: dict[str, Cut] = {}
        self._changed: set[str] = set()
        self._index()

    def update(self, rules: Iterable[Mapping[str, Any]], now: float) -> None:
        """The engine's `rules` message, at `now` (epoch seconds)."""
        before = {rule for rule, cut in self._cuts.items() if cut.until > now}
        rules = list(rules)
        allowed = [ip_network(rule["source_ip"]) for rule in rules if rule["action"] == "allow"]
        live = {cut.rule: cut for cut in (self._cut(rule, allowed, now) for rule in rules) if cut is not None}
        for rule, old in self._cuts.items():
            if rule in live:
                live[rule] = replace(live[rule], since=old.since)
            elif min(old.until, now) > now - REMEMBERED_SECONDS:
                live[rule] = replace(old, until=min(old.until, now))
        self._cuts = live
        self._changed = before ^ {rule for rule, cut in live.items() if cut.until > now}
        self._index()

    def touched_by_change(self, rows: Array) -> Bool:
        """Flows (dtype FLOW) with an end that a rule is about which began or ended with the last `update`."""
        changed = np.array([*(rule in self._changed for rule in self._rules), False])
        return np.asarray(np.any([changed[found] for found in self._matches(rows)], axis=0))

    def decide(self, rows: Array, opened: F8) -> Decided:
        """Decide on flows or parts of flows (dtype FLOW) that opened at `opened` (epoch seconds)."""
        decision, known = by_reports(rows)
        rule = np.full(len(rows), -1, np.int64)
        same = (rows["src_vm"] > 0) & (rows["src_segment"] == rows["dst_segment"])
        stopped = dropped(rows["fate"] >> ANSWERS_SHIFT)
        for found in self._matches(rows):
            touched = (found >= 0) & (self._since[found] <= rows["end"]) & (self._until[found] >= rows["end"])
            whole = touched & ((self._since[found] <= opened) | stopped) & ~self._outranked[found]
            decision[whole & (self._within[found] | ~same) & ~known] = Decision.DENIED
            rule = np.where((rule < 0) & touched, found, rule)
        return Decided(decision, rule, self._rules)

    def _cut(self, rule: Mapping[str, Any], allowed: list[Network], now: float) -> Cut | None:
        if rule["action"] == "isolate":
            vm = self._names.number(rule["source_vm"])
            return Cut(rule["id"], vm, None, now, within_segment=rule["scope"] == "all") if vm else None
        if rule["action"] == "deny":
            network = ip_network(rule["source_ip"])
            outranked = any(network.version == other.version and network.overlaps(other) for other in allowed)
            return Cut(rule["id"], 0, network, now, outranked=outranked)
        return None

    def _index(self) -> None:
        """Columns of the cuts, and how to find them: by VM, by address, or one by one for networks."""
        cuts = sorted(self._cuts.values(), key=lambda cut: cut.until)  # of two on the same end the live one counts
        self._rules = tuple(cut.rule for cut in cuts)
        self._since = np.array([*(cut.since for cut in cuts), np.inf])
        self._until = np.array([*(cut.until for cut in cuts), -np.inf])
        self._within = np.array([*(cut.within_segment for cut in cuts), False])
        self._outranked = np.array([*(cut.outranked for cut in cuts), True])
        self._by_vm = np.full(max((cut.vm for cut in cuts), default=0) + 1, -1, np.int64)
        hosts: dict[tuple[int, int], int] = {}
        self._networks: list[tuple[int, Network]] = []
        for i, cut in enumerate(cuts):
            if cut.network is None:
                self._by_vm[cut.vm] = i
            elif cut.network.num_addresses == 1:
                hosts[address_halves(str(cut.network.network_address))] = i
            else:
                self._networks.append((i, cut.network))
        self._hosts = _Hosts(hosts)

    def _matches(self, rows: Array) -> Iterable[I8]:
        """Columns of indices of cuts that are on an end of each flow; -1: none."""
        for end in ("src", "dst"):
            vm = rows[f"{end}_vm"]
            known = (vm > 0) & (vm < len(self._by_vm))
            yield np.where(known, self._by_vm[np.where(known, vm, 0)], -1)
            high, low = rows[f"{end}_hi"], rows[f"{end}_lo"]
            yield self._hosts.find(high, low)
            for i, network in self._networks:
                yield np.where(_within(network, high, low), i, -1)


class _Hosts:
    """From addresses to indices."""

    def __init__(self, hosts: Mapping[tuple[int, int], int]) -> None:
        high, low = (np.array([address[half] for address in hosts], np.uint64) for half in (0, 1))
        keys = mix(0, high, low) if hosts else np.empty(0, np.uint64)
        order = np.argsort(keys)
        self._keys, self._high, self._low = keys[order], high[order], low[order]
        self._index = np.array(list(hosts.values()), np.int64)[order]

    def find(self, high: Array, low: Array) -> I8:
        if not len(self._keys):
            return np.full(len(high), -1, np.int64)
        at = np.minimum(np.searchsorted(self._keys, mix(0, high, low)), len(self._keys) - 1)
        return np.where((self._high[at] == high) & (self._low[at] == low), self._index[at], -1)


def _within(network: Network, high: Array, low: Array) -> Array:
    first, last = (address_halves(str(address)) for address in (network[0], network[-1]))
    above = (high > first[0]) | ((high == first[0]) & (low >= first[1]))
    below = (high < last[0]) | ((high == last[0]) & (low <= last[1]))
    return np.asarray(above & below)
