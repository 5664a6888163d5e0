"""What must hold before control starts, each failure told in one line: settings, folders, ports, Open vSwitch."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TextIO

from ryu import cfg

from runtime.channel import connect
from runtime.errors import ChannelError, DynsegError, SettingsError
from runtime.settings import Settings
from ryu_apps import ovsdb
from ryu_apps.bridges import Targets

INACTIVITY_PROBE_MS = 5000
ECHO_SECONDS = 5.0
UNANSWERED_ECHOES = 3


def product_version() -> str:
    """Version of the installed product."""
    try:
        return version("dynseg")
    except PackageNotFoundError:
        return "unknown"


def set_ryu_defaults(settings: Settings) -> None:
    """Give Ryu our settings as its defaults: what stands on ryu-manager's command line still wins."""
    cfg.CONF.set_default("ofp_listen_host", settings.openflow.listen)
    cfg.CONF.set_default("ofp_tcp_listen_port", settings.openflow.port)
    cfg.CONF.set_default("wsapi_host", settings.rest.listen)
    cfg.CONF.set_default("wsapi_port", settings.rest.port)
    cfg.CONF.set_default("echo_request_interval", ECHO_SECONDS)
    cfg.CONF.set_default("maximum_unreplied_echo_requests", UNANSWERED_ECHOES)
    # One line for each HTTP request tells nothing that the audit does not.
    logging.getLogger("ryu.lib.hub").setLevel(logging.WARNING)


def targets(settings: Settings) -> Targets:
    """Where local bridges find control and collector, after Ryu's command line had its say."""
    host, port = _reachable(cfg.CONF.ofp_listen_host), cfg.CONF.ofp_tcp_listen_port
    return Targets(
        controller=f"tcp:{host}:{port}",
        max_backoff_ms=settings.openflow.max_backoff_ms,
        inactivity_probe_ms=INACTIVITY_PROBE_MS,
        netflow=f"{_reachable(settings.netflow.listen)}:{settings.netflow.port}",
        active_timeout_seconds=settings.netflow.active_timeout_seconds,
    )


def own_run_dir(settings: Settings) -> TextIO:
    """Make the folders and take the lock of `run_dir`; keep the file open as long as control lives.

    Raises:
        SettingsError: a folder cannot be made, or another control holds the lock.
    """
    for key, folder in (("run_dir", settings.run_dir), ("state_dir", settings.state_dir)):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            remedy = "run as root, or name a folder that you may write"
            raise SettingsError(f"{folder} cannot be made: {error.strerror}", key=key, remedy=remedy) from error
    return _lock(settings.run_dir / "control.pid")


def check_ports(settings: Settings) -> None:
    """See that nobody else listens where we are going to.

    Eventlet's own listening sockets share a port silently (SO_REUSEPORT), so it has to be tried without.

    Raises:
        DynsegError: a port is taken, or the address is not this machine's.
    """
    conf, tcp, udp = cfg.CONF, socket.SOCK_STREAM, socket.SOCK_DGRAM
    _try_port(conf.ofp_listen_host, conf.ofp_tcp_listen_port, tcp, "openflow.port", "OpenFlow")
    _try_port(conf.wsapi_host, conf.wsapi_port, tcp, "rest.port", "REST")
    try:
        connect(settings.analyzer_socket).close()
    except ChannelError:  # no analyzer to adopt: the port must be free for a new one
        _try_port(settings.netflow.listen, settings.netflow.port, udp, "netflow.port", "NetFlow")


def check_ovsdb(settings: Settings) -> None:
    """See that Open vSwitch answers, if its bridges are ours to set.

    Raises:
        DynsegError: it does not run, or we may not.
    """
    if settings.ovsdb.manage_bridges:
        ovsdb.connect(settings.ovsdb.endpoint).close()


def _lock(path: Path) -> TextIO:
    try:
        file = path.open("a+")
    except OSError as error:
        raise SettingsError(f"cannot be written: {error.strerror}", file=path, remedy="run as root") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip()
        remedy = "stop it first, or give this one a run_dir of its own"
        raise SettingsError(f"another control (process {holder}) runs here", file=path, remedy=remedy) from error
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _try_port(host: str, port: int, kind: socket.SocketKind, key: str, what: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            remedy = "stop what uses it, or set another"
            raise DynsegError(
                f"cannot listen at {host}:{port} for {what}: {error.strerror}", key=key, remedy=remedy
            ) from error


def _reachable(host: str) -> str:
    """The address to write into local bridges for a listening address."""
    wildcard = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound
    address = wildcard.get(host, host)
    return f"[{address}]" if ":" in address else address
