"""Ed25519 keys of models: each installation signs its own, and says whose else it believes."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from runtime.errors import ModelError


@dataclass(frozen=True)
class Signer:
    """A private key."""

    _key: Ed25519PrivateKey

    @classmethod
    def fresh(cls) -> Signer:
        """A new key that is kept nowhere."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def of(cls, file: Path) -> Signer:
        """The key in `file`, which is made on the first call, readable for its owner only.

        Raises:
            ModelError: it cannot be read or made, is no key, or others may read it.
        """
        try:
            if not file.exists():
                _make(file)
            if file.stat().st_mode & 0o077:
                raise ModelError(
                    "others may read this key", file=file, remedy=f"chmod 600 {file}, if it is still yours"
                )
            raw = base64.b64decode(file.read_text().strip(), validate=True)
            return cls(Ed25519PrivateKey.from_private_bytes(raw))
        except OSError as error:
            raise ModelError(f"the key of models cannot be had: {error.strerror}", file=file) from error
        except (ValueError, binascii.Error) as error:
            remedy = "remove it: a new one is made, and models signed by the old one are refused"
            raise ModelError("holds no Ed25519 key", file=file, remedy=remedy) from error

    def sign(self, data: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(data)

    @property
    def public(self) -> str:
        """The public key, as settings name it."""
        return base64.b64encode(self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()

    def private(self) -> str:
        """The private key, as its file holds it."""
        raw = self._key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return base64.b64encode(raw).decode()


@dataclass(frozen=True)
class Trust:
    """Whose signatures count."""

    _keys: tuple[tuple[str, Ed25519PublicKey], ...]

    @classmethod
    def in_keys(cls, texts: Iterable[str]) -> Trust:
        """From public keys in base64.

        Raises:
            ModelError: one is none.
        """
        keys = []
        for text in dict.fromkeys(texts):
            try:
                keys.append((text, Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))))
            except (ValueError, binascii.Error) as error:
                remedy = "give 32 bytes in base64, as `dynseg models key` prints them"
                raise ModelError(
                    f"{text!r} is no Ed25519 public key", key="analyzer.trusted_keys", remedy=remedy
                ) from error
        return cls(tuple(keys))

    def signer(self, data: bytes, signature: bytes) -> str | None:
        """The public key that made this signature of `data`; None: nobody who is trusted."""
        for text, key in self._keys:
            try:
                key.verify(signature, data)
            except InvalidSignature:
                continue
            return text
        return None


def _make(file: Path) -> None:
    """Whole or not at all, and never readable for others, not even for a moment."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(Signer.fresh().private() + "\n")
    fresh.replace(file)
