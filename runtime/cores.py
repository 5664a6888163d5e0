"""No core dumps: a file of a process's memory would hold whatever packets were in it."""

from __future__ import annotations

import ctypes
import logging
import os
import resource

_PR_SET_DUMPABLE = 4
LOG = logging.getLogger("dynseg.cores")


def forbid() -> None:
    """Let this process leave none when it dies. Children begin anew, so each process asks for itself.

    The limit holds for core files; that the process is not dumpable holds for programs that cores are piped to, too
    (core(5), prctl(2)).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        LOG.warning("core dumps are limited, but not forbidden: %s", os.strerror(ctypes.get_errno()))
