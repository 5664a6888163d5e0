"""Labelled captures: flows of which a file says what they were.

Any file that `dynseg replay` or `dynseg import` reads and that has labels. `PATH=CLASS` says that all that is malicious
in a file is of one class, for captures of a single attack.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analyzer import csvflows
from analyzer.csvflows import NEEDED
from analyzer.flows import Array, FlowBatch
from analyzer.importers import files
from analyzer.importers.columns import TRUTH
from analyzer.importers.lines import beginning
from analyzer.models.classes import BENIGN, NAMES, class_of
from analyzer.site import FlowFileError, Site


@dataclass(frozen=True)
class Labelled:
    """One capture."""

    name: str
    batch: FlowBatch
    kind: Array
    """(flows,) object: class, `benign`, or None where the labels do not say."""
    site: Site
    digest: str
    """SHA-256 of the file."""


def read(what: str, internal: list[str]) -> Labelled:
    """A capture, `PATH` or `PATH=CLASS`.

    Raises:
        FlowFileError: unreadable, without labels, or a class that there is not.
    """
    text, _, forced = what.partition("=")
    path = Path(text)
    if forced and forced not in NAMES:
        raise FlowFileError(f"there is no class {forced!r}", file=path, remedy=f"one of {', '.join(NAMES)}")
    if path.is_dir():
        path /= "flows.csv.gz"
    site = Site.of(internal)
    table, batch = _flows(path, site)
    if not set(TRUTH) & set(table.columns):
        remedy = (
            "label and label_detail in the common schema, Label in a binetflow or CIC's CSV, attack_cat in UNSW-NB15's"
        )
        raise FlowFileError("has no labels", file=path, remedy=remedy)
    label, detail = (table[name] if name in table.columns else pd.Series("", table.index) for name in TRUTH)
    pairs = pd.MultiIndex.from_arrays([label, detail])
    codes, known = pairs.factorize()
    kinds = np.array([_kind(str(one), str(two), forced) for one, two in known] or [None], object)
    name = path.parent.name if path.name.startswith("flows.csv") else path.name
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Labelled(name, batch, kinds[codes], site, digest)


def _kind(label: str, detail: str, forced: str) -> str | None:
    found = class_of(label, detail)
    if not forced or found == BENIGN:
        return found
    return forced if label == "malicious" or found is not None else None


def _flows(path: Path, site: Site) -> tuple[pd.DataFrame, FlowBatch]:
    header = beginning(path).split(b"\n", 1)[0].decode("utf-8", "replace").strip().split(",")
    if set(NEEDED) <= set(header):
        table = csvflows.cells(path)
        ordered = table.iloc[pd.to_numeric(table["end"], errors="coerce").argsort(kind="stable")].reset_index(drop=True)
        return ordered, csvflows.parse(path, ordered, site)
    imported = files.read(path, site)
    return imported.table, imported.batch
