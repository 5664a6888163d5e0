"""Saved baselines: a joblib file and a manifest with its SHA-256, checked before anything of it is loaded.

`joblib.load` runs whatever is in a file, so a file that is not exactly what the manifest names is never opened.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import joblib
from pydantic import BaseModel, ConfigDict, ValidationError

from analyzer.baseline import Baseline
from analyzer.features import FLOW_FEATURES
from analyzer.observe import FEATURES
from analyzer.windows import LENGTHS
from runtime.errors import ModelError
from topology.model import Inventory

MODEL = "baseline.joblib"
MANIFEST = "manifest.json"
FORMAT = 2
"""2: windows see copies of opening packets, too."""
Fit = Callable[[int, str], Baseline]
"""From (seed, inventory digest)."""


class Manifest(BaseModel):
    """What stands beside the model."""

    model_config = ConfigDict(extra="forbid")

    format: int
    sha256: str
    """Of the model file."""
    created: float
    """Epoch seconds."""
    versions: dict[str, str]
    """Libraries it was made with."""
    features: list[str]
    """What its columns mean."""
    inventory: str
    """Digest of the inventory it was learned under."""
    training: str
    """Digest of what it was learned from."""


def inventory_digest(inventory: Inventory) -> str:
    """Changes whenever a segment, a VM, its place or its addresses change."""
    parts = [f"{segment.name}={segment.number}" for segment in inventory.segments.values()]
    parts += [repr(vm) for vm in inventory.vms.values()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def save(folder: Path, baseline: Baseline) -> None:
    """Write model and manifest; each replaces its forerunner in one step, the manifest last."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / (MODEL + ".new")
    joblib.dump(baseline, fresh, compress=3)
    manifest = Manifest(
        format=FORMAT,
        sha256=_sha256(fresh),
        created=time.time(),
        versions=_versions(),
        features=_features(),
        inventory=baseline.inventory,
        training=baseline.training,
    )
    fresh.replace(folder / MODEL)
    fresh = folder / (MANIFEST + ".new")
    fresh.write_text(manifest.model_dump_json(indent=1))
    fresh.replace(folder / MANIFEST)


def load(folder: Path, inventory: str) -> Baseline | None:
    """The saved baseline; None when there is none, or it was learned under another inventory.

    Raises:
        ModelError: the files are damaged, were changed, or come from another version.
    """
    path, model = folder / MANIFEST, folder / MODEL
    remedy = f"remove {folder} and let the analyzer learn again"
    if not path.exists():
        return None
    try:
        manifest = Manifest.model_validate_json(path.read_text())
        found = _sha256(model)
    except (OSError, ValueError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ModelError(f"the saved baseline cannot be read: {reason}", file=path, remedy=remedy) from error
    if manifest.inventory != inventory:
        return None
    if found != manifest.sha256:
        raise ModelError("does not match its manifest: it was changed or is damaged", file=model, remedy=remedy)
    if manifest.format != FORMAT or manifest.features != _features() or manifest.versions != _versions():
        raise ModelError("was made by another version", file=model, remedy=remedy)
    baseline = joblib.load(model)
    if not isinstance(baseline, Baseline):
        raise ModelError(f"holds a {type(baseline).__name__}, not a baseline", file=model, remedy=remedy)
    return baseline


def _features() -> list[str]:
    return [*FLOW_FEATURES, *FEATURES, *(f"{length:g}s" for length in LENGTHS)]


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("numpy", "scikit-learn")}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
