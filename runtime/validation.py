"""What pydantic found, for people."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import ValidationError

from runtime.document import Document, E, Path

_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that have the text behind them shown in another order (Unicode 16, UAX 9)."""


def readable(text: str) -> str:
    """What people write for people to read, in a terminal, too.

    Raises:
        ValueError: it has characters that command a terminal, or show text in another order than it has.
    """
    for place, one in enumerate(text):
        if one in _TURNING or (unicodedata.category(one) == "Cc" and one not in "\n\t"):
            raise ValueError(f"has the control character U+{ord(one):04X} at place {place + 1}; take it out")
    return text


def most_telling(error: ValidationError) -> Mapping[str, Any]:
    """The one finding to show first, as `ValidationError.errors` spells it (`loc`, `msg`, `type`).

    A misspelt key is both unknown and, under its right name, missing: that it is unknown says more.
    """
    return min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")


def refusal(
    error: ValidationError,
    read: Document,
    kind: type[E],
    right_key: Callable[[Path], str],
    tags: Collection[str] = (),
) -> E:
    """What the schema of a document refuses, with its place and a remedy.

    Args:
        kind: of the error that is made.
        right_key: what to say about an unknown key, given its path.
        tags: what pydantic puts into paths although no key is called so.
    """
    first = most_telling(error)
    path = tuple(part for part in first["loc"] if part != "[key]" and part not in tags)
    message, remedy = first["msg"].removeprefix("Value error, "), None
    if first["type"] == "extra_forbidden":
        message, remedy = "unknown key", right_key(path)
    elif first["type"] == "missing":
        message, remedy = "missing", f"add `{path[-1]}`"
    elif first["type"] == "tuple_type":
        message = "must be a list (`[one, two]`)"
    elif first["type"] in ("dict_type", "model_type"):
        message = "must be a mapping (`key: value`)"
    return read.error(kind, path, message, remedy)
