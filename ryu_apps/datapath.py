"""Asks the local Open vSwitch itself: whether it forwards by its flow tables, and what it would do with a packet.

A barrier says that the flow tables have changed, not that all packets feel it: the data path forwards by a cache of
decisions, which revalidator threads bring up to date in passes (OVS, Documentation/topics/design.rst). Until the pass
that began after the change has ended, established flows go on by the old decision: 0.1 to 0.5 s were measured with the
20,000 to 60,000 cached flows of a port scan. A rule is not enforced before that.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from pathlib import Path

from runtime.errors import TransientError

PATIENCE_SECONDS = 10.0
PASSES = 2
"""The first to end may have begun before the change; the second has not."""
_RECEIVE_BYTES = 1 << 16


def control_socket(run_dir: Path) -> Path:
    """Where the switch daemon takes commands (ovs-appctl(8)); `run_dir` is the folder of its process id.

    Raises:
        TransientError: it does not run.
    """
    try:
        pid = int((run_dir / "ovs-vswitchd.pid").read_text())
    except (OSError, ValueError) as error:
        raise TransientError(f"ovs-vswitchd has no process id in {run_dir}", remedy="start Open vSwitch") from error
    return run_dir / f"ovs-vswitchd.{pid}.ctl"


def wait_until_followed(run_dir: Path) -> None:
    """Return when every packet is forwarded by the flow tables as they were when this was called, or newer ones.

    Raises:
        TransientError: the switch daemon cannot be asked, or does not answer in time.
    """
    path = control_socket(run_dir)
    for _ in range(PASSES):
        _command(path, "revalidator/wait")


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
