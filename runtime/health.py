"""How this process is: processor time, memory, age."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

_PAGE = os.sysconf("SC_PAGE_SIZE")
_STARTED = time.monotonic()


def health() -> dict[str, Any]:
    """{cpu_seconds, memory_bytes, uptime_seconds}: of all threads, resident, since the program was loaded."""
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "cpu_seconds": time.process_time(),
        "memory_bytes": resident * _PAGE,
        "uptime_seconds": time.monotonic() - _STARTED,
    }
