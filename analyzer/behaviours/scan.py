"""Scan: one VM tries many services of few hosts, many hosts, or many services that do not answer."""

from __future__ import annotations

import numpy as np

from analyzer.behaviours.base import ISOLATE, Floors, Scene, excess, failing, seconds_text
from analyzer.flows import F8

VERTICAL: Floors = {1.0: 20, 10.0: 20, 60.0: 30, 600.0: 60}
"""Services inside, at least `PORTS_A_HOST` a host: what applications need of a host fits one hand."""
HORIZONTAL: Floors = {1.0: 20, 10.0: 25, 60.0: 40, 600.0: 80}
"""Hosts inside."""
UNANSWERED: Floors = {1.0: 20, 10.0: 25, 60.0: 40, 600.0: 60, 3600.0: 120}
"""Services anywhere that refused or never answered, while at least `FAILING` of the connections fail."""
FAILING = 0.5
PORTS_A_HOST = 4.0
MARGIN = 2.0
_KINDS = {"in_services": VERTICAL, "in_hosts": HORIZONTAL, "failed_services": UNANSWERED}


class Scan:
    """Host and port scans."""

    name = "scan"
    technique = "T1046"
    action = ISOLATE
    passive = False
    names = False

    def strength(self, scene: Scene) -> F8:
        """The clearest of the three measures."""
        return np.asarray(np.max([part for _, _, part in self._parts(scene)], axis=0))

    def reason(self, scene: Scene, subject: int) -> str:
        """Names the measure that stands out most."""
        name, seconds, _ = max(self._parts(scene), key=lambda part: float(part[2][subject]))
        value, usual = scene.now(name, seconds)[subject], scene.usual(name, seconds)[subject]
        hosts = scene.now("in_hosts", seconds)[subject]
        what = {
            "in_services": f"tried {value:.0f} services on {hosts:.0f} hosts",
            "in_hosts": f"tried {value:.0f} hosts",
            "failed_services": f"tried {value:.0f} services that refused or did not answer",
        }[name]
        return f"scan: {what} in {seconds_text(seconds)} (usual at most {usual:.0f})"

    @staticmethod
    def _parts(scene: Scene) -> list[tuple[str, float, F8]]:
        parts = []
        for name, floors in _KINDS.items():
            for seconds, floor in floors.items():
                value = scene.now(name, seconds)
                if name == "in_services":
                    value = np.where(value >= PORTS_A_HOST * scene.now("in_hosts", seconds), value, 0)
                elif name == "failed_services":
                    value = np.where(failing(scene, FAILING, seconds), value, 0)
                parts.append((name, seconds, excess(value, floor, scene.usual(name, seconds), MARGIN)))
        return parts
