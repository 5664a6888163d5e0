"""The key of the hashes of what patterns matched: one of each node, which never leaves it.

With it the same match is recognised again; without it nobody can find out what it was by trying, short as it may be.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from runtime.errors import SettingsError

KEY_BYTES = 32


def load_or_create(path: Path) -> bytes:
    """The key; made where there is none.

    Raises:
        SettingsError: it cannot be read or made, others may read it, or it is no key.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
        mode, key = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot be read or made: {error.strerror}", file=path, remedy="see state_dir") from error
    if mode & 0o077:
        remedy = "take it away: a new one is made, and earlier hashes cannot be compared with later ones"
        raise SettingsError(f"is a secret but has mode {mode:04o}", file=path, remedy=remedy)
    if len(key) != KEY_BYTES:
        raise SettingsError(f"holds {len(key)} bytes instead of {KEY_BYTES}", file=path, remedy="take it away")
    return key
