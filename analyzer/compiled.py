"""Loops over records as machine code: for what runs once a packet record and cannot be said in whole columns."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numba import njit

F = TypeVar("F", bound=Callable[..., object])
Row: TypeAlias = Any
"""A row of a structured array: compiled code has its fields as attributes."""

log = logging.getLogger("dynseg.analyzer.compiled")


def compiled(function: F) -> F:
    """Compile a function of arrays and numbers at its first call (numba), and keep the machine code for later starts.

    Kept beside the source, or in the user's cache folder. Where neither can be written every start compiles anew,
    which takes some seconds.
    """
    try:
        made = njit(cache=True, nogil=True)(function)
    except RuntimeError as error:  # numba found no folder that it may write
        log.info("machine code is compiled at each start: %s", error)
        made = njit(nogil=True)(function)
    return cast("F", made)


@compiled
def signed(number: Any) -> int:
    """A number of any column as a signed one: compiled code makes floats of signed and unsigned ones together."""
    return np.int64(number)  # type: ignore[return-value]
