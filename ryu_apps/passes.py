"""Waiting until the local Open vSwitch forwards by its flow tables, for all who wait at the same time.

A barrier says that the flow tables have changed, not that all packets feel it: the data path forwards by a cache of
decisions, which revalidator threads bring up to date in passes (OVS, Documentation/topics/design.rst). Until the pass
that began after the change has ended, established flows go on by the old decision: 0.1 to 0.5 s were measured with the
20,000 to 60,000 cached flows of a port scan. A rule is not enforced before that.

All bridges of a switch have their passes in common, so hundreds of VFNs wait for the same two.

Passes do not mend everything: what revalidators believe a cached decision to be and what the data path does may differ
for as long as packets use it. Open vSwitch 3.1 was seen to drop a released VM's ARP requests for a minute, though its
tables let them pass and counted them so. So where drops have ended the cache is emptied once the passes are over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ryu.lib import hub

from runtime.errors import TransientError
from ryu_apps import datapath

PASSES = 2
"""The first to end may have begun before the change; the second has not."""


class _Waiting(NamedTuple):
    """Somebody who waits."""

    passes: int
    """Until so many have ended."""
    anew: bool
    answer: Any


class Passes:
    """The passes of one switch, followed for as long as somebody waits.

    Args:
        run_dir: folder of the switch daemon's process id.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._ended = 0
        self._waiting: list[_Waiting] = []
        self._following = False

    def wait(self, *, anew: bool = False) -> None:
        """Return when every packet is forwarded by the flow tables as they were when this was called, or newer ones.

        Args:
            anew: have all decisions made anew when the passes are over, which costs each flow a slow packet.

        Raises:
            TransientError: the switch daemon cannot be asked, or does not answer in time.
        """
        answer = hub.Queue(1)
        self._waiting.append(_Waiting(self._ended + PASSES, anew, answer))
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
        """Tell those who have waited for so many passes.

        Raises:
            TransientError: nobody is told yet, as decisions could not be made anew.
        """
        done = [waiting for waiting in self._waiting if waiting.passes <= ended]
        if problem is None and any(waiting.anew for waiting in done):
            datapath.forget_decisions(self._run_dir)
        self._waiting = [waiting for waiting in self._waiting if waiting.passes > ended]
        for waiting in done:
            waiting.answer.put(problem)
