"""A report of a made-up network: an attack, an isolation, a release, some denied flows."""

from __future__ import annotations

import math

from dashboards.network_report.model import Figure, Happening, NetworkReport, Pair, Refused, WouldDrop

START = 1_795_384_800.0
HOURS, STEP = 24, 900
SEGMENTS = ("app", "db", "ops", "outside", "web")


def sample() -> NetworkReport:
    times = [START + i * STEP for i in range(HOURS * 3600 // STEP)]
    wave = [20 + 15 * math.sin(i / 12) for i in range(len(times))]
    return NetworkReport(
        since=START,
        until=START + HOURS * 3600,
        step=STEP,
        source="a test",
        figures=(
            Figure("highest risk", "92", "of any VM, of 100", "bad"),
            Figure("VMs at risk", "1", "at 65 or more at some time", "warn"),
            Figure("cut off at the end", "0", "isolations enforced", "good"),
            Figure("flows denied", "1,204", "dropped by a switch"),
        ),
        risks={
            "web1": [(times[30], 45.0), (times[31], 92.0), (times[32], 70.0), (times[33], 22.0)],
            "db2": [(times[70], 31.0)],
        },
        happenings=(
            Happening(times[0], "process", "engine started", actor="engine"),
            Happening(times[31] + 200, "isolation", "web1 isolated", "scan: 38 failed", "analyzer", "web1"),
            Happening(times[33] + 100, "release", "web1: released", "was a test", "alice", "web1"),
        ),
        decisions={
            "allowed": list(zip(times, wave, strict=True)),
            "denied": [(times[31], 12.0), (times[32], 30.0)],
            "unknown": [(time, 0.5) for time in times],
        },
        pairs=tuple(
            Pair(a, b, flows=100 * (i + 1), bytes=10 ** (3 + (i + 2 * j) % 7), denied=40 * ((a, b) == ("web", "db")))
            for i, a in enumerate(SEGMENTS)
            for j, b in enumerate(SEGMENTS)
            if (i + j) % 3
        ),
        refused=(Refused("web", "db", "tcp/5432", 1100), Refused("web", "db", "tcp/22", 104)),
        would_drop=(WouldDrop("no-shells-from-web", None, 88, 12_000),),
        would_drop_note="Counted by the switches.",
    )  # fmt: skip
