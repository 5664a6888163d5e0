"""What pydantic found, for people."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import ValidationError

from runtime.document import Document, E, Path
from runtime.errors import WrongValueError

_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that have the text behind them shown in another order (Unicode 16, UAX 9)."""


def readable(text: str) -> str:
    """What people write for people to read, in a terminal, too.

    Raises:
        WrongValueError: it has characters that command a terminal, or show text in another order than it has.
    """
    for place, one in enumerate(text):
        if one in _TURNING or (unicodedata.category(one) == "Cc" and one not in "\n\t"):
            raise WrongValueError(f"has the control character U+{ord(one):04X} at place {place + 1}", "take it out")
    return text


def most_telling(error: ValidationError) -> Mapping[str, Any]:
    """The one finding to show first, as `ValidationError.errors` spells it (`loc`, `msg`, `type`).

    A misspelt key is both unknown and, under its right name, missing: that it is unknown says more.
    """
    return min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")


_SAID = {
    "missing": "missing",
    "extra_forbidden": "unknown key",
    "tuple_type": "must be a list (`[one, two]`)",
    "dict_type": "must be a mapping (`key: value`)",
    "model_type": "must be a mapping (`key: value`)",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
}
"""Words for findings, by pydantic's type."""


def in_words(found: Mapping[str, Any]) -> tuple[str, str | None]:
    """What a finding (of `most_telling`) says, and what to write instead where that is known.

    The value itself is quoted only where a schema of ours does: it may be a secret.
    """
    kind, context = str(found["type"]), found.get("ctx", {})
    if isinstance(wrong := context.get("error"), WrongValueError):
        return wrong.message, wrong.remedy
    if kind == "too_short" and context["min_length"] == 1:
        return "must not be empty", None
    if kind == "string_pattern_mismatch":
        return f"must be written as {context['pattern']}", None
    told = str(found["msg"]).removeprefix("Value error, ")
    return _SAID.get(
        kind, f"must be {told.removeprefix('Input should be ')}" if told.startswith("Input") else told
    ), None


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
    message, remedy = in_words(first)
    if first["type"] == "extra_forbidden":
        remedy = right_key(path)
    elif first["type"] == "missing":
        remedy = f"add `{path[-1]}`"
    return read.error(kind, path, message, remedy)
