"""The known attacks: does it look like one, and like which? A label and evidence beside others, never a judge.

Two forests: the first tells attacks from the rest, the second names what the first points at. A folder of this kind
holds both under a signed manifest (`bundle`), as plain arrays.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from analyzer.flows import F4, F8, I8
from analyzer.models import bundle, classes, columns
from analyzer.models.bundle import Manifest
from analyzer.models.signing import Signer, Trust
from analyzer.models.trees import Common, Forest
from analyzer.risk import RARE_P, Finding, Verdict, risk_of
from runtime.errors import ModelError

log = logging.getLogger("dynseg.analyzer.known-attacks")
_BESIDE = ThreadPoolExecutor(1, thread_name_prefix="classify")

KIND = "known-attacks"
FORMAT = 1
GATE, NAMER, CLASSES = "gate.npz", "namer.npz", "classes.txt"
SHIPPED = Path(__file__).with_name("shipped")
"""The model that comes with dynseg; `docs/models.md` says what it was trained on, and by which command."""
RELEASE_KEY = "P7Sh+a9wsjpU4IPnQq9o71bfKvON9mO9elCslq50Uu0="
"""Public key that vouches for it."""
WORTH_A_THREAD = 4096
"""Rows for which a second thread pays."""
LIKELY = 0.5
"""Probability from which on it is said that something looks like an attack."""


class Named(NamedTuple):
    """What subjects look like."""

    attack: F8
    """(n,) probability that it is one of the known attacks."""
    kind: I8
    """(n,) position in `KnownAttacks.names`; -1 where `attack` is below `LIKELY`."""
    share: F8
    """(n,) probability of that class, given that it is an attack."""


@dataclass(frozen=True)
class KnownAttacks:
    """A trained classifier."""

    gate: Forest
    namer: Forest
    names: tuple[str, ...]
    """Of `classes.CLASSES`, in the order of the namer's outputs."""
    calibration: Mapping[str, float] = field(default_factory=dict)

    def windows(self, values: F8) -> Named:
        """Subjects, by their windows (lengths, n, features)."""
        return self.rows(columns.without_flow(columns.of_windows(values)))

    def flows(self, features: F4, windows: F8, whose: I8) -> Named:
        """Flows, by their features and the windows of who opened them, as `Core.windows_of` tells them."""
        return self.rows(columns.of_flows(features), Common(columns.of_windows(windows), whose))

    def rows(self, rows: F4, common: Common | None = None) -> Named:
        """Rows of `columns.COLUMNS`, the last of them in common; many are looked at in two threads."""
        half = len(rows) // 2
        if half < WORTH_A_THREAD:
            return self._named(rows, common)
        beside = _BESIDE.submit(self._named, rows[half:], common and common.of(slice(half, None)))
        first, second = self._named(rows[:half], common and common.of(slice(half))), beside.result()
        return Named(*(np.concatenate(column) for column in zip(first, second, strict=True)))

    def _named(self, rows: F4, common: Common | None) -> Named:
        attack = self.gate.probabilities(rows, common)[:, 1].astype(np.float64)
        kind, share = np.full(len(rows), -1), np.zeros(len(rows))
        likely = np.flatnonzero(attack >= LIKELY)
        if len(likely):
            theirs = np.take(rows.T, likely, axis=1).T  # a column stays in one place
            only = np.ones((len(likely), 1), np.float32)
            named = self.namer.probabilities(theirs, common and common.of(likely)) if len(self.names) > 1 else only
            kind[likely], share[likely] = named.argmax(axis=1), named.max(axis=1)
        return Named(attack, kind, share)

    def name(self, verdicts: Sequence[Verdict], values: F8) -> list[Verdict]:
        """Verdicts with what they look like as one more finding, which never acts.

        Only where the baseline, too, finds the subject abnormal: alone a label says nothing, since the classifier has
        never seen this network.

        Args:
            verdicts: n of them.
            values: windows of their subjects, (lengths, n, features).
        """
        odd = [i for i, verdict in enumerate(verdicts) if verdict.learned_p <= RARE_P]
        named = self.windows(values[:, odd])
        found = list(verdicts)
        for i, verdict in enumerate(verdicts[at] for at in odd):
            chance = float(named.attack[i] * named.share[i])
            if named.kind[i] < 0 or chance < LIKELY:
                continue
            kind = classes.by_name(self.names[named.kind[i]])
            words = (
                f"known attack: its windows look like {kind.words} ({kind.technique}; {chance:.0%} by the classifier)"
            )
            finding = Finding(f"known:{kind.name}", kind.technique, 1 + chance, words.__str__, acts=False)
            risk = max(verdict.risk, risk_of((finding,), 1.0))
            found[odd[i]] = replace(verdict, findings=(*verdict.findings, finding), risk=risk)
        return found


def save(folder: Path, model: KnownAttacks, signer: Signer, training: str, note: str) -> Manifest:
    """Write a model; the folder must not exist."""
    files = {
        GATE: model.gate.to_bytes(),
        NAMER: model.namer.to_bytes(),
        CLASSES: "".join(f"{name}\n" for name in model.names).encode(),
    }
    return bundle.write(
        folder,
        files,
        signer,
        kind=KIND,
        form=FORMAT,
        features=columns.COLUMNS,
        training=training,
        note=note,
        calibration=model.calibration,
    )


def taken_up(folder: Path | None, keys: Sequence[str]) -> KnownAttacks | None:
    """The classifier in `folder`, which one of `keys` must have signed; without a folder the one of dynseg itself.

    None where there is none, or where it must not be used, which is logged: verdicts then go without a label.
    """
    place = folder or SHIPPED
    if folder is None and not SHIPPED.is_dir():
        return None
    try:
        return load(place, Trust.in_keys((*keys, RELEASE_KEY)))
    except ModelError as error:
        log.warning("%s; attacks are not named", error)
        return None


def load(folder: Path, trust: Trust) -> KnownAttacks:
    """A model from `save`.

    Raises:
        ModelError: damaged, changed, signed by a stranger, or it sees other columns than this version counts.
    """
    found = bundle.read(folder, trust)
    bundle.expect(found.manifest, folder, kind=KIND, form=FORMAT)
    if found.manifest.features != columns.COLUMNS:
        raise ModelError("was made by another version: other columns", file=folder, remedy="train it again")
    try:
        names = tuple(found.files[CLASSES].decode().split())
        gate, namer = (Forest.from_bytes(found.files[name]) for name in (GATE, NAMER))
    except (KeyError, ValueError) as error:
        raise ModelError(f"is incomplete: {error}", file=folder) from error
    if strangers := [name for name in names if name not in classes.NAMES]:
        raise ModelError(f"names classes that there are not: {', '.join(strangers)}", file=folder)
    return KnownAttacks(gate, namer, names, found.manifest.calibration)
