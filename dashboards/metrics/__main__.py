"""`python -m dashboards.metrics`: writes what is made of the schema, `docs/metrics.md` in part and `retention/`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dashboards.metrics.downsampling import flux, victoria_flags
from dashboards.metrics.reference import within

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "metrics.md"


def files() -> Mapping[Path, str]:
    """Every file that is made, and what it should hold."""
    return {
        PAGE: within(PAGE.read_text(encoding="utf-8")),
        HERE / "retention" / "downsample.flux": flux(),
        HERE / "retention" / "victoria-metrics.flags": victoria_flags(),
    }


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content, encoding="utf-8")
