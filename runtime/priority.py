"""Who goes first when the processors are short.

Open vSwitch's own start script gives the switch daemon a niceness of -10. While an attack keeps the switch busy, what
is to stop the attack must not wait behind it, so control and engine have the same. The analyzer has no such hurry.
"""

from __future__ import annotations

import logging
import os

SWITCH = -10
"""The niceness of ovs-vswitchd."""
ORDINARY = 0

LOG = logging.getLogger("dynseg.priority")


def take(niceness: int) -> None:
    """Give this process a niceness, which its threads and children inherit; without the right to it, go on as it is."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    except PermissionError as error:
        LOG.warning("going on with niceness %d: %s", os.getpriority(os.PRIO_PROCESS, 0), error.strerror)
