"""Waiting until the local Open vSwitch forwards by its flow tables, for all who wait at the same time.

A barrier says that the flow tables have changed, not that all packets feel it: the data path forwards by a cache of
decisions, which revalidator threads bring up to date in passes (OVS, Documentation/topics/design.rst). Until the pass
that began after the change has ended, established flows go on by the old decision: 0.1 to 0.5 s were measured with the
20,000 to 60,000 cached flows of a port scan. A rule is not enforced before that.

All bridges of a switch have their passes in common, so hundreds of VFNs wait for the same two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ryu.lib import hub

from runtime.errors import TransientError
from ryu_apps import datapath

PASSES = 2
"""The first to end may have begun before the change; the second has not."""


class Passes:
    """The passes of one switch, followed for as long as somebody waits.

    Args:
        run_dir: folder of the switch daemon's process id.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._ended = 0
        self._waiting: list[tuple[int, Any]] = []
        self._following = False

    def wait(self) -> None:
        """Return when every packet is forwarded by the flow tables as they were when this was called, or newer ones.

        Raises:
            TransientError: the switch daemon cannot be asked, or does not answer in time.
        """
        answer = hub.Queue(1)
        self._waiting.append((self._ended + PASSES, answer))
        if not self._following:
            self._following = True
            hub.spawn(self._follow)
        problem = answer.get()
        if problem is not None:
            raise problem

    def _follow(self) -> None:
        try:
            while self._waiting:
                datapath.wait_for_pass(self._run_dir)
                self._ended += 1
                self._release(self._ended, None)
        except TransientError as error:
            self._release(self._ended + PASSES, error)
        finally:
            self._following = False

    def _release(self, ended: int, problem: TransientError | None) -> None:
        """Tell those who have waited for so many passes."""
        waiting, self._waiting = self._waiting, []
        for due, answer in waiting:
            if due <= ended:
                answer.put(problem)
            else:
                self._waiting.append((due, answer))
