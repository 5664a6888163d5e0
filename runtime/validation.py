"""What pydantic found, for people."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import ErrorDetails


def most_telling(error: ValidationError) -> ErrorDetails:
    """The one finding to show first.

    A misspelt key is both unknown and, under its right name, missing: that it is unknown says more.
    """
    return min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
