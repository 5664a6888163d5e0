"""What pydantic found, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError


def most_telling(error: ValidationError) -> Mapping[str, Any]:
    """The one finding to show first, as `ValidationError.errors` spells it (`loc`, `msg`, `type`).

    A misspelt key is both unknown and, under its right name, missing: that it is unknown says more.
    """
    return min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
