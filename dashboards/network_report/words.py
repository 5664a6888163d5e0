"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def amount(count: float) -> str:
    """Bytes in decimal units, as Grafana's `decbytes` shows them: 1234567 is 1.2 MB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(count) < 999.5 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"


def rounded(value: float) -> str:
    """Three digits that count, without powers of ten: 0.0123, 45.6, 1,234."""
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.3g}"


def count(many: float) -> str:
    """How many, short enough for a large figure: 999,999; 1.2 M; 36 M; 2.5 G."""
    for size, word in ((1e9, "G"), (1e6, "M")):
        if many >= size:
            return f"{many / size:.{0 if many >= 10 * size else 1}f} {word}"
    return f"{many:,.0f}"


def moment(time: float) -> str:
    """A time to the second, UTC."""
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S}"


def stretch(seconds: float) -> str:
    """How long: `24 h`, `90 min`, `3 days`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    if seconds <= 48 * 3600:
        return f"{seconds / 3600:.3g} h"
    return f"{seconds / 86_400:.3g} days"
