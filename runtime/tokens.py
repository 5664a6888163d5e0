"""The bearer tokens of the REST interface: a YAML file of `- {name, role, token}`, readable by its owner only."""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from runtime.errors import SettingsError


class Role(StrEnum):
    """What a token may do; each role may do what the one before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """May this role do what `needed` may?"""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Token(BaseModel):
    """One line of the file. `name` is the actor that the audit log shows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@-]{1,64}$")]
    role: Role
    token: Annotated[str, Field(min_length=16, max_length=256, pattern=r"^[\x21-\x7e]+$", repr=False)]


_TOKENS = TypeAdapter(tuple[Token, ...])


def load(path: Path) -> tuple[Token, ...]:
    """Read the tokens.

    Raises:
        SettingsError: unreadable, readable by others, not YAML, or not tokens.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text()
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror}", file=path) from error
    if mode & 0o077:
        remedy = f"chmod 600 {path}, and make new tokens if somebody may have read them"
        raise SettingsError(f"holds secrets but has mode {mode:04o}", file=path, remedy=remedy)
    try:
        tokens = _TOKENS.validate_python(tuple(yaml.safe_load(text) or ()))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        raise SettingsError("not YAML", file=path, line=line) from error
    except (ValidationError, TypeError) as error:
        key = ".".join(str(part) for part in error.errors()[0]["loc"]) if isinstance(error, ValidationError) else None
        remedy = "each entry is {name, role: viewer|operator|admin, token: 16 characters or more}"
        raise SettingsError("not a list of tokens", file=path, key=key, remedy=remedy) from error
    for kind, values in (("name", [t.name for t in tokens]), ("token", [t.token for t in tokens])):
        if len(set(values)) < len(values):
            raise SettingsError(f"two tokens have the same {kind}", file=path, remedy="give each its own")
    return tokens


def load_or_create(path: Path) -> tuple[Token, ...]:
    """Read the tokens; when there is no file, make one with a random token for each role.

    Raises:
        SettingsError: the file is wrong, or cannot be made.
    """
    if path.exists():
        return load(path)
    tokens = [{"name": role.value, "role": role.value, "token": secrets.token_urlsafe(32)} for role in Role]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(path, tokens)
    except OSError as error:
        raise SettingsError(f"cannot be made: {error.strerror}", file=path, remedy="set rest.tokens") from error
    return load(path)


def _make(path: Path, tokens: list[dict[str, str]]) -> None:
    """Whoever sees the file sees all of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            yaml.safe_dump(tokens, file, sort_keys=False)
        path.hardlink_to(beside)
    finally:
        beside.unlink()


def find(tokens: Iterable[Token], presented: str) -> Token | None:
    """The token that equals what a client presented; every token is compared, in constant time each."""
    offered = presented.encode()
    found = None
    for token in tokens:
        if hmac.compare_digest(token.token.encode(), offered):
            found = token
    return found
