"""`python -m benchmarks.traffic.witness FILE`: the product's analyzer, which also writes down when it knew of what.

One line for each copy of a packet that opens a connection: epoch seconds when it was attributed to a VM and waited to
be judged, source address (lower half) and source port. What is written is read and encoded after that moment was taken.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from analyzer import copies, process
from analyzer.live import Live
from runtime import settings


class Witness(Live):
    """The analyzer's state, watched."""

    seen: Path

    def take_copies(self, dpid: int, count: int, body: bytes) -> None:
        """Take them as ever, then say when that was done."""
        super().take_copies(dpid, count, body)
        done = time.time()
        opened = copies.openings(copies.read(count, body).made_by(copies.OPENINGS), 0).sides
        with self.seen.open("a") as file:
            ends = zip(opened["src_lo"].tolist(), opened["src_port"].tolist(), strict=True)
            file.writelines(f"{done:.6f} {source & 0xFFFFFFFF} {port}\n" for source, port in ends)


def main(arguments: Sequence[str]) -> int:
    """Run it; its exit status."""
    Witness.seen = Path(arguments[0])
    process.Live = Witness  # type: ignore[attr-defined, misc]
    return process.run(settings.load())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
