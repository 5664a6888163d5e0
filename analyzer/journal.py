"""What was thought lately: verdicts for people, and each subject's time line of risk for the report."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from analyzer.risk import Verdict, decayed

MOST_VERDICTS = 1000
MOST_POINTS = 20_000
PAUSE = 1.0
"""Seconds between two verdicts kept of a subject, unless its behaviour changes or its risk rises."""
LOWEST = 1.0
"""Risk below which the line has come to its end."""


class Journal:
    """Bounded memory of verdicts and risk."""

    def __init__(self) -> None:
        self._verdicts: deque[dict[str, Any]] = deque(maxlen=MOST_VERDICTS)
        self._points: deque[tuple[float, str, float, str]] = deque(maxlen=MOST_POINTS)
        self._now: dict[str, tuple[float, float, str]] = {}

    def note(self, who: Mapping[str, str], verdict: Verdict) -> None:
        """Keep a verdict about `who` ({"vm": name} or {"address": text})."""
        name = next(iter(who.values()))
        time, risk, behaviour = self._now.get(name, (float("-inf"), 0.0, ""))
        if verdict.time < time + PAUSE and verdict.behaviour == behaviour and verdict.risk < risk + 1:
            return
        self._now[name] = verdict.time, verdict.risk, verdict.behaviour
        self._points.append((verdict.time, name, round(verdict.risk, 1), verdict.behaviour))
        self._verdicts.append(
            {
                **who,
                "time": verdict.time,
                "risk": round(verdict.risk, 1),
                "behaviours": [f.behaviour for f in verdict.findings] or ["unusual"],
                "techniques": sorted({f.technique for f in verdict.findings if f.technique}),
                "reasons": list(verdict.reasons),
                "confirmed": verdict.confirmed,
            }
        )

    def released(self, name: str, now: float) -> None:
        """A VM's past no longer counts."""
        self._points.append((now, name, 0.0, ""))
        self._now.pop(name, None)

    def tick(self, now: float) -> None:
        """Let every line decay."""
        for name, (time, risk, _) in list(self._now.items()):
            left = float(decayed(np.array(risk), np.array(now - time)))
            if now - time >= PAUSE:
                self._points.append((now, name, round(left, 1), ""))
            if left < LOWEST:
                del self._now[name]

    def verdicts(self, limit: int) -> list[dict[str, Any]]:
        """Newest first."""
        return list(self._verdicts)[: -limit - 1 : -1]

    def risk(self, since: float) -> list[dict[str, Any]]:
        """Points of the time lines after `since` (epoch seconds), in order of their making."""
        return [
            {"time": time, "vm": name, "risk": risk, "behaviour": behaviour}
            for time, name, risk, behaviour in self._points
            if time > since
        ]

    def highest_since(self, since: float) -> dict[str, float]:
        """Highest risk of each subject that had some after `since` (epoch seconds)."""
        highest: dict[str, float] = {}
        for time, name, risk, _ in reversed(self._points):
            if time <= since:
                break
            highest[name] = max(risk, highest.get(name, 0.0))
        return highest

    def highest(self) -> dict[str, float]:
        """Subjects with risk now: name -> risk at its last verdict."""
        return {name: round(risk, 1) for name, (_, risk, _) in self._now.items()}
