"""Who waits in vain for an answer? Flows of which no VFN says what became of them: those of IPv6 (`analyzer.ipfix`).

Silence alone is no proof that a rule drops them. Which rule would, and whether it was there in time, the engine knows;
it is told of them as flows that nobody has reported as dropped (`analyzer.ordinary`).
"""

from __future__ import annotations

import numpy as np

from analyzer.flows import ANSWERS_SHIFT, FIN, FLOW, RST, SYN, U8, Array, Bool, Fate, FlowState, is_v4
from analyzer.keytable import mix

REPORT_SECONDS = 1.0
"""The other direction's record is here so long after it was due."""
MOST_FLOWS = 50_000
"""That are waited for at most; more are not needed to judge a rule by."""
_FATE = int(Fate.FORWARDED | Fate.DROPPED | Fate.DELIVERED | Fate.STOPPED)
_KNOWN = _FATE | _FATE << ANSWERS_SHIFT
_NO_DEED = FlowState.SPOOFED | FlowState.ANSWERED_ONLY | FlowState.ASKED


class Unanswered:
    """Waits for answers.

    Args:
        salt: of the keys of flows.
        report_seconds: between what a switch reports of one flow.
    """

    def __init__(self, salt: int, report_seconds: float) -> None:
        self._salt = salt
        self._patience = report_seconds + REPORT_SECONDS
        self._keys: U8 = np.zeros(0, np.uint64)
        self._rows: Array = np.zeros(0, FLOW)

    def take(self, rows: Array) -> None:
        """Events (dtype FLOW) of any flows, in order of time."""
        rows = rows[~is_v4(rows["src_hi"], rows["src_lo"]) & (rows["fate"] & _KNOWN == 0)]
        if not len(rows):
            return
        keys = self._keys_of(rows)
        answered = keys[rows["dst_pkts"] > 0]
        waits = ~np.isin(self._keys, answered)
        self._keys, self._rows = self._keys[waits], self._rows[waits]
        asks = _asks(rows) & ~np.isin(keys, answered)
        self._wait(keys[asks], rows[asks])

    def over(self, now: float) -> Array:
        """Flows that have waited too long by now (epoch seconds): their last events (dtype FLOW)."""
        over = self._rows["end"] <= now - self._patience
        found = self._rows[over]
        self._keys, self._rows = self._keys[~over], self._rows[~over]
        return found

    def _wait(self, keys: U8, rows: Array) -> None:
        """What is waited for already is waited for since its first question."""
        keys, first = np.unique(keys, return_index=True)
        new = np.flatnonzero(~np.isin(keys, self._keys))[: max(0, MOST_FLOWS - len(self._keys))]
        self._keys = np.concatenate([self._keys, keys[new]])
        self._rows = np.concatenate([self._rows, rows[first[new]]])

    def _keys_of(self, rows: Array) -> U8:
        """The same for both directions: who opened a flow may turn out to be the other end."""
        one = mix(self._salt, *(rows[f"{end}_{part}"] for end in ("src", "dst") for part in ("hi", "lo", "port")))
        two = mix(self._salt, *(rows[f"{end}_{part}"] for end in ("dst", "src") for part in ("hi", "lo", "port")))
        return mix(self._salt, np.minimum(one, two), rows["proto"])


def _asks(rows: Array) -> Bool:
    """Which events are of an initiator that nobody answered in the same? What ends a connection asks for nothing."""
    ends = (rows["flags"] & (FIN | RST) != 0) & (rows["flags"] & SYN == 0)
    sent = (rows["src_pkts"] > 0) & (rows["dst_pkts"] == 0)
    return np.asarray(sent & ~ends & (rows["state"] & _NO_DEED == 0))
