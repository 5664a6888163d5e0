"""Log set-up: one line an event, on standard error."""

from __future__ import annotations

import logging
import sys


def configure(process: str, level: str = "INFO") -> logging.Logger:
    """Send this process's log to standard error and return its root logger `dynseg`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"%(asctime)s {process} %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("dynseg")
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
    return logger
