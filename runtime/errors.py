"""Errors that tell a person what is wrong, where, and what to do about it."""

from __future__ import annotations

from pathlib import Path


class DynsegError(Exception):
    """A failure with a place and a remedy.

    Args:
        message: what is wrong, in one sentence without a full stop.
        file: the file that holds the mistake, if any.
        line: 1-based line in `file`.
        key: dotted path of the offending key, e.g. ``vms.web1.mac``.
        remedy: what the reader should do.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | Path | None = None,
        line: int | None = None,
        key: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.message = message
        self.file = None if file is None else str(file)
        self.line = line
        self.key = key
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        place = ""
        if self.file is not None:
            place = self.file + (f":{self.line}" if self.line is not None else "") + ": "
        key = f"{self.key}: " if self.key else ""
        remedy = f" ({self.remedy})" if self.remedy else ""
        return f"{place}{key}{self.message}{remedy}"


class WrongValueError(ValueError):
    """A value that somebody wrote is none of its kind; schemas raise it where pydantic asks for a `ValueError`.

    Args:
        message: what is wrong with it.
        remedy: what to write instead.
    """

    def __init__(self, message: str, remedy: str) -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(f"{message}; {remedy}")


class SettingsError(DynsegError):
    """The settings file or an environment override is wrong."""


class InventoryError(DynsegError):
    """The inventory contradicts itself or does not follow its schema."""


class PolicyError(DynsegError):
    """A segmentation rule cannot mean anything, or is refused."""


class AuditError(DynsegError):
    """The audit chain is broken or cannot be read."""


class ModelError(DynsegError):
    """A saved model is missing, damaged or was trained for something else."""


class PatternError(DynsegError):
    """A pattern of payload inspection is unknown, or its file cannot be used."""


class ArchiveError(DynsegError):
    """The flow archive cannot be read, or asked what was asked."""


class MetricsError(DynsegError):
    """A server of metrics is not there, refuses what it is asked or told, or holds something else."""


class TransientError(DynsegError):
    """Something that is expected to pass: retried with backoff and counted."""


class ChannelError(TransientError):
    """The other process is not there, or spoke something that is not a message."""
