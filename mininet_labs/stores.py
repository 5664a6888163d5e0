"""Servers of metrics, each a process with its own folder and ports: what labs, tests and benchmarks write to.

Both are Debian packages: `influxdb` (1.6, which answers InfluxQL) and `victoria-metrics`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from mininet_labs.children import Child, wait_for
from mininet_labs.errors import LabError
from mininet_labs.machine import free_port

START_SECONDS = 20.0


class Store:
    """A server that runs inside a `with` block; it dies with the process that started it.

    Args:
        folder: its data and log; made when absent.
        port: where it should listen on the loopback interface; another is taken when somebody has it.

    Raises:
        LabError: (on entering) its program is missing, or it did not come up; the message names its log.
    """

    name: str
    program: str
    package: str
    healthy: str
    """Path that answers 2xx once it serves."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        self.port = free_port(port)
        self.url = f"http://127.0.0.1:{self.port}"
        self._child: Child | None = None

    def __enter__(self) -> Self:
        """Start it and wait until it answers."""
        if shutil.which(self.program) is None:
            raise LabError(
                f"{self.program} is missing", remedy=f"apt-get install --no-install-recommends {self.package}"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._child = Child(self.name, self.command(), self.folder / f"{self.name}.log", pipe=False)
        try:
            wait_for(f"{self.name} answers (its log: {self._child.log})", self._answers, START_SECONDS)
        except BaseException:
            self._child.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it; its data stays in the folder, and entering it again goes on with them."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def command(self) -> Sequence[str]:
        """What starts it."""
        raise NotImplementedError

    def _answers(self) -> bool:
        assert self._child is not None
        if self._child.process.poll() is not None:
            raise LabError(f"{self.name} ended at once", remedy=f"see {self._child.log}")
        try:
            return httpx.get(f"{self.url}{self.healthy}", timeout=1.0, trust_env=False).is_success
        except httpx.TransportError:
            return False


class InfluxDb(Store):
    """Debian's InfluxDB 1.6: line protocol at `/write?db=`, InfluxQL at `/query?db=`."""

    name = "influxdb"
    program = "influxd"
    package = "influxdb"
    healthy = "/ping"

    def command(self) -> Sequence[str]:
        """Everything in its folder, nothing told to anybody."""
        file = self.folder / "influxdb.conf"
        file.write_text(
            "reporting-disabled = true\n"
            'bind-address = "127.0.0.1:0"\n'
            f'[meta]\n  dir = "{self.folder}/meta"\n'
            f'[data]\n  dir = "{self.folder}/data"\n  wal-dir = "{self.folder}/wal"\n  index-version = "tsi1"\n'
            "  max-series-per-database = 0\n  max-values-per-tag = 0\n"
            f'[http]\n  bind-address = "127.0.0.1:{self.port}"\n  log-enabled = false\n'
            "[monitor]\n  store-enabled = false\n"
        )
        return ("influxd", "-config", str(file))


class VictoriaMetrics(Store):
    """Debian's VictoriaMetrics: line protocol at `/write` and `/api/v2/write`, PromQL at `/api/v1/query`."""

    name = "victoria-metrics"
    program = "victoria-metrics"
    package = "victoria-metrics"
    healthy = "/health"

    def command(self) -> Sequence[str]:
        """Everything in its folder."""
        return (
            "victoria-metrics",
            f"-storageDataPath={self.folder}/data",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=1y",
            "-loggerLevel=WARN",
        )
