"""What the analyzer tells for the time-series database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analyzer.tally import Tally
from runtime.channel import Message
from runtime.health import health


def measured(tally: Tally | None, after: int, status: Mapping[str, Any]) -> Message:
    """The answer to `measure`: the oldest interval that waits with a number beyond `after`, and how the analyzer is.

    Intervals up to `after` have arrived and are forgotten.
    """
    interval = None if tally is None else tally.after(after)
    data, body = (None, b"") if interval is None else interval.encode()
    dropped = 0 if tally is None else tally.dropped
    return Message("measured", {"interval": data, "dropped": dropped, "status": status, "health": health()}, body)
