"""DNS tunnel: questions carry far more than names."""

from __future__ import annotations

import numpy as np

from analyzer.behaviours.base import RESTRICT, Floors, Scene, excess, seconds_text
from analyzer.flows import F8, Array
from analyzer.observe import DNS_PORT

QUESTION = 100.0
"""Bytes of a question, headers included: 42 to 54 of headers, a name of 15 to 30, and room for an option."""
FLOORS: Floors = {60.0: 20e3, 600.0: 50e3, 3600.0: 100e3}
"""Bytes beyond that: names cannot be that long that often."""
MARGIN = 3.0


def in_one_flow(rows: Array) -> F8:
    """Strength of the tunnel that each flow (dtype FLOW) is by itself: resolvers are asked from one port for hours."""
    sent, questions = rows["src_bytes"].astype(np.float64), rows["src_pkts"].astype(np.float64)
    beyond = np.where(rows["dst_port"] == DNS_PORT, sent - QUESTION * questions, 0)
    return np.maximum(beyond, 0) / FLOORS[60.0]


class DnsTunnel:
    """Data in names."""

    name = "dns-tunnel"
    technique = "T1071.004"
    action = RESTRICT
    passive = False
    names = True

    def strength(self, scene: Scene) -> F8:
        """Bytes that ordinary questions do not need."""
        return np.asarray(np.max([part for _, part in self._parts(scene)], axis=0))

    def reason(self, scene: Scene, subject: int) -> str:
        """Bytes, questions, and their mean size."""
        seconds = max(self._parts(scene), key=lambda part: float(part[1][subject]))[0]
        sent, questions = (scene.now(name, seconds)[subject] for name in ("dns_bytes", "dns_packets"))
        return (
            f"DNS tunnel: {sent / 1e3:.0f} kB in {questions:.0f} questions in {seconds_text(seconds)}, "
            f"{sent / max(questions, 1):.0f} bytes each (names need {QUESTION:.0f})"
        )

    @staticmethod
    def _parts(scene: Scene) -> list[tuple[float, F8]]:
        parts = []
        for seconds, floor in FLOORS.items():
            beyond = [
                of("dns_bytes", seconds) - QUESTION * of("dns_packets", seconds) for of in (scene.now, scene.usual)
            ]
            parts.append((seconds, excess(np.maximum(beyond[0], 0), floor, np.maximum(beyond[1], 0), MARGIN)))
        return parts
