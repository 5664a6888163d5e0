"""Child processes of a lab: started, awaited until they are ready, ended, with their words in a log file."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mininet_labs.errors import LabError

ROOT = Path(__file__).resolve().parents[1]
"""The project's folder: children run there, so that its packages are found."""
NICENESS = 5
"""Of what is not the product's own, elsewhere on other machines: VMs and those who attack from them."""
ENDING = (signal.SIGTERM, signal.SIGHUP)
"""What ends a lab besides Ctrl-C, which Python makes an exception of by itself."""


def exit_when_told() -> None:
    """Let these signals end the process as an exception does, so that what it has made is taken down on the way."""
    for number in ENDING:
        signal.signal(number, lambda number, _: sys.exit(128 + number))


def module(name: str, *arguments: object) -> list[str]:
    """The command that runs one of the project's modules with this interpreter."""
    return [sys.executable, "-m", name, *map(str, arguments)]


def mortal(argv: Sequence[str]) -> list[str]:
    """The command, made to die when the process that started it dies, however that happens."""
    return ["setpriv", "--pdeathsig", "KILL", *argv]


def humble(argv: Sequence[str]) -> list[str]:
    """The command with low priority, for the first process of a session.

    Linux shares the processors among sessions first (sched(7), autogroup): there a niceness says something only as the
    group's. A kernel without such groups goes by that of the process.
    """
    script = f'echo {NICENESS} 2> /dev/null > /proc/self/autogroup; exec nice -n {NICENESS} "$@"'
    return ["sh", "-c", script, "sh", *argv]


class Child:
    """A process in the machine's own namespaces that gets no Ctrl-C of the terminal and dies with this one.

    With `pipe` its standard output can be awaited with `ready`; otherwise it goes into the log, too.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, pipe: bool = True
    ) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as words:
            self.process = subprocess.Popen(
                mortal(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else words,
                stderr=words,
                env={**os.environ, **(env or {})},
                cwd=ROOT,
                start_new_session=True,
            )

    def ready(self, timeout: float = 10.0) -> None:
        """Wait until it has printed its line `ready`.

        Raises:
            LabError: it ended, or said nothing in time.
        """
        out = self.process.stdout
        assert out is not None
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            if not selector.select(timeout) or b"ready" not in out.readline():
                self.stop()
                raise LabError(f"{self.name} did not get ready", remedy=f"see {self.log}")

    def stop(self, timeout: float = 10.0) -> int:
        """End it with TERM (KILL when that does not help in time); returns the exit status."""
        return end(self.process, timeout)


def end(process: subprocess.Popen[bytes], timeout: float = 10.0) -> int:
    """End a process with TERM, its whole group with KILL when that does not help; returns the exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
    return process.returncode


def wait_for(what: str, condition: Callable[[], bool], timeout: float, interval: float = 0.05) -> None:
    """Poll until the condition holds.

    Raises:
        LabError: it does not within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {timeout:g} s")
        time.sleep(interval)
