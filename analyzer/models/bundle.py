"""A folder of model files under a signed manifest. Nothing of it is used before everything has been checked.

`manifest.json` names every file with its SHA-256 and says what the model is; `manifest.sig` is the Ed25519 signature of
the manifest's bytes. Unpickling runs whatever is in a file, so `read` returns bytes only after signature and digests
match, and it is these bytes, read once, that are unpickled.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from analyzer.models.signing import Signer, Trust
from runtime.errors import ModelError

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
LIBRARIES = ("numpy", "scikit-learn")


class Manifest(BaseModel):
    """What a model is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    """`baseline` or `known-attacks`."""
    format: int
    created: float
    """Epoch seconds."""
    versions: dict[str, str]
    """Libraries it was made with."""
    features: tuple[str, ...]
    """What its columns mean."""
    inventory: str
    """Digest of the inventory that it was learned under; empty: any."""
    training: str
    """Digest of what it was learned from."""
    note: str
    """For people: why it was made."""
    calibration: dict[str, float]
    """How its probabilities held on data that it was not fitted on."""
    files: dict[str, str]
    """Name -> SHA-256."""


@dataclass(frozen=True)
class Bundle:
    """A checked model."""

    manifest: Manifest
    signer: str
    """Public key."""
    files: Mapping[str, bytes]


def libraries() -> dict[str, str]:
    """Versions that go into a manifest."""
    return {name: version(name) for name in LIBRARIES}


def write(
    folder: Path,
    files: Mapping[str, bytes],
    signer: Signer,
    *,
    kind: str,
    form: int,
    features: Sequence[str],
    training: str,
    inventory: str = "",
    note: str = "",
    calibration: Mapping[str, float] | None = None,
) -> Manifest:
    """Write a signed model; the folder, which must not exist, is there whole or not at all."""
    manifest = Manifest(
        kind=kind,
        format=form,
        created=time.time(),
        versions=libraries(),
        features=tuple(features),
        inventory=inventory,
        training=training,
        note=note,
        calibration=dict(calibration or {}),
        files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    )
    text = manifest.model_dump_json(indent=1).encode() + b"\n"
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        for name, data in {**files, MANIFEST: text, SIGNATURE: base64.b64encode(signer.sign(text)) + b"\n"}.items():
            (fresh / name).write_bytes(data)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return manifest


def read(folder: Path, trust: Trust) -> Bundle:
    """A model, checked.

    Raises:
        ModelError: the signature is nobody's who is trusted, a file is missing or changed, or the manifest says nothing
            sensible.
    """
    manifest, signer = read_manifest(folder, trust)
    files = {}
    for name, digest in manifest.files.items():
        file = folder / name
        if Path(name).name != name:
            raise ModelError(f"names a file elsewhere: {name!r}", file=folder / MANIFEST)
        data = _bytes(file)
        if hashlib.sha256(data).hexdigest() != digest:
            remedy = "remove the folder; see `dynseg models list` for others"
            raise ModelError("does not match its manifest: it was changed or is damaged", file=file, remedy=remedy)
        files[name] = data
    return Bundle(manifest, signer, files)


def read_manifest(folder: Path, trust: Trust) -> tuple[Manifest, str]:
    """What a folder says of its model, and whose key vouches for it.

    Raises:
        ModelError: as for `read`, but for the files.
    """
    file = folder / MANIFEST
    text = _bytes(file)
    try:
        signature = base64.b64decode(_bytes(folder / SIGNATURE).strip(), validate=True)
    except (ValueError, binascii.Error) as error:
        raise ModelError("is no signature", file=folder / SIGNATURE) from error
    signer = trust.signer(text, signature)
    if signer is None:
        remedy = "if you know who made it, add the public key to analyzer.trusted_keys; else remove the folder"
        raise ModelError(
            "is not signed by anybody who is trusted: it was changed or comes from elsewhere", file=file, remedy=remedy
        )
    try:
        return Manifest.model_validate_json(text), signer
    except ValidationError as error:
        raise ModelError(f"says nothing sensible: {error.errors()[0]['msg']}", file=file) from error


def expect(manifest: Manifest, folder: Path, *, kind: str, form: int) -> None:
    """Refuse a model that is something else.

    Raises:
        ModelError: another kind of model, or made by another version of dynseg.
    """
    if manifest.kind != kind:
        raise ModelError(f"holds a model of kind {manifest.kind}, not {kind}", file=folder / MANIFEST)
    if manifest.format != form:
        message = f"was made by another version: format {manifest.format}, this one reads {form}"
        raise ModelError(message, file=folder / MANIFEST, remedy="make it again with this version")


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ModelError(f"the saved model cannot be read: {error.strerror}", file=file) from error
