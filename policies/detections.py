"""Detections on record: every one counts, but a flood of them makes few rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

WINDOW_SECONDS = 10.0
"""One row for each subject and behaviour in so long a time."""


class Detection(BaseModel):
    """The analyzer has seen something."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vm: str | None = None
    address: str | None = None
    risk: Annotated[float, Field(ge=0, le=100)]
    reasons: tuple[str, ...] = ()
    behaviour: str
    time: Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass
class _Window:
    start: float
    latest: Detection
    suppressed: int = 0


class Detections:
    """Thins out. The first detection of a window is told at once, the others as one at its end."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str | None, str | None, str], _Window] = {}

    def take(self, detection: Detection, now: float) -> list[dict[str, Any]]:
        """Bodies of the audit rows that are due with this detection."""
        bodies = self.due(now)
        key = (detection.vm, detection.address, detection.behaviour)
        window = self._windows.get(key)
        if window is None:
            self._windows[key] = _Window(now, detection)
            return [*bodies, _body(detection, 1)]
        window.suppressed += 1
        if detection.risk >= window.latest.risk:
            window.latest = detection
        return bodies

    def due(self, now: float, *, all_of_them: bool = False) -> list[dict[str, Any]]:
        """Bodies of the windows that have ended, or of all."""
        ended = [key for key, window in self._windows.items() if all_of_them or now >= window.start + WINDOW_SECONDS]
        windows = [self._windows.pop(key) for key in ended]
        return [_body(window.latest, window.suppressed) for window in windows if window.suppressed]

    def next_time(self) -> float | None:
        """When `due` will next have something to say."""
        return min((window.start + WINDOW_SECONDS for window in self._windows.values()), default=None)


def _body(detection: Detection, count: int) -> dict[str, Any]:
    return {**detection.model_dump(exclude_none=True, mode="json"), "count": count}
