"""`python -m mininet_labs.replay CAPTURE`: a capture through real VFNs, and what dynseg makes of it.

The lab comes up with the whole product; the capture's hosts become its VMs and hosts outside (`cast`), its packets are
sent by them at their own pace (`stage`). Writes `replay.json` (roles, what was left out, the product's status, verdicts
and rules), `flows.json` (newest flows of each VM) and logs into `--out`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from mininet_labs import machine
from mininet_labs.children import exit_when_told
from mininet_labs.network import LabNetwork
from mininet_labs.product import Product
from mininet_labs.replay import stage
from mininet_labs.replay.cast import PRIVATE, Net, Role, cast
from mininet_labs.replay.rewrite import Rewritten, hosts, rewrite
from mininet_labs.run import ENTERPRISE, Progress
from runtime.errors import DynsegError
from topology import inventory as inventories

SETTLE_SECONDS = 8.0
"""After its last packet a flow's last report comes within five seconds, and is judged and on record soon after."""
MOST_FLOWS = 1000


def replay(args: argparse.Namespace, say: Progress) -> dict[str, Any]:
    """Play; returns what `replay.json` holds.

    Raises:
        LabError: the machine lacks something, or the capture cannot be played.
    """
    logs = args.out / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    inventory = inventories.load(args.lab / "inventory.yaml")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dynseg-replay-")))
        roles = cast(hosts(args.capture), inventory, args.inside)
        capture = rewrite(args.capture, roles, folder)
        say(f"{sum(part.frames for part in capture.slices)} frames of {len(roles)} hosts from {len(capture.slices)}"
            f" endpoints, {capture.seconds / args.speed:.0f} s; left out: {dict(capture.left_out)}")  # fmt: skip
        stack.enter_context(machine.open_vswitch())
        network = stack.enter_context(LabNetwork(inventory))
        product = Product(folder, logs, args.lab / "inventory.yaml", args.learn)
        stack.callback(product.stop)
        product.start()
        product.wait_for_analyzer()
        if args.policy is not None:
            product.lay_down(args.policy)
        product.learn_when.touch()
        stage.silence(network, {role.endpoint for role in roles.values()})
        say("playing")
        stage.play(network, capture, args.speed, logs)
        say("all is sent")
        time.sleep(SETTLE_SECONDS)
        flows = {vm: product.ask("GET", f"/vms/{vm}/flows", limit=MOST_FLOWS) for vm in inventory.vms}
        (args.out / "flows.json").write_text(json.dumps(flows, indent=1) + "\n")
        return _told(roles, capture, product)


def _told(roles: dict[Any, Role], capture: Rewritten, product: Product) -> dict[str, Any]:
    return {
        "roles": {str(host): {"endpoint": role.endpoint, "address": str(role.address)} for host, role in roles.items()},
        "frames": {part.endpoint: part.frames for part in capture.slices},
        "left_out": dict(capture.left_out),
        "status": product.status(),
        "verdicts": product.ask("GET", "/verdicts", limit=1000),
        "rules": product.rules(),
    }


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="play a capture through real VFNs")
    parser.add_argument("capture", type=Path, help="pcap or pcapng, of Ethernet")
    parser.add_argument("--out", type=Path, default=Path("out/replay"))
    parser.add_argument("--lab", type=Path, default=ENTERPRISE, help="folder with inventory.yaml")
    parser.add_argument("--policy", type=Path, help="policy file to lay down first")
    parser.add_argument("--inside", type=_network, action="append", help="network of the capture's own machines"
                        " (may be said again; private addresses without it)")  # fmt: skip
    parser.add_argument("--speed", type=float, default=1.0, help="times the capture's own pace")
    parser.add_argument("--learn", type=float, default=3600.0, help="seconds that the analyzer only learns")
    args = parser.parse_args(arguments)
    args.inside = tuple(args.inside or PRIVATE)
    if args.speed <= 0:
        parser.error("--speed must be above 0")
    return args


def _network(text: str) -> Net:
    return ip_network(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play a capture; returns the exit status."""
    args = _arguments(arguments)
    exit_when_told()
    say = Progress()
    try:
        machine.check()
        stage.check()
        told = replay(args, say)
    except KeyboardInterrupt:
        print("interrupted; everything is taken down", file=sys.stderr)
        return 130
    except DynsegError as error:
        print(f"replay: {error}", file=sys.stderr)
        return 1
    (args.out / "replay.json").write_text(json.dumps(told, indent=2) + "\n")
    analyzer = told["status"]["analyzer"]
    say(f"{analyzer['flows']} flows, {len(told['verdicts'])} verdicts, {len(told['rules'])} rules; see {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
