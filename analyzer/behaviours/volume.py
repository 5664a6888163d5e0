"""Outbound volume: much more data pushed outside than this VM ever did, above all to unknown addresses."""

from __future__ import annotations

import numpy as np

from analyzer.behaviours.base import ISOLATE, Floors, Scene, excess, seconds_text
from analyzer.flows import F8

UNKNOWN: Floors = {10.0: 5e6, 60.0: 10e6, 600.0: 30e6, 3600.0: 100e6}
"""Bytes to addresses that its segment is not known to talk to."""
UNHEARD: Floors = {60.0: 200e3, 600.0: 250e3, 3600.0: 500e3}
"""Bytes to such addresses over services that the segment never used outside: a document, not a login."""
ANY: Floors = {10.0: 50e6, 60.0: 100e6, 600.0: 300e6, 3600.0: 1e9}
"""Bytes to any outside address."""
_KINDS = (("bytes_unheard", UNHEARD), ("bytes_unknown", UNKNOWN), ("bytes_out", ANY))
MARGIN = 3.0
_WHOM = {
    "bytes_unheard": "unknown outside addresses over services never used before",
    "bytes_unknown": "unknown outside addresses",
    "bytes_out": "outside",
}
OUT_OVER_IN = 2.0
"""Pushing, not fetching: twice as many bytes go out as come in."""


class OutboundVolume:
    """Data pushed out."""

    name = "outbound-volume"
    technique = "T1048"
    action = ISOLATE
    passive = False
    names = False

    def strength(self, scene: Scene) -> F8:
        """Against the VM's own history."""
        return np.asarray(np.max([part for _, _, part in self._parts(scene)], axis=0))

    def reason(self, scene: Scene, subject: int) -> str:
        """Megabytes, where to, and what was usual."""
        name, seconds, _ = max(self._parts(scene), key=lambda part: float(part[2][subject]))
        sent, usual = scene.now(name, seconds)[subject] / 1e6, scene.own_usual(name, seconds)[subject] / 1e6
        whom = _WHOM[name]
        return f"outbound volume: {sent:.1f} MB to {whom} in {seconds_text(seconds)} (usual at most {usual:.1f} MB)"

    @staticmethod
    def _parts(scene: Scene) -> list[tuple[str, float, F8]]:
        parts = []
        for name, floors in _KINDS:
            for seconds, floor in floors.items():
                pushed = scene.now("bytes_out", seconds) >= OUT_OVER_IN * scene.now("bytes_in", seconds)
                part = excess(scene.now(name, seconds), floor, scene.own_usual(name, seconds), MARGIN)
                parts.append((name, seconds, np.where(pushed, part, 0.0)))
        return parts
