"""Who goes first when the processors are short.

Open vSwitch's own start script gives the switch daemon a niceness of -10. While an attack keeps the switch busy, what
is to stop the attack must not wait behind it, so control and engine have the same. The analyzer has no such hurry.

Linux puts the processes of a session into a group of their own and shares the processors among the groups first
(sched(7), autogroup), where a niceness counts among those of the same group only. So the group is given it, too; and
so is the group of the switch daemon itself, whose start script does not know of this: it would wait behind the engine.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

SWITCH = -10
"""The niceness of ovs-vswitchd."""
ORDINARY = 0
_PROCESSES = Path("/proc")
_GROUP = "autogroup"

LOG = logging.getLogger("dynseg.priority")


def take(niceness: int) -> None:
    """Give this process a niceness, which its threads and children inherit; without the right to it, go on as it is.

    Its session has it, too, if this is its first process: whoever else is in one is not its own to judge.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
        if os.getsid(0) == os.getpid():
            group = _PROCESSES / "self" / _GROUP
            if _niceness_of(group) is not None:
                group.write_text(f"{niceness}\n")
    except PermissionError as error:
        LOG.warning("going on with niceness %d: %s", os.getpriority(os.PRIO_PROCESS, 0), error.strerror)


def speak_for_group(pid: int) -> None:
    """Give the group of another process the niceness of that process, if it is less there.

    Only where the session began with that program: it is a daemon's, and perhaps of one that watches over it. Without
    the right to it, things go on as they are.
    """
    try:
        niceness, group = os.getpriority(os.PRIO_PROCESS, pid), _PROCESSES / str(pid) / _GROUP
        has = _niceness_of(group)
        if has is not None and niceness < has and _program(os.getsid(pid)) == _program(pid):
            group.write_text(f"{niceness}\n")
            LOG.info("the group of process %d has its niceness now, %d", pid, niceness)
    except (FileNotFoundError, ProcessLookupError):
        LOG.debug("process %d has just ended", pid)
    except PermissionError as error:
        LOG.warning("the group of process %d keeps its niceness: %s", pid, error.strerror)


def _niceness_of(group: Path) -> int | None:
    """What a group has: "/autogroup-9 nice 0".

    None if there is no group to speak of: a kernel without them, or a process from before the first session, which is
    in the group of all (its file is empty, and cannot be written).
    """
    try:
        told = group.read_text()
    except FileNotFoundError:
        return None
    return int(told.rpartition(" ")[2]) if told.strip() else None


def _program(pid: int) -> Path:
    """The file that a process runs."""
    return (_PROCESSES / str(pid) / "exe").readlink()
