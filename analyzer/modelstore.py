"""Saved baselines of this node: numbered versions, each a signed folder, one of them current, one the anchor.

`current` and `anchor` are files that hold a version's number. The anchor is the first baseline that was learned under
an inventory, or the one a person made it: later ones learn what they learn under its eyes (`analyzer.following`).
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import joblib

from analyzer.baseline import Baseline
from analyzer.features import FLOW_FEATURES
from analyzer.models import bundle
from analyzer.models.bundle import Manifest
from analyzer.models.signing import Signer, Trust
from analyzer.observe import FEATURES
from analyzer.windows import LENGTHS
from runtime.errors import ModelError
from runtime.files import replacing
from topology.model import Inventory

MODEL = "baseline.joblib"
KIND = "baseline"
FORMAT = 4
"""4: tails that know how little was seen."""
CURRENT, ANCHOR = "current", "anchor"
KEPT = 10
"""Versions; older ones are removed, the anchor never."""
Fit = Callable[[int, str], Baseline]
"""From (seed, inventory digest)."""


@dataclass(frozen=True)
class Version:
    """One saved baseline, as far as its manifest tells."""

    number: int
    manifest: Manifest | None
    problem: str
    """Why it would not be loaded; empty when nothing is wrong with its manifest."""
    current: bool
    anchor: bool


@dataclass(frozen=True)
class Loaded:
    """The current baseline, and the anchor beside it when that is another."""

    number: int
    baseline: Baseline
    anchor: Baseline | None


def inventory_digest(inventory: Inventory) -> str:
    """Changes whenever a segment, a VM, its place or its addresses change."""
    parts = [f"{segment.name}={segment.number}" for segment in inventory.segments.values()]
    parts += [repr(vm) for vm in inventory.vms.values()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class ModelStore:
    """The baselines in one folder.

    Args:
        folder: made when something is saved.
        signer: of what is saved here.
        trust: whose signatures count, the own among them.
    """

    def __init__(self, folder: Path, signer: Signer, trusted: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self._signer = signer
        self._trust = Trust.in_keys((signer.public, *trusted))

    def save(self, baseline: Baseline, note: str, *, anchor: bool = False) -> int:
        """Keep a baseline as the current one; its number. The first one, or with `anchor`, is the anchor too."""
        number = max(self._numbers(), default=0) + 1
        buffer = io.BytesIO()
        joblib.dump(baseline, buffer, compress=3)
        self.folder.mkdir(parents=True, exist_ok=True)
        bundle.write(
            self._place(number),
            {MODEL: buffer.getvalue()},
            self._signer,
            kind=KIND,
            form=FORMAT,
            features=_features(),
            inventory=baseline.inventory,
            training=baseline.training,
            note=note,
            calibration=baseline.calibration,
        )
        if anchor or self._anchor_of(baseline.inventory) is None:
            self._point(ANCHOR, number)
        self._point(CURRENT, number)
        self._prune()
        return number

    def load(self, inventory: str) -> Loaded | None:
        """The current baseline; None when there is none, or it was learned under another inventory.

        Raises:
            ModelError: the files are damaged, were changed, are signed by a stranger, or come from another version.
        """
        number = self._pointed(CURRENT)
        if number is None:
            return None
        manifest, _ = bundle.read_manifest(self._place(number), self._trust)
        if manifest.inventory != inventory:
            return None
        baseline, anchor = self._read(number), self._anchor_of(inventory)
        return Loaded(number, baseline, None if anchor in (None, number) else self._read(anchor))

    def rollback(self, number: int, *, anchor: bool = False) -> None:
        """Make a version the current one, with `anchor` the anchor as well; a running analyzer takes it up.

        Raises:
            ModelError: there is no such version, or it would not be loaded.
        """
        if number not in self._numbers():
            there = ", ".join(map(str, self._numbers())) or "none"
            raise ModelError(f"there is no version {number}", file=self.folder, remedy=f"there are: {there}")
        self._read(number)
        if anchor:
            self._point(ANCHOR, number)
        self._point(CURRENT, number)

    def versions(self) -> list[Version]:
        """All, oldest first."""
        current, anchor = self._pointed(CURRENT), self._pointed(ANCHOR)
        found = []
        for number in self._numbers():
            manifest, problem = None, ""
            try:
                manifest, _ = bundle.read_manifest(self._place(number), self._trust)
                _expect_ours(manifest, self._place(number))
            except ModelError as error:
                problem = str(error)
            found.append(Version(number, manifest, problem, number == current, number == anchor))
        return found

    def current(self) -> int | None:
        """Number of the version that is to judge."""
        return self._pointed(CURRENT)

    def _anchor_of(self, inventory: str) -> int | None:
        """The anchor, if it was learned under this inventory."""
        number = self._pointed(ANCHOR)
        if number is None or bundle.read_manifest(self._place(number), self._trust)[0].inventory != inventory:
            return None
        return number

    def _read(self, number: int) -> Baseline:
        place = self._place(number)
        found = bundle.read(place, self._trust)
        _expect_ours(found.manifest, place)
        if MODEL not in found.files:
            raise ModelError(f"names no {MODEL}", file=place / bundle.MANIFEST)
        baseline = joblib.load(io.BytesIO(found.files[MODEL]))
        if not isinstance(baseline, Baseline):
            raise ModelError(f"holds a {type(baseline).__name__}, not a baseline", file=place / MODEL)
        return baseline

    def _place(self, number: int) -> Path:
        return self.folder / f"{number:06d}"

    def _numbers(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdecimal() and path.is_dir())

    def _pointed(self, name: str) -> int | None:
        try:
            text = (self.folder / name).read_text().strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ModelError(f"cannot be read: {error.strerror}", file=self.folder / name) from error
        if not text.isdecimal():
            remedy = "see `dynseg models list`, then `dynseg models rollback NUMBER`"
            raise ModelError(f"holds no version's number: {text[:40]!r}", file=self.folder / name, remedy=remedy)
        return int(text)

    def _point(self, name: str, number: int) -> None:
        with replacing(self.folder / name) as fresh:
            fresh.write_text(f"{number}\n")

    def _prune(self) -> None:
        kept = {self._pointed(CURRENT), self._pointed(ANCHOR), *self._numbers()[-KEPT:]}
        for number in self._numbers():
            if number not in kept:
                shutil.rmtree(self._place(number))


def _expect_ours(manifest: Manifest, place: Path) -> None:
    bundle.expect(manifest, place, kind=KIND, form=FORMAT)
    if list(manifest.features) != _features() or manifest.versions != bundle.libraries():
        remedy = "let the analyzer learn again"
        raise ModelError(
            "was made by another version: other features or libraries", file=place / bundle.MANIFEST, remedy=remedy
        )


def _features() -> list[str]:
    return [*FLOW_FEATURES, *FEATURES, *(f"{length:g}s" for length in LENGTHS)]
