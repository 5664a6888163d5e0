"""What contradicts the inventory or itself, for people: forged answers, claims to others' addresses."""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import Any

MOST = 1000
PAUSE = 10.0
"""Seconds in which the same of the same is counted, not told again."""


class Kind(StrEnum):
    """What it is."""

    FORGED_DNS = "forged-dns"
    FORGED_ARP = "forged-arp"
    BINDING = "binding"
    ODD_DNS = "odd-dns"


class Evidence:
    """Bounded memory of it."""

    def __init__(self) -> None:
        self._rows: deque[dict[str, Any]] = deque(maxlen=MOST)
        self._latest: dict[tuple[Kind, str], dict[str, Any]] = {}

    def note(self, time: float, kind: Kind, who: str, said: str) -> None:
        """Keep what a VM or address is found to have done or met."""
        latest = self._latest.get((kind, who))
        if latest is not None and time < latest["time"] + PAUSE:
            latest["count"] += 1
            return
        row = {"time": time, "kind": str(kind), "who": who, "what": said, "count": 1}
        if len(self._latest) >= MOST:
            self._latest.clear()
        self._latest[kind, who] = row
        self._rows.append(row)

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """Newest first: time, kind, who, what, and how often until ten seconds later."""
        return list(self._rows)[: -limit - 1 : -1]
