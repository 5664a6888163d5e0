"""Push of 10,000 rules: from their values to the barrier's reply, against `ovs-ofctl` and against Ryu's own objects.

All three put the same entries into the same empty bridge, in turns, and each time what the switch then holds is read
back and compared. Reading back and clearing are not in the figures; encoding is, as is the start of `ovs-ofctl`. The
cookies are there beforehand, for all three: the compiler gives them.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.rows import Row
from benchmarks.vfn import ryupeer, workload
from benchmarks.vfn.bench import Bench
from benchmarks.vfn.openflow import Connection, connection
from benchmarks.vfn.rig import bridges, wait_until_idle
from mininet_labs import marks
from mininet_labs.errors import LabError
from policies.entries import TableEntry
from ryu_apps.wire.codec import WireCodec
from ryu_apps.wire.stats import decode_entries

RULES = 10_000
ROUNDS = 7
BRIDGE = "bvpush"
MIN_OVS_OFCTL = 3.0
MIN_RYU = 12.0

_Push = Callable[[], None]


def rows(bench: Bench) -> list[Row]:
    """The figures of both peers."""
    entries = workload.entries(RULES)
    with bridges([BRIDGE]), connection(BRIDGE) as switch:
        ways = _ways(entries, switch, bench.out / "push.flows")
        seconds, reading = _in_turns(ways, switch, bench)
    ours, ofctl, ryu = (statistics.median(seconds[name]) for name in ways)
    bench.say(f"{len(entries)} entries: dynseg {ours:.3f} s, ovs-ofctl {ofctl:.3f} s, Ryu {ryu:.3f} s;"
              f" reading back {statistics.median(reading):.3f} s (medians of {ROUNDS})")  # fmt: skip
    told = f"{ours:.3f} s for {RULES} rules ({len(entries)} entries)"
    return [
        Row("push of 10,000 rules, against ovs-ofctl --bundle add-flows", round(ofctl / ours, 2), "x", ">=",
            MIN_OVS_OFCTL, ROUNDS, "ovs-ofctl, s", round(ofctl, 4), told),
        Row("push of 10,000 rules, against Ryu's OFPFlowMod", round(ryu / ours, 2), "x", ">=",
            MIN_RYU, ROUNDS, "Ryu, s", round(ryu, 4), told),
    ]  # fmt: skip


def _ways(entries: Sequence[TableEntry], switch: Connection, file: Path) -> Mapping[str, _Push]:
    """The three ways, ours first."""
    cookies = WireCodec().cookies(entries)
    desired = dict(zip(cookies, entries, strict=True))
    peer = ryupeer.prepare(entries, cookies)

    def ours() -> None:
        # A codec of its own each time: nothing is remembered from the round before.
        switch.stream(WireCodec().pieces(desired, (), {}, 1))

    def ofctl() -> None:
        marks.run("ovs-ofctl", "--bundle", "-O", "OpenFlow13", "add-flows", BRIDGE, str(file))

    def ryu() -> None:
        switch.send(ryupeer.encode(peer))

    ours()
    _dump(file)
    return {"dynseg": ours, "ovs-ofctl": ofctl, "Ryu": ryu}


def _dump(file: Path) -> None:
    """Write what the bridge holds in the form that `add-flows` reads."""
    command = ["ovs-ofctl", "-O", "OpenFlow13", "--no-stats", "--no-names", "dump-flows", BRIDGE]
    with file.open("w") as flows:
        subprocess.run(command, check=True, stdout=flows)


def _in_turns(
    ways: Mapping[str, _Push], switch: Connection, bench: Bench
) -> tuple[dict[str, list[float]], list[float]]:
    """Seconds of each way and of reading back; who begins changes from round to round."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    reading: list[float] = []
    expected = _held(switch, reading)
    order = list(ways)
    for number in range(ROUNDS):
        for name in order:
            switch.clear()
            wait_until_idle()
            begin = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - begin)
            if _held(switch, reading) != expected:
                raise LabError(f"round {number + 1}: after {name} the switch holds other entries")
        order = [*order[1:], order[0]]
        bench.say("  ".join(f"{name} {times[-1]:.3f} s" for name, times in seconds.items()))
    return seconds, reading


def _held(switch: Connection, reading: list[float]) -> frozenset[tuple[object, ...]]:
    """What the switch holds, counters aside."""
    begin = time.perf_counter()
    raw = switch.entries()
    reading.append(time.perf_counter() - begin)
    return frozenset((e.table, e.priority, e.cookie, e.match, e.instructions) for e in decode_entries(raw))
