"""Isolation by a person: from the REST request to the last packet of the VM that anybody gets.

The whole product with a policy of 10,000 rules, on a bridge whose cache holds 20,000 live flows. The VM sends datagrams
at 1 kHz and keeps a TCP transfer running; raw sockets at the switch's ports see every frame of it that is handed to
another endpoint, and every frame handed to it, with the kernel's timestamps. The time begins before the request is
written to REST's socket. A round ends with the release through REST; then both streams must have come back.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.rows import Row, quantile
from benchmarks.vfn import workload
from benchmarks.vfn.bench import Bench
from mininet_labs import marks
from mininet_labs.children import ROOT, end, module, wait_for
from mininet_labs.errors import LabError
from mininet_labs.network import LabNetwork
from mininet_labs.probes.watch import frames, listen
from mininet_labs.product import Product
from runtime import tokens
from topology.model import Inventory

RULES = 10_000
FLOWS = 20_000
FLOW_RATE = 4_000
"""Packets a second of all flows together: each comes every 5 s, and the cache keeps an idle one for 10 s."""
ROUNDS = 30
PORT = 9
TRANSFER_BYTES = 2_000_000
"""A second; about 1,400 segments."""
HOLD_SECONDS = 0.5
"""So long the cut is watched."""
MAX_P50_MS = 5.0
MAX_P99_MS = 25.0
_NEVER = 86_400.0
_POLICY_SECONDS = 90.0


def rows(bench: Bench) -> list[Row]:
    """Median and 99th percentile."""
    times = [1000 * seconds for seconds in _measure(bench)]
    bench.say("last packet after (ms): " + " ".join(f"{value:.1f}" for value in sorted(times)))
    name = f"isolate under {RULES} rules and {FLOWS} flows, request to last packet"
    return [
        Row(f"{name}, p50", round(statistics.median(times), 2), "ms", "<=", MAX_P50_MS, len(times)),
        Row(f"{name}, p99", round(quantile(times, 0.99), 2), "ms", "<=", MAX_P99_MS, len(times)),
    ]


def _measure(bench: Bench) -> list[float]:
    inventory = workload.one_vfn()
    logs = bench.folder("isolate")
    with ExitStack() as stack:
        network = stack.enter_context(LabNetwork(inventory))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dynseg-bench-")))
        product = Product(folder, logs, workload.ONE_VFN, learn_seconds=_NEVER)
        stack.callback(product.stop)
        product.start()
        _lay_down_policy(product, bench)
        stack.enter_context(_traffic(network))
        watch = stack.enter_context(_Watch(inventory).watching())
        request = stack.enter_context(_Requests(product).open())
        wait_for(f"{FLOWS} cached flows", lambda: _cached_flows() >= FLOWS, 60.0, 0.5)
        bench.say(f"{_cached_flows()} flows are cached")
        return [_round(number, watch, request, product, bench) for number in range(ROUNDS)]


def _lay_down_policy(product: Product, bench: Bench) -> None:
    """10,000 rules, and what the streams and the crowd need."""
    streams: list[Any] = [
        {"name": "streams", "action": "allow", "from": {"segment": "office"}, "to": {"segment": "shop"}},
        {"name": "crowd", "action": "allow", "from": {"segment": "crowd"}, "to": {"segment": "store"}},
    ]
    segments = list(workload.one_vfn().segments)
    begin = time.monotonic()
    product.ask("PUT", "/policy", {"text": workload.document(RULES - len(streams), segments, streams)})
    product.wait_for_policy(_POLICY_SECONDS)
    entries = product.ask("GET", "/vfns")[0]["entries"]
    bench.say(f"{RULES} rules, {entries} entries, enforced after {time.monotonic() - begin:.1f} s")


@contextmanager
def _traffic(network: LabNetwork) -> Iterator[None]:
    """The streams of the suspect and the flows of the crowd."""
    vms = network.inventory.vms
    server, store = vms["server"].addresses[0], vms["store"]
    plans: list[tuple[str, Sequence[object]]] = [
        ("server", ("sink", PORT)),
        ("store", ("sink", PORT)),
        ("suspect", ("datagrams", server, PORT, 1000)),
        ("suspect", ("transfer", server, PORT, TRANSFER_BYTES)),
        *((crowd, ("flows", store.addresses[0], store.mac, PORT, FLOWS // 2 + 100, FLOW_RATE // 2))
          for crowd in ("crowd1", "crowd2")),
    ]  # fmt: skip
    with ExitStack() as stack:
        for vm, arguments in plans:
            process = network.popen(vm, module("benchmarks.vfn.traffic", *arguments), cwd=ROOT)
            stack.callback(end, process)
        yield


class _Watch:
    """Frames that the suspect's are to others and others' to it, at the switch's ports."""

    def __init__(self, inventory: Inventory) -> None:
        suspect, server = inventory.vms["suspect"], inventory.vms["server"]
        others = [vm.port for vm in inventory.vms.values() if vm is not suspect]
        self._sockets = [*(listen(port, suspect.mac) for port in others), listen(suspect.port, server.mac)]

    @contextmanager
    def watching(self) -> Iterator[_Watch]:
        """Itself, inside a block."""
        try:
            yield self
        finally:
            for sock in self._sockets:
                sock.close()

    def delivered(self) -> list[tuple[float, int]]:
        """(time, IP protocol) of all frames since the last call, in order."""
        found = [
            (when, frame[23])
            for sock in self._sockets
            for frame, when, address in frames(sock)
            if address[2] == socket.PACKET_OUTGOING
        ]
        return sorted(found)


class _Requests:
    """A connection to REST with as little around it as possible."""

    def __init__(self, product: Product) -> None:
        token = next(t for t in tokens.load(product.settings.tokens_file) if t.role == tokens.Role.OPERATOR)
        self._headers = {"Authorization": f"Bearer {token.token}"}
        rest = product.settings.rest
        self._connection = http.client.HTTPConnection(rest.listen, rest.port, timeout=10)

    @contextmanager
    def open(self) -> Iterator[_Requests]:
        """Itself, connected, inside a block."""
        self._connection.connect()
        try:
            yield self
        finally:
            self._connection.close()

    def isolate(self, vm: str) -> tuple[float, float, str]:
        """Isolate a VM; returns when the request was written and answered, and the rule's id.

        Raises:
            LabError: it was refused.
        """
        begin = time.time()
        self._connection.request("POST", f"/v1/vms/{vm}/isolate", body="{}", headers=self._headers)
        response = self._connection.getresponse()
        value = json.loads(response.read())
        if response.status != 201:
            raise LabError(f"isolate {vm}: {value}")
        return begin, time.time(), value["id"]


def _round(number: int, watch: _Watch, request: _Requests, product: Product, bench: Bench) -> float:
    """Seconds from a request to the last frame delivered; 0 when none came after it."""
    _both_streams_flow(watch)
    begin, answered, rule = request.isolate("suspect")
    time.sleep(HOLD_SECONDS)
    times = [when for when, _ in watch.delivered()]
    last = max(times)
    wait_for("the isolation is enforced", lambda: product.ask("GET", f"/rules/{rule}")["state"] == "enforced", 10.0)
    if later := watch.delivered():
        raise LabError(f"round {number}: {len(later)} frames after {HOLD_SECONDS} s of isolation")
    product.ask("DELETE", f"/rules/{rule}")
    bench.say(f"round {number}: last frame {1000 * (last - begin):.1f} ms after the request,"
              f" answered after {1000 * (answered - begin):.1f} ms")  # fmt: skip
    return max(0.0, last - begin)


def _both_streams_flow(watch: _Watch) -> None:
    """Wait until datagrams and segments have come through within the last moment."""

    def flow() -> bool:
        protocols = {protocol for _, protocol in watch.delivered()}
        return {socket.IPPROTO_UDP, socket.IPPROTO_TCP} <= protocols

    watch.delivered()
    wait_for("datagrams and transfer flow", flow, 15.0, 0.1)


def _cached_flows() -> int:
    """Flows in the data path's cache."""
    shown = marks.run("ovs-appctl", "upcall/show")
    found = re.search(r"flows\s*:\s*\(current (\d+)\)", shown)
    if found is None:
        raise LabError(f"`ovs-appctl upcall/show` says {shown[:200]!r}")
    return int(found[1])
