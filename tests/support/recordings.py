"""Recorded flows made up for tests: CSV rows of an office, and what attackers add to them."""

import random
from pathlib import Path

HEADER = (
    "start,end,duration,proto,src_ip,src_port,dst_ip,dst_port,src_pkts,dst_pkts,src_bytes,dst_bytes,"
    "syn,fin,rst,ack,psh,app"
)


def row(start: float, source: str, target: str, port: int, failed: bool = False, proto: str = "tcp") -> str:
    """A CSV row: a short request and answer, or a refused connection."""
    tail = "1,1,60,40,1,0,1,1,0,-" if failed else "6,5,600,3000,2,2,0,9,3,-"
    return f"{start:.6f},{start + 0.2:.6f},0.2,{proto},{source},{41000 + port % 999},{target},{port},{tail}"


def flow(
    start: float, source: str, target: str, port: int, amounts: str, proto: str = "tcp", seconds: float = 0.2,
    source_port: int = 42000, flags: str = "2,2,0,9,3",
) -> str:  # fmt: skip
    """A CSV row of given amounts: packets sent and received, bytes sent and received."""
    end = start + seconds
    return f"{start:.6f},{end:.6f},{seconds},{proto},{source},{source_port},{target},{port},{amounts},{flags},-"


def office(begin: float, seconds: int, seed: int) -> list[str]:
    """Twenty desktops: names from a resolver, pages of a few sites, files of one server."""
    rng = random.Random(seed)
    rows = []
    for host in range(20):
        now = begin
        while now < begin + seconds:
            now += rng.expovariate(0.5)
            target, port, proto = rng.choice(
                [("10.0.0.53", 53, "udp"), (f"198.51.100.{rng.randint(1, 9)}", 443, "tcp"), ("10.0.0.9", 445, "tcp")]
            )
            rows.append(row(now, f"10.0.0.{100 + host}", target, port, proto=proto))
    return rows


def write(path: Path, rows: list[str]) -> Path:
    """Rows in order of `end`, as an exporter gives them."""
    ordered = sorted(rows, key=lambda r: float(r.split(",")[1]))
    path.write_text("\n".join([HEADER, *ordered]) + "\n")
    return path
