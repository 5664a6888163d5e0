"""A consent as people write it: a YAML file, or the same keys as JSON over REST."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from policies.document import read_text
from policies.terms import epoch_seconds
from runtime import document
from runtime.errors import PolicyError
from runtime.validation import refusal
from topology.names import nearest

_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(:[A-Za-z_][A-Za-z0-9_]{0,127})?$"
_LATEST = 4102444800.0
"""The year 2100: beyond, somebody has written milliseconds."""


def _seconds(value: Any) -> float:
    """Epoch seconds of a number, or of an ISO 8601 time that says its zone."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("write a time such as 2026-11-23T08:00:00Z")  # noqa: TRY004 - pydantic catches ValueError only
    try:
        return float(value)
    except ValueError:
        pass
    return epoch_seconds(str(value))


def _plausible(seconds: float) -> float:
    if not 0 <= seconds < _LATEST:
        raise ValueError(f"{seconds:g} is no time in seconds since 1970")
    return seconds


def _listed(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(patterns)) < len(patterns):
        raise ValueError("a pattern is named twice")
    return patterns


def _telling(text: str) -> str:
    if not text.strip():
        raise ValueError("says nothing")
    return text.strip()


Name = Annotated[str, Field(min_length=1, max_length=64)]
Words = Annotated[str, Field(max_length=500), AfterValidator(_telling)]
Moment = Annotated[float, BeforeValidator(_seconds), AfterValidator(_plausible)]
Patterns = Annotated[
    tuple[Annotated[str, Field(pattern=_PATTERN)], ...], Field(min_length=1, max_length=100), AfterValidator(_listed)
]


class ConsentDoc(BaseModel):
    """Who agreed that whose payload is searched for what, why, and how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vm: Name | None = None
    segment: Name | None = None
    purpose: Words
    patterns: Patterns
    agreed_by: Words
    start: Annotated[Moment | None, Field(alias="from")] = None
    """None: from now on."""
    until: Moment

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.vm is None) == (self.segment is None):
            raise ValueError("name either `vm` or `segment`")
        if self.start is not None and self.until <= self.start:
            raise ValueError(f"`until` ({utc(self.until)}) is not after `from` ({utc(self.start)})")
        return self

    def fields(self) -> dict[str, Any]:
        """As REST takes it."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def load(path: Path) -> ConsentDoc:
    """Read a file that holds one consent.

    Raises:
        PolicyError: unreadable, not YAML, unknown keys, or it contradicts itself; names file, line, key and remedy.
    """
    return parse(read_text(path), str(path))


def parse(text: str, file: str = "consent") -> ConsentDoc:
    """Check a consent's text; `file` is the name that errors give.

    Raises:
        PolicyError: as `load`.
    """
    read = document.read(text, file, PolicyError)
    try:
        return ConsentDoc.model_validate({} if read.data is None else read.data)
    except ValidationError as error:
        raise refusal(error, read, PolicyError, _right_key) from error


def utc(seconds: float) -> str:
    """A time for people."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _right_key(path: document.Path) -> str:
    return nearest(str(path[-1]), [field.alias or name for name, field in ConsentDoc.model_fields.items()])
