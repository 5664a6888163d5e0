"""What can go wrong in a lab and is not the product's fault."""

from __future__ import annotations

from runtime.errors import DynsegError


class LabError(DynsegError):
    """The lab cannot be built or run here; says why and what to do."""
