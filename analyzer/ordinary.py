"""Ordinary traffic that is kept from passing: what the engine's harm check goes by.

A flow counts when VFNs dropped what opened it, or drop what they passed before, though the baseline knows its initiator
to turn to that address and service, and nobody suspects the initiator of anything. Each flow counts once. Of IPv6 VFNs
say no such thing: what nobody answered (`analyzer.unanswered`) is told, and the engine finds out if it was dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from analyzer.archive.decisions import Decision, by_reports, dropped
from analyzer.flows import FLOW, U8, Array, Bool, FlowState, address_text
from analyzer.keytable import mix
from analyzer.names import Names
from runtime.channel import Message

TOLD_SECONDS = 1.0
"""What was denied is told this often."""
MOST_ROWS = 256
"""Kinds of flows in one message at most, those with most flows first: enough to judge a rule by."""
MOST_FLOWS = 50_000
"""Flows that are kept apart at most; what is more than that in `REMEMBERED_SECONDS` is not needed to judge a rule."""
REMEMBERED_SECONDS = 300.0
"""A flow that goes on being dropped for so long is counted again: it is still missed."""
ASKED_AGAIN_SECONDS = 60.0
"""The same, where VFNs say nothing: the rule that drops it now may be younger than the last time."""
_FLOW = ("src_hi", "src_lo", "dst_hi", "dst_lo", "src_port", "dst_port", "proto")
_KIND = ("src_hi", "src_lo", "dst_hi", "dst_lo", "dst_port", "proto")
_NO_DEED = FlowState.SPOOFED | FlowState.ANSWERED_ONLY


def denied(rows: Array) -> Bool:
    """Which events (dtype FLOW) say that what their initiator sends is dropped?"""
    decision, known = by_reports(rows)
    return np.asarray(known & dropped(rows["fate"]) & (decision == Decision.DENIED) & (rows["state"] & _NO_DEED == 0))


class OrdinaryDenied:
    """Collects such flows, and tells of them from time to time.

    Args:
        reported: have VFNs said that they dropped them?
    """

    def __init__(self, names: Names, salt: int, *, reported: bool) -> None:
        self._names = names
        self._salt = salt
        self._reported = reported
        self._remembered = REMEMBERED_SECONDS if reported else ASKED_AGAIN_SECONDS
        self._fresh: list[Array] = []
        self._keys: U8 = np.zeros(0, np.uint64)
        self._when = np.zeros(0)
        self._told = -np.inf

    def take(self, rows: Array) -> None:
        """Events (dtype FLOW) that are `denied`, or wait for an answer in vain, and ordinary."""
        if not len(rows) or len(self._keys) >= MOST_FLOWS:
            return
        keys, first = np.unique(mix(self._salt, *(rows[name] for name in _FLOW)), return_index=True)
        new = ~np.isin(keys, self._keys)
        self._keys = np.concatenate([self._keys, keys[new]])
        self._when = np.concatenate([self._when, rows["end"][first[new]]])
        if new.any():
            self._fresh.append(rows[first[new]])

    def tell(self, now: float) -> Iterator[Message]:
        """What came since the last time, at most every `TOLD_SECONDS`."""
        if now < self._told + TOLD_SECONDS:
            return
        self._told = now
        kept = self._when > now - self._remembered
        self._keys, self._when = self._keys[kept], self._when[kept]
        if self._fresh:
            rows = np.concatenate(self._fresh)
            self._fresh = []
            yield Message("ordinary_denied", {"flows": self._kinds(rows)})

    def _kinds(self, rows: Array) -> list[dict[str, Any]]:
        """Flows that differ by source port alone are one kind."""
        keys = mix(self._salt, *(rows[name] for name in _KIND))
        _, first, kind, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        ends = np.full(len(counts), -np.inf)
        np.maximum.at(ends, kind, rows["end"])
        most = np.argsort(-counts, kind="stable")[:MOST_ROWS]
        return [self._told_of(rows[first[i]], int(counts[i]), float(ends[i])) for i in most.tolist()]

    def _told_of(self, row: Array, flows: int, last: float) -> dict[str, Any]:
        values = dict(zip(FLOW.names or (), row.tolist(), strict=True))
        vms = {end: values[f"{end}_vm"] for end in ("src", "dst")}
        return {
            "source_vm": self._names.vm(vms["src"]) if vms["src"] > 0 else None,
            "destination_vm": self._names.vm(vms["dst"]) if vms["dst"] > 0 else None,
            "source": address_text(values["src_hi"], values["src_lo"]),
            "destination": address_text(values["dst_hi"], values["dst_lo"]),
            "protocol": values["proto"],
            "port": values["dst_port"],
            "source_port": values["src_port"],
            "flows": flows,
            "first": values["start"],
            "last": last,
            "reported": self._reported,
        }
