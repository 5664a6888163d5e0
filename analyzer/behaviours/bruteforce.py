"""Brute force: connections to an admin port again and again, to one host or spread over several."""

from __future__ import annotations

import numpy as np

from analyzer.behaviours.base import ISOLATE, Floors, Scene, excess, seconds_text
from analyzer.flows import F8

EACH: Floors = {10.0: 8, 60.0: 12, 600.0: 30}
"""Connections to one service: a person who mistypes makes fewer."""
ALTOGETHER: Floors = {10.0: 40, 60.0: 100, 600.0: 300}
"""Connections to all admin services: one password tried on many hosts."""
MARGIN = 2.0


class BruteForce:
    """Password guessing on an admin port."""

    name = "brute-force"
    technique = "T1110"
    action = ISOLATE
    passive = False
    names = False

    def strength(self, scene: Scene) -> F8:
        """The clearest of both measures and all lengths."""
        return np.asarray(np.max([part for _, part in self._parts(scene)], axis=0))

    def reason(self, scene: Scene, subject: int) -> str:
        """Connections, services and time."""
        seconds = max(self._parts(scene), key=lambda part: float(part[1][subject]))[0]
        flows, pairs = scene.now("admin_flows", seconds)[subject], scene.now("admin_pairs", seconds)[subject]
        usual = scene.usual("admin_flows", seconds)[subject]
        return (
            f"brute force: {flows:.0f} connections to {pairs:.0f} admin service{'' if pairs == 1 else 's'} in "
            f"{seconds_text(seconds)} (usual at most {usual:.0f})"
        )

    @staticmethod
    def _parts(scene: Scene) -> list[tuple[float, F8]]:
        parts = []
        for seconds, floor in EACH.items():
            flows = scene.now("admin_flows", seconds)
            each = flows / np.maximum(scene.now("admin_pairs", seconds), 1)
            usual = scene.usual("admin_flows", seconds)
            unusual = excess(flows, floor, usual, MARGIN)
            parts.append((seconds, np.minimum(each / floor, unusual)))
            parts.append((seconds, excess(flows, ALTOGETHER[seconds], usual, MARGIN)))
        return parts
