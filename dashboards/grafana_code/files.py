"""Every file of `dashboards/grafana/`, as text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.grafana_code import alerts, provisioning
from dashboards.grafana_code.detection import detection
from dashboards.grafana_code.overview import overview
from dashboards.grafana_code.pipeline import pipeline
from dashboards.grafana_code.segment import segment
from dashboards.grafana_code.vfn import vfn
from dashboards.grafana_code.vm import vm

DASHBOARDS: Mapping[str, Callable[[], build.Dashboard]] = {
    "overview": overview,
    "segment": segment,
    "vm": vm,
    "vfn": vfn,
    "detection": detection,
    "pipeline": pipeline,
}
"""By the name of their file."""
_NOTE = "# Made by `make dashboards` from dashboards/grafana_code; changes belong there.\n"


def all_files() -> dict[str, str]:
    """Text of each file by its path within the folder."""
    found = {f"{name}.json": _json(made()) for name, made in DASHBOARDS.items()}
    found["provisioning/datasources/dynseg.yaml"] = _yaml(provisioning.data_sources())
    found["provisioning/dashboards/dynseg.yaml"] = _yaml(provisioning.providers())
    found["provisioning/alerting/dynseg.yaml"] = _yaml(alerts.groups())
    return found


def stale(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    """Files that are missing, differ, or should not be there."""
    there = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    return sorted(name for name in {*there, *wanted} if there.get(name) != wanted.get(name))


def write(folder: Path, wanted: Mapping[str, str]) -> None:
    """Make the folder hold just these."""
    for name in stale(folder, wanted):
        path = folder / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[name])
        else:
            path.unlink()


_NO_LONGER_KNOWN = {"auto", "auto_min", "auto_count", "footer"}
"""Defaults that the SDK writes into every variable and table, and that Grafana's types of today do not have."""


def _json(made: build.Dashboard) -> str:
    written = plain(made.build())
    for each in (*written["templating"]["list"], *(panel.get("options", {}) for panel in written["panels"])):
        for key in _NO_LONGER_KNOWN & each.keys():
            del each[key]
    for number, panel in enumerate(written["panels"], start=1):
        panel["id"] = number  # the SDK numbers none; alerts and links name them
    return json.dumps(written, indent=2, ensure_ascii=False) + "\n"


def plain(value: object) -> Any:
    """What the SDK made, as lists and mappings."""
    return json.loads(json.dumps(value, cls=JSONEncoder))


def _yaml(value: object) -> str:
    return _NOTE + yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True, width=120)
