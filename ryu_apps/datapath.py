"""Asks the local Open vSwitch itself, by commands of ovs-appctl(8): passes, cache, traces, limits of connections."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Collection, Sequence
from pathlib import Path

from runtime.errors import TransientError

PATIENCE_SECONDS = 10.0
_RECEIVE_BYTES = 1 << 16
_LIMIT = re.compile(r"^zone=(\d+),limit=(\d+)", re.MULTILINE)


def control_socket(run_dir: Path) -> Path:
    """Where the switch daemon takes commands (ovs-appctl(8)); `run_dir` is the folder of its process id.

    Raises:
        TransientError: it does not run.
    """
    return run_dir / f"ovs-vswitchd.{process(run_dir)}.ctl"


def process(run_dir: Path) -> int:
    """Process id of the switch daemon.

    Raises:
        TransientError: it does not run.
    """
    try:
        return int((run_dir / "ovs-vswitchd.pid").read_text())
    except (OSError, ValueError) as error:
        raise TransientError(f"ovs-vswitchd has no process id in {run_dir}", remedy="start Open vSwitch") from error


def wait_for_pass(run_dir: Path) -> None:
    """Return when the next pass of the revalidators has ended (`ryu_apps.passes`).

    Raises:
        TransientError: the switch daemon cannot be asked, or does not answer in time.
    """
    _command(control_socket(run_dir), "revalidator/wait")


def forget_decisions(run_dir: Path) -> None:
    """Have every packet looked up in the flow tables again: the data path forgets what it has cached.

    Raises:
        TransientError: the switch daemon cannot be asked, or does not answer in time.
    """
    _command(control_socket(run_dir), "revalidator/purge")


def limit_connections(run_dir: Path, path: str, zones: Collection[int], most: int) -> int:
    """Keep at most so many connections in each of these conntrack zones; in how many was it otherwise before?

    Args:
        path: the data path, as `netdev@ovs-netdev`.

    Raises:
        TransientError: the switch daemon cannot be asked, or refuses.
    """
    command = control_socket(run_dir)
    listed = _command(command, "dpctl/ct-get-limits", path, "zone=" + ",".join(map(str, zones)))
    right = {int(zone) for zone, limit in _LIMIT.findall(listed) if int(limit) == most}
    wrong = [zone for zone in zones if zone not in right]
    if wrong:
        _command(command, "dpctl/ct-set-limits", path, *(f"zone={zone},limit={most}" for zone in wrong))
    return len(wrong)


def trace(run_dir: Path, bridge: str, flow: str, states: Sequence[str]) -> str:
    """What a bridge would do with a packet, as ovs-appctl(8) `ofproto/trace` tells it.

    Args:
        flow: the packet, in the notation of ovs-fields(7).
        states: what connection tracking finds, each time that the packet is handed to it.

    Raises:
        TransientError: the switch daemon cannot be asked, or refuses the flow.
    """
    options = [word for state in states for word in ("--ct-next", state)]
    return _command(control_socket(run_dir), "ofproto/trace", bridge, flow, *options)


def _command(path: Path, method: str, *params: str) -> str:
    """Carry out one command of the switch daemon; its answer."""
    request = json.dumps({"id": 0, "method": method, "params": params}).encode()
    text = ""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(PATIENCE_SECONDS)
            sock.connect(str(path))
            sock.sendall(request)
            while (reply := _whole(text)) is None:
                if not (chunk := sock.recv(_RECEIVE_BYTES)):
                    raise TransientError(f"ovs-vswitchd closed the connection at {path}")
                text += chunk.decode(errors="replace")
    except OSError as error:
        remedy = "run control as root, on the switch's machine"
        raise TransientError(f"ovs-vswitchd does not answer at {path}: {error}", remedy=remedy) from error
    if reply.get("error") is not None:
        raise TransientError(f"ovs-vswitchd refuses {method}: {str(reply['error']).strip()}")
    return str(reply.get("result"))


def _whole(text: str) -> dict[str, object] | None:
    try:
        reply = json.loads(text)
    except ValueError:
        return None  # more is to come
    if not isinstance(reply, dict):
        raise TransientError(f"ovs-vswitchd answers {text[:80]!r}")
    return reply
