"""What a subject has done with one service: the rows that `analyzer.services` counts, and what they tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.flows import F8, I8, U8, Array

ROW = np.dtype(
    [
        ("subject", "<i4"),
        ("dst_hi", "<u8"),
        ("dst_lo", "<u8"),
        ("proto", "u1"),
        ("port", "<u2"),
        ("outside", "?"),
        ("unknown", "?"),  # the segment (outside) or the VM (inside) never talked to that address
        ("unheard", "?"),  # nor anybody of the segment to such a service
        ("first", "<f8"),
        ("last", "<f8"),
        ("opened", "<f8"),  # connections
        ("failed", "<f8"),
        ("bytes_out", "<f8"),
        ("bytes_in", "<f8"),
        ("gaps", "<f8"),  # pauses between visits: number, sum and sum of squares of their logarithms
        ("gap_sum", "<f8"),
        ("gap_squares", "<f8"),
        ("sizes", "<f8"),  # likewise of the bytes that each connection sent
        ("size_sum", "<f8"),
        ("size_squares", "<f8"),
        ("risk", "<f8"),
        ("risk_time", "<f8"),
    ]
)


@dataclass(frozen=True)
class Dealings:
    """Services that some subjects have just used (rows of dtype `ROW`)."""

    rows: Array
    keys: U8
    """Of `Services`."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def span(self) -> F8:
        """Seconds from the first connection to the last one."""
        return np.asarray(self.rows["last"] - self.rows["first"])

    @property
    def gap_spread(self) -> F8:
        """Standard deviation of the logarithm of the pauses: 0.2 is a jitter of a fifth, 1.3 pure chance."""
        return _spread(self.rows, "gap")

    @property
    def gap_middle(self) -> F8:
        """Geometric mean of the pauses in seconds."""
        return np.asarray(np.exp(self.rows["gap_sum"] / np.maximum(self.rows["gaps"], 1)))

    @property
    def size_middle(self) -> F8:
        """Geometric mean of what each connection sent, in bytes."""
        return np.asarray(np.expm1(self.rows["size_sum"] / np.maximum(self.rows["sizes"], 1)))

    @property
    def size_spread(self) -> F8:
        """Standard deviation of the logarithm of what each connection sent."""
        return _spread(self.rows, "size")

    def take(self, which: Array) -> Dealings:
        """Some of them."""
        return Dealings(self.rows[which], self.keys[which])


@dataclass(frozen=True)
class Used:
    """Dealings of several steps, each as it stood at the end of its step: those that are `unknown` or `unheard`."""

    dealings: Dealings
    edges: I8
    """(steps + 1,) where each step's begin."""


def _spread(rows: Array, what: str) -> F8:
    count = np.maximum(rows[f"{what}s"], 1)
    mean = rows[f"{what}_sum"] / count
    return np.asarray(np.sqrt(np.maximum(rows[f"{what}_squares"] / count - mean**2, 0)))
