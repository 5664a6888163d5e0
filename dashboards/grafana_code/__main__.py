"""`python -m dashboards.grafana_code [--check]`: writes `dashboards/grafana/`, or says what there is stale."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dashboards.grafana_code import files

FOLDER = Path(__file__).resolve().parents[1] / "grafana"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check; returns the exit status, 1 when a check finds something stale."""
    parser = argparse.ArgumentParser(description="Grafana's dashboards and provisioning, from code")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; say which files are not what the code says"
    )
    parser.add_argument("--out", type=Path, default=FOLDER)
    args = parser.parse_args(arguments)
    wanted = files.all_files()
    if args.check:
        stale = files.stale(args.out, wanted)
        for name in stale:
            sys.stderr.write(f"{args.out / name} is stale: make dashboards\n")
        return 1 if stale else 0
    files.write(args.out, wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
