"""CICFlowMeter's bidirectional flows as CSV, as CIC-IDS2017, CSE-CIC-IDS2018 and their like are published.

Of CIC-IDS2017 the `GeneratedLabelledFlows` tell addresses; the `MachineLearningCSV` and 2018's files do not, and some
no protocol or time either: such flows are nobody's. Durations are in microseconds. Bytes are those of payloads, so IPv4
and transport headers are added, from the header lengths that the files give. Times have no zone and are taken as UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from analyzer.importers import tables
from analyzer.importers.columns import NO_ADDRESS, Columns, Faults

# What 2017 calls so is called otherwise in 2018.
_ALIASES = {
    "dst port": "destination port", "src port": "source port", "src ip": "source ip", "dst ip": "destination ip",
    "tot fwd pkts": "total fwd packets", "tot bwd pkts": "total backward packets",
    "totlen fwd pkts": "total length of fwd packets", "totlen bwd pkts": "total length of bwd packets",
    "fwd header len": "fwd header length", "bwd header len": "bwd header length",
    "fin flag cnt": "fin flag count", "syn flag cnt": "syn flag count", "rst flag cnt": "rst flag count",
    "psh flag cnt": "psh flag count", "ack flag cnt": "ack flag count",
}  # fmt: skip
NEEDED = (
    "destination port", "flow duration", "total fwd packets", "total backward packets",
    "total length of fwd packets", "total length of bwd packets",
)  # fmt: skip
_FLAGS = ("syn", "fin", "rst", "ack", "psh")
_IP_HEADER = 20
_TIMES = ("%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y %I:%M:%S %p", "%Y-%m-%d %H:%M:%S")
_PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp"}


def writes(first: str) -> bool:
    """Does a file with this first line look like one of these?"""
    return "flow duration" in first.lower()


def read(lines: Iterable[tuple[int, str]], faults: Faults) -> Columns:
    """Flows of a file whose first line names the columns; the line may come again in between.

    Raises:
        FlowFileError: a needed column is missing.
    """
    found = Columns()
    clean = ((number, line.replace("\0", "")) for number, line in lines if line.strip(" ,\t"))
    for number, known in tables.rows(clean, NEEDED, faults, _head):
        name, cell = next(iter(known.items()))
        if _name(cell) != name:
            found.add(number, _cells(known), ("", known.get("label", "")))
    return found


def _head(cells: list[str]) -> tuple[list[str], bool]:
    return [_name(cell) for cell in cells], True


def _name(cell: str) -> str:
    """What 2017 calls a column."""
    return _ALIASES.get(cell.lower(), cell.lower())


def _cells(known: Mapping[str, str]) -> tuple[str, ...]:
    """In the order of `COLUMNS`."""
    packets = known["total fwd packets"], known["total backward packets"]
    octets = [
        _octets(known[f"total length of {way} packets"], known.get(f"{way} header length", ""), count)
        for way, count in zip(("fwd", "bwd"), packets, strict=True)
    ]
    flags = {name: known.get(f"{name} flag count", "") for name in _FLAGS}
    proto = known.get("protocol", "")
    if not proto:  # not told: only TCP has flags
        proto = "tcp" if any(count not in ("", "0") for count in flags.values()) else "udp"
    return (
        _time(known.get("timestamp", "")), "", _seconds(known["flow duration"]), _PROTOCOLS.get(proto, proto),
        known.get("source ip") or NO_ADDRESS, known.get("source port", ""),
        known.get("destination ip") or NO_ADDRESS, known["destination port"],
        *packets, *octets, *flags.values(), "",
    )  # fmt: skip


def _octets(payload: str, headers: str, packets: str) -> str:
    """Of IP packets; what is no number stays as it is, and is then complained about."""
    try:
        return str(max(int(float(payload)), 0) + max(int(float(headers or 0)), 0) + _IP_HEADER * int(float(packets)))
    except ValueError:
        return payload


def _seconds(microseconds: str) -> str:
    """-1 stands for a flow of one moment."""
    try:
        return f"{max(float(microseconds), 0) / 1e6:.6f}"
    except ValueError:
        return microseconds


def _time(text: str) -> str:
    """Epoch seconds; where no time is told all flows begin at 0."""
    if not text:
        return "0"
    for pattern in _TIMES:
        try:
            return f"{datetime.strptime(text, pattern).replace(tzinfo=UTC).timestamp():.6f}"
        except ValueError:
            continue
    return text
