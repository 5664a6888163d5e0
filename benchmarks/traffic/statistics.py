"""Flow statistics of 50,000 entries: as control takes them in, against Ryu's own parser, and what the hub feels of it.

The bytes are those of a real switch, the same for both, parsed in turns; both must find the same entries and counters.
How late the hub is tells control itself, over a time in which it reads counters as always and strange entries make the
engine read the whole switch again and again.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from ryu.ofproto import ofproto_parser, ofproto_v1_3, ofproto_v1_3_parser
from ryu.ofproto.ofproto_protocol import ProtocolDesc

from benchmarks.management import MULTIPART_REPLY, Management
from benchmarks.rows import Row
from benchmarks.vfn import workload
from benchmarks.vfn.bench import Bench
from benchmarks.vfn.openflow import PATIENCE_SECONDS, connection
from benchmarks.vfn.rig import bridges
from mininet_labs import marks
from mininet_labs.children import wait_for
from mininet_labs.errors import LabError
from mininet_labs.product import Product
from mininet_labs.run import Progress
from ryu_apps.lag import WINDOW_SECONDS
from ryu_apps.wire import multipart, stats
from ryu_apps.wire.codec import WireCodec

ENTRIES = 50_000
RULES = 12_200
"""They ask for a few more entries than that."""
TURNS = 7
READINGS = 5
MIN_RATIO = 40.0
MAX_GAP_MS = 20.0
_BRIDGE = "bvstat"

_NEVER = 86_400.0
_SECOND_PORT = 10_000
"""From the first; further than there are ports of rules."""
_POLICY_SECONDS = 120.0
_STRANGE = "table=6,priority=7,udp,tp_dst={port},actions=drop"

Counts = frozenset[tuple[int, int, int]]
"""Cookie, packets, bytes."""


def rows() -> list[Row]:
    """The ratio to Ryu's parser, and the longest wait of a ready task."""
    return [_parsing(), _waiting()]


def _parsing() -> Row:
    entries = workload.entries(RULES)[:ENTRIES]
    desired = dict(zip(WireCodec().cookies(entries), entries, strict=True))
    with bridges([_BRIDGE]), connection(_BRIDGE) as switch:
        switch.stream(WireCodec().pieces(desired, (), {}, 1))
        messages = _replies()
    ours, ryus = [], []
    for _ in range(TURNS):
        seconds, found = _timed(_taken, messages)
        ours.append(seconds)
        seconds, expected = _timed(_parsed, messages)
        ryus.append(seconds)
        if found != expected or len(found) != ENTRIES:
            raise LabError(f"{len(found)} of {ENTRIES} entries were found, {len(found ^ expected)} in another way")
    ratio = statistics.median(other / own for own, other in zip(ours, ryus, strict=True))
    own, other = statistics.median(ours), statistics.median(ryus)
    return Row(f"OpenFlow statistics of {ENTRIES} entries, against Ryu's parser", round(ratio, 1), "x", ">=", MIN_RATIO,
               TURNS, "Ryu, s", round(other, 3), f"{1000 * own:.1f} ms in {len(messages)} parts")  # fmt: skip


def _replies() -> list[bytes]:
    """All entries' statistics as the switch sends them."""
    session = Management(_BRIDGE, PATIENCE_SECONDS)
    try:
        return [message for message in session.exchange(stats.request(1)) if message[1] == MULTIPART_REPLY]
    finally:
        session.close()


def _timed(parse: Callable[[Sequence[bytes]], Any], messages: Sequence[bytes]) -> tuple[float, Counts]:
    """Seconds of one way, and what it found; to compare it takes as long, and is not in them."""
    begin = time.perf_counter()
    found = parse(messages)
    seconds = time.perf_counter() - begin
    if isinstance(found, np.ndarray):
        return seconds, frozenset(zip(*(found[name].tolist() for name in ("cookie", "packets", "bytes")), strict=True))
    return seconds, frozenset((one.cookie, one.packet_count, one.byte_count) for one in found)


def _taken(messages: Sequence[bytes]) -> Any:
    """As `ryu_apps` takes them in."""
    return np.concatenate([stats.decode_counters(multipart.split(message).body) for message in messages])


def _parsed(messages: Sequence[bytes]) -> list[Any]:
    """As Ryu does, when nobody keeps it from it: an object for each entry, match, field and instruction."""
    switch = ProtocolDesc(version=ofproto_v1_3.OFP_VERSION)
    found: list[Any] = []
    for message in messages:
        head = ofproto_parser.header(message)
        found += ofproto_v1_3_parser.msg_parser(switch, *head, message).body
    return found


def _waiting() -> Row:
    (vfn,) = workload.one_vfn().vfns.values()
    logs = Bench(Progress(), Path("out/bench")).folder("statistics")
    with ExitStack() as stack:
        stack.enter_context(bridges([vfn.bridge]))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dynseg-bench-")))
        product = Product(folder, logs, workload.ONE_VFN, learn_seconds=_NEVER)
        stack.callback(product.stop)
        product.start()
        product.ask("PUT", "/policy", {"text": _policy()})
        product.wait_for_policy(_POLICY_SECONDS)
        time.sleep(WINDOW_SECONDS + 1)  # what control remembers shall be of this time alone
        for number in range(READINGS):
            _disturb(product, vfn.bridge, 1000 + number)
        held = product.ask("GET", "/vfns")[0]["entries"]
        gap = float(product.status()["control"]["hub_lag_ms"])
    told = f"{held} entries; counters read all the time, and {READINGS} times everything; n: seconds"
    return Row("longest wait of a ready task in control meanwhile", gap, "ms", "<=", MAX_GAP_MS, int(WINDOW_SECONDS),
               reason=told)  # fmt: skip


def _policy() -> str:
    """Half as many rules with two ports each: as many entries, and a text that REST takes."""
    document = json.loads(workload.document(RULES // 2, list(workload.one_vfn().segments)))
    for rule in document["rules"]:
        (service,) = rule["service"]
        service["ports"].append(str(int(service["ports"][0]) + _SECOND_PORT))
    return json.dumps(document)


def _disturb(product: Product, bridge: str, port: int) -> None:
    """Write a strange entry, and wait until it was found and taken out."""
    before = len(product.ask("GET", "/audit", kind="drift", limit=1000))
    marks.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", bridge, _STRANGE.format(port=port))

    def repaired() -> bool:
        drifts = product.ask("GET", "/audit", kind="drift", limit=1000)
        return len(drifts) > before and bool(product.ask("GET", "/vfns")[0]["enforced"])

    wait_for("a strange entry is taken out", repaired, 30.0)
